//! Small files with secrets in them, read within a bound.

use std::{
    fs::{self, File},
    io::Read,
    path::Path,
    time::SystemTime,
};

use crate::document::unreadable;

/// What tells a file that was written anew from the one that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

impl Stamp {
    /// `None` when there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self { modified: found.modified().ok()?, bytes: found.len() })
    }
}

/// The text of a file of at most `max_bytes`.
///
/// # Errors
/// In words that follow the file's name. A pipe or a device is refused unopened: reading it may never end.
pub(super) fn read(path: &Path, max_bytes: u64) -> Result<String, String> {
    if !fs::metadata(path).map_err(|error| unreadable(&error))?.is_file() {
        return Err("is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    file.take(max_bytes + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > max_bytes {
        return Err(format!("is longer than {max_bytes} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_only_if_it_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "abcd").unwrap();
        assert_eq!(read(&path, 4).unwrap(), "abcd");
        assert_eq!(read(&path, 3).unwrap_err(), "is longer than 3 bytes");
        assert_eq!(read(folder.path(), 4).unwrap_err(), "is no regular file");
        // It has no end, and says of itself that it is empty.
        assert_eq!(read(Path::new("/dev/zero"), 4).unwrap_err(), "is no regular file");
        fs::write(&path, [0xFF]).unwrap();
        assert_eq!(read(&path, 4).unwrap_err(), "is no text");
        assert!(read(&folder.path().join("none"), 4).unwrap_err().starts_with("cannot be read: "));
    }
}
