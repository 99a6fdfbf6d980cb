//! A key in a file, read again when the file is another one: some keys are tokens that somebody renews there,
//! every hour or so.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{super::files::Stamp, Key, in_file};

/// `Debug` shows the key's id only.
#[derive(Debug)]
pub(crate) struct KeyFile {
    provider: String,
    path: PathBuf,
    seen: Mutex<Seen>,
}

/// The last key the file held.
#[derive(Debug)]
struct Seen {
    /// Of what was read last, a key or none, so that each is read, and complained about, once.
    stamp: Option<Stamp>,
    key: Key,
}

impl KeyFile {
    /// # Errors
    /// When there is no key in it, in words that follow the file's name.
    pub(super) fn new(provider: &str, path: &Path) -> Result<Self, String> {
        // What is written after this is newer, even if it is read already.
        let stamp = Stamp::of(path);
        let key = in_file(path)?;
        Ok(Self {
            provider: provider.to_owned(),
            path: path.to_owned(),
            seen: Mutex::new(Seen { stamp, key }),
        })
    }

    /// The key in it now. While it holds none, as when it is just being written, that is the one before.
    pub(super) fn key(&self) -> Key {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.path);
        if stamp == seen.stamp {
            return seen.key.clone();
        }
        seen.stamp = stamp;
        match in_file(&self.path) {
            Ok(key) if key.id() == seen.key.id() => {}
            Ok(key) => {
                tracing::info!(provider = self.provider, key = key.id(), "key file read again");
                seen.key = key;
            }
            Err(reason) => tracing::warn!(
                provider = self.provider,
                path = %self.path.display(),
                reason,
                kept = seen.key.id(),
                "key file without a key"
            ),
        }
        seen.key.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::providers::testing::logged;

    /// A file with this in it.
    fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, text).unwrap();
        (folder, path)
    }

    fn bearer(file: &KeyFile) -> String {
        file.key().bearer().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_key_that_is_renewed_in_its_file_is_the_next_call_s() {
        let (_folder, path) = written("first\n");
        let file = KeyFile::new("mine", &path).unwrap();
        assert_eq!(bearer(&file), "Bearer first");
        fs::write(&path, "second\n").unwrap();
        assert_eq!(bearer(&file), "Bearer second");

        // As most who renew a file do it.
        let beside = path.with_extension("new");
        fs::write(&beside, "the third\n").unwrap();
        fs::rename(beside, &path).unwrap();
        assert_eq!(bearer(&file), "Bearer the third");
        assert!(!format!("{file:?}").contains("third"));
    }

    #[test]
    fn a_file_without_a_key_leaves_the_one_before_and_is_complained_about_once() {
        let (_folder, path) = written("first");
        let file = KeyFile::new("mine", &path).unwrap();
        let log = logged(|| {
            for bad in [Some(""), Some("two\nlines"), None] {
                match bad {
                    Some(text) => fs::write(&path, text).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                for _ in 0..3 {
                    assert_eq!(bearer(&file), "Bearer first");
                }
            }
        });
        let complaints: Vec<&str> = log.iter().filter_map(|line| line["reason"].as_str()).collect();
        let [empty, lines, missing] = complaints.as_slice() else { panic!("{log:?}") };
        assert_eq!((*empty, *lines), ("does not hold a key", "does not hold a key"));
        assert!(missing.starts_with("cannot be read: "), "{missing}");
        assert_eq!((&log[0]["level"], &log[0]["provider"]), (&"WARN".into(), &"mine".into()));
        fs::write(&path, "second").unwrap();
        assert_eq!(bearer(&file), "Bearer second");
    }
}
