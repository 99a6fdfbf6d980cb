use super::{
    super::fact::{COMPLETED, canary},
    *,
};

const INTENT: Intent = 1;
const USER: User = 7;

fn judge(facts: impl IntoIterator<Item = Fact>) -> Judgement {
    let mut judge = Judge::default();
    for (at, fact) in facts.into_iter().enumerate() {
        judge.hear(Entry { at: at as u64 * 100, fact });
    }
    judge.judge()
}

fn intended() -> Fact {
    Fact::Intended { intent: INTENT, user: USER }
}

fn acknowledged() -> Fact {
    Fact::Acknowledged { intent: INTENT, request_id: "r".to_owned() }
}

fn asked() -> Fact {
    Fact::Asked { intent: INTENT }
}

fn subscribed(subscriber: Subscriber) -> Fact {
    Fact::Subscribed { subscriber, user: USER, intent: Some(INTENT) }
}

fn heard(subscriber: Subscriber, message: Message) -> Fact {
    Fact::Heard { subscriber, request_id: "r".to_owned(), message }
}

fn chunk(number: u64, content: &str) -> Message {
    Message::Chunk { number, content: content.to_owned() }
}

fn ended(content: &str) -> Message {
    Message::Final { id: "m".to_owned(), content: content.to_owned(), outcome: COMPLETED.to_owned() }
}

/// A request that is accepted and of which `messages` are heard by one subscriber.
fn told(messages: impl IntoIterator<Item = Message>) -> Judgement {
    let before = [intended(), subscribed(1), acknowledged(), asked()];
    judge(before.into_iter().chain(messages.into_iter().map(|message| heard(1, message))))
}

/// Nothing at all is wrong.
#[track_caller]
fn assert_clean(judgement: &Judgement) {
    let Judgement { lost, second_finals, hung, disordered, foreign, called_too_often, .. } = judgement;
    for faults in [lost, second_finals, hung, disordered, foreign, called_too_often] {
        assert!(faults.is_empty(), "{judgement:?}");
    }
}

#[test]
fn an_answer_in_order_is_clean_and_counted() {
    let judgement = told([chunk(1, "a"), chunk(2, "b"), ended("ab")]);
    assert_clean(&judgement);
    assert_eq!((judgement.intended, judgement.accepted), (1, 1));
    assert_eq!(judgement.outcomes[COMPLETED], 1);
}

#[test]
fn an_accepted_request_without_a_final_is_lost_and_its_subscriber_hangs() {
    let judgement = told([chunk(1, "a")]);
    assert_eq!(judgement.lost.len(), 1);
    assert!(judgement.lost[0].contains('r'), "{judgement:?}");
    assert_eq!(judgement.hung.len(), 1);
}

#[test]
fn a_request_that_was_refused_or_never_answered_is_not_lost() {
    let refused =
        Fact::Refused { intent: INTENT, status: 503, code: "overloaded".to_owned(), retry_after: true };
    let judgement = judge([intended(), refused]);
    assert_clean(&judgement);
    assert_eq!((judgement.refused["503 overloaded"], judgement.without_retry_after), (1, 0));
    assert_clean(&judge([intended(), Fact::Unanswered { intent: INTENT }]));
}

#[test]
fn a_full_server_that_does_not_say_when_to_come_back_is_counted() {
    let refused =
        Fact::Refused { intent: INTENT, status: 503, code: "overloaded".to_owned(), retry_after: false };
    assert_eq!(judge([intended(), refused]).without_retry_after, 1);
}

#[test]
fn a_second_final_on_one_subscription_comes_after_the_final() {
    assert_eq!(told([ended("a"), ended("a")]).disordered.len(), 1);
}

#[test]
fn a_final_heard_again_on_another_subscription_must_be_the_same() {
    let again = |content: &str| {
        judge([
            intended(),
            subscribed(1),
            acknowledged(),
            heard(1, ended("a")),
            subscribed(2),
            heard(2, ended(content)),
        ])
    };
    assert_clean(&again("a"));
    assert_eq!(again("b").second_finals.len(), 1);
}

#[test]
fn holes_disorder_and_other_texts_are_seen() {
    assert_eq!(told([chunk(2, "b"), ended("b")]).disordered.len(), 1);
    assert_eq!(told([chunk(1, "a"), chunk(3, "c"), ended("ac")]).disordered.len(), 1);
    assert_eq!(told([chunk(1, "a"), chunk(1, "a"), ended("aa")]).disordered.len(), 1);
    assert_eq!(told([chunk(1, "a"), ended("b")]).disordered.len(), 1);
    assert_eq!(told([ended("a"), chunk(1, "a")]).disordered.len(), 1);
}

#[test]
fn a_canary_of_another_user_is_foreign_and_so_is_one_of_nobody() {
    assert_clean(&told([ended(&canary(INTENT))]));
    assert_eq!(told([ended(&canary(2))]).foreign.len(), 1);
    let other = Fact::Intended { intent: 2, user: USER + 1 };
    let overheard = heard(1, chunk(1, &canary(2)));
    assert_eq!(judge([intended(), other, subscribed(1), overheard]).foreign.len(), 1);
}

#[test]
fn a_request_of_another_user_is_foreign_whatever_it_says() {
    let spy = Fact::Subscribed { subscriber: 2, user: USER + 1, intent: None };
    let judgement = judge([intended(), acknowledged(), spy, heard(2, ended("nothing"))]);
    assert_eq!(judgement.foreign.len(), 1);
}

#[test]
fn a_subscriber_that_left_or_waits_for_nothing_in_particular_does_not_hang() {
    assert_clean(&judge([intended(), subscribed(1), Fact::Left { subscriber: 1 }]));
    assert_clean(&judge([Fact::Subscribed { subscriber: 1, user: USER, intent: None }]));
}

#[test]
fn a_model_is_called_again_only_after_an_end_of_the_server_and_only_once() {
    let interrupted = |ends: usize, calls: usize| {
        let mut facts = vec![intended(), acknowledged(), asked()];
        facts.extend(std::iter::repeat_n(Fact::ServerEnded, ends));
        facts.extend(std::iter::repeat_n(asked(), calls - 1));
        facts.extend([subscribed(1), heard(1, ended("a"))]);
        judge(facts)
    };
    assert_clean(&interrupted(1, 2));
    assert_eq!(interrupted(1, 2).upstream_repeats, 1);
    assert_eq!(interrupted(1, 2).in_flight_at_ends, 1);
    assert_eq!(interrupted(0, 2).called_too_often.len(), 1);
    assert_eq!(interrupted(2, 3).called_too_often.len(), 1);
}

#[test]
fn what_had_ended_before_the_server_did_is_not_in_flight() {
    let judgement = judge([
        intended(),
        subscribed(1),
        acknowledged(),
        asked(),
        heard(1, ended("a")),
        Fact::ServerEnded,
        asked(),
    ]);
    assert_eq!((judgement.in_flight_at_ends, judgement.called_too_often.len()), (0, 1));
}

#[test]
fn what_was_never_sent_is_not_in_flight() {
    let judgement = judge([intended(), Fact::Unsent { intent: INTENT }, Fact::ServerEnded]);
    assert_eq!((judgement.unsent, judgement.in_flight_at_ends), (1, 0));
}

#[test]
fn a_request_nobody_knows_the_id_of_counts_at_the_next_end_only() {
    let unanswered = Fact::Unanswered { intent: INTENT };
    let judgement = judge([intended(), unanswered, Fact::ServerEnded, Fact::ServerEnded]);
    assert_eq!(judgement.in_flight_at_ends, 1);
}

#[test]
fn recovery_is_measured_from_the_start_to_the_final() {
    let judgement = judge([
        intended(),
        acknowledged(),
        Fact::ServerEnded,
        Fact::ServerStarted,
        subscribed(1),
        heard(1, chunk(1, "a")),
        heard(1, ended("a")),
    ]);
    assert_eq!(judgement.slowest_recovery_milliseconds, 300);
}
