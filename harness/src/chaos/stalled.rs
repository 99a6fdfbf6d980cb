//! `stalled`: a thousand sockets over which answers stream, first all of them read, then a tenth of them never does. The
//! others must not notice, the server's memory must not either, and those who do not read must be gone soon.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::{JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{
    Plan,
    client::{END_WITHIN, Manners, ask},
    fact::{Fact, Intent, User},
    listener::{Event, Listener, Topic},
    load::Shared,
    page::{self, Whole},
    place::OUT_OF_THE_WAY,
    report::{Report, percentile, say},
    stage::{Setting, Stage},
};
use crate::transport_ws::TransportWs;

/// How long answers stream with and without those who do not read, in the short form and in the whole one.
pub const SECONDS: (u64, u64) = (6, 30);

const USERS: u64 = 100;

/// Sockets of each user: one whose every message is in the ledger, and pages.
const SOCKETS: u64 = 10;

/// Of the pages of each user, so many never read in the second part.
const STALLED: u64 = 1;

/// An answer is eight pieces of two kilobytes, one every 50 ms: in six seconds those who do not read are owed more than
/// memory may grow by.
const PIECES: u64 = 8;
const PIECE_MILLISECONDS: u64 = 50;
const PADDING: usize = 2_000;

/// What the kernel takes for each socket: so little that the server soon has to wait for those who do not read.
const SEND_BUFFER_BYTES: u64 = 16_384;

/// Answers kept for replay, of all users. Nearly full in the first part already, so that what the second adds is not
/// theirs; and kept for some seconds, so that who asked still finds an answer that ended before they listened.
const RETAINED_BYTES: u64 = 24 << 20;

/// What one who does not read may cost: what was taken from the log for it (`websocket.read_batch_bytes`), as messages
/// and as frames.
const BYTES_OF_A_STALLED_READER: u64 = 2 * 65_536;

/// What a thousand sockets may add whoever reads: the allocator gives back late.
const SLACK_BYTES: u64 = 24 << 20;

const MOST_GROWTH_BYTES: u64 = USERS * STALLED * BYTES_OF_A_STALLED_READER + SLACK_BYTES;

/// A ping every 2 seconds, 10 for its pong, or 10 for one send; and the time until the buffers are full.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// The server's figures of sockets that are open, and of those it has dropped because a send took too long.
const OPEN: &str = "duologue_websocket_connections{protocol=\"graphql-transport-ws\"} ";
const DROPPED: &str = "duologue_websocket_stalled_readers_total ";

const LOOK: Duration = Duration::from_millis(100);

/// The sockets of one user.
struct Household {
    user: User,
    /// What the pages call themselves: in each part otherwise, so that nothing of the first is sent again in the second.
    page: &'static str,
    listener: Listener,
    answers: UnboundedReceiver<Whole>,
    readers: JoinSet<Result<()>>,
    stalled: Vec<TransportWs>,
}

/// What came of a part of the run.
#[derive(Default)]
struct Part {
    /// From the question to the whole answer, for each page that reads.
    answers: Vec<Duration>,
    /// What went wrong for those that read.
    faults: Vec<String>,
}

pub async fn run(plan: &Plan, report: &mut Report) -> Result<()> {
    let config = [
        ("logging", "level", json!("warn")),
        ("server", "max_new_connections_per_second", json!(OUT_OF_THE_WAY)),
        ("pipeline", "retained_bytes", json!(RETAINED_BYTES)),
        ("server", "send_buffer_bytes", json!(SEND_BUFFER_BYTES)),
    ];
    let (pieces, milliseconds) = ((PIECES, PIECES), (PIECE_MILLISECONDS, PIECE_MILLISECONDS));
    let setting = Setting {
        users: USERS,
        pieces,
        milliseconds,
        padding: PADDING,
        config: &config,
        ..Setting::default()
    };
    let mut stage = Stage::set(plan, setting).await?;
    let shared = stage.shared(Manners::default())?;
    let seconds = Duration::from_secs(plan.seconds(SECONDS));

    let mut households = open_all(&shared, "all read", 0).await?;
    let alone = stream(&shared, &mut households, seconds).await?;
    drop(households);
    let closed = timeout(GONE_WITHIN, until_open(&stage, |open| open == 0)).await;
    closed.context("sockets of the first part are still open")??;

    let before = stage.subject.server().highest_memory_bytes()?;
    let mut households = open_all(&shared, "not all read", STALLED).await?;
    let gone = gone(&stage, Instant::now());
    let (beside, gone) = tokio::join!(stream(&shared, &mut households, seconds), gone);
    let (beside, metrics) = (beside?, stage.metrics().await?);
    let growth = stage.subject.server().highest_memory_bytes()?.saturating_sub(before);
    judge(report, &alone, &beside, gone?);
    let stalled = figure(&metrics, DROPPED).unwrap_or_default();
    say(format_args!(
        "        {stalled} of them because a send took too long, the others for want of a pong"
    ));
    let (growth, most) = (growth >> 20, MOST_GROWTH_BYTES >> 20);
    report.check(growth <= most, format_args!("memory grew by {growth} MiB, bound {most} MiB"));
    drop(households);

    // What fills the log is forgotten too soon for a look back.
    let judgement = stage.judge_as_noted().await?;
    report.nothing_accepted_is_lost(&judgement);
    stage.strike(report).await
}

fn judge(report: &mut Report, alone: &Part, beside: &Part, gone: Option<Duration>) {
    let (sockets, stalled) = (USERS * SOCKETS, USERS * STALLED);
    say(format_args!("        {sockets} sockets, of which {stalled} never read in the second part"));
    for (part, when) in [(alone, "when all read"), (beside, "beside those who do not")] {
        report.check(!part.answers.is_empty(), format_args!("{} answers came {when}", part.answers.len()));
        report.none(&part.faults, format_args!("pages to which an answer did not come whole {when}"));
    }
    let usual = percentile(&alone.answers, 99);
    say(format_args!("        99 of 100 answers when all read within {usual:?}"));
    report.time(
        percentile(&beside.answers, 99),
        usual + (usual / 4).max(LOOK),
        "99 of 100 answers beside those who do not within",
    );
    let gone_after = gone.unwrap_or(GONE_WITHIN);
    let what = format_args!("those who do not read were gone after {gone_after:?}, bound {GONE_WITHIN:?}");
    report.check(gone.is_some(), what);
}

/// Opens the sockets of all users; so many of each user's never read.
async fn open_all(shared: &Shared, page: &'static str, stalled: u64) -> Result<Vec<Household>> {
    let mut opening = JoinSet::new();
    for user in 1..=USERS {
        opening.spawn(Household::open(shared.clone(), user, page, stalled));
    }
    let mut households = Vec::new();
    while let Some(opened) = opening.join_next().await {
        households.push(opened??);
    }
    Ok(households)
}

/// Lets all users ask again and again, each with an answer on its way at a time.
async fn stream(shared: &Shared, households: &mut [Household], time: Duration) -> Result<Part> {
    let end = Instant::now() + time;
    let parts = households.iter_mut().map(|household| household.live(shared, end));
    let mut whole = Part::default();
    for part in futures::future::join_all(parts).await {
        let Part { answers, faults } = part?;
        whole.answers.extend(answers);
        whole.faults.extend(faults);
    }
    Ok(whole)
}

/// How long it takes until only those sockets are open that are read from; nothing when it takes too long.
async fn gone(stage: &Stage, since: Instant) -> Result<Option<Duration>> {
    let reading = USERS * (SOCKETS - STALLED);
    match timeout(GONE_WITHIN, until_open(stage, |open| open <= reading)).await {
        Ok(looked) => looked.map(|()| Some(since.elapsed())),
        Err(_) => Ok(None),
    }
}

/// Waits until the server says that so many websockets are open.
async fn until_open(stage: &Stage, enough: impl Fn(u64) -> bool) -> Result<()> {
    let open =
        async || figure(&stage.metrics().await?, OPEN).context("the server does not tell of its websockets");
    while !enough(open().await?) {
        sleep(LOOK).await;
    }
    Ok(())
}

/// Why a page reads no more.
fn why(ended: Result<Result<()>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "it reads no more".to_owned(),
        Ok(Err(error)) => format!("{error:#}"),
        Err(error) => error.to_string(),
    }
}

/// A figure of those the server counts; what has never happened is not among them.
fn figure(metrics: &str, series: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(series))?.parse().ok()
}

impl Household {
    async fn open(shared: Shared, user: User, page: &'static str, stalled: u64) -> Result<Self> {
        let address = shared.address()?;
        let listener =
            Listener::open(address, user, shared.ledger.clone(), shared.subscribers.clone()).await?;
        let (whole, answers) = unbounded_channel();
        let mut household =
            Self { user, page, listener, answers, readers: JoinSet::new(), stalled: Vec::new() };
        for _ in 0..stalled {
            household.stalled.push(page::open_unread(address, user, page).await?);
        }
        for _ in stalled..SOCKETS - 1 {
            household.readers.spawn(page::read(page::open(address, user, page).await?, whole.clone()));
        }
        Ok(household)
    }

    /// Asks until the time is over; every answer must come to each page that reads.
    async fn live(&mut self, shared: &Shared, end: Instant) -> Result<Part> {
        let mut part = Part::default();
        while Instant::now() < end && part.faults.is_empty() {
            self.request(shared, &mut part).await?;
        }
        Ok(part)
    }

    async fn request(&mut self, shared: &Shared, part: &mut Part) -> Result<()> {
        let sent = Instant::now();
        let (intent, fact) = ask(shared, self.user, Some(self.page)).await?;
        let Fact::Acknowledged { request_id, .. } = fact else { bail!("not accepted: {fact:?}") };
        self.listen_to_the_end(&request_id, intent).await?;
        for _ in 0..self.readers.len() {
            tokio::select! {
                Some(whole) = self.answers.recv() => {
                    if whole.request_id != request_id {
                        part.faults.push(format!("{} in place of {request_id}", whole.request_id));
                    }
                    part.answers.push(whole.at - sent);
                }
                Some(ended) = self.readers.join_next() => part.faults.push(why(ended)),
                () = sleep(END_WITHIN) => part.faults.push(format!("{request_id} does not come")),
            }
        }
        Ok(())
    }

    /// The same answer once more, for the ledger.
    async fn listen_to_the_end(&mut self, request_id: &str, intent: Intent) -> Result<()> {
        let topic = Topic::Request(request_id.to_owned());
        let subscriber = self.listener.subscribe(&topic, Some(intent)).await?;
        while let Some(event) = self.listener.next(END_WITHIN).await? {
            if event == Event::Final(subscriber) {
                return self.listener.leave(subscriber).await;
            }
        }
        bail!("no final of {request_id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_under_its_whole_name() {
        let metrics = "# TYPE duologue_websocket_connections gauge
duologue_websocket_connections{protocol=\"actioncable\"} 7
duologue_websocket_connections{protocol=\"graphql-transport-ws\"} 900
";
        assert_eq!((figure(metrics, OPEN), figure(metrics, DROPPED)), (Some(900), None));
    }
}
