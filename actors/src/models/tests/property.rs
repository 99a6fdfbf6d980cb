//! Whatever two models do, and whenever their caller leaves, a call keeps its promises.

use proptest::prelude::*;

use super::*;

/// One thing a model does.
#[derive(Clone, Debug)]
enum Does {
    Says(u64, bool),
    KeepsAlive(u64),
    Counts(u64),
    Finishes,
    Fails(Code, Retry, Option<u64>),
    Hangs,
}

fn does() -> impl Strategy<Value = Does> {
    let code = prop_oneof![
        Just(Code::UpstreamUnavailable),
        Just(Code::UpstreamOverloaded),
        Just(Code::UpstreamRateLimited),
        Just(Code::UpstreamRejected),
        Just(Code::UpstreamMalformed),
    ];
    let retry =
        prop_oneof![Just(Retry::Again), Just(Retry::Once), Just(Retry::Elsewhere), Just(Retry::Never)];
    prop_oneof![
        3 => (0_u64..40, any::<bool>()).prop_map(|(pause, is_blank)| Does::Says(pause, is_blank)),
        1 => (0_u64..40).prop_map(Does::KeepsAlive),
        1 => prop_oneof![0_u64..500, Just(u64::MAX)].prop_map(Does::Counts),
        2 => Just(Does::Finishes),
        3 => (code, retry, prop::option::of(0_u64..20)).prop_map(|(c, r, wait)| Does::Fails(c, r, wait)),
        1 => Just(Does::Hangs),
    ]
}

/// What one model does in its calls, one after the other.
fn calls() -> impl Strategy<Value = Vec<Vec<Does>>> {
    prop::collection::vec(prop::collection::vec(does(), 0..5), 1..8)
}

/// `tag` tells which attempt a piece of the answer came from.
fn script(doings: &[Does], tag: &str) -> Script {
    doings.iter().fold(Script::default(), |script, does| match does {
        Does::Says(pause, false) => script.then(seconds(*pause), tag),
        Does::Says(pause, true) => script.then(seconds(*pause), " "),
        Does::KeepsAlive(pause) => script.then(seconds(*pause), ""),
        Does::Counts(tokens) => script.usage(Usage {
            input_tokens: *tokens,
            cached_input_tokens: 0,
            output_tokens: Some(*tokens),
        }),
        Does::Finishes => script.finish(),
        Does::Fails(code, retry, wait) => {
            script.fail(error(*code, *retry).retry_after(wait.map(Duration::from_secs)))
        }
        Does::Hangs => script.hang(),
    })
}

fn tell(model: &FakeModels, calls: &[Vec<Does>]) {
    model.always(Script::saying(&["<untold>", "<untold>"]));
    for (n, doings) in calls.iter().enumerate() {
        model.next_call(script(doings, &format!("<{}{n}>", model.provider())));
    }
}

/// Listens until the end or until `patience` is over; how often the end was told.
async fn listen(mut answer: Answer, patience: Duration) -> (String, usize) {
    let (mut text, mut ends) = (String::new(), 0);
    let all = async {
        while let Some(progress) = answer.next().await {
            match progress {
                Ok(Progress::Content(content)) => text.push_str(&content),
                Ok(Progress::Finished(_)) | Err(_) => ends += 1,
            }
        }
    };
    let is_whole = tokio::time::timeout(patience, all).await.is_ok();
    assert!(!is_whole || ends == 1, "an answer ended {ends} times");
    (text, ends)
}

fn assert_of_one_attempt(text: &str) {
    let mut tags: Vec<&str> = text.split(['<', '>', ' ']).filter(|tag| !tag.is_empty()).collect();
    tags.dedup();
    assert!(tags.len() <= 1, "pieces of several attempts were shown: {text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_call_ends_once_with_one_attempts_content_and_gives_everything_back(
        of_a in calls(),
        of_b in calls(),
        patience in prop_oneof![Just(1_000_u64), 0_u64..200],
        tokens_per_minute in prop::option::of(150_u64..2_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let capacity = Capacity::new(CapacityBounds { concurrency: 1, tokens_per_minute });
            let two = Two::guarded(Guard { capacity, ..Guard::default() });
            tell(&two.a, &of_a);
            tell(&two.b, &of_b);
            let (started, deadline) = (Instant::now(), two.deadline);
            let (text, _) = listen(two.answer(), seconds(patience)).await;
            assert!(started.elapsed() <= deadline.min(seconds(patience)) + Duration::from_millis(1));
            assert_of_one_attempt(&text);
            let most = 1 + two.bounds.retry.retries;
            assert!(two.calls().0 <= most && two.calls().1 <= most, "{:?}", two.calls());
            two.assert_nothing_is_held();

            // Debts are paid within two minutes, and then nothing is missing.
            tokio::time::advance(seconds(120)).await;
            assert_eq!(two.a_guard().capacity.tokens_left(), tokens_per_minute);
        });
    }

    #[test]
    fn many_calls_of_one_model_keep_its_bounds_and_leak_nothing(
        of_a in prop::collection::vec(prop::collection::vec(does(), 0..4), 20),
        patience in prop::collection::vec(0_u64..150, 8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let capacity = Capacity::new(CapacityBounds { concurrency: 2, tokens_per_minute: Some(1_000) });
            let two = Two::guarded(Guard { capacity, ..Guard::default() });
            tell(&two.a, &of_a);
            tell(&two.b, &[]);
            let calls = patience.iter().map(|patience| listen(two.answer(), seconds(*patience)));
            for (text, _) in futures::future::join_all(calls).await {
                assert_of_one_attempt(&text);
            }
            two.assert_nothing_is_held();
            tokio::time::advance(seconds(120)).await;
            assert_eq!(two.a_guard().capacity.tokens_left(), Some(1_000));
            assert!(two.a_guard().breaker.check().is_ok(), "a probe was lost");
        });
    }
}
