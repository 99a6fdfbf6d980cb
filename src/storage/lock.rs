//! One process per data folder. The lock is the operating system's, on an open file: it goes with the
//! process, however that ends, so a crash leaves nothing to clean up.

use std::{
    fmt,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::Path,
};

/// The file that is locked; it holds the owner's process id, for people and for the error message.
const FILE_NAME: &str = "duologue.lock";

/// The lock, held until dropped.
#[derive(Debug)]
pub(super) struct FolderLock(File);

#[derive(Debug)]
pub(super) enum LockError {
    Held(Holder),
    Io(io::Error),
}

/// The process that has the data folder, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(pub Option<u32>);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

impl FolderLock {
    pub fn take(folder: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            // Emptied only by the one who has the lock: until then it names the owner.
            .truncate(false)
            .open(folder.join(FILE_NAME))
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        sign(&mut file).map_err(LockError::Io)?;
        Ok(Self(file))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // No pid of a finished process is left behind; the lock itself goes with the file's closing.
        self.0.set_len(0).ok();
    }
}

fn sign(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn holder(file: &mut File) -> Holder {
    let mut text = String::new();
    // A pid has at most ten digits; whatever else is in the file is not read.
    file.take(16).read_to_string(&mut text).ok();
    Holder(text.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let _held = FolderLock::take(folder.path()).unwrap();
        let Err(LockError::Held(holder)) = FolderLock::take(folder.path()) else {
            panic!("the lock was given twice");
        };
        assert_eq!(holder, Holder(Some(std::process::id())));
        assert_eq!(holder.to_string(), format!("process {}", std::process::id()));
    }

    #[test]
    fn a_lock_given_back_can_be_taken_again() {
        let folder = tempfile::tempdir().unwrap();
        drop(FolderLock::take(folder.path()).unwrap());
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_pid_left_by_a_crashed_process_is_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), "4242\n").unwrap();
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_holder_that_cannot_be_read_is_still_a_holder() {
        assert_eq!(Holder(None).to_string(), "another process");
    }
}
