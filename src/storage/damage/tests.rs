//! Files that are torn, cut and altered: what is shown of them is as it was written, and what is missing is said.

use std::collections::HashSet;

use duologue_actors::{
    ports::{ConversationLimits, ConversationStore, Journal},
    protocol::{ThreadChoice, UserId},
};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    config::StorageConfig,
    storage::{
        Shelf, Storage,
        conversation::a_message,
        file::FILE_NAME,
        journal::{a_terminal, an_accepted, at, plain},
    },
};

/// Everything a store shows, each record as one text.
type Shown = HashSet<String>;

async fn shown(storage: &Storage) -> Shown {
    let mut shown = Shown::new();
    let unfinished = storage.take_unfinished().await.unwrap_or_default();
    // Raised each time; everything else is as it was.
    shown.extend(unfinished.into_iter().map(|mut record| {
        record.interruptions = 0;
        format!("{record:?}")
    }));
    let ends = storage.terminals_since(at(0)).await.unwrap_or_default();
    shown.extend(ends.iter().map(|terminal| format!("{terminal:?}")));
    for owner in [UserId(1), UserId(2)] {
        for thread in storage.threads(owner, at(100)).await.unwrap_or_default() {
            let choice = ThreadChoice::of(Some(thread.id));
            let messages = storage.messages(owner, choice, at(100)).await.unwrap_or_default();
            shown.extend(messages.iter().flatten().map(|message| format!("{owner} {message:?}")));
        }
    }
    shown
}

/// A store with some of everything, closed; its folder and what it shows.
async fn a_store() -> (TempDir, Shown) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(
        &StorageConfig::in_folder(folder.path()),
        ConversationLimits::default(),
        Shelf::Messages,
    )
    .unwrap();
    for second in 0..30 {
        let record = an_accepted(second);
        storage.accept(plain(record.clone(), None)).await.unwrap();
        if second % 2 == 0 {
            storage.end(a_terminal(&record, &"an answer ".repeat(100))).await.unwrap();
        }
        storage
            .append(UserId(1 + second % 2), None, a_message(second, &"a question ".repeat(50)))
            .await
            .unwrap();
    }
    let all = shown(&storage).await;
    assert_eq!(all.len(), 60);
    storage.close().await;
    (folder, all)
}

/// What a store shows that holds this, and whether it says that it is damaged; `None` when it is refused.
async fn shown_of(content: &[u8]) -> Option<(Shown, Option<Damage>)> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE_NAME), content).unwrap();
    let storage = match Storage::open(
        &StorageConfig::in_folder(folder.path()),
        ConversationLimits::default(),
        Shelf::Messages,
    ) {
        Ok(storage) => storage,
        Err(error) => {
            // It is as it was, for a person to look at.
            assert!(error.to_string().contains(FILE_NAME), "{error}");
            assert_eq!(fs::read(folder.path().join(FILE_NAME)).unwrap(), content);
            return None;
        }
    };
    let (shown, damage) = (shown(&storage).await, storage.damage().cloned());
    if let Some(damage) = &damage {
        assert_eq!(fs::read(&damage.set_aside).unwrap(), content, "it is kept as it was found");
    }
    // What was put right is sound.
    storage.accept(plain(an_accepted(99), None)).await.unwrap();
    storage.close().await;
    let again = Storage::open(
        &StorageConfig::in_folder(folder.path()),
        ConversationLimits::default(),
        Shelf::Messages,
    )
    .unwrap();
    assert_eq!(again.damage(), None);
    Some((shown, damage))
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Nothing is shown that was not written; what is missing is said.
async fn holds_for(content: &[u8], all: &Shown) {
    let Some((shown, damage)) = shown_of(content).await else { return };
    let invented: Vec<_> = shown.difference(all).collect();
    assert!(invented.is_empty(), "{invented:?}");
    assert!(
        shown.len() == all.len() || damage.is_some(),
        "{} of {} are missing unsaid",
        all.len() - shown.len(),
        all.len()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_byte_is_altered_nothing_is_invented_and_nothing_is_missing_unsaid(
        place in any::<prop::sample::Index>(), flip in 1_u8..,
    ) {
        static STORE: std::sync::LazyLock<(TempDir, Shown)> = std::sync::LazyLock::new(|| run(a_store()));
        let (folder, all) = &*STORE;
        let mut content = fs::read(folder.path().join(FILE_NAME)).unwrap();
        *place.get_mut(&mut content) ^= flip;
        run(holds_for(&content, all));
    }
}

#[tokio::test]
async fn wherever_the_file_is_cut_the_rest_is_kept_and_the_loss_is_said() {
    let (folder, all) = a_store().await;
    let content = fs::read(folder.path().join(FILE_NAME)).unwrap();
    for length in (1..content.len()).step_by(4_099) {
        holds_for(&content[..length], &all).await;
    }
}

#[tokio::test]
async fn a_page_that_is_gone_takes_only_its_own_rows_with_it() {
    let (folder, all) = a_store().await;
    let content = fs::read(folder.path().join(FILE_NAME)).unwrap();
    let pages = content.len() / 4096;
    let mut most = 0;
    for page in 1..pages {
        let mut torn = content.clone();
        torn[page * 4096..(page + 1) * 4096].fill(0);
        holds_for(&torn, &all).await;
        if let Some((shown, Some(_))) = shown_of(&torn).await {
            most = most.max(shown.len());
        }
    }
    assert!(most >= 50, "of a torn file {most} of 60 records at the most were kept");
}

#[tokio::test]
async fn a_sound_file_is_not_called_damaged() {
    let (folder, all) = a_store().await;
    let content = fs::read(folder.path().join(FILE_NAME)).unwrap();
    assert_eq!(shown_of(&content).await, Some((all, None)));
}

#[tokio::test]
async fn a_thread_whose_row_is_altered_keeps_its_messages_and_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let config = StorageConfig::in_folder(folder.path());
        Storage::open(&config, ConversationLimits::default(), Shelf::Messages).unwrap()
    };
    let storage = open();
    let thread_id = storage.append(UserId(1), None, a_message(1, "why?")).await.unwrap();
    storage.close().await;
    drop(storage);
    let file = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    file.execute("UPDATE threads SET title = 'another'", []).unwrap();
    file.close().unwrap();

    let storage = open();
    let damage = storage.damage().unwrap();
    assert!(damage.findings[0].ends_with("of threads is not as it was written"), "{damage}");
    let threads = storage.threads(UserId(1), at(1)).await.unwrap();
    assert_eq!((threads.len(), Some(threads[0].id), threads[0].title.as_deref()), (1, thread_id, None));
    let kept = storage.messages(UserId(1), ThreadChoice::of(thread_id), at(1)).await.unwrap().unwrap();
    assert_eq!(kept[0].content, "why?");
    let again = storage.append(UserId(1), None, a_message(2, "and?")).await.unwrap();
    assert_eq!(again, thread_id, "the conversation goes on");
    storage.close().await;
    drop(storage);
    assert_eq!(open().damage(), None);
}

#[test]
fn what_was_damaged_is_told_with_where_it_lies() {
    let findings =
        ["row 3 of messages is not as it was written", "other", "another"].map(str::to_owned).to_vec();
    let damage = Damage { findings, set_aside: "data/duologue.sqlite3.damaged-1".into() };
    assert_eq!(
        damage.to_string(),
        "the database was damaged (row 3 of messages is not as it was written, and 2 more); what could be read was \
         kept, the damaged one is data/duologue.sqlite3.damaged-1"
    );
}
