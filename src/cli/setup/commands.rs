//! The commands that are suggested, written so that they do what they say when they are pasted into a shell.

use std::{borrow::Cow, path::Path};

/// `duologue` with the files this run was told to read.
#[derive(Debug)]
pub(super) struct Commands {
    start: String,
}

impl Commands {
    /// `config` and `env_file` as they were given; what is found without being named is found again.
    pub fn new(config: Option<&Path>, env_file: Option<&Path>) -> Self {
        let mut start = "duologue".to_owned();
        for (option, file) in [("--config", config), ("--env-file", env_file)] {
            if let Some(file) = file {
                start = format!("{start} {option} {}", quoted(&file.to_string_lossy()));
            }
        }
        Self { start }
    }

    pub fn duologue<'t>(&self, arguments: impl IntoIterator<Item = &'t str>) -> String {
        let arguments = arguments.into_iter().map(quoted);
        arguments.fold(self.start.clone(), |command, argument| format!("{command} {argument}"))
    }
}

/// One word to a POSIX shell.
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("demo-2/site_1.x", "demo-2/site_1.x")]
    #[case("gid://gitlab/Project/21", "gid://gitlab/Project/21")]
    #[case("", "''")]
    #[case("my files/config.yaml", "'my files/config.yaml'")]
    #[case("it's", r"'it'\''s'")]
    #[case("$HOME", "'$HOME'")]
    #[case("~", "'~'")]
    #[case("größe", "'größe'")]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(quoted(text), expected);
    }

    #[test]
    fn the_files_this_run_was_told_to_read_are_named_again() {
        let commands = Commands::new(Some(Path::new("my c.yaml")), Some(Path::new("x.env")));
        assert_eq!(
            commands.duologue(["flags", "enable", "a"]),
            "duologue --config 'my c.yaml' --env-file x.env flags enable a"
        );
        assert_eq!(Commands::new(None, None).duologue(["check"]), "duologue check");
    }
}
