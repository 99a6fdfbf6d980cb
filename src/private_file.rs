//! Files that the program itself writes for later: one writer at a time, never half a file, and for nobody's
//! eyes but their owner's, who stays the same.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use uuid::Uuid;

#[cfg(unix)]
mod owner;

/// Elsewhere files belong to whom their folders say.
#[cfg(not(unix))]
mod owner {
    use super::{File, Path};

    pub(super) fn keep(_: &File, _: &Path) {}

    pub(super) fn hand_down(_: &[&Path]) {}
}

/// A writer holds the lock for as long as two syncs take.
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Why a file is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{path} is held by another process: try again, or end that process")]
    Locked { path: PathBuf },
    #[error("{path} is there already, and is not overwritten: move it away, or choose another name")]
    Exists { path: PathBuf },
    #[error("{path} cannot be written: see to it that it and its folder are writable and that there is room")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Held by whoever reads the file in order to write it again. The operating system takes it back however
/// the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

/// Waits for other writers, of this process or another one; makes the folder if there is none.
///
/// # Errors
/// When another one does not let go, or the folder cannot be written.
pub fn lock(path: &Path) -> Result<Lock, WriteError> {
    create_folder_of(path).map_err(|source| WriteError::Io { path: path.to_owned(), source })?;
    // A file of its own: the other one is replaced, and a lock on what was replaced keeps nobody out.
    let lock_path = beside(path, "lock");
    let failed = |source| WriteError::Io { path: lock_path.clone(), source };
    let file = open_lock(&lock_path, path).map_err(failed)?;
    let tries = PATIENCE.as_millis() / BETWEEN_TRIES.as_millis();
    for _ in 0..tries {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_TRIES),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    Err(WriteError::Locked { path: lock_path })
}

/// Puts `text` where the file is: whoever reads finds the old text or the new one, also after a power cut.
/// The caller has the lock.
///
/// # Errors
/// When it cannot be written; then the old text is still there.
pub fn replace(_: &Lock, path: &Path, text: &str) -> Result<(), WriteError> {
    put(path, text)
}

/// The same for a file that nobody reads in order to write it again; makes the folder if there is none.
///
/// # Errors
/// When it cannot be written; then what was there still is.
pub fn put(path: &Path, text: &str) -> Result<(), WriteError> {
    // Nobody can tell the name beforehand, and put a link there.
    let fresh = beside(path, &format!("{}.new", Uuid::new_v4().simple()));
    let fill = |file: &mut File| {
        owner::keep(file, path);
        file.write_all(text.as_bytes())
    };
    // What could not take the place of the file is of no use.
    let take_place = || fs::rename(&fresh, path).inspect_err(|_| drop(fs::remove_file(&fresh)));
    create_folder_of(path)
        .and_then(|()| create(&fresh, fill))
        .and_then(|()| take_place())
        .map_err(|source| WriteError::Io { path: path.to_owned(), source })?;
    // The file is in place, whatever becomes of this.
    if let Err(error) = File::open(folder_of(path)).and_then(|folder| folder.sync_all()) {
        let (path, error) = (path.display().to_string(), error.to_string());
        tracing::warn!(path, error, "a written file may be the one before after a power cut");
    }
    Ok(())
}

/// Writes a file where nothing may be yet.
///
/// # Errors
/// When there is one, or it cannot be written; then there is none, rather than half of it.
pub fn put_new(path: &Path, text: &str) -> Result<(), WriteError> {
    create(path, |file| file.write_all(text.as_bytes())).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists { path: path.to_owned() },
        _ => WriteError::Io { path: path.to_owned(), source },
    })
}

/// Makes the folder of a file, for its owner only, if there is none.
///
/// # Errors
/// When it cannot be made.
pub fn create_folder_of(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let folder = folder_of(path);
    let is_new = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    let new: Vec<&Path> = folder.ancestors().take_while(is_new).collect();
    builder.create(folder)?;
    owner::hand_down(&new);
    Ok(())
}

#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a file, and takes it away again when it cannot be filled.
fn create(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = private().create_new(true).open(path)?;
    fill(&mut file).and_then(|()| file.sync_all()).inspect_err(|_| drop(fs::remove_file(path)))
}

fn open_lock(lock_path: &Path, of: &Path) -> io::Result<File> {
    match private().create_new(true).open(lock_path) {
        Ok(file) => {
            owner::keep(&file, of);
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => private().open(lock_path),
        Err(error) => Err(error),
    }
}

/// Who may use what is not yet public is nobody else's business.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{ending}"));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    };

    use super::*;

    fn files(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_reader_never_finds_half_a_file() {
        const WRITES: usize = 200;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        let texts = ["a".repeat(100_000), "b".repeat(50_000)];
        let lock = lock(&path).unwrap();
        replace(&lock, &path, &texts[0]).unwrap();
        let done = Arc::new(AtomicBool::new(false));
        let reader = thread::spawn({
            let (path, texts, done) = (path.clone(), texts.clone(), done.clone());
            move || {
                while !done.load(SeqCst) {
                    let found = fs::read_to_string(&path).unwrap();
                    assert!(texts.contains(&found), "{} bytes", found.len());
                }
            }
        });
        for text in texts.iter().cycle().take(WRITES) {
            replace(&lock, &path, text).unwrap();
        }
        done.store(true, SeqCst);
        reader.join().unwrap();
        assert_eq!(files(folder.path()), ["flags.yaml", "flags.yaml.lock"]);
    }

    #[test]
    fn what_cannot_be_put_in_place_leaves_nothing_behind_and_says_where() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::create_dir_all(path.join("in the way")).unwrap();
        let lock = lock(&path).unwrap();
        let error = replace(&lock, &path, "text").unwrap_err();
        assert!(error.to_string().contains("flags.yaml cannot be written"), "{error}");
        assert_eq!(files(folder.path()), ["flags.yaml", "flags.yaml.lock"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_new_folder_and_the_files_in_it_are_their_owners_only() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data/flags.yaml");
        let lock = lock(&path).unwrap();
        replace(&lock, &path, "text").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        assert_eq!((mode(&path), mode(&beside(&path, "lock"))), (0o600, 0o600));
    }

    #[test]
    fn what_must_be_new_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        put_new(&path, "first").unwrap();
        let error = put_new(&path, "second").unwrap_err();
        assert!(matches!(error, WriteError::Exists { .. }), "{error:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    }

    #[test]
    fn what_cannot_be_written_to_its_end_is_taken_away_again() {
        let folder = tempfile::tempdir().unwrap();
        let failed = create(&folder.path().join("key.pem"), |file| {
            file.write_all(b"half")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(files(folder.path()), [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_the_place_of_a_new_file_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("key.pem"), folder.path().join("target"));
        std::os::unix::fs::symlink(&target, &path).unwrap();
        put_new(&path, "text").unwrap_err();
        put(&path, "text").unwrap();
        assert_eq!(
            files(folder.path()),
            ["key.pem"],
            "the link is replaced, and what it points to is not made"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }

    /// The fresh file lies beside the other one under a name of its own, which nobody can take before.
    #[test]
    fn writers_without_a_lock_do_not_write_into_one_anothers_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("licence.txt");
        let texts = ["a".repeat(200_000), "b".repeat(100_000)];
        thread::scope(|scope| {
            for text in texts.iter().cycle().take(8) {
                let path = &path;
                scope.spawn(move || put(path, text).unwrap());
            }
        });
        assert!(texts.contains(&fs::read_to_string(&path).unwrap()));
        assert_eq!(files(folder.path()), ["licence.txt"]);
    }

    #[test]
    fn the_lock_keeps_others_out_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        let held = lock(&path).unwrap();
        let other = File::open(beside(&path, "lock")).unwrap();
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        drop(held);
        other.try_lock().unwrap();
    }
}
