//! Writing to the terminal. Standard output carries what was asked for and nothing else; everything that
//! is said about it goes to standard error.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Writes a line.
///
/// # Errors
/// When nobody reads standard output any more.
pub fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes a piece of a line, so that it is seen at once.
///
/// # Errors
/// When nobody reads standard output any more.
pub fn piece(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Says what went wrong, one line a mistake; the process ends with 1.
pub fn failed(reason: impl Display) -> ExitCode {
    let mut err = io::stderr().lock();
    for mistake in reason.to_string().lines() {
        // Without a standard error there is nobody to tell.
        let _ = writeln!(err, "error: {mistake}");
    }
    ExitCode::FAILURE
}

/// Says what went wrong, unless it is only that nobody reads on: `duologue ask ... | head` is no mistake.
#[must_use]
pub fn ended_by(error: &anyhow::Error) -> ExitCode {
    if is_unread(error) { ExitCode::SUCCESS } else { failed(format_args!("{error:#}")) }
}

/// Only what this module itself could not write: a socket can break as well.
fn is_unread(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A remark beside the answer; dim where that can be shown.
pub fn remark(text: impl Display) {
    let mut err = io::stderr().lock();
    let _ = if err.is_terminal() { writeln!(err, "\x1b[2m{text}\x1b[0m") } else { writeln!(err, "{text}") };
}

/// Columns as wide as their widest cell, two spaces apart.
#[must_use]
pub fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_reader_who_left_goes_unmentioned() {
        let failure = |kind: io::ErrorKind| anyhow::Error::from(io::Error::from(kind));
        assert!(is_unread(&failure(io::ErrorKind::BrokenPipe)));
        assert!(!is_unread(&failure(io::ErrorKind::PermissionDenied)));
    }

    #[test]
    fn a_broken_socket_is_mentioned() {
        #[derive(Debug, thiserror::Error)]
        #[error("the connection is lost")]
        struct Lost(#[source] io::Error);
        assert!(!is_unread(&anyhow::Error::from(Lost(io::ErrorKind::BrokenPipe.into()))));
    }

    #[test]
    fn a_table_lines_up_and_has_no_trailing_blanks() {
        let rows = [["a".to_owned(), "größer".to_owned()], ["longer".to_owned(), String::new()]];
        assert_eq!(table(&rows), "a       größer\nlonger\n");
    }
}
