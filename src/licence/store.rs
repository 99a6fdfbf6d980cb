//! Licences and keys on the disk: small files.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// A licence has about 600 bytes and a key 120. What is longer is something else.
const MAX_BYTES: u64 = 65_536;

/// The text of a file.
///
/// # Errors
/// When it cannot be read; of the kind `InvalidData`, when it is no text or far too long.
pub fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let why = format!("it has more than {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_far_too_long_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        fs::write(&path, "x".repeat(65_537)).unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("more than 65536 bytes"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
