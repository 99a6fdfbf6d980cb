//! What is logged and counted of a call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, SharedString, Unit,
};
use tracing::Level;

use super::*;

const ENDED: &str = "model call ended";
const ATTEMPT: &str = "model attempt failed";

#[tokio::test(start_paused = true)]
async fn a_call_is_logged_once_with_what_it_cost_and_never_with_its_text() {
    let log = Log::begin();
    let two = Two::default();
    let usage = Usage { input_tokens: 90, cached_input_tokens: 50, output_tokens: Some(7) };
    let script =
        Script::default().then(seconds(2), "secret words").usage(usage).then(seconds(1), ".").finish();
    two.a.always(script);
    two.told().await;
    let ended = log.saying(ENDED);
    assert_eq!((ended.len(), log.lines().len(), ended[0].level), (1, 1, Level::INFO));
    let expected = [
        ("action", "chat"),
        ("unit_primitive", "duo_chat"),
        ("provider", "a"),
        ("model", "a/scripted"),
        ("outcome", "completed"),
        ("finish_reason", "stop"),
        ("attempts", "1"),
        ("input_tokens", "90"),
        ("cached_input_tokens", "50"),
        ("output_tokens", "7"),
        ("tokens_estimated", "false"),
        ("first_content_millis", "2000"),
        ("total_millis", "3000"),
        ("what", ""),
    ];
    for (field, value) in expected {
        assert_eq!(ended[0].get(field), value, "{field}");
    }
    let all = format!("{:?}", log.lines());
    assert!(!all.contains("secret") && !all.contains("ppp"), "{all}");
}

#[tokio::test(start_paused = true)]
async fn each_failed_attempt_is_one_warning_and_the_call_is_still_one_line() {
    let log = Log::begin();
    let two = Two::default();
    two.a.always(overloaded());
    two.told().await;
    let warnings = log.saying(ATTEMPT);
    let attempts: Vec<&str> = warnings.iter().map(|line| line.get("attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    assert!(warnings.iter().all(|line| line.level == Level::WARN
        && line.get("provider") == "a"
        && line.get("code") == "upstream_overloaded"
        && line.get("what") == "as scripted"));
    let ended = log.saying(ENDED);
    assert_eq!((ended.len(), ended[0].get("attempts"), ended[0].get("model")), (1, "4", "b/scripted"));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_is_the_end_is_warned_of_once_too() {
    for script in [failing(Code::UpstreamAuth, Retry::Never), Script::default().then(Duration::ZERO, "part")]
    {
        let log = Log::begin();
        let two = Two::default();
        two.a.always(script);
        let told = two.told().await;
        assert_eq!((log.saying(ATTEMPT).len(), log.saying(ENDED).len()), (1, 1));
        let ended = &log.saying(ENDED)[0];
        assert_eq!(ended.get("outcome"), told.code().unwrap().as_str());
        assert_eq!(ended.get("what"), told.end.unwrap_err().what);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_reached_no_model_is_logged_with_the_reason() {
    let log = Log::begin();
    let mut two = Two::default();
    let bounds = ModelBounds { context_tokens: 10, output_tokens: OUTPUT };
    two.of_a = Arc::new(Model::new("a", Arc::new(two.a.clone()), bounds, Guard::default()));
    two.told_by_a_alone().await;
    assert!(log.saying(ATTEMPT).is_empty(), "nothing was attempted");
    let ended = log.saying(ENDED);
    assert_eq!((ended.len(), ended[0].get("attempts"), ended[0].get("model")), (1, "0", ""));
    assert_eq!(ended[0].get("outcome"), "upstream_too_large");
    let what = "prompt and answer need about 200 tokens and models.a.limits.context_tokens is 10";
    assert_eq!(ended[0].get("what"), what);
}

#[tokio::test(start_paused = true)]
async fn an_answer_nobody_listens_to_any_more_is_logged_once_as_dropped() {
    let log = Log::begin();
    let two = Two::default();
    drop(two.answer());
    assert_eq!(log.saying(ENDED)[0].get("attempts"), "0", "before it began");
    two.a.always(Script::default().then(Duration::ZERO, &"x".repeat(41)).hang());
    let mut answer = two.answer();
    answer.next().await;
    drop(answer);
    let ended = log.saying(ENDED);
    assert_eq!((ended.len(), ended[1].get("outcome"), ended[1].get("attempts")), (2, "dropped", "1"));
    assert_eq!((ended[1].get("input_tokens"), ended[1].get("output_tokens")), ("100", "11"));
    assert_eq!(ended[1].get("tokens_estimated"), "true");
}

#[tokio::test(start_paused = true)]
async fn what_a_provider_does_not_count_is_estimated_and_marked_so() {
    let log = Log::begin();
    let two = Two::default();
    let prompt_only = Usage { input_tokens: 33, cached_input_tokens: 0, output_tokens: None };
    let answer = "x".repeat(20);
    for script in [Script::default(), Script::default().usage(prompt_only)] {
        two.a.next_call(script.then(Duration::ZERO, &answer).finish());
        two.told().await;
    }
    let told = |n: usize| {
        let line = &log.saying(ENDED)[n];
        ["input_tokens", "output_tokens", "tokens_estimated"].map(|field| line.get(field).to_owned())
    };
    assert_eq!(told(0), ["100", "5", "true"]);
    assert_eq!(told(1), ["33", "5", "true"]);
}

/// What the n-th call was logged to have cost: tokens of prompt and answer, and whether they are estimated.
fn cost(log: &Log, n: usize) -> [String; 3] {
    let line = &log.saying(ENDED)[n];
    ["input_tokens", "output_tokens", "tokens_estimated"].map(|field| line.get(field).to_owned())
}

/// What some providers say before they have begun.
fn early() -> Script {
    Script::default().usage(Usage { input_tokens: 90, cached_input_tokens: 0, output_tokens: Some(1) })
}

#[tokio::test(start_paused = true)]
async fn a_count_from_the_beginning_of_an_answer_is_not_taken_for_the_cost_of_what_broke_off() {
    let said = |script: Script| script.then(Duration::ZERO, &"x".repeat(8_000));
    let stalled = said(early()).hang();
    let truncated = said(early());
    let failed = said(early()).fail(error(Code::UpstreamOverloaded, Retry::Again));
    for script in [stalled, truncated, failed] {
        let (log, two) = (Log::begin(), Two::default());
        two.a.always(script);
        two.told().await;
        assert_eq!(cost(&log, 0), ["90", "2000", "true"]);
    }
    let (log, two) = (Log::begin(), Two::default());
    two.a.always(said(early()).hang());
    let mut answer = two.answer();
    answer.next().await;
    drop(answer);
    assert_eq!(cost(&log, 0), ["90", "2000", "true"], "dropped by whoever listened");
}

#[tokio::test(start_paused = true)]
async fn what_was_counted_stands_if_the_answer_is_whole_or_the_count_is_the_higher_one() {
    let count = |tokens| Usage { input_tokens: 90, cached_input_tokens: 0, output_tokens: Some(tokens) };
    let text = "x".repeat(400);
    let whole = Script::default().then(Duration::ZERO, &text).usage(count(7)).finish();
    let part = Script::default().then(Duration::ZERO, &text).usage(count(150)).hang();
    for (script, tokens) in [(whole, "7"), (part, "150")] {
        let (log, two) = (Log::begin(), Two::default());
        two.a.always(script);
        two.told().await;
        assert_eq!(cost(&log, 0), ["90", tokens, "false"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_costs_its_prompt_only_if_the_provider_had_taken_it() {
    let answered = Script::default().then(Duration::ZERO, "four").usage(Usage {
        input_tokens: 90,
        cached_input_tokens: 0,
        output_tokens: Some(1),
    });
    // A status 408 has the same code as silence, and is a refusal.
    let refused = failing(Code::UpstreamTimeout, Retry::Again);
    let taken = Script::failing(error(Code::UpstreamTimeout, Retry::Again).taken());
    let cut = Script::default();
    let empty = Script::default().finish();
    for (first, input, is_estimated) in
        [(refused, "90", "false"), (taken, "190", "true"), (cut, "190", "true"), (empty, "100", "true")]
    {
        let (log, two) = (Log::begin(), Two::default());
        two.a.next_call(first);
        two.a.next_call(answered.clone().finish());
        two.told().await;
        assert_eq!(cost(&log, 0), [input, cost(&log, 0)[1].as_str(), is_estimated]);
    }
}

#[tokio::test(start_paused = true)]
async fn every_attempt_is_paid_for_at_its_own_models_price() {
    let log = Log::begin();
    let mut two = Two::default();
    let priced = |fake: &FakeModels, output| {
        let price = Price { input: 1.0, cached_input: 0.5, output };
        let model =
            Model::new(fake.provider(), Arc::new(fake.clone()), ModelBounds::default(), Guard::default());
        Arc::new(model.priced(price))
    };
    (two.of_a, two.of_b) = (priced(&two.a, 0.0), priced(&two.b, 10.0));
    let usage =
        |output| Usage { input_tokens: 1_000_000, cached_input_tokens: 500_000, output_tokens: Some(output) };
    let failed = Script::default().usage(usage(0)).fail(error(Code::UpstreamOverloaded, Retry::Elsewhere));
    two.a.always(failed);
    two.b.always(Script::default().then(Duration::ZERO, "x").usage(usage(100_000)).finish());
    two.told().await;
    let ended = &log.saying(ENDED)[0];
    assert_eq!((ended.get("dollars"), ended.get("input_tokens")), ("2.5", "2000000"));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_or_closes_is_one_line() {
    let log = Log::begin();
    let two = Two::default();
    two.a.always(overloaded());
    for _ in 0..10 {
        two.told().await;
    }
    let opened = log.saying("breaker opened");
    assert_eq!((opened.len(), opened[0].level), (1, Level::WARN));
    assert_eq!(
        log.saying("model passed over").len(),
        9,
        "by the call that met it, and by all that came later"
    );
    let expected = [
        ("name", "a"),
        ("provider", "a"),
        ("model", "a/scripted"),
        ("code", "upstream_overloaded"),
        ("open_seconds", "30"),
        ("again", "false"),
    ];
    for (field, value) in expected {
        assert_eq!(opened[0].get(field), value, "{field}");
    }
    tokio::time::advance(seconds(30)).await;
    two.told().await;
    let opened = log.saying("breaker opened");
    assert_eq!((opened.len(), opened[1].get("again")), (2, "true"), "the probe failed");
    assert!(log.saying("breaker closed").is_empty());
    tokio::time::advance(seconds(30)).await;
    two.a.always(Script::saying(&["back ", "again"]));
    two.told().await;
    two.told().await;
    let closed = log.saying("breaker closed");
    assert_eq!((closed.len(), closed[0].level, closed[0].get("name")), (1, Level::INFO, "a"));
    assert_eq!(log.saying("breaker opened").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn metrics_have_the_conventional_names_and_labels() {
    let meter = Meter::default();
    let counting = metrics::set_default_local_recorder(&meter);
    let mut two = Two::default();
    let price = Price { input: 1.0, cached_input: 0.0, output: 10.0 };
    let model = Model::new("a", Arc::new(two.a.clone()), ModelBounds::default(), Guard::default());
    two.of_a = Arc::new(model.priced(price));
    two.a.next_call(overloaded());
    let usage = Usage { input_tokens: 90, cached_input_tokens: 0, output_tokens: Some(7) };
    two.a.next_call(Script::default().then(seconds(2), "x").usage(usage).finish());
    two.told().await;
    two.a.always(failing(Code::UpstreamAuth, Retry::Never));
    two.told().await;
    observe([&*two.of_a]);
    drop(counting);

    let common = "gen_ai_operation_name=chat gen_ai_provider_name=a gen_ai_request_model=scripted";
    let attempts = "duologue_model_attempts_total provider=a model=a/scripted outcome";
    let expected = [
        (format!("gen_ai_client_token_usage {common} gen_ai_token_type=input estimated=false"), vec![90.0]),
        (format!("gen_ai_client_token_usage {common} gen_ai_token_type=output estimated=false"), vec![7.0]),
        (format!("gen_ai_client_operation_duration_seconds {common} error_type=upstream_auth"), vec![0.0]),
        // 90 tokens for a dollar a million, 7 for ten.
        ("duologue_model_cost_microdollars_total provider=a model=a/scripted".to_owned(), vec![160.0]),
        (format!("{attempts}=upstream_overloaded"), vec![1.0]),
        (format!("{attempts}=ok"), vec![1.0]),
        (format!("{attempts}=upstream_auth"), vec![1.0]),
        ("duologue_model_breaker_state name=a provider=a model=a/scripted".to_owned(), vec![0.0]),
        ("duologue_model_calls_in_flight name=a provider=a model=a/scripted".to_owned(), vec![0.0]),
        ("duologue_model_calls_waiting name=a provider=a model=a/scripted".to_owned(), vec![0.0]),
        ("duologue_model_retries_left name=a provider=a model=a/scripted".to_owned(), vec![9.0]),
    ];
    let mut read = meter.read();
    for (name, values) in expected {
        assert_eq!(read.remove(&name), Some(values), "{name}");
    }
    // What is left depends on chance: how long the retry waited.
    let left: Vec<String> = read.keys().map(|key| key.replace(common, "...")).collect();
    let timed = ["duration_seconds ...", "time_to_first_chunk_seconds ..."];
    assert_eq!(left, timed.map(|name| format!("gen_ai_client_operation_{name}")));
    assert!(read.values().all(|values| values.len() == 1 && values[0] >= 2.25));
}

/// Keeps what is measured under "name label=value ...".
#[derive(Clone, Default)]
struct Meter(Arc<Mutex<BTreeMap<String, Vec<f64>>>>);

struct Instrument {
    name: String,
    meter: Meter,
}

impl Meter {
    fn read(&self) -> BTreeMap<String, Vec<f64>> {
        self.0.lock().unwrap().clone()
    }

    fn instrument(&self, key: &Key) -> Arc<Instrument> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let name = labels.fold(key.name().to_owned(), |name, label| name + &label);
        Arc::new(Instrument { name, meter: self.clone() })
    }
}

impl metrics::Recorder for Meter {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.instrument(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.instrument(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.instrument(key))
    }
}

impl CounterFn for Instrument {
    #[allow(clippy::cast_precision_loss, reason = "a test counts little")]
    fn increment(&self, by: u64) {
        self.record(by as f64);
    }

    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Instrument {
    fn increment(&self, _: f64) {}
    fn decrement(&self, _: f64) {}

    fn set(&self, value: f64) {
        self.record(value);
    }
}

impl HistogramFn for Instrument {
    fn record(&self, value: f64) {
        self.meter.0.lock().unwrap().entry(self.name.clone()).or_default().push(value);
    }
}
