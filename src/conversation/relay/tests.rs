use duologue_actors::protocol::{ThreadId, UserId};

use super::*;
use crate::conversation::{
    outbox::StreamName,
    streams::Fault,
    testing::{ALICE, FakeStreams, MALLORY, MemoryOutbox, Mood, a_message, contents, main_of},
};

/// What is promised once Redis is back.
const PROMISED: Duration = Duration::from_secs(5);

struct Scene {
    outbox: Arc<MemoryOutbox>,
    streams: Arc<FakeStreams>,
    relay: Relay,
}

impl Scene {
    fn new(mood: Mood) -> Self {
        let (outbox, streams) = (Arc::new(MemoryOutbox::default()), Arc::new(FakeStreams::new(mood)));
        let relay = Relay::start(outbox.clone(), streams.clone());
        Self { outbox, streams, relay }
    }

    async fn say(&self, owner: UserId, content: &str) {
        self.outbox.put(owner, None, a_message(1, content)).await.unwrap();
    }

    fn written(&self, owner: UserId) -> Vec<String> {
        contents(&self.streams.of(main_of(owner))).into_iter().map(str::to_owned).collect()
    }

    /// Lets so much time pass.
    async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Lets everybody do what they can do at once.
    async fn settle(&self) {
        self.pass(Duration::from_millis(1)).await;
    }
}

fn down() -> Mood {
    Mood::Failing(Fault::Down("no answer".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_message_is_written_as_soon_as_it_comes_and_is_gone_from_the_outbox() {
    let scene = Scene::new(Mood::Well);
    for content in ["1", "2", "3"] {
        scene.say(ALICE, content).await;
        scene.settle().await;
        assert_eq!(scene.outbox.len(), 0);
    }
    assert_eq!(scene.written(ALICE), ["1", "2", "3"]);
    assert_eq!(scene.relay.signal.report(), Report::default());
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_is_written_without_being_asked_for() {
    let outbox = Arc::new(MemoryOutbox::default());
    for number in 0..200 {
        let owner = if number % 3 == 0 { MALLORY } else { ALICE };
        outbox.put(owner, None, a_message(number, &number.to_string())).await.unwrap();
    }
    let streams = Arc::new(FakeStreams::new(Mood::Well));
    let _relay = Relay::start(outbox.clone(), streams.clone());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let numbers = |owner| -> Vec<u64> {
        contents(&streams.of(main_of(owner))).into_iter().map(|content| content.parse().unwrap()).collect()
    };
    assert_eq!(numbers(MALLORY), (0..200).filter(|number| number % 3 == 0).collect::<Vec<_>>());
    assert_eq!(numbers(ALICE), (0..200).filter(|number| number % 3 != 0).collect::<Vec<_>>());
    assert_eq!(outbox.len(), 0);
}

#[rstest::rstest]
#[case::down(down())]
#[case::full(Mood::Failing(Fault::Refused("OOM".to_owned())))]
#[case::left_alone(Mood::Failing(Fault::LeftAlone { because: "no answer".to_owned(), retry_after: Duration::from_secs(1) }))]
#[tokio::test(start_paused = true)]
async fn what_waits_is_written_in_order_within_five_seconds_of_the_return(#[case] mood: Mood) {
    let scene = Scene::new(mood);
    for content in ["1", "2", "3"] {
        scene.say(ALICE, content).await;
        scene.pass(Duration::from_secs(60)).await;
    }
    assert_eq!((scene.outbox.len(), scene.written(ALICE).len()), (3, 0));
    assert!(scene.relay.signal.report().held_up.is_some());

    scene.streams.turn(Mood::Well);
    scene.pass(PROMISED).await;
    assert_eq!(scene.written(ALICE), ["1", "2", "3"]);
    assert_eq!(scene.outbox.len(), 0);
    assert_eq!(scene.relay.signal.report(), Report::default());
}

#[tokio::test(start_paused = true)]
async fn while_it_is_down_messages_that_come_cause_no_further_tries() {
    let scene = Scene::new(down());
    for _ in 0..1_000 {
        scene.say(ALICE, "again").await;
        scene.settle().await;
    }
    assert!(scene.streams.additions() <= 3, "{}", scene.streams.additions());
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_answer_was_lost_is_written_once() {
    let scene = Scene::new(Mood::Deaf);
    scene.say(ALICE, "once").await;
    scene.pass(Duration::from_secs(10)).await;
    assert_eq!(scene.outbox.len(), 1);
    scene.streams.turn(Mood::Well);
    scene.pass(PROMISED).await;
    assert_eq!((scene.written(ALICE), scene.outbox.len()), (vec!["once".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_cannot_be_written_holds_up_no_other_and_is_tried_again() {
    let scene = Scene::new(Mood::Well);
    scene.streams.bad.lock().unwrap().insert(main_of(ALICE));
    scene.say(ALICE, "1").await;
    scene.settle().await;
    for number in 0..100 {
        scene.say(ALICE, "2").await;
        scene.say(MALLORY, &number.to_string()).await;
        scene.settle().await;
    }
    assert_eq!((scene.written(ALICE).len(), scene.written(MALLORY).len()), (0, 100));
    assert_eq!(scene.streams.additions(), 101, "one for alice, and none while she is set aside");
    let report = scene.relay.signal.report();
    assert_eq!((report.set_aside, report.why.as_deref()), (1, Some("WRONGTYPE")));

    scene.streams.bad.lock().unwrap().clear();
    scene.pass(SET_ASIDE).await;
    scene.settle().await;
    assert_eq!(scene.written(ALICE).len(), 101);
    assert_eq!((scene.outbox.len(), scene.relay.signal.report()), (0, Report::default()));
}

#[tokio::test(start_paused = true)]
async fn each_thread_of_a_user_is_written_to_its_own_stream_and_holds_up_no_other() {
    let scene = Scene::new(Mood::Well);
    let quick = StreamName { owner: ALICE, thread_id: Some(ThreadId(7)) };
    scene.streams.bad.lock().unwrap().insert(main_of(ALICE));
    for (thread_id, content) in [(quick.thread_id, "1"), (None, "2"), (quick.thread_id, "3")] {
        scene.outbox.put(ALICE, thread_id, a_message(1, content)).await.unwrap();
    }
    scene.settle().await;
    assert_eq!(contents(&scene.streams.of(quick)), ["1", "3"]);
    assert_eq!((scene.written(ALICE).len(), scene.outbox.len()), (0, 1));
    assert_eq!(scene.relay.signal.report().set_aside, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_pass() {
    let scene = Scene::new(Mood::PanickingOnce);
    scene.say(ALICE, "1").await;
    scene.pass(PROMISED).await;
    scene.say(ALICE, "2").await;
    scene.settle().await;
    assert_eq!(scene.written(ALICE), ["1", "2"]);
}

#[tokio::test(start_paused = true)]
async fn stopping_writes_what_can_be_written() {
    let scene = Scene::new(down());
    scene.say(ALICE, "last").await;
    scene.settle().await;
    scene.streams.turn(Mood::Well);
    scene.relay.stop(Duration::from_secs(2)).await;
    assert_eq!((scene.written(ALICE), scene.outbox.len()), (vec!["last".to_owned()], 0));
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_what_never_answers() {
    let scene = Scene::new(Mood::Frozen);
    scene.say(ALICE, "waits").await;
    scene.settle().await;
    let begun = tokio::time::Instant::now();
    scene.relay.stop(Duration::from_secs(2)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
    assert_eq!(scene.outbox.len(), 1);
}
