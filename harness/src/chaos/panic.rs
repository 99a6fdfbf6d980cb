//! `panic`: each actor panics with a message in hand, under load; then one of them so often that the process gives up.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    Plan,
    client::Manners,
    judge::Judgement,
    load::Load,
    report::{Report, say},
    stage::{Setting, Stage},
    subject::Subject,
};
use crate::server::PATIENCE;

/// How often each actor panics, in the short form and in the whole one.
pub const CYCLES: (u32, u32) = (2, 20);

const ACTORS: [&str; 6] = ["auth", "feature_flag", "policy", "cache", "completion", "broadcaster"];

/// A restart takes no longer than this.
const RESTARTED_WITHIN: Duration = Duration::from_millis(100);

/// Between two panics. Each actor has its next one six panics later, so that it is not given up.
const APART_MILLISECONDS: std::ops::Range<u64> = 400..700;

/// More panics than an actor is given restarts (`pipeline.max_restarts`).
const TOO_MANY: u32 = 20;

/// As many panics as it takes until the process gives up: the restarts there are, and one more.
const UNTIL_GIVEN_UP: u64 = 6;

const USERS: u64 = 8;
const CLIENTS: u64 = 24;

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    // What is read from the log is in it, and nothing of each request.
    let config = [("logging", "level", json!("warn"))];
    let binary = Some(plan.faulty.clone());
    let setting = Setting {
        users: USERS,
        pieces: (1, 8),
        milliseconds: (5, 40),
        config: &config,
        binary,
        ..Setting::default()
    };
    let mut stage = Stage::set(plan, setting).await?;
    let load = stage.load(CLIENTS, Manners { cancels_percent: 10, ..Manners::default() })?;
    let panics = each_actor(plan, &mut stage.subject, report).await?;
    // From here on the process leaves, and refuses what comes meanwhile.
    let refused = load.counts().refused_so_far();
    given_up(plan, &mut stage, &load, report).await?;
    let judgement = stage.judge(load).await?;
    report.nothing_accepted_is_lost(&judgement);
    others_are_unharmed(&judgement, panics, refused, report);
    stage.strike(report).await
}

/// Lets each actor panic in turn; how many panics there were.
async fn each_actor(plan: &Plan, subject: &mut Subject, report: &mut Report) -> Result<u64> {
    let (cycles, mut random) = (plan.cycles(CYCLES), plan.random());
    let mut slowest = Duration::ZERO;
    for cycle in 1..=cycles {
        for actor in ACTORS {
            sleep(Duration::from_millis(random.u64(APART_MILLISECONDS))).await;
            subject.server().tell(&format!("panic {actor} 1")).await?;
            let times = usize::try_from(cycle)?;
            let took = restarts(subject, actor, times).await?;
            slowest = took.into_iter().max().unwrap_or_default().max(slowest);
        }
        say(format_args!("        cycle {cycle} of {cycles}: each actor panicked and works again"));
    }
    report.time(slowest, RESTARTED_WITHIN, "longest time from a panic to the actor's restart");
    Ok(u64::from(cycles) * ACTORS.len() as u64)
}

/// Waits until `actor` was restarted after `times` panics; how long each took.
async fn restarts(subject: &mut Subject, actor: &str, times: usize) -> Result<Vec<Duration>> {
    let seen = async {
        loop {
            let took = restarted(&subject.server().log()?, actor);
            if took.len() >= times {
                return Ok(took);
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, seen).await.with_context(|| format!("{actor} was not restarted"))?
}

/// What the log says of an actor's restarts.
fn restarted(log: &str, actor: &str) -> Vec<Duration> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line.get("message").is_some_and(|message| message == "actor restarted"))
        .filter(|line| line.get("actor").is_some_and(|of| of == actor))
        .filter_map(|line| Some(Duration::from_secs_f64(line.get("milliseconds")?.as_f64()? / 1_000.0)))
        .collect()
}

/// Lets one actor panic until the process gives up, and starts the server itself on what is left.
async fn given_up(plan: &Plan, stage: &mut Stage, load: &Load, report: &mut Report) -> Result<()> {
    let mut random = plan.random();
    let actor = ACTORS.get(random.usize(0..ACTORS.len())).copied().context("there are no actors")?;
    stage.subject.server().tell(&format!("panic {actor} {TOO_MANY}")).await?;
    let status = stage.subject.ended().await?;
    report.check(
        status.code() == Some(1),
        format_args!("{actor} panicked too often, and the process: {status}"),
    );
    let accepted = load.counts().accepted_so_far();
    stage.subject.server().home_mut().set_binary(&plan.server);
    stage.subject.restart().await?;
    load.counts().until(|counts| counts.accepted_so_far() > accepted + CLIENTS).await
}

/// A panic may end the one request in hand, and no other.
fn others_are_unharmed(judgement: &Judgement, panics: u64, refused: u64, report: &mut Report) {
    let panics = panics + UNTIL_GIVEN_UP;
    let harmed = refused + judgement.outcomes.get("internal").copied().unwrap_or_default();
    let what = format_args!("{panics} panics harmed {harmed} requests, no more than were in hand");
    report.check(harmed <= panics, what);
    let faults = judgement.outcomes.iter().filter(|(what, _)| is_a_fault(what));
    let others: u64 = faults.map(|(_, count)| count).sum();
    report.check(others == 0, format_args!("{others} requests failed in another way"));
}

/// Whether a request that ended so was harmed by something else than a panic.
fn is_a_fault(outcome: &str) -> bool {
    !["completed", "cancelled", "internal"].contains(&outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_are_read_from_the_log() {
        let log = "no JSON\n\
                   {\"message\":\"actor restarted\",\"actor\":\"auth\",\"milliseconds\":1.5}\n\
                   {\"message\":\"actor restarted\",\"actor\":\"cache\",\"milliseconds\":2.0}\n\
                   {\"message\":\"actor panicked\",\"actor\":\"auth\"}\n";
        assert_eq!(restarted(log, "auth"), [Duration::from_micros(1_500)]);
        assert!(restarted(log, "policy").is_empty());
    }
}
