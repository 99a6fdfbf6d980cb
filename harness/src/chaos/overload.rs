//! `overload`: ten times as many requests as there is room for, whether or not the server keeps up. The room is made
//! small and the time of an answer fixed, so that what the server can do is known and no machine is too small.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep},
};

use super::{
    Plan,
    client::{END_WITHIN, Manners, ask},
    fact::{Fact, User},
    listener::{Event, Listener, Topic},
    load::Shared,
    report::{Report, percentile, say},
    stage::{Setting, Stage},
};

/// How long, in the short form and in the whole one.
pub const SECONDS: (u64, u64) = (5, 60);

const USERS: u64 = 20;
const PERMITS: u64 = 8;

/// An answer is four pieces, each after this time.
const PIECES: u64 = 4;
const PIECE_MILLISECONDS: u64 = 100;

/// Requests a second: ten times those that find a place when all places are used all the time.
const REQUESTS_A_SECOND: u64 = 10 * PERMITS * 1_000 / (PIECES * PIECE_MILLISECONDS);

/// Requests one after the other, before the load.
const UNLOADED_REQUESTS: u64 = 20;

/// A refusal costs its client no longer than this.
const REFUSED_WITHIN: Duration = Duration::from_millis(20);

/// What being overrun may add to the memory of the server.
const MOST_GROWTH_BYTES: u64 = 64 << 20;

/// After the load, a request finds a place within this time.
const RECOVERED_WITHIN: Duration = Duration::from_secs(2);

const BETWEEN_TRIES: Duration = Duration::from_millis(20);

/// How one request went.
enum Arrival {
    Answered(Duration),
    Refused { took: Duration, properly: bool },
    Lost,
}

/// How all of them went.
#[derive(Default)]
struct Arrivals {
    answered: Vec<Duration>,
    refused: Vec<Duration>,
    improperly_refused: u64,
    lost: u64,
}

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let config = [("logging", "level", json!("warn")), ("pipeline", "permits", json!(PERMITS))];
    let (pieces, milliseconds) = ((PIECES, PIECES), (PIECE_MILLISECONDS, PIECE_MILLISECONDS));
    let mut stage = Stage::set(
        plan,
        Setting { users: USERS, pieces, milliseconds, config: &config, ..Setting::default() },
    )
    .await?;
    let shared = stage.shared(Manners::default())?;
    let unloaded = one_after_the_other(&shared).await?;
    let before = stage.subject.server().highest_memory_bytes()?;
    let (loaded, recovered) = overrun(&shared, plan.seconds(SECONDS)).await?;
    let growth = stage.subject.server().highest_memory_bytes()?.saturating_sub(before);
    judge_refusals(&loaded, report);
    judge_answers(&unloaded, &loaded, report);
    judge_what_is_left(growth, recovered, report);
    let judgement = stage.judge_accepted_of(&shared).await?;
    report.nothing_accepted_is_lost(&judgement);
    stage.strike(report).await
}

/// What an answer takes when nothing is in its way.
async fn one_after_the_other(shared: &Shared) -> Result<Arrivals> {
    let mut arrivals = Arrivals::default();
    for number in 0..UNLOADED_REQUESTS {
        arrivals.count(arrive(shared.clone(), user(number)).await?);
    }
    Ok(arrivals)
}

/// Sends requests at their rate, whatever becomes of them; how they went, and how long after the last of them it
/// took until one found a place.
async fn overrun(shared: &Shared, seconds: u64) -> Result<(Arrivals, Duration)> {
    say(format_args!("        {REQUESTS_A_SECOND} requests a second for {seconds} s, room for {PERMITS}"));
    let mut ticks = interval(Duration::from_secs(1) / u32::try_from(REQUESTS_A_SECOND)?);
    let mut under_way = JoinSet::new();
    for number in 0..seconds * REQUESTS_A_SECOND {
        ticks.tick().await;
        under_way.spawn(arrive(shared.clone(), user(number)));
    }
    let end = Instant::now();
    let recovered = loop {
        let tried = Instant::now();
        match arrive(shared.clone(), 1).await? {
            Arrival::Answered(_) => break tried.duration_since(end),
            _ if end.elapsed() > END_WITHIN => break end.elapsed(),
            _ => sleep(BETWEEN_TRIES).await,
        }
    };
    let mut arrivals = Arrivals::default();
    while let Some(arrived) = under_way.join_next().await {
        arrivals.count(arrived??);
    }
    Ok((arrivals, recovered))
}

fn user(number: u64) -> User {
    1 + number % USERS
}

/// One request, to its answer or its refusal.
async fn arrive(shared: Shared, user: User) -> Result<Arrival> {
    let sent = Instant::now();
    let (intent, fact) = ask(&shared, user, None).await?;
    let took = sent.elapsed();
    let request_id = match fact {
        Fact::Acknowledged { request_id, .. } => request_id,
        Fact::Refused { status, code, retry_after, .. } => {
            // By its status, its code and a header it says that there is no room, and when to come back.
            let properly = status == 503 && code == "overloaded" && retry_after;
            return Ok(Arrival::Refused { took, properly });
        }
        _ => return Ok(Arrival::Lost),
    };
    let address = shared.address()?;
    let mut listener =
        Listener::open(address, user, shared.ledger.clone(), shared.subscribers.clone()).await?;
    let subscriber = listener.subscribe(&Topic::Request(request_id), Some(intent)).await?;
    while let Some(event) = listener.next(END_WITHIN).await? {
        if event == Event::Final(subscriber) {
            return Ok(Arrival::Answered(sent.elapsed()));
        }
    }
    listener.hang();
    Ok(Arrival::Lost)
}

impl Arrivals {
    fn count(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Answered(took) => self.answered.push(took),
            Arrival::Refused { took, properly } => {
                self.refused.push(took);
                self.improperly_refused += u64::from(!properly);
            }
            Arrival::Lost => self.lost += 1,
        }
    }
}

fn judge_refusals(loaded: &Arrivals, report: &mut Report) {
    let (refused, improper) = (loaded.refused.len(), loaded.improperly_refused);
    report.check(
        refused > loaded.answered.len(),
        format_args!("{refused} of the requests were refused: too many came"),
    );
    report.check(improper == 0, format_args!("{improper} refusals not typed, or without Retry-After"));
    report.check(loaded.lost == 0, format_args!("{} requests without a reply or an answer", loaded.lost));
    say(format_args!("        the slowest refusal took {:?}", percentile(&loaded.refused, 100)));
    report.time(percentile(&loaded.refused, 99), REFUSED_WITHIN, "99 of 100 refusals within");
}

fn judge_answers(unloaded: &Arrivals, loaded: &Arrivals, report: &mut Report) {
    let alone = percentile(&unloaded.answered, 99);
    say(format_args!("        99 of 100 answers without load within {alone:?}"));
    report.time(percentile(&loaded.answered, 99), 2 * alone, "99 of 100 admitted answers within");
}

fn judge_what_is_left(growth: u64, recovered: Duration, report: &mut Report) {
    let (growth, most) = (growth >> 20, MOST_GROWTH_BYTES >> 20);
    report.check(growth <= most, format_args!("memory grew by {growth} MiB, bound {most} MiB"));
    let what = format_args!("a place again {recovered:?} after the load, bound {RECOVERED_WITHIN:?}");
    report.check(recovered <= RECOVERED_WITHIN, what);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_ten_times_what_the_places_allow() {
        assert_eq!(REQUESTS_A_SECOND, 200);
    }
}
