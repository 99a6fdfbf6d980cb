//! `term`: the process is asked to end with requests in flight, again and again.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    Plan,
    client::{END_WITHIN, Manners},
    report::{Report, say},
    stage::{Setting, Stage},
};

/// Cycles of the short form, and of the whole one.
pub const CYCLES: (u32, u32) = (3, 20);

const USERS: u64 = 8;
const CLIENTS: u64 = 24;
const DRAIN_SECONDS: u64 = 1;

/// What closing sockets, the last writes and a busy machine may add to the drain.
const AFTER_THE_DRAIN: Duration = Duration::from_secs(8);

/// Answers take up to 4 seconds, so that some end within the drain and some do not.
const PIECES: (u64, u64) = (1, 30);
const MILLISECONDS: (u64, u64) = (10, 150);

const LIFE_MILLISECONDS: std::ops::Range<u64> = 300..1_500;

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let config = [("server", "drain_seconds", json!(DRAIN_SECONDS))];
    let setting = Setting {
        users: USERS,
        pieces: PIECES,
        milliseconds: MILLISECONDS,
        config: &config,
        ..Setting::default()
    };
    let mut stage = Stage::set(plan, setting).await?;
    let mut random = plan.random();
    let load = stage.load(CLIENTS, Manners { cancels_percent: 10, ..Manners::default() })?;
    let (cycles, mut slowest, mut unclean) = (plan.cycles(CYCLES), Duration::ZERO, Vec::new());
    for cycle in 1..=cycles {
        sleep(Duration::from_millis(random.u64(LIFE_MILLISECONDS))).await;
        let (asked, before) = (Instant::now(), load.counts().ended_so_far());
        let status = stage.subject.terminate().await?;
        slowest = slowest.max(asked.elapsed());
        let drained = load.counts().ended_so_far() - before;
        say(format_args!("        cycle {cycle} of {cycles}: {status}, {drained} ended within the drain"));
        if status.code() != Some(0) {
            unclean.push(format!("cycle {cycle}: {status}"));
        }
        stage.subject.restart().await?;
    }
    let judgement = stage.judge(load).await?;
    report.none(&unclean, format_args!("of {cycles} ends without exit code 0"));
    report.time(slowest, Duration::from_secs(DRAIN_SECONDS) + AFTER_THE_DRAIN, "from SIGTERM to the end");
    report.nothing_accepted_is_lost(&judgement);
    report.recovered(&judgement, END_WITHIN);
    stage.strike(report).await
}
