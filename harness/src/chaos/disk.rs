//! `disk`: the store is full, again and again, and has room again when what is old is forgotten.

use anyhow::{Context, Result};
use serde_json::json;

use super::{
    Plan,
    client::Manners,
    judge::Judgement,
    load::Load,
    place::token,
    report::{Report, say},
    stage::{Setting, Stage},
};

/// How often the store is full, in the short form and in the whole one.
pub const CYCLES: (u32, u32) = (2, 10);

const USERS: u64 = 8;
const CLIENTS: u64 = 24;

/// The smallest store there is, and half of it for what was accepted. Answers of some 20 KB fill it in seconds.
const STORE_BYTES: u64 = 2 << 20;
const RESERVE_BYTES: u64 = 1 << 20;
const PADDING: usize = 2_000;

/// Refusals that show that the store was not full for one request only.
const REFUSALS: u64 = 20;

const MESSAGES: &str = "{ aiMessages(last: 10) { nodes { requestId } } }";

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let config = [
        ("storage", "max_bytes", json!(STORE_BYTES)),
        ("storage", "reserve_bytes", json!(RESERVE_BYTES)),
        ("pipeline", "sweep_seconds", json!(1)),
        ("pipeline", "terminal_retention_seconds", json!(3)),
        // Conversations are kept for days and must not be what fills the store.
        ("conversation", "max_messages", json!(4)),
    ];
    let setting = Setting {
        users: USERS,
        pieces: (8, 12),
        milliseconds: (5, 30),
        padding: PADDING,
        config: &config,
        ..Setting::default()
    };
    let mut stage = Stage::set(plan, setting).await?;
    let load = stage.load(CLIENTS, Manners { cancels_percent: 10, ..Manners::default() })?;
    let cycles = plan.cycles(CYCLES);
    for cycle in 1..=cycles {
        fill_and_recover(&mut stage, &load, report).await?;
        let (accepted, refused) = (load.counts().accepted_so_far(), load.counts().refused_so_far());
        say(format_args!("        cycle {cycle} of {cycles}: {accepted} accepted, {refused} refused"));
    }
    // What is forgotten after seconds cannot be looked at again.
    let judgement = stage.judge_as_heard(load).await?;
    report.nothing_accepted_is_lost(&judgement);
    only_the_store_refused(&judgement, report);
    stage.strike(report).await
}

/// Waits until requests are refused, looks whether reads go on, and waits until requests are accepted again.
async fn fill_and_recover(stage: &mut Stage, load: &Load, report: &mut Report) -> Result<()> {
    let counts = load.counts();
    let refused = counts.refused_so_far();
    counts
        .until(|counts| counts.refused_so_far() >= refused + REFUSALS)
        .await
        .context("the store is not full")?;
    let reply = stage.subject.server().graphql(&token(1))?.post(MESSAGES, json!({})).await?;
    let reads = reply.status == 200 && reply.at("/data/aiMessages/nodes").is_array();
    report.check(
        reads,
        format_args!("a full store is read: {} {}", reply.status, reply.code().unwrap_or_default()),
    );
    let accepted = counts.accepted_so_far();
    counts.until(|counts| counts.accepted_so_far() > accepted + CLIENTS).await.context("the store stays full")
}

fn only_the_store_refused(judgement: &Judgement, report: &mut Report) {
    let codes: Vec<&str> = judgement.refused.keys().map(String::as_str).collect();
    report.check(
        codes == ["503 storage_unavailable"],
        format_args!("refused only for want of room: {codes:?}"),
    );
    let failed =
        judgement.outcomes.keys().filter(|what| !["completed", "cancelled"].contains(&what.as_str())).count();
    report.check(failed == 0, "what was accepted was answered although the store was full");
}
