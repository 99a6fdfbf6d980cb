//! `kill9`: the process is killed again and again with requests in flight.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

use super::{
    Plan,
    client::{END_WITHIN, Manners},
    report::{Report, say},
    stage::{Setting, Stage},
};

/// Cycles of the short form, and of the whole one.
pub const CYCLES: (u32, u32) = (25, 200);

const USERS: u64 = 8;
const CLIENTS: u64 = 24;

/// How long a process lives before it is killed. Some die while they still recover what the one before left.
const LIFE_MILLISECONDS: std::ops::Range<u64> = 5..800;

/// How often progress is told.
const CYCLES_A_LINE: u32 = 5;

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let cycles = plan.cycles(CYCLES);
    let setting = Setting { users: USERS, pieces: (1, 8), milliseconds: (5, 40), ..Setting::default() };
    let mut stage = Stage::set(plan, setting).await?;
    let mut random = plan.random();
    let load = stage.load(CLIENTS, Manners { cancels_percent: 10, ..Manners::default() })?;
    for cycle in 1..=cycles {
        sleep(Duration::from_millis(random.u64(LIFE_MILLISECONDS))).await;
        stage.subject.kill9().await?;
        stage.subject.restart().await?;
        if cycle % CYCLES_A_LINE == 0 || cycle == cycles {
            let counts = load.counts();
            let (accepted, ended) = (counts.accepted_so_far(), counts.ended_so_far());
            say(format_args!("        cycle {cycle} of {cycles}: {accepted} accepted, {ended} ended"));
        }
    }
    let judgement = stage.judge(load).await?;
    report.nothing_accepted_is_lost(&judgement);
    report.recovered(&judgement, END_WITHIN);
    stage.strike(report).await
}
