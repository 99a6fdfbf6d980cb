//! Going on where a reader was, and answers that begin again.

use super::*;

#[actix::test]
async fn a_cursor_brings_what_came_since_and_acknowledges_what_came_before() {
    let alone = broadcaster();
    let first = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.end(&first).await;
    let second = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.chunk(&second, 1).await;
    let mut subscription = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    assert_eq!(said(&mut subscription), ["final", "1"]);
    let cursor = subscription.cursor();
    drop(subscription);
    alone.chunk(&second, 2).await;
    alone.end(&second).await;

    let mut resumed = alone.resume(on_issue(ALICE, Some("C")), cursor).await;
    assert_eq!((resumed.resume(), said(&mut resumed)), (Resume::Replayed, vec!["2".into(), "final".into()]));
    // The first one's final lay before the cursor: it has been received, and is not replayed any more.
    let mut late = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    assert_eq!(late.read(1 << 20).iter().map(|event| event.request_id()).collect::<Vec<_>>(), [second.id()]);
}

#[actix::test]
async fn a_cursor_with_nothing_behind_it_is_live() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    let mut subscription = alone.everything_of(&asked).await;
    assert_eq!(said(&mut subscription), ["echo"]);
    let resumed = alone.resume(on_issue(ALICE, Some("C")), subscription.cursor()).await;
    assert_eq!(resumed.resume(), Resume::Live);
}

#[actix::test]
async fn the_cursor_of_an_acceptance_lies_before_everything_of_its_request() {
    let alone = broadcaster();
    let earlier = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.end(&earlier).await;
    let mut asked = alone.gated(address(ALICE, "chat", Some("C"))).await;
    let cursor = asked.reply.try_recv().unwrap().unwrap().cursor.unwrap();
    alone.open(&asked).await;
    alone.chunk(&asked, 1).await;
    alone.end(&asked).await;
    let filter = Filter::of_request(ALICE, asked.id());
    assert_eq!(said(&mut alone.resume(filter, cursor).await), ["echo", "1", "final"]);
}

#[actix::test]
async fn a_question_asked_twice_gets_the_cursor_of_the_first_time() {
    let alone = broadcaster();
    let gated = alone.gated(address(ALICE, "chat", Some("C"))).await;
    let before_its_gate = alone.ask_again(gated.id()).await.unwrap();
    alone.open(&gated).await;
    alone.end(&gated).await;
    assert_eq!(alone.ask_again(gated.id()).await, Some(before_its_gate));
    let filter = Filter::of_request(ALICE, gated.id());
    assert_eq!(said(&mut alone.resume(filter, before_its_gate).await), ["echo", "final"]);
    assert_eq!(alone.ask_again(RequestId::new()).await, None, "nothing is kept of it");
}

#[actix::test]
async fn a_cursor_of_another_log_is_reset_and_brings_what_can_be_replayed() {
    let alone = broadcaster();
    let cursor = "0123456789abcdef0000000000000001".parse().unwrap();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    alone.end(&asked).await;
    let mut resumed = alone.resume(on_issue(ALICE, Some("C")), cursor).await;
    assert_eq!((resumed.resume(), said(&mut resumed)), (Resume::Reset, vec!["final".into()]));
}

#[actix::test]
async fn a_cursor_behind_which_something_was_removed_is_reset() {
    let alone = broadcaster();
    let asked = alone.asked(address(ALICE, "chat", Some("C"))).await;
    let cursor = alone.everything_of(&asked).await.cursor();
    alone.end(&asked).await;
    tokio::time::sleep(Duration::from_secs(302)).await;
    assert_eq!(alone.resume(on_issue(ALICE, Some("C")), cursor).await.resume(), Resume::Reset);
}

#[actix::test]
async fn a_request_that_runs_again_says_so_once_and_before_its_first_chunk() {
    let alone = broadcaster();
    let recovered = address(ALICE, "chat", Some("C"));
    alone.admit(recovered.clone(), true).await;
    let asked = Asked { cancel: CancellationToken::new(), reply: oneshot::channel().1, address: recovered };
    let mut live = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    let mut without_chunks = alone.subscribe(on_issue(ALICE, NOBODYS_PAGE)).await;
    alone.chunk(&asked, 1).await;
    alone.chunk(&asked, 2).await;
    assert_eq!(said(&mut live), ["restart", "1", "2"]);
    assert_eq!(said(&mut alone.subscribe(on_issue(ALICE, Some("C"))).await), ["restart", "1", "2"]);
    alone.end(&asked).await;
    assert_eq!(said(&mut without_chunks), ["final"], "whoever sees no chunks has nothing to forget");
}

#[actix::test]
async fn a_request_that_ends_before_its_second_first_chunk_has_nothing_to_announce() {
    let alone = broadcaster();
    let recovered = address(ALICE, "chat", Some("C"));
    alone.admit(recovered.clone(), true).await;
    let asked = Asked { cancel: CancellationToken::new(), reply: oneshot::channel().1, address: recovered };
    let mut subscription = alone.subscribe(on_issue(ALICE, Some("C"))).await;
    alone.end(&asked).await;
    assert_eq!(said(&mut subscription), ["final"]);
}
