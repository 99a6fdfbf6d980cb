//! The two files flags come from, what they said when they were last right, and what is wrong with them
//! since.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use arc_swap::ArcSwap;

use super::{
    ChangeError, SHIPPED,
    file::{self, FlagFile},
    gates::Flag,
    names::Names,
    set::FlagSet,
};
use crate::{
    builtin,
    config::FlagsConfig,
    document::{self, Fault, Faults},
    private_file,
};

/// Editors empty a file and write it then. What is still empty after this long was meant to be; a change is
/// promised to be seen within a second.
const EMPTY_MOMENT: Duration = Duration::from_millis(500);
const BETWEEN_READINGS: Duration = Duration::from_millis(25);

#[derive(Debug)]
pub(super) struct Sources {
    /// The file people write.
    pub start: PathBuf,
    /// Whether there is none, and the built-in one, which cannot change, serves.
    pub is_built_in: bool,
    /// The file of what was changed at run time.
    pub changes: PathBuf,
    pub names: Names,
    current: ArcSwap<FlagSet>,
    /// The last fault. Who reads the files has the lock, so that what was read last is what counts.
    reading: Mutex<Option<String>>,
}

impl Sources {
    pub fn read(config: &FlagsConfig, names: Names) -> Result<Self, Faults> {
        let (start, changes) = (config.path.clone(), config.changes.clone());
        let is_built_in = builtin::stands_in_for(&start, SHIPPED);
        let text = builtin::read_file_or_builtin(&start, SHIPPED)?;
        let set = FlagSet {
            start: file::parse_start(&start.display().to_string(), &text, &names)?,
            changes: match read_changes(&changes)? {
                Some(text) => parse_changes(&changes, &text, &names)?,
                None => Changes::new(),
            },
        };
        let lost = lost_groups(&set, &changes);
        let current = ArcSwap::from_pointee(set);
        let sources = Self { start, is_built_in, changes, names, current, reading: Mutex::default() };
        if let Some(fault) = lost {
            report(&mut sources.lock(), fault);
        }
        Ok(sources)
    }

    pub fn current(&self) -> Arc<FlagSet> {
        self.current.load_full()
    }

    /// Changes the file of changes and takes it as it is then. What another writer wrote meanwhile is kept.
    pub fn edit(&self, edit: impl FnOnce(&mut FlagSet)) -> Result<(), ChangeError> {
        let lock = private_file::lock(&self.changes)?;
        let mut set = (*self.current()).clone();
        match read_changes(&self.changes).map_err(|fault| ChangeError::Unreadable(fault.into()))? {
            None => set.changes.clear(),
            // When it is meant to be empty, no change is in force either. Otherwise it is about to be written.
            Some(text) if is_empty(&text) => {}
            Some(text) => {
                set.changes =
                    parse_changes(&self.changes, &text, &self.names).map_err(ChangeError::Unreadable)?;
            }
        }
        let before = set.changes.clone();
        edit(&mut set);
        if set.changes != before {
            private_file::replace(&lock, &self.changes, &file::render_changes(&set.changes))?;
        }
        drop(lock);
        self.reload();
        Ok(())
    }

    /// Takes the files as they are now, each unless it is faulty. A file that has become empty is taken for "no
    /// flags" when it stays so; this waits for that.
    pub fn reload(&self) {
        let readings = EMPTY_MOMENT.as_millis() / BETWEEN_READINGS.as_millis();
        for _ in 0..readings {
            if self.take(Emptied::MayBeWritten) {
                return;
            }
            thread::sleep(BETWEEN_READINGS);
        }
        self.take(Emptied::IsMeant);
    }

    /// Whether all is taken that is to be taken, and nothing has to be read again.
    fn take(&self, emptied: Emptied) -> bool {
        let mut last = self.lock();
        let now = self.current();
        let mut faults = Vec::new();
        let start = self.reread_start(&now.start, emptied).unwrap_or_else(|fault| {
            faults.push(fault.to_string());
            Reread::Kept
        });
        let changes = self.reread_changes(&now.changes, emptied).unwrap_or_else(|fault| {
            faults.push(fault.to_string());
            Reread::Kept
        });
        let is_settled = !matches!(start, Reread::Awaited) && !matches!(changes, Reread::Awaited);
        let set = FlagSet { start: start.or(&now.start), changes: changes.or(&now.changes) };
        faults.extend(lost_groups(&set, &self.changes));
        let differences = set.differences(&now);
        if *now != set {
            self.current.store(Arc::new(set));
            if !differences.is_empty() {
                tracing::info!(flags = differences.join(", "), "flags changed");
            }
        }
        match faults.as_slice() {
            [] if is_settled => mended(&mut last),
            [] => {}
            faults => report(&mut last, faults.join("\n")),
        }
        is_settled
    }

    /// That the files cannot be watched; good until they are heard of again.
    pub fn report(&self, fault: String) {
        report(&mut self.lock(), fault);
    }

    pub fn fault(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reread_start(&self, now: &FlagFile, emptied: Emptied) -> Result<Reread<FlagFile>, Faults> {
        if self.is_built_in {
            return Ok(Reread::Kept);
        }
        let text = document::read_file(&self.start)?;
        if is_empty(&text) && emptied == Emptied::MayBeWritten && *now != FlagFile::default() {
            return Ok(Reread::Awaited);
        }
        file::parse_start(&self.start.display().to_string(), &text, &self.names).map(Reread::Taken)
    }

    fn reread_changes(&self, now: &Changes, emptied: Emptied) -> Result<Reread<Changes>, Faults> {
        let Some(text) = read_changes(&self.changes)? else { return Ok(Reread::Taken(Changes::new())) };
        if is_empty(&text) && emptied == Emptied::MayBeWritten && !now.is_empty() {
            return Ok(Reread::Awaited);
        }
        parse_changes(&self.changes, &text, &self.names).map(Reread::Taken)
    }
}

type Changes = BTreeMap<String, Flag>;

/// What an empty file says that was not empty before.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Emptied {
    /// Nothing yet: somebody may be writing it.
    MayBeWritten,
    /// That there are no flags.
    IsMeant,
}

/// One of the files, read again.
enum Reread<T> {
    Taken(T),
    /// It is faulty or cannot change: what it said before counts.
    Kept,
    /// So it does until it is read again, which has to be soon.
    Awaited,
}

impl<T: Clone> Reread<T> {
    fn or(self, now: &T) -> T {
        match self {
            Self::Taken(read) => read,
            Self::Kept | Self::Awaited => now.clone(),
        }
    }
}

fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

/// `None` when there is no file, which is where everybody starts.
fn read_changes(path: &Path) -> Result<Option<String>, Fault> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Fault::of_file(path.display().to_string(), document::unreadable(&error))),
    }
}

fn parse_changes(path: &Path, text: &str, names: &Names) -> Result<Changes, Faults> {
    file::parse_changes(&path.display().to_string(), text, names)
}

/// Groups vanish from the file people write while changed flags still name them. Nobody is in them, and that
/// is no reason not to start.
fn lost_groups(set: &FlagSet, changes: &Path) -> Option<String> {
    let lost: Vec<String> = set
        .lost_groups()
        .into_iter()
        .map(|(flag, group)| {
            format!(
                "{}: `{flag}` is on for the feature group `{group}`, which is not defined any more: define \
                 it under `$groups` in the file of flags.path, or take it away from the flag",
                changes.display()
            )
        })
        .collect();
    (!lost.is_empty()).then(|| lost.join("\n"))
}

/// Logged once, however often the same is found.
fn report(last: &mut Option<String>, fault: String) {
    if last.as_ref() != Some(&fault) {
        tracing::error!(fault, "flags not as in their files");
        *last = Some(fault);
    }
}

fn mended(last: &mut Option<String>) {
    if last.take().is_some() {
        tracing::info!("flags can be read again");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use duologue_actors::ports::Flags;
    use tempfile::TempDir;

    use super::*;
    use crate::{config::FlagsSource, flags::set::Snapshot};

    fn sources(start: &str, changes: &str) -> (TempDir, Sources) {
        let folder = tempfile::tempdir().unwrap();
        let (path, changed) = (folder.path().join("flags.yaml"), folder.path().join("changed.yaml"));
        fs::write(&path, start).unwrap();
        fs::write(&changed, changes).unwrap();
        let config = FlagsConfig { source: FlagsSource::File, path, changes: changed };
        let sources = Sources::read(&config, Names::default()).unwrap_or_else(|faults| panic!("{faults}"));
        (folder, sources)
    }

    fn described(sources: &Sources, flag: &str) -> String {
        Snapshot::new(sources.current(), 0).describe(flag).unwrap_or_else(|| "not set".to_owned())
    }

    #[test]
    fn a_fault_in_one_file_keeps_what_it_said_and_does_not_hold_up_the_other() {
        let (_folder, sources) = sources("a: true\nb: true\n", "b: false\n");
        fs::write(&sources.start, "a: perhaps\n").unwrap();
        fs::write(&sources.changes, "c: true\n").unwrap();
        sources.reload();
        let now = ["a", "b", "c"].map(|flag| described(&sources, flag));
        assert_eq!(now, ["on", "on", "on"]);
        assert!(sources.fault().unwrap().contains("flags.yaml:1:4: "), "{:?}", sources.fault());

        fs::write(&sources.start, "a: false\n").unwrap();
        fs::write(&sources.changes, "c: perhaps\n").unwrap();
        sources.reload();
        assert_eq!(["a", "c"].map(|flag| described(&sources, flag)), ["off", "on"]);
        assert!(sources.fault().unwrap().contains("changed.yaml:1:4: "), "{:?}", sources.fault());

        fs::remove_file(&sources.changes).unwrap();
        sources.reload();
        assert_eq!((described(&sources, "c").as_str(), sources.fault()), ("not set", None));
    }

    #[test]
    fn an_editors_empty_moment_is_not_no_flags() {
        let (_folder, sources) = sources("a: true\n", "b: true\n");
        fs::write(&sources.start, "").unwrap();
        fs::write(&sources.changes, "\n").unwrap();
        assert!(!sources.take(Emptied::MayBeWritten), "to be read again");
        assert_eq!(["a", "b"].map(|flag| described(&sources, flag)), ["on", "on"]);
        fs::write(&sources.start, "a: false\n").unwrap();
        fs::write(&sources.changes, "b: false\n").unwrap();
        assert!(sources.take(Emptied::MayBeWritten));
        assert_eq!(["a", "b"].map(|flag| described(&sources, flag)), ["off", "off"]);
    }

    #[test]
    fn a_file_that_stays_empty_has_no_flags() {
        let (_folder, sources) = sources("a: true\n", "b: true\n");
        fs::write(&sources.start, "").unwrap();
        fs::write(&sources.changes, "").unwrap();
        sources.reload();
        assert_eq!(["a", "b"].map(|flag| described(&sources, flag)), ["not set", "not set"]);
        assert!(sources.take(Emptied::MayBeWritten), "waited for once only");
    }

    #[test]
    fn a_fault_is_over_when_its_file_is_emptied() {
        let (_folder, sources) = sources("", "a: true\n");
        fs::write(&sources.changes, "a: perhaps\n").unwrap();
        sources.reload();
        assert!(sources.fault().is_some());
        fs::write(&sources.changes, "").unwrap();
        sources.reload();
        assert_eq!((described(&sources, "a").as_str(), sources.fault()), ("not set", None));
    }

    #[test]
    fn an_edit_in_an_editors_empty_moment_loses_nothing() {
        let (_folder, sources) = sources("", "a: true\n");
        fs::write(&sources.changes, "").unwrap();
        sources.edit(|set| drop(set.changes.insert("b".to_owned(), Flag::everyone(false)))).unwrap();
        let again = ["a", "b"].map(|flag| described(&sources, flag));
        assert_eq!(again, ["on", "off"]);
        assert!(fs::read_to_string(&sources.changes).unwrap().contains("\"a\": true"));
    }

    #[test]
    fn a_vanished_group_is_taken_away_also_without_a_file_people_write_into() {
        let (_folder, sources) = sources("", "a: {groups: [gone]}\n");
        assert!(sources.fault().is_some());
        sources.edit(|set| drop(set.changes.remove("a"))).unwrap();
        assert_eq!(sources.fault(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_may_not_be_read_is_named_with_its_mend() {
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let said = document::unreadable(&error);
        assert!(said.starts_with("cannot be read: ") && said.contains("`chown`"), "{said}");
    }

    #[test]
    fn a_group_that_vanished_is_nobody_is_said_and_can_be_mended() {
        let (_folder, sources) = sources("$groups: {team: [gid://gitlab/User/2]}\n", "a: {groups: [team]}\n");
        assert_eq!(sources.fault(), None);
        fs::write(&sources.start, "b: true\n").unwrap();
        sources.reload();
        let fault = sources.fault().unwrap();
        assert!(fault.contains("`a` is on for the feature group `team`"), "{fault}");
        assert_eq!(described(&sources, "b"), "on", "the rest of the file counts");
        sources.edit(|set| drop(set.changes.remove("a"))).unwrap();
        assert_eq!(sources.fault(), None);
    }

    #[test]
    fn an_edit_starts_from_what_another_process_has_written() {
        let (_folder, sources) = sources("", "a: true\n");
        fs::write(&sources.changes, "b: true\n").unwrap();
        sources.edit(|set| drop(set.changes.insert("c".to_owned(), Flag::everyone(true)))).unwrap();
        let now = ["a", "b", "c"].map(|flag| described(&sources, flag));
        assert_eq!(now, ["not set", "on", "on"]);
    }
}
