//! From what a client wants of a flag, in names, to the changes of its gates, in ids.

use std::{collections::HashSet, time::Duration};

use duologue_actors::{
    ports::{Caller, DirectoryError},
    protocol::GlobalId,
};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use super::Refusal;
use crate::{
    directory::{ActorName, ActorNames},
    flags::{Change, Percentage, Target},
};

/// Each may be a question to a directory elsewhere.
const MAX_NAMES: usize = 100;
/// A client waits for all of them together.
const LOOKUPS_TIMEOUT: Duration = Duration::from_secs(15);
/// The directory has others to answer as well.
const LOOKUPS_AT_ONCE: usize = 8;

/// What is wanted of a flag.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wish {
    Everyone(bool),
    For(Vec<Named>, bool),
    PercentageOfActors(Percentage),
    PercentageOfTime(Percentage),
}

/// Someone by name. A global id does for a name, where the directory cannot be asked by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Named {
    User(String),
    /// GitLab's `namespace` is a group here too: users have no namespaces.
    Group(String),
    Project(String),
    FeatureGroup(String),
}

impl Wish {
    pub async fn changes(self, names: &dyn ActorNames, caller: &Caller) -> Result<Vec<Change>, Refusal> {
        let (named, on) = match self {
            Self::Everyone(on) => return Ok(vec![Change::Everyone(on)]),
            Self::PercentageOfActors(share) => return Ok(vec![Change::PercentageOfActors(share)]),
            Self::PercentageOfTime(share) => return Ok(vec![Change::PercentageOfTime(share)]),
            Self::For(named, on) => (named, on),
        };
        let named = distinct(named);
        if named.len() > MAX_NAMES {
            let reason = format!("at most {MAX_NAMES} users, groups and projects are taken at once");
            return Err(Refusal::BadRequest(reason));
        }
        let lookups = stream::iter(&named)
            .map(|named| named.target(names, caller))
            .buffered(LOOKUPS_AT_ONCE)
            .try_collect::<Vec<Target>>();
        let targets = timeout(LOOKUPS_TIMEOUT, lookups).await.map_err(|_| too_slow(named.len()))??;
        Ok(targets.into_iter().map(|target| Change::For(target, on)).collect())
    }
}

fn distinct(mut named: Vec<Named>) -> Vec<Named> {
    let mut seen = HashSet::new();
    named.retain(|named| seen.insert(named.clone()));
    named
}

fn too_slow(names: usize) -> Refusal {
    Refusal::Unavailable(format!(
        "the directory took more than {} s to say who the {names} named are: name fewer at once, or give global \
         ids such as gid://gitlab/User/2",
        LOOKUPS_TIMEOUT.as_secs()
    ))
}

impl Named {
    async fn target(&self, names: &dyn ActorNames, caller: &Caller) -> Result<Target, Refusal> {
        let name = match self {
            Self::User(name) => ActorName::User(name),
            Self::Group(path) => ActorName::Group(path),
            Self::Project(path) => ActorName::Project(path),
            Self::FeatureGroup(group) => return Ok(Target::FeatureGroup(group.clone())),
        };
        let id = match name.text().parse::<GlobalId>() {
            Ok(id) => Some(id),
            Err(_) => names.actor(caller, name).await.map_err(|error| unanswered(&error))?,
        };
        id.filter(|id| name.fits(id)).map(Target::Actor).ok_or_else(|| {
            // In the words of GitLab's `Feature::Target`.
            let text: String = name.text().chars().take(128).collect();
            Refusal::BadRequest(format!("{text} is not found!"))
        })
    }
}

fn unanswered(error: &DirectoryError) -> Refusal {
    match error {
        DirectoryError::CredentialsRefused | DirectoryError::NeedsCredentials => Refusal::Unauthorized,
        DirectoryError::Unavailable => Refusal::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use duologue_actors::testing::a_user;
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::directory::FileDirectory;

    /// A directory elsewhere, which needs its time for every answer.
    #[derive(Default)]
    struct Slow {
        needs: Duration,
        asked: AtomicUsize,
        open: AtomicUsize,
        most_open: AtomicUsize,
    }

    #[async_trait::async_trait]
    impl ActorNames for Slow {
        async fn actor(&self, _: &Caller, _: ActorName<'_>) -> Result<Option<GlobalId>, DirectoryError> {
            let id = self.asked.fetch_add(1, SeqCst) as u64;
            let open = self.open.fetch_add(1, SeqCst) + 1;
            self.most_open.fetch_max(open, SeqCst);
            sleep(self.needs).await;
            self.open.fetch_sub(1, SeqCst);
            Ok(Some(GlobalId::of("User", id)))
        }
    }

    impl Slow {
        async fn changes(&self, named: Vec<Named>) -> Result<Vec<Change>, Refusal> {
            let caller = Caller { user: a_user(1, "root"), credentials: None };
            Wish::For(named, true).changes(self, &caller).await
        }
    }

    fn users(count: usize) -> Vec<Named> {
        (0..count).map(|number| Named::User(format!("user{number}"))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn names_are_looked_up_a_few_at_a_time_and_each_once() {
        let directory = Slow { needs: Duration::from_secs(1), ..Slow::default() };
        let begun = Instant::now();
        let twice = [users(MAX_NAMES), users(MAX_NAMES)].concat();
        let changes = directory.changes(twice).await.unwrap();
        assert_eq!((changes.len(), directory.asked.load(SeqCst)), (MAX_NAMES, MAX_NAMES));
        assert_eq!(directory.most_open.load(SeqCst), LOOKUPS_AT_ONCE);
        assert!(begun.elapsed() < LOOKUPS_TIMEOUT, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_directory_that_never_answers_is_not_waited_for_without_end() {
        let directory = Slow { needs: Duration::from_secs(3_600), ..Slow::default() };
        let begun = Instant::now();
        let Err(Refusal::Unavailable(reason)) = directory.changes(users(2)).await else { panic!("answered") };
        assert!(reason.contains("15 s") && reason.contains("name fewer at once"), "{reason}");
        assert!(begun.elapsed() <= LOOKUPS_TIMEOUT + Duration::from_millis(1), "{:?}", begun.elapsed());
    }

    async fn changes(named: Named) -> Result<Vec<Change>, Refusal> {
        let directory = FileDirectory::demo();
        let caller = Caller { user: a_user(1, "root"), credentials: None };
        Wish::For(vec![named], true).changes(&directory, &caller).await
    }

    #[rstest::rstest]
    #[case(Named::User("alice".to_owned()), "User", 2)]
    #[case(Named::Group("demo".to_owned()), "Group", 10)]
    #[case(Named::Project("demo/website".to_owned()), "Project", 20)]
    #[case(Named::User("gid://gitlab/User/77".to_owned()), "User", 77)]
    #[tokio::test]
    async fn names_become_actors(#[case] named: Named, #[case] model: &str, #[case] id: u64) {
        let expected = Change::For(Target::Actor(GlobalId::of(model, id)), true);
        assert_eq!(changes(named).await, Ok(vec![expected]));
    }

    #[rstest::rstest]
    #[case(Named::User("ghost".to_owned()))]
    #[case(Named::Group("demo/website".to_owned()))]
    #[case(Named::Project("demo".to_owned()))]
    #[case(Named::User("gid://gitlab/Group/10".to_owned()))]
    #[case(Named::User("gid://gitlab/User/abc".to_owned()))]
    #[tokio::test]
    async fn a_name_that_is_nobodys_is_refused(#[case] named: Named) {
        let Err(Refusal::BadRequest(reason)) = changes(named).await else { panic!("not refused") };
        assert!(reason.ends_with(" is not found!"), "{reason}");
    }

    #[tokio::test]
    async fn a_call_is_not_a_way_to_ask_the_directory_without_end() {
        let directory = FileDirectory::demo();
        let caller = Caller { user: a_user(1, "root"), credentials: None };
        let refusal = Wish::For(users(MAX_NAMES + 1), true).changes(&directory, &caller).await.unwrap_err();
        assert!(matches!(refusal, Refusal::BadRequest(_)), "{refusal:?}");
    }
}
