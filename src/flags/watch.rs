//! Hears of changes to the flags' files.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{EventHandler, RecommendedWatcher, RecursiveMode, Watcher};

use super::sources::Sources;
use crate::{
    document::{Fault, Faults},
    private_file,
};

/// What Kubernetes replaces when a mounted config map changes; the flags beside it are links into it.
const CONFIG_MAP_LINK: &str = "..data";

/// Ends when dropped.
#[derive(Debug)]
pub(super) struct Watch(
    #[expect(dead_code, reason = "it watches for as long as it is there")] RecommendedWatcher,
);

impl Watch {
    pub fn start(sources: &Arc<Sources>) -> Result<Self, Faults> {
        let cannot_be = |path: &Path, what: &str, error: &dyn std::fmt::Display| {
            Faults::from(Fault::of_file(path.display().to_string(), format!("cannot be {what}: {error}")))
        };
        // A folder that is not there yet cannot be watched, and another process may write into it first.
        private_file::create_folder_of(&sources.changes)
            .map_err(|error| cannot_be(private_file::folder_of(&sources.changes), "created", &error))?;
        let mut paths = vec![sources.changes.as_path()];
        // The built-in flags cannot change.
        if !sources.is_built_in {
            paths.push(sources.start.as_path());
        }
        let heard = Arc::clone(sources);
        let watcher = watch_folders_of(&paths, move |event| hear(&heard, event))
            .map_err(|error| cannot_be(&sources.start, "watched for changes", &error))?;
        // What changed between the first reading and the beginning of the watch.
        sources.reload();
        Ok(Self(watcher))
    }
}

/// Watches the folders rather than the files: editors and `kubectl` replace files, and a watch on the
/// replaced file would hear nothing more.
fn watch_folders_of(paths: &[&Path], handler: impl EventHandler) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(handler)?;
    for path in paths {
        watcher.watch(private_file::folder_of(path), RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

fn hear(sources: &Sources, event: notify::Result<notify::Event>) {
    match event {
        Ok(event) if is_about(sources, &event) => sources.reload(),
        Ok(_) => {}
        Err(error) => sources.report(format!("{}: cannot be watched: {error}", sources.start.display())),
    }
}

/// Most of what happens in the folders is not about the flags. Answering the writes to a log file beside
/// them with a line in that log would never end, and neither would answering the reading of the files.
fn is_about(sources: &Sources, event: &notify::Event) -> bool {
    let concerns = |path: &PathBuf| {
        let name = path.file_name();
        name == sources.start.file_name()
            || name == sources.changes.file_name()
            || name.is_some_and(|name| name == CONFIG_MAP_LINK)
    };
    if event.kind.is_access() && !is_end_of_writing(event) {
        return false;
    }
    // Events were lost; any of them could have been about the files.
    event.need_rescan() || event.paths.iter().any(concerns)
}

fn is_end_of_writing(event: &notify::Event) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind};
    matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)))
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use duologue_actors::ports::FlagSource;

    use super::*;
    use crate::{
        config::{FlagsConfig, FlagsSource},
        flags::{Change, FileFlags, Names},
    };

    /// A flip is promised to be seen within a second.
    const PROMISED: Duration = Duration::from_secs(1);

    /// The settings of a folder: `flags.yaml`, and what is changed in `data/flags.yaml`.
    fn config(folder: &Path) -> FlagsConfig {
        let (path, changes) = (folder.join("flags.yaml"), folder.join("data/flags.yaml"));
        FlagsConfig { source: FlagsSource::File, path, changes }
    }

    fn watch(folder: &Path) -> FileFlags {
        FileFlags::watch(&config(folder), Names::default()).unwrap_or_else(|faults| panic!("{faults}"))
    }

    fn sources(folder: &Path) -> Sources {
        Sources::read(&config(folder), Names::default()).unwrap_or_else(|faults| panic!("{faults}"))
    }

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
        let flags = watch(folder.path());
        let held = flags.snapshot();
        assert!(!is_on(&flags, "summarize"));

        fs::write(&path, "summarize: true\n").unwrap();
        assert!(until(|| is_on(&flags, "summarize")).await);
        assert!(!held.enabled("summarize", false, &[]));
    }

    #[tokio::test]
    async fn what_another_process_changes_is_seen_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("flags.yaml"), "a: true\n").unwrap();
        let flags = watch(folder.path());
        let other = FileFlags::open(&config(folder.path()), Names::default()).unwrap();
        for on in [false, true] {
            let changes = [("a".to_owned(), vec![Change::Everyone(on)])].into();
            other.change(&changes).unwrap_or_else(|error| panic!("{error}"));
            assert!(until(|| is_on(&flags, "a") == on).await, "{on}");
        }
    }

    #[tokio::test]
    async fn a_file_replaced_by_another_is_still_watched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, "a: false\n").unwrap();
        let flags = watch(folder.path());
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
        let flags = watch(folder.path());
        fs::write(&path, "a: perhaps\n").unwrap();
        flags.sources.reload();
        assert!(is_on(&flags, "a"));
        assert!(flags.fault().unwrap().contains("flags.yaml:1:4: "), "{:?}", flags.fault());
        fs::remove_file(&path).unwrap();
        flags.sources.reload();
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
        let sources = sources(folder.path());
        let (sender, events) = std::sync::mpsc::channel();
        let _watcher = watch_folders_of(&[&path], sender).unwrap();
        fs::write(&path, "a: perhaps\n").unwrap();
        let writer = log.clone();
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).with_writer(move || Log(writer.clone())).finish();
        crate::logging::listen_on_all_threads();
        let heard = tracing::subscriber::with_default(subscriber, || {
            let events = std::iter::from_fn(|| events.recv_timeout(QUIET).ok()).take(TOO_MANY);
            events.inspect(|event| assert!(event.is_ok())).map(|event| hear(&sources, event)).count()
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
        let sources = sources(folder.path());
        let event =
            |name: &str| Event::new(EventKind::Modify(ModifyKind::Any)).add_path(folder.path().join(name));
        assert!(is_about(&sources, &event("flags.yaml")));
        assert!(is_about(&sources, &event("..data")));
        assert!(is_about(&sources, &event("flags.yaml.new").add_path(path.clone())));
        assert!(!is_about(&sources, &event("duologue.log")));
        assert!(!is_about(&sources, &event("flags.yaml.lock")));
        assert!(is_about(&sources, &Event::new(EventKind::Other).set_flag(Flag::Rescan)));
    }

    #[test]
    fn a_lost_watch_can_be_read_until_the_files_are_heard_of_again() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("flags.yaml"), "a: true\n").unwrap();
        let sources = sources(folder.path());
        assert_eq!(sources.fault(), None);
        hear(&sources, Err(notify::Error::generic("too many files")));
        let fault = sources.fault().unwrap();
        assert!(fault.contains("cannot be watched: too many files"), "{fault}");
        sources.reload();
        assert_eq!(sources.fault(), None);
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
        symlink("..data/flags.yaml", folder.path().join("flags.yaml")).unwrap();
        let flags = watch(folder.path());
        mount("..2", "a: true\n");
        assert!(until(|| is_on(&flags, "a")).await);
    }
}
