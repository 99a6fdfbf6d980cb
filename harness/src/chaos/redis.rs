//! `redis`: the store of conversations is frozen, killed and full, and requests go on as if it were not.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    Plan,
    audit::Accepted,
    client::Manners,
    fact::User,
    load::Load,
    place::token,
    report::Report,
    stage::{Setting, Stage},
};
use crate::{graphql::GraphqlClient, redis::RedisServer};

/// How long Redis is away each time, in the short form and in the whole one.
pub const SECONDS: (u64, u64) = (2, 30);

const USERS: u64 = 32;
const CLIENTS: u64 = 16;

/// Within this time after Redis is back, everything that was said meanwhile is in it.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks whether it is.
const LOOK: Duration = Duration::from_millis(200);

/// Requests whose messages are asked for at once: a page has 100 messages.
const REQUESTS_A_PAGE: usize = 50;

/// Within this time after the load, the conversations are whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(20);

const MESSAGES: &str =
    "query($requestIds: [ID!]) { aiMessages(requestIds: $requestIds, last: 100) { nodes { requestId } } }";

/// What is done to Redis.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Frozen,
    Killed,
    Full,
}

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let mut redis = RedisServer::start().await?;
    let config = [
        ("conversation", "store", json!("redis")),
        ("conversation", "redis", json!({ "url": redis.url() })),
        // So that everything that was said can be counted.
        ("conversation", "max_messages", json!(100_000)),
    ];
    let setting = Setting {
        users: USERS,
        pieces: (1, 5),
        milliseconds: (10, 60),
        config: &config,
        ..Setting::default()
    };
    let mut stage = Stage::set(plan, setting).await?;
    let mut load =
        stage.load(CLIENTS, Manners { cancels_percent: 10, chats_only: true, ..Manners::default() })?;
    for fault in [Fault::Frozen, Fault::Killed, Fault::Full] {
        go_on_without(fault, &mut redis, &load, plan, report).await?;
    }
    load.finish().await;
    whole(&mut stage, &load.shared().all_accepted(), report).await?;
    let judgement = stage.judge(load).await?;
    report.nothing_accepted_is_lost(&judgement);
    report.check(judgement.refused.is_empty(), "nothing was refused while Redis was away");
    stage.strike(report).await
}

/// Does something to Redis and looks whether requests go on to end meanwhile.
async fn go_on_without(
    fault: Fault,
    redis: &mut RedisServer,
    load: &Load,
    plan: &Plan,
    report: &mut Report,
) -> Result<()> {
    until_more_end(load).await?;
    let asked_before = load.shared().all_accepted().len();
    fault.begin(redis).await?;
    let before = load.counts().ended_so_far();
    sleep(Duration::from_secs(plan.seconds(SECONDS))).await;
    let went_on = until_more_end(load).await;
    let ended = load.counts().ended_so_far() - before;
    let asked = load.shared().all_accepted().split_off(asked_before);
    fault.end(redis).await?;
    let back = Instant::now();
    report.check(went_on.is_ok(), format_args!("{ended} requests ended with Redis {fault:?}"));
    caught_up(redis, &asked, back, report).await
}

/// Checks that the questions of all that was accepted meanwhile are in Redis itself soon after it is back.
async fn caught_up(
    redis: &RedisServer,
    asked: &[Accepted],
    back: Instant,
    report: &mut Report,
) -> Result<()> {
    let missing = loop {
        let missing = missing_in(redis, asked).await?;
        if missing.is_empty() || back.elapsed() > CAUGHT_UP_WITHIN {
            break missing;
        }
        sleep(LOOK).await;
    };
    let (count, took) = (asked.len(), back.elapsed());
    report.none(
        &missing,
        format_args!(
            "of {count} questions not in Redis {took:?} after its return, bound {CAUGHT_UP_WITHIN:?}"
        ),
    );
    Ok(())
}

/// The requests of which nothing is among the newest of their user's stream.
async fn missing_in(redis: &RedisServer, asked: &[Accepted]) -> Result<Vec<String>> {
    let mut counts: HashMap<User, usize> = HashMap::new();
    asked.iter().for_each(|request| *counts.entry(request.user).or_default() += 1);
    let mut streams: HashMap<User, HashSet<String>> = HashMap::new();
    for (user, count) in counts {
        // A question and an answer each, and what has come since.
        streams.insert(user, newest_requests_in(redis, user, 4 * count + 100).await?);
    }
    let is_there = |request: &Accepted| {
        streams.get(&request.user).is_some_and(|stream| stream.contains(&request.request_id))
    };
    Ok(asked.iter().filter(|request| !is_there(request)).map(|request| request.request_id.clone()).collect())
}

/// The requests that the newest entries of the user's stream belong to.
async fn newest_requests_in(redis: &RedisServer, user: User, most: usize) -> Result<HashSet<String>> {
    type Entry = (String, Vec<(String, String)>);
    let (key, most) = (format!("ai_chat:{user}"), most.to_string());
    let entries: Vec<Entry> = redis.run(&["XREVRANGE", &key, "+", "-", "COUNT", &most]).await?;
    let fields = entries.into_iter().flat_map(|(_, fields)| fields);
    Ok(fields.filter(|(name, _)| name == "request_id").map(|(_, value)| value).collect())
}

/// Waits until each client may have heard an end once more.
async fn until_more_end(load: &Load) -> Result<()> {
    let before = load.counts().ended_so_far();
    load.counts().until(|counts| counts.ended_so_far() >= before + CLIENTS).await
}

impl Fault {
    async fn begin(self, redis: &mut RedisServer) -> Result<()> {
        match self {
            Self::Frozen => redis.freeze().await,
            Self::Killed => redis.kill9().await,
            Self::Full => redis.fill().await,
        }
    }

    async fn end(self, redis: &mut RedisServer) -> Result<()> {
        match self {
            Self::Frozen => redis.thaw().await,
            Self::Killed => redis.restart().await,
            Self::Full => redis.make_room().await,
        }
    }
}

/// Checks that the conversations have everything: a question and an answer each.
async fn whole(stage: &mut Stage, accepted: &[Accepted], report: &mut Report) -> Result<()> {
    let end = Instant::now() + WHOLE_WITHIN;
    let incomplete = loop {
        let incomplete = incomplete(stage, accepted).await?;
        if incomplete.is_empty() || Instant::now() > end {
            break incomplete;
        }
        sleep(LOOK).await;
    };
    let chats = accepted.len();
    report.none(
        &incomplete,
        format_args!("of {chats} chats not whole in the conversations, each message once"),
    );
    Ok(())
}

/// The requests that have not two messages in their user's conversation.
async fn incomplete(stage: &mut Stage, accepted: &[Accepted]) -> Result<Vec<String>> {
    let mut of_users: HashMap<User, Vec<&str>> = HashMap::new();
    for request in accepted {
        of_users.entry(request.user).or_default().push(&request.request_id);
    }
    let mut incomplete = Vec::new();
    for (user, requests) in of_users {
        let graphql = stage.subject.server().graphql(&token(user))?;
        for page in requests.chunks(REQUESTS_A_PAGE) {
            incomplete.extend(incomplete_of(&graphql, page).await?);
        }
    }
    Ok(incomplete)
}

async fn incomplete_of(graphql: &GraphqlClient, page: &[&str]) -> Result<Vec<String>> {
    let reply = graphql.post(MESSAGES, json!({ "requestIds": page })).await?;
    let nodes = reply.at("/data/aiMessages/nodes");
    let Some(nodes) = nodes.as_array() else {
        // It may be there at the next look.
        return Ok(page.iter().map(|id| format!("{id}: {}", reply.text)).collect());
    };
    let messages = |request_id: &str| {
        nodes.iter().filter(|node| node.get("requestId").and_then(Value::as_str) == Some(request_id)).count()
    };
    let counted = page.iter().map(|request_id| (request_id, messages(request_id)));
    Ok(counted
        .filter(|(_, count)| *count != 2)
        .map(|(id, count)| format!("{id}: {count} messages"))
        .collect())
}
