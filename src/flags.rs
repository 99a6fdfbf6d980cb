//! Feature flags: from a file people write, over it the changes made at run time, both read again whenever
//! they change.
//!
//! The gates of a flag are those of Flipper, which GitLab's flags are made of: everyone, actors (users,
//! groups, projects), named groups of users, a percentage of the users, a percentage of the time. One open
//! gate opens the flag.
//!
//! Readers get an immutable set; a change swaps in another one. A faulty file changes nothing and is
//! logged, so a slip of the pen cannot switch a feature on or off.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use duologue_actors::ports::{FlagSource, Flags};

use crate::{config::FlagsConfig, document::Faults, private_file::WriteError, spelling};

mod change;
mod file;
mod gates;
mod names;
mod set;
mod sources;
mod watch;

pub use change::{Change, Target};
pub use gates::{Flag, NotAPercentage, Percentage, State, flipper_id};
pub use names::{Definition, NameFault, Names, REST_CHAT};

use set::Snapshot;
use sources::Sources;
use watch::Watch;

/// Where the flags lie unless the configuration says otherwise.
pub const SHIPPED: &str = "demo/flags.yaml";

/// The flags of two files. Dropping this ends the watch.
#[derive(Debug)]
pub struct FileFlags {
    sources: Arc<Sources>,
    seeds: AtomicU64,
    _watch: Option<Watch>,
}

/// Where what is known of a flag is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Changed at run time.
    Changed,
    /// The file people write.
    File,
    /// Nobody has set it: whoever asks has a default.
    Default,
}

/// A flag and where it is from.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub name: String,
    /// `None` while nobody has set it.
    pub flag: Option<Flag>,
    pub origin: Origin,
}

/// Why a flag was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Name(#[from] NameFault),
    #[error("`{0}` is not a feature group: define it under `$groups` in the file of flags.path")]
    UnknownGroup(String),
    #[error(
        "`{switch}` cannot be on or off for {target}: it is asked about the user alone, before anything is known \
         of groups and projects; switch it for everyone or for users, and use the flag of an action for the rest"
    )]
    SwitchOfContainer { switch: String, target: Target },
    /// The file of changes is not as it was written; what it says must not be lost.
    #[error("nothing can be changed while there are faults in the file of changes:\n{0}")]
    Unreadable(Faults),
    #[error(transparent)]
    Store(#[from] WriteError),
}

impl FileFlags {
    /// Reads both files and keeps watching them. The built-in flags serve when `config.path` is the shipped
    /// default and nothing is there; without a file of changes there are none.
    ///
    /// # Errors
    /// Everything wrong with the files, or that their folders cannot be watched.
    pub fn watch(config: &FlagsConfig, names: Names) -> Result<Self, Faults> {
        let flags = Self::open(config, names)?;
        let watch = Watch::start(&flags.sources)?;
        Ok(Self { _watch: Some(watch), ..flags })
    }

    /// Reads both files once.
    ///
    /// # Errors
    /// Everything wrong with the files.
    pub fn open(config: &FlagsConfig, names: Names) -> Result<Self, Faults> {
        let sources = Arc::new(Sources::read(config, names)?);
        // The hasher's keys are random: what is drawn cannot be told beforehand.
        let seeds = AtomicU64::new(RandomState::new().build_hasher().finish());
        Ok(Self { sources, seeds, _watch: None })
    }

    /// Why the flags in force may not be those in the files: their faults, or that they cannot be watched.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        self.sources.fault()
    }

    /// The flags that mean something here, and the names none may have.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.sources.names
    }

    /// What is known of one flag.
    #[must_use]
    pub fn get(&self, name: &str) -> Listed {
        let set = self.sources.current();
        let (flag, origin) = match (set.changes.get(name), set.start.flags.get(name)) {
            (Some(flag), _) => (Some(flag), Origin::Changed),
            (None, Some(flag)) => (Some(flag), Origin::File),
            (None, None) => (None, Origin::Default),
        };
        Listed { name: name.to_owned(), flag: flag.cloned(), origin }
    }

    /// All flags that are set, in the order of their names.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        self.sources.current().names().map(|name| self.get(name)).collect()
    }

    /// Whether something here asks about a flag called `name`, or somebody has set it.
    ///
    /// # Errors
    /// When not: the flag that may have been meant, if there is one alike.
    pub fn is_known(&self, name: &str) -> Result<(), Option<String>> {
        let set = self.sources.current();
        if self.names().definition(name).is_some() || set.get(name).is_some() {
            return Ok(());
        }
        let defined = self.names().definitions().map(|definition| definition.name.as_str());
        let known = defined.chain(set.names().map(String::as_str));
        Err(spelling::nearest(name, known).map(str::to_owned))
    }

    /// Makes the changes of each flag named, all or none, and has them on disk and in force when it returns.
    /// Waits for the disk and for other writers, some seconds at most.
    ///
    /// # Errors
    /// When a flag cannot be called so or be for such a target, or the change cannot be written.
    pub fn change(&self, changes: &BTreeMap<String, Vec<Change>>) -> Result<(), ChangeError> {
        for (name, changes) in changes {
            self.names().check(name)?;
            for change in changes {
                self.knows_group_of(change)?;
                may_be_of(name, change)?;
            }
        }
        self.sources.edit(|set| {
            for (name, changes) in changes {
                let mut flag = set.get(name).cloned().unwrap_or_default();
                changes.iter().for_each(|change| change.apply(&mut flag));
                set.changes.insert(name.clone(), flag);
            }
        })
    }

    /// Undoes what was changed about the flag, so that it is again as the file people write says. Waits like
    /// [`Self::change`].
    ///
    /// # Errors
    /// When this cannot be written.
    pub fn reset(&self, name: &str) -> Result<(), ChangeError> {
        self.sources.edit(|set| drop(set.changes.remove(name)))
    }

    /// A group may be taken away from a flag also when nobody defines it any more.
    fn knows_group_of(&self, change: &Change) -> Result<(), ChangeError> {
        match change {
            Change::For(Target::FeatureGroup(group), true)
                if !self.sources.current().start.groups.contains_key(group) =>
            {
                Err(ChangeError::UnknownGroup(group.chars().take(64).collect()))
            }
            _ => Ok(()),
        }
    }
}

fn may_be_of(flag: &str, change: &Change) -> Result<(), ChangeError> {
    match change {
        Change::For(target, _) if names::is_switch(flag) && target.is_container() => {
            Err(ChangeError::SwitchOfContainer { switch: flag.to_owned(), target: target.clone() })
        }
        _ => Ok(()),
    }
}

impl FlagSource for FileFlags {
    fn snapshot(&self) -> Arc<dyn Flags> {
        let seed = set::mix(self.seeds.fetch_add(1, Relaxed));
        Arc::new(Snapshot::new(self.sources.current(), seed))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Barrier, thread};

    use duologue_actors::{action::Catalogue, protocol::GlobalId, testing::an_action};
    use tempfile::TempDir;

    use super::*;
    use crate::config::FlagsSource;

    struct Files {
        folder: TempDir,
        config: FlagsConfig,
    }

    fn files(start: &str) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.yaml");
        fs::write(&path, start).unwrap();
        let config =
            FlagsConfig { source: FlagsSource::File, path, changes: folder.path().join("data/changed.yaml") };
        Files { folder, config }
    }

    impl Files {
        fn open(&self) -> FileFlags {
            let names = Names::of(&Catalogue::new(vec![an_action("chat").as_ref().clone()]));
            FileFlags::open(&self.config, names).unwrap_or_else(|faults| panic!("{faults}"))
        }
    }

    fn one(name: &str, change: Change) -> BTreeMap<String, Vec<Change>> {
        BTreeMap::from([(name.to_owned(), vec![change])])
    }

    fn for_user(id: u64) -> Change {
        Change::For(Target::Actor(GlobalId::of("User", id)), true)
    }

    fn described(flags: &FileFlags, name: &str) -> (String, Origin) {
        (flags.snapshot().describe(name).unwrap_or_else(|| "not set".to_owned()), flags.get(name).origin)
    }

    #[test]
    fn a_change_is_in_force_at_once_and_is_there_for_the_next_process() {
        let files = files("a: true\nb: {actors: [gid://gitlab/User/2]}\n");
        let flags = files.open();
        let held = flags.snapshot();
        flags.change(&one("a", Change::Everyone(false))).unwrap();
        flags.change(&one("b", for_user(3))).unwrap();
        flags.change(&one("c", for_user(3))).unwrap();
        for flags in [&flags, &files.open()] {
            assert_eq!(described(flags, "a"), ("off".to_owned(), Origin::Changed));
            assert_eq!(described(flags, "b"), ("on for 2 actors".to_owned(), Origin::Changed));
            assert_eq!(described(flags, "c"), ("on for 1 actor".to_owned(), Origin::Changed));
            let names: Vec<String> = flags.list().into_iter().map(|listed| listed.name).collect();
            assert_eq!(names, ["a", "b", "c"]);
        }
        assert!(held.enabled("a", false, &[]), "a held snapshot stays");
        assert_eq!(fs::read_to_string(&files.config.path).unwrap().lines().next(), Some("a: true"));
    }

    #[test]
    fn an_undone_change_lets_the_file_speak_again() {
        let files = files("a: true\n");
        let flags = files.open();
        flags.change(&one("a", Change::Everyone(false))).unwrap();
        flags.change(&one("b", Change::Everyone(false))).unwrap();
        flags.reset("a").unwrap();
        flags.reset("b").unwrap();
        flags.reset("never_changed").unwrap();
        assert_eq!(described(&flags, "a"), ("on".to_owned(), Origin::File));
        assert_eq!(described(&files.open(), "b"), ("not set".to_owned(), Origin::Default));
    }

    #[test]
    fn many_writers_lose_nothing_whether_in_one_process_or_in_several() {
        const WRITERS: u64 = 8;
        const CHANGES: u64 = 5;
        let files = files("");
        let shared = files.open();
        let start = Barrier::new(8);
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (files, shared, start) = (&files, &shared, &start);
                scope.spawn(move || {
                    // Half of them are like other processes: they share nothing but the files.
                    let own = files.open();
                    let flags = if writer % 2 == 0 { shared } else { &own };
                    start.wait();
                    for change in 0..CHANGES {
                        flags.change(&one("contended", for_user(writer * CHANGES + change))).unwrap();
                        flags.change(&one(&format!("of_{writer}"), Change::Everyone(true))).unwrap();
                    }
                });
            }
        });
        let flags = files.open();
        assert_eq!(flags.get("contended").flag.unwrap().actors.len() as u64, WRITERS * CHANGES);
        assert_eq!(flags.list().len() as u64, WRITERS + 1);
    }

    #[test]
    fn what_cannot_be_is_refused_and_changes_nothing() {
        let files = files("$groups: {team: [gid://gitlab/User/2]}\n");
        let flags = files.open();
        let licensed = an_action("chat").licensed_feature.clone();
        let in_group = |group: &str| Change::For(Target::FeatureGroup(group.to_owned()), true);
        let refused = [
            (licensed.as_str(), Change::Everyone(true), "is a licensed feature"),
            ("Not-A-Name", Change::Everyone(true), "cannot be the name of a flag"),
            ("a", in_group("nobody"), "`nobody` is not a feature group: define it under `$groups`"),
        ];
        for (name, change, said) in refused {
            let two = BTreeMap::from([
                ("fine".to_owned(), vec![Change::Everyone(true)]),
                (name.to_owned(), vec![change]),
            ]);
            let error = flags.change(&two).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        for (model, id) in [("Group", 10), ("Project", 20)] {
            let target = Target::Actor(GlobalId::of(model, id));
            for switch in ["ai_duo_chat_switch", "ai_global_switch"] {
                for on in [true, false] {
                    let error = flags.change(&one(switch, Change::For(target.clone(), on))).unwrap_err();
                    let said = format!(
                        "`{switch}` cannot be on or off for {model}:{id}: it is asked about the user"
                    );
                    assert!(error.to_string().starts_with(&said), "{error}");
                }
            }
        }
        assert!(!files.config.changes.exists() && flags.list().is_empty());
        flags.change(&one("ai_global_switch", for_user(2))).unwrap();
        flags.change(&one("a", in_group("team"))).unwrap();
        assert!(flags.snapshot().enabled("a", false, &[GlobalId::of("User", 2)]));
    }

    #[test]
    fn a_faulty_file_of_changes_is_not_written_over() {
        let files = files("a: true\n");
        let flags = files.open();
        flags.change(&one("a", Change::Everyone(false))).unwrap();
        fs::write(&files.config.changes, "a: perhaps\n").unwrap();
        let error = flags.change(&one("b", Change::Everyone(true))).unwrap_err().to_string();
        assert!(error.contains("changed.yaml:1:4: `a` must be true"), "{error}");
        assert_eq!(fs::read_to_string(&files.config.changes).unwrap(), "a: perhaps\n");
        assert_eq!(flags.snapshot().describe("a").as_deref(), Some("off"));
    }

    #[test]
    fn a_change_that_cannot_be_written_is_not_in_force() {
        let files = files("a: true\n");
        let flags = files.open();
        // The folder of the changes cannot be made: a file is in its place.
        fs::write(files.folder.path().join("data"), "").unwrap();
        let error = flags.change(&one("a", Change::Everyone(false))).unwrap_err();
        assert!(matches!(error, ChangeError::Store(WriteError::Io { .. })), "{error:?}");
        assert_eq!(described(&flags, "a"), ("on".to_owned(), Origin::File));
    }

    #[test]
    fn a_flag_is_known_when_something_asks_about_it_or_somebody_set_it() {
        let files = files("of_the_file: true\n");
        let flags = files.open();
        for known in ["of_the_file", "ai_global_switch", an_action("chat").feature_flag.as_str()] {
            assert_eq!(flags.is_known(known), Ok(()));
        }
        assert_eq!(flags.is_known("ai_global_swich"), Err(Some("ai_global_switch".to_owned())));
        assert_eq!(flags.is_known("zzz"), Err(None));
    }

    #[test]
    fn a_faulty_file_is_refused_at_the_start_and_a_missing_default_is_built_in() {
        let mut files = files("a: perhaps\n");
        let faults = FileFlags::watch(&files.config, Names::default()).unwrap_err().to_string();
        assert!(faults.contains("flags.yaml:1:4: "), "{faults}");
        files.config.path = files.folder.path().join(Path::new("demo/flags.yaml"));
        let flags = files.open();
        assert!(flags.snapshot().enabled("summarize_comments_ai", false, &[]));
        assert!(!flags.snapshot().enabled("expanded_ai_logging", true, &[]));
        flags.change(&one("summarize_comments_ai", Change::Everyone(false))).unwrap();
        assert!(!files.open().snapshot().enabled("summarize_comments_ai", true, &[]));
    }
}
