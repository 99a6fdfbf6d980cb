//! Feature flags from a file, read again whenever it changes.
//!
//! Readers get an immutable set; a change swaps in another one. A faulty file changes nothing and is
//! logged, so a slip of the pen cannot switch a feature on or off.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use duologue_actors::ports::{FlagSource, Flags};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

use crate::{
    builtin,
    document::{self, Fault, Faults},
};

mod set;

use set::FlagSet;

/// Where the flags lie unless the configuration says otherwise.
const SHIPPED: &str = "demo/flags.yaml";

/// The flags of one file. Dropping this ends the watch.
#[derive(Debug)]
pub struct FileFlags {
    current: Arc<ArcSwap<FlagSet>>,
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
        let text = builtin::read_file_or_builtin(path, SHIPPED)?;
        let flags = set::parse(&path.display().to_string(), &text)?;
        let current = Arc::new(ArcSwap::from_pointee(flags));
        if builtin::stands_in_for(path, SHIPPED) {
            return Ok(Self { current, _watcher: None });
        }
        let watcher = watch_file(path, Arc::clone(&current)).map_err(|error| {
            Fault::of_file(path.display().to_string(), format!("cannot be watched for changes: {error}"))
        })?;
        // What changed between the first reading and the beginning of the watch.
        reload(path, &current);
        Ok(Self { current, _watcher: Some(watcher) })
    }
}

impl FlagSource for FileFlags {
    fn snapshot(&self) -> Arc<dyn Flags> {
        self.current.load_full()
    }
}

/// Watches the folder rather than the file: editors and `kubectl` replace files, and a watch on the
/// replaced file would hear nothing more.
fn watch_file(path: &Path, current: Arc<ArcSwap<FlagSet>>) -> notify::Result<RecommendedWatcher> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let file = path.to_owned();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| match event {
        // Reading the file is itself an event; answering it would never end.
        Ok(event) if event.kind.is_access() && !is_end_of_writing(&event) => {}
        Ok(_) => reload(&file, &current),
        Err(error) => tracing::error!(%error, "the flags are not watched any more"),
    })?;
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

fn is_end_of_writing(event: &notify::Event) -> bool {
    use notify::event::{AccessKind, AccessMode, EventKind};
    matches!(event.kind, EventKind::Access(AccessKind::Close(AccessMode::Write)))
}

/// Takes the file as it is now, unless it is faulty or says what is known already. An empty file is what
/// an editor leaves for a moment between truncating and writing; it is not taken for "no flags".
fn reload(path: &Path, current: &ArcSwap<FlagSet>) {
    let file = path.display().to_string();
    let parsed = document::read_file(path)
        .map_err(Faults::from)
        .and_then(|text| if text.trim().is_empty() { Ok(None) } else { set::parse(&file, &text).map(Some) });
    match parsed {
        Ok(Some(flags)) if **current.load() != flags => {
            current.store(Arc::new(flags));
            tracing::info!(path = file, "flags changed");
        }
        Ok(_) => {}
        Err(faults) => tracing::error!(%faults, "flags not changed"),
    }
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
        reload(&path, &flags.current);
        assert!(is_on(&flags, "a"));
        fs::remove_file(&path).unwrap();
        reload(&path, &flags.current);
        assert!(is_on(&flags, "a"));
        fs::write(&path, "a: true\nb: true\n").unwrap();
        assert!(until(|| is_on(&flags, "b")).await);
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
