//! Environment variables, and the `.env` file that stands in for those nobody set.
//!
//! A file has lines `NAME=value` or `export NAME=value`; blank lines and lines that start with `#` are
//! skipped. A value may be bare (a `#` after a space starts a comment), in single quotes (taken as it
//! is), or in double quotes (`\n`, `\t`, `\"`, `\\`, `\$` are escapes). Nothing is expanded: `$HOME` is five
//! characters. The process environment wins over the file.

use std::{collections::BTreeMap, path::Path};

use crate::document::{self, Fault, Faults, Place};

/// Read when no other file is named and it exists.
const USUAL_FILE: &str = ".env";

/// The variables a process sees.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The process's own variables over those of the named file, else of `./.env` if there is one.
    ///
    /// # Errors
    /// When the file cannot be read, and all its lines that are no variables.
    pub fn load(named: Option<&Path>) -> Result<Self, Faults> {
        let usual = Path::new(USUAL_FILE);
        let path = named.or_else(|| usual.is_file().then_some(usual));
        let mut variables = BTreeMap::new();
        if let Some(path) = path {
            variables = parse(&path.display().to_string(), &document::read_file(path)?)?;
        }
        let own = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        variables.extend(own);
        Ok(Self { variables })
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self { variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect() }
    }
}

/// Names only: values are often secrets.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// The variables of a file; of a name given twice the last, as in a shell.
///
/// # Errors
/// Every line that is no variable.
fn parse(file: &str, text: &str) -> Result<BTreeMap<String, String>, Faults> {
    let (mut variables, mut faults) = (BTreeMap::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (line, number) in text.lines().zip(1..) {
        match parse_line(line) {
            Ok(Some((name, value))) => {
                variables.insert(name, value);
            }
            Ok(None) => {}
            Err(reason) => {
                let place = Some(Place { line: number, column: 1 });
                faults.push(Fault { file: file.to_owned(), place, reason });
            }
        }
    }
    if faults.is_empty() { Ok(variables) } else { Err(Faults(faults)) }
}

/// One line: a variable, nothing, or the reason why it is neither. Reasons show no values.
fn parse_line(line: &str) -> Result<Option<(String, String)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let assignment = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (name, value) =
        assignment.split_once('=').ok_or_else(|| "expected NAME=value or export NAME=value".to_owned())?;
    let name = name.trim_end();
    if !is_a_name(name) {
        return Err("a variable's name has letters, digits and underscores, and no digit first".to_owned());
    }
    parse_value(value.trim_start()).map(|value| Some((name.to_owned(), value)))
}

fn is_a_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn parse_value(text: &str) -> Result<String, String> {
    let (value, rest) = match text.chars().next() {
        Some('\'') => single_quoted(text.get(1..).unwrap_or_default())?,
        Some('"') => double_quoted(text.get(1..).unwrap_or_default())?,
        _ => return Ok(bare(text).to_owned()),
    };
    let rest = rest.trim();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(value);
    }
    Err("something follows the closing quote".to_owned())
}

fn bare(text: &str) -> &str {
    let comment = text.char_indices().find(|(at, c)| {
        let before = text.get(..*at).unwrap_or_default();
        *c == '#' && (before.is_empty() || before.ends_with([' ', '\t']))
    });
    comment.and_then(|(at, _)| text.get(..at)).unwrap_or(text).trim_end()
}

fn single_quoted(text: &str) -> Result<(String, &str), String> {
    let (value, rest) = text.split_once('\'').ok_or_else(|| "the single quote is not closed".to_owned())?;
    Ok((value.to_owned(), rest))
}

fn double_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, 't')) => value.push('\t'),
                Some((_, escaped @ ('"' | '\\' | '$'))) => value.push(escaped),
                // As in a shell: before any other letter the backslash is a letter too.
                Some((_, other)) => value.extend(['\\', other]),
                None => break,
            },
            _ => value.push(letter),
        }
    }
    Err("the double quote is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value_of(line: &str) -> String {
        parse("f", line).unwrap().remove("NAME").unwrap()
    }

    #[test]
    fn values_are_read_as_people_write_them() {
        for (line, value) in [
            ("NAME=value", "value"),
            ("export NAME=value", "value"),
            ("  export\tNAME=value  ", "value"),
            ("NAME = value", "value"),
            ("NAME=", ""),
            ("NAME=two words # why", "two words"),
            ("NAME=# why", ""),
            ("NAME=a#b", "a#b"),
            ("NAME=https://host/?a=b&c=d", "https://host/?a=b&c=d"),
            ("NAME='it is # $HOME \\n'", "it is # $HOME \\n"),
            ("NAME=\"a \\\"quote\\\"\\nand \\$5 \\d\" # why", "a \"quote\"\nand $5 \\d"),
            ("NAME=\"\"", ""),
            ("NAME=<your-gdk-url>", "<your-gdk-url>"),
            ("NAME=größe", "größe"),
        ] {
            assert_eq!(value_of(line), value, "{line}");
        }
    }

    #[test]
    fn comments_blank_lines_and_windows_line_ends_are_no_matter() {
        let text = "\u{feff}# a comment\r\n\r\nA=1\r\n   # another\nexport B='2'\nA=3\n";
        let variables = parse("f", text).unwrap();
        assert_eq!(
            variables.into_iter().collect::<Vec<_>>(),
            [("A".into(), "3".into()), ("B".into(), "2".into())]
        );
    }

    #[test]
    fn every_bad_line_is_named_and_no_value_is_shown() {
        let text = "A=1\njust words\n2B=secret\nC='secret\nD=\"secret\nE='secret' more\nexport\n";
        let faults = parse(".env", text).unwrap_err().to_string();
        assert_eq!(
            faults.lines().collect::<Vec<_>>(),
            [
                ".env:2:1: expected NAME=value or export NAME=value",
                ".env:3:1: a variable's name has letters, digits and underscores, and no digit first",
                ".env:4:1: the single quote is not closed",
                ".env:5:1: the double quote is not closed",
                ".env:6:1: something follows the closing quote",
                ".env:7:1: expected NAME=value or export NAME=value",
            ]
        );
    }

    #[test]
    fn the_process_environment_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env.runit");
        std::fs::write(&file, "PATH=from-the-file\nDUOLOGUE_ENV_FILE_TEST=from-the-file\n").unwrap();
        let environment = Environment::load(Some(&file)).unwrap();
        assert_eq!(environment.get("PATH"), std::env::var("PATH").ok().as_deref());
        assert_eq!(environment.get("DUOLOGUE_ENV_FILE_TEST"), Some("from-the-file"));
    }

    #[test]
    fn a_named_file_that_is_not_there_is_an_error() {
        let error = Environment::load(Some(Path::new("no/such/.env"))).unwrap_err().to_string();
        assert!(error.starts_with("no/such/.env: cannot be read"), "{error}");
    }

    #[test]
    fn values_are_not_shown_in_debug_output() {
        let environment = Environment::from_iter([("TOKEN", "secret")]);
        assert_eq!(format!("{environment:?}"), r#"{"TOKEN"}"#);
    }
}
