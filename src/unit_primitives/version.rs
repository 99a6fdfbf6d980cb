//! GitLab versions as far as they decide anything.

use std::{fmt, str::FromStr};

/// `18.6.0`. What follows the numbers (`-ee`, `-pre`) is not looked at: it names the edition or a build of
/// the very release, so `18.6.0-ee` is as good as 18.6.0. By semantic versioning it would come before it.
/// The default is before all others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GitlabVersion {
    major: u64,
    minor: u64,
    patch: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version such as 18.6 or 18.6.0")]
pub struct NoVersion(pub String);

impl FromStr for GitlabVersion {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let no_version = || NoVersion(text.to_owned());
        let numbers = text.split(['-', '+']).next().unwrap_or_default();
        let numbers: Result<Vec<u64>, _> = numbers.split('.').map(str::parse).collect();
        match numbers.map_err(|_| no_version())?.as_slice() {
            [major, minor] => Ok(Self { major: *major, minor: *minor, patch: 0 }),
            [major, minor, patch] => Ok(Self { major: *major, minor: *minor, patch: *patch }),
            _ => Err(no_version()),
        }
    }
}

impl fmt::Display for GitlabVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> GitlabVersion {
        text.parse().unwrap()
    }

    #[test]
    fn an_edition_or_a_build_is_as_good_as_its_release() {
        for text in ["18.6.0", "18.6", "18.6.0-ee", "18.6.0-pre", "18.6.0+gdk"] {
            assert_eq!(version(text), version("18.6.0"), "{text}");
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(version("18.10") > version("18.9.9-ee"));
        assert!(version("17.11.5") < version("18.0.0-pre"));
        assert_eq!(version("18.6").to_string(), "18.6.0");
    }

    #[test]
    fn anything_else_is_no_version() {
        for text in ["", "18", "18.", "18.6.0.1", "v18.6", "18.x", "-18.6", "latest"] {
            assert!(text.parse::<GitlabVersion>().is_err(), "{text}");
        }
    }
}
