//! `isolation`: a thousand users at once, who call their pages alike, listen to all their chats and to each other's
//! requests, and cancel at random. Each answer carries its canary.

use anyhow::Result;
use serde_json::json;

use super::{
    Plan,
    client::Manners,
    fact::CANCELLED,
    place::OUT_OF_THE_WAY,
    report::{Report, say},
    stage::{Setting, Stage},
};

/// Requests of each user, in the short form and in the whole one.
pub const CYCLES: (u32, u32) = (1, 10);

pub const USERS: u64 = 1_000;

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let config = [
        ("logging", "level", json!("warn")),
        // All of them come at once.
        ("server", "max_new_connections_per_second", json!(OUT_OF_THE_WAY)),
    ];
    let setting = Setting {
        users: USERS,
        pieces: (4, 8),
        milliseconds: (300, 900),
        config: &config,
        ..Setting::default()
    };
    let mut stage = Stage::set(plan, setting).await?;
    let requests = Some(u64::from(plan.cycles(CYCLES)));
    let mut load =
        stage.load(USERS, Manners { cancels_percent: 20, tempts: true, requests, ..Manners::default() })?;
    load.wait().await;
    let counts = load.counts();
    say(format_args!("        {} accepted, {} ended", counts.accepted_so_far(), counts.ended_so_far()));
    let judgement = stage.judge(load).await?;
    report.nothing_accepted_is_lost(&judgement);
    let due = USERS * u64::from(plan.cycles(CYCLES));
    report.check(judgement.accepted == due, format_args!("{due} requests of {USERS} users were accepted"));
    report.check(judgement.outcomes.contains_key(CANCELLED), "some requests were cancelled");
    stage.strike(report).await
}
