//! Feature flags from a file, read again whenever it changes.
//!
//! Readers get an immutable set; a change swaps in another one. A faulty file changes nothing and is
//! logged, so a slip of the pen cannot switch a feature on or off.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use duologue_actors::ports::{FlagSource, Flags};
use notify::{EventHandler, RecommendedWatcher, RecursiveMode, Watcher};

use crate::{
    builtin,
    document::{self, Fault, Faults},
};

mod set;

use set::FlagSet;

/// Where the flags lie unless the configuration says otherwise.
pub const SHIPPED: &str = "demo/flags.yaml";

/// What Kubernetes replaces when a mounted config map changes; the flags beside it are links into it.
const CONFIG_MAP_LINK: &str = "..data";

/// The flags of one file. Dropping this ends the watch.
#[derive(Debug)]
pub struct FileFlags {
    file: Arc<FlagFile>,
    /// Absent for the built-in flags, which cannot change.
    _watcher: Option<RecommendedWatcher>,
}

impl FileFlags {
    /// Reads the flags and keeps watching the file. The built-in flags serve when `path` is the shipped
    /// default and nothing is there.
    ///
    /// # Errors
    /// Everything wrong with the file, or that its folder cannot be watched.
    pub fn watch(path: &Path) -> Result<Self, Faults> {
        let file = Arc::new(FlagFile::read(path)?);
        if builtin::stands_in_for(path, SHIPPED) {
            return Ok(Self { file, _watcher: None });
        }
        let watched = Arc::clone(&file);
        let watcher = watch_folder_of(path, move |event| watched.hear(event)).map_err(|error| {
            Fault::of_file(path.display().to_string(), format!("cannot be watched for changes: {error}"))
        })?;
        // What changed between the first reading and the beginning of the watch.
        file.reload();
        Ok(Self { file, _watcher: Some(watcher) })
    }

    /// Why the flags in force may not be those in the file: its faults, or that it cannot be watched.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.file.fault()
    }
}

impl FlagSource for FileFlags {
    fn snapshot(&self) -> Arc<dyn Flags> {
        self.file.current.load_full()
    }
}

/// The file, what it said when it was last right, and what is wrong with it since.
#[derive(Debug)]
struct FlagFile {
    path: PathBuf,
    current: ArcSwap<FlagSet>,
    fault: Mutex<Option<String>>,
}

impl FlagFile {
    fn read(path: &Path) -> Result<Self, Faults> {
        let text = builtin::read_file_or_builtin(path, SHIPPED)?;
        let flags = set::parse(&path.display().to_string(), &text)?;
        Ok(Self { path: path.to_owned(), current: ArcSwap::from_pointee(flags), fault: Mutex::default() })
    }

    fn hear(&self, event: notify::Result<notify::Event>) {
        match event {
            Ok(event) if self.is_concerned_by(&event) => self.reload(),
            Ok(_) => {}
            Err(error) => self.report(format!("{}: cannot be watched: {error}", self.path.display())),
        }
    }

    /// Most of what happens in the folder is not about the flags. Answering the writes to a log file beside
    /// them with a line in that log would never end, and neither would answering the reading of the file.
    fn is_concerned_by(&self, event: &notify::Event) -> bool {
        let concerns = |path: &PathBuf| {
            let name = path.file_name();
            name == self.path.file_name() || name.is_some_and(|name| name == CONFIG_MAP_LINK)
        };
        if event.kind.is_access() && !is_end_of_writing(event) {
            return false;
        }
        // Events were lost; any of them could have been about the file.
        event.need_rescan() || event.paths.iter().any(concerns)
    }

    /// Takes the file as it is now, unless it is faulty or says what is known already. An empty file is what
    /// an editor leaves for a moment between truncating and writing; it is not taken for "no flags".
    fn reload(&self) {
        let path = self.path.display().to_string();
        let read = document::read_file(&self.path).map_err(Faults::from);
        if read.as_ref().is_ok_and(|text| text.trim().is_empty()) {
            return;
        }
        match read.and_then(|text| set::parse(&path, &text)) {
            Ok(flags) => {
                self.mended();
                if **self.current.load() != flags {
                    self.current.store(Arc::new(flags));
                    tracing::info!(path, "flags changed");
                }
            }
            Err(faults) => self.report(faults.to_string()),
        }
    }

    /// Logged once, however often the same is found.
    fn report(&self, fault: String) {
        let mut last = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref() != Some(&fault) {
            tracing::error!(fault, "flags not changed");
            *last = Some(fault);
        }
    }

    fn mended(&self) {
        let last = self.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        if last.is_some() {
            tracing::info!(path = %self.path.display(), "flags can be read again");
        }
    }

    fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Watches the folder rather than the file: editors and `kubectl` replace files, and a watch on the
/// replaced file would hear nothing more.
fn watch_folder_of(path: &Path, handler: impl EventHandler) -> notify::Result<RecommendedWatcher> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut watcher = notify::recommended_watcher(handler)?;
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn is_end_of_writing(event: &notify::Event) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind};
    matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)))
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    /// A flip is promised to be seen within a second.
    const PROMISED: Duration = Duration::from_secs(1);

    fn is_on(flags: &FileFlags, flag: &str) -> bool {
        flags.snapshot().enabled(flag, false, &[])
    }

    async fn until(condition: impl Fn() -> bool) -> bool {
        let poll = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(5));
            while !condition() {
                ticks.tick().await;
            }
        };
        tokio::time::timeout(PROMISED, poll).await.is_ok()
    }

    #[tokio::test]
    async fn a_flip_in_the_file_is_seen_within_a_second_and_a_held_snapshot_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, "summarize: false\n").unwrap();
        let flags = FileFlags::watch(&path).unwrap();
        let held = flags.snapshot();
        assert!(!is_on(&flags, "summarize"));

        fs::write(&path, "summarize: true\n").unwrap();
        assert!(until(|| is_on(&flags, "summarize")).await);
        assert!(!held.enabled("summarize", false, &[]));
    }

    #[tokio::test]
    async fn a_file_replaced_by_another_is_still_watched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, "a: false\n").unwrap();
        let flags = FileFlags::watch(&path).unwrap();
        for (text, expected) in [("a: true\n", true), ("a: false\n", false)] {
            let fresh = folder.path().join("flags.yaml.new");
            fs::write(&fresh, text).unwrap();
            fs::rename(&fresh, &path).unwrap();
            assert!(until(|| is_on(&flags, "a") == expected).await, "{text}");
        }
    }

    #[tokio::test]
    async fn a_faulty_or_vanished_file_changes_nothing_and_a_mended_one_counts_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, "a: true\n").unwrap();
        let flags = FileFlags::watch(&path).unwrap();
        fs::write(&path, "a: perhaps\n").unwrap();
        flags.file.reload();
        assert!(is_on(&flags, "a"));
        assert!(flags.fault().unwrap().contains("flags.yaml:1:4: "), "{:?}", flags.fault());
        fs::remove_file(&path).unwrap();
        flags.file.reload();
        assert!(is_on(&flags, "a"));
        assert!(flags.fault().unwrap().contains("cannot be read"), "{:?}", flags.fault());
        fs::write(&path, "a: true\nb: true\n").unwrap();
        assert!(until(|| is_on(&flags, "b") && flags.fault().is_none()).await);
    }

    /// Writes every line it is given to a file, at once.
    struct Log(PathBuf);

    impl std::io::Write for Log {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.0)?;
            file.write_all(text).map(|()| text.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_fault_is_logged_once_even_when_the_log_lies_beside_the_flags() {
        /// Nothing more is to come when the folder was quiet for so long.
        const QUIET: Duration = Duration::from_millis(200);
        /// By then it would never end.
        const TOO_MANY: usize = 500;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        let log = folder.path().join("duologue.log");
        fs::write(&path, "a: true\n").unwrap();
        let file = FlagFile::read(&path).unwrap();
        let (sender, events) = std::sync::mpsc::channel();
        let _watcher = watch_folder_of(&path, sender).unwrap();
        fs::write(&path, "a: perhaps\n").unwrap();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || Log(writer.clone())).finish();
        let heard = tracing::subscriber::with_default(subscriber, || {
            let events = std::iter::from_fn(|| events.recv_timeout(QUIET).ok()).take(TOO_MANY);
            events.inspect(|event| assert!(event.is_ok())).map(|event| file.hear(event)).count()
        });
        assert!(heard < TOO_MANY);
        let log = fs::read_to_string(log).unwrap();
        assert_eq!(log.lines().count(), 1, "{log}");
        assert!(log.contains("flags.yaml:1:4: "), "{log}");
    }

    #[test]
    fn only_events_about_the_flags_are_answered() {
        use notify::event::{Event, EventKind, Flag, ModifyKind};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, "a: true\n").unwrap();
        let file = FlagFile::read(&path).unwrap();
        let event =
            |name: &str| Event::new(EventKind::Modify(ModifyKind::Any)).add_path(folder.path().join(name));
        assert!(file.is_concerned_by(&event("flags.yaml")));
        assert!(file.is_concerned_by(&event("..data")));
        assert!(file.is_concerned_by(&event("flags.yaml.new").add_path(path.clone())));
        assert!(!file.is_concerned_by(&event("duologue.log")));
        assert!(!file.is_concerned_by(&event("flags.yaml.swp")));
        assert!(file.is_concerned_by(&Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    }

    #[test]
    fn a_lost_watch_can_be_read_until_the_file_is_heard_of_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, "a: true\n").unwrap();
        let file = FlagFile::read(&path).unwrap();
        assert_eq!(file.fault(), None);
        file.hear(Err(notify::Error::generic("too many files")));
        assert!(file.fault().unwrap().contains("cannot be watched: too many files"), "{:?}", file.fault());
        file.reload();
        assert_eq!(file.fault(), None);
    }

    /// As the kubelet mounts a config map: the file is a link into `..data`, itself a link it replaces.
    #[cfg(unix)]
    #[tokio::test]
    async fn a_changed_config_map_is_seen() {
        use std::os::unix::fs::symlink;
        let folder = tempfile::tempdir().unwrap();
        let mount = |version: &str, text: &str| {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("flags.yaml"), text).unwrap();
            symlink(version, folder.path().join("..data_tmp")).unwrap();
            fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
        };
        mount("..1", "a: false\n");
        let path = folder.path().join("flags.yaml");
        symlink("..data/flags.yaml", &path).unwrap();
        let flags = FileFlags::watch(&path).unwrap();
        mount("..2", "a: true\n");
        assert!(until(|| is_on(&flags, "a")).await);
    }

    #[test]
    fn a_faulty_file_is_refused_at_the_start_and_a_missing_default_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, "a: perhaps\n").unwrap();
        let faults = FileFlags::watch(&path).unwrap_err().to_string();
        assert!(faults.contains("flags.yaml:1:4: "), "{faults}");
        let flags = FileFlags::watch(&folder.path().join("demo/flags.yaml")).unwrap();
        assert!(is_on(&flags, "summarize_comments_ai"));
        assert!(!flags.snapshot().enabled("expanded_ai_logging", true, &[]));
    }
}
