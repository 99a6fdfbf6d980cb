//! What was done and found, line by line.

use std::fmt;

#[derive(Debug, Default)]
pub(super) struct Report {
    lines: Vec<Line>,
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Made(String),
    Changed(String),
    Kept(String),
    Right(String),
    Wrong { what: String, mend: String },
}

impl Report {
    pub fn made(&mut self, what: String) {
        self.lines.push(Line::Made(what));
    }

    pub fn changed(&mut self, what: String) {
        self.lines.push(Line::Changed(what));
    }

    pub fn kept(&mut self, what: impl fmt::Display) {
        self.lines.push(Line::Kept(format!("{what}, already there")));
    }

    pub fn right(&mut self, what: impl Into<String>) {
        self.lines.push(Line::Right(what.into()));
    }

    pub fn wrong(&mut self, what: impl Into<String>, mend: impl Into<String>) {
        self.lines.push(Line::Wrong { what: what.into(), mend: mend.into() });
    }

    /// Whether anything was written.
    pub fn has_changes(&self) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Made(_) | Line::Changed(_)))
    }

    /// How many things are left to be mended.
    pub fn remaining(&self) -> usize {
        self.lines.iter().filter(|line| matches!(line, Line::Wrong { .. })).count()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(what) => write!(f, "made     {what}"),
            Self::Changed(what) => write!(f, "changed  {what}"),
            Self::Kept(what) => write!(f, "kept     {what}"),
            Self::Right(what) => write!(f, "right    {what}"),
            Self::Wrong { what, mend } => write!(f, "WRONG    {what}\n         mend: {mend}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
