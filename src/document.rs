//! YAML files people write, read so that every mistake can be named by file, line and column, and
//! all of them at once.
//!
//! A document becomes a tree whose nodes remember where they stand ([`Node`]); whoever reads it takes
//! fields from the tree and reports what is wrong to a [`Report`], without stopping at the first fault.

use std::{
    fmt,
    io::{self, ErrorKind},
    path::Path,
};

mod node;
mod read;

pub use node::{Key, Node, Value};
pub use read::{Fields, as_text};

/// One mistake in a file. Lines and columns count from 1; a fault of the file as a whole has neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    pub file: String,
    pub place: Option<Place>,
    pub reason: String,
}

/// Where in a file something stands, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some(Place { line, column }) => write!(f, "{}:{line}:{column}: {}", self.file, self.reason),
            None => write!(f, "{}: {}", self.file, self.reason),
        }
    }
}

impl Fault {
    #[must_use]
    pub fn of_file(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), place: None, reason: reason.into() }
    }
}

/// Everything wrong with a set of files; never empty. Prints one fault a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{fault}")?;
        }
        Ok(())
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

/// Gathers the faults of one file while it is read.
#[derive(Debug)]
pub struct Report {
    file: String,
    faults: Vec<Fault>,
}

impl Report {
    #[must_use]
    pub fn new(file: impl Into<String>) -> Self {
        Self { file: file.into(), faults: Vec::new() }
    }

    pub fn fault(&mut self, place: Place, reason: impl Into<String>) {
        self.faults.push(Fault { file: self.file.clone(), place: Some(place), reason: reason.into() });
    }

    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// The faults in the order they stand in the file.
    #[must_use]
    pub fn into_faults(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|fault| fault.place);
        self.faults
    }

    /// `value` if nothing was wrong, else everything that was.
    ///
    /// # Errors
    /// All faults reported so far.
    pub fn conclude<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.is_clean() => Ok(value),
            _ => Err(Faults(self.into_faults())),
        }
    }
}

/// Parses `text` into a tree.
///
/// # Errors
/// The first thing that is not YAML, or a key given twice.
pub fn parse(file: &str, text: &str) -> Result<Node, Fault> {
    node::parse(text).map_err(|(place, reason)| Fault { file: file.to_owned(), place, reason })
}

/// Reads a file; a fault says why it could not be read.
///
/// # Errors
/// When the file cannot be read as UTF-8 text.
pub fn read_file(path: &Path) -> Result<String, Fault> {
    std::fs::read_to_string(path)
        .map_err(|error| Fault::of_file(path.display().to_string(), unreadable(&error)))
}

/// Why a file cannot be read, and what mends it where that is not plain.
#[must_use]
pub fn unreadable(error: &io::Error) -> String {
    let mend = match error.kind() {
        ErrorKind::PermissionDenied => {
            "; make it readable, and its folder too, for the user this program runs as, with `chown` or `chmod`"
        }
        _ => "",
    };
    format!("cannot be read: {error}{mend}")
}
