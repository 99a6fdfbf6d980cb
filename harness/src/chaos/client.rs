//! One client: asks, listens until its answer has ended whatever happens to the server meanwhile, and asks again.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{
    audit::Accepted,
    fact::{Fact, Intent, Subscriber, User, canary},
    listener::{Event, Listener, Topic},
    load::Shared,
    place::{RESOURCE, token},
};
use crate::graphql::{GraphqlClient, Reply};

/// How long an answer is waited for once there is a server; everything must have ended by then.
pub const END_WITHIN: Duration = Duration::from_secs(60);

/// Before something that failed is tried again: long enough not to do nothing else, short enough to be there
/// right after a restart.
const BREATH: Duration = Duration::from_millis(50);

/// Within this time after it was accepted, a request that is to be cancelled is.
const CANCELLED_WITHIN_MILLISECONDS: u64 = 150;

/// A status, by which a server closes a connection.
const REQUEST_TIMEOUT: u16 = 408;

const AI_ACTION: &str = "mutation($input: AiActionInput!) { aiAction(input: $input) { requestId errors } }";

const AI_CANCEL: &str = "mutation($requestId: ID!) { aiCancel(requestId: $requestId) { requestId } }";

/// What clients of a run do besides asking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// Of 100 requests, so many are cancelled by their owner.
    pub cancels_percent: u8,
    /// Calls its pages what everybody calls theirs, listens to its chats beside, and to other users' requests.
    pub tempts: bool,
    /// Asks only what is kept in conversations.
    pub chats_only: bool,
    /// Accepted requests after which a client ends by itself.
    pub requests: Option<u64>,
}

pub struct Client {
    user: User,
    random: fastrand::Rng,
    shared: Shared,
    listener: Option<Listener>,
}

/// How a wait for a final ended.
enum Wait {
    Over,
    /// The socket or the subscription is gone; the answer is still to come.
    Interrupted,
    /// Nothing came in time.
    Hangs,
}

impl Client {
    #[must_use]
    pub fn new(user: User, random: fastrand::Rng, shared: Shared) -> Self {
        Self { user, random, shared, listener: None }
    }

    pub async fn run(mut self) {
        let most = self.shared.manners.requests.unwrap_or(u64::MAX);
        let mut accepted = 0;
        while accepted < most && !self.shared.is_stopping() {
            accepted += u64::from(self.request(accepted).await);
        }
    }

    /// One request from its intent to its end; whether it was accepted.
    async fn request(&mut self, number: u64) -> bool {
        let Some(graphql) = self.graphql().await else {
            return false;
        };
        let intent = self.shared.intents.next();
        let label =
            if self.shared.manners.tempts { format!("page-{number}") } else { format!("page-{intent}") };
        let page = Topic::Page(label.clone());
        let early = if self.random.bool() { self.subscribe(&page, intent).await.ok() } else { None };
        let Some(request_id) = self.submit(&graphql, intent, &label).await else {
            self.leave(early).await;
            return false;
        };
        let late = if self.random.bool() { page } else { Topic::Request(request_id.clone()) };
        let cancel = cancel(&graphql, &request_id, self.cancels_after());
        tokio::join!(self.listen_to_the_end(intent, early, &late), cancel);
        true
    }

    /// The way to the server, as soon as there is one.
    async fn graphql(&mut self) -> Option<GraphqlClient> {
        let address = self.address().await.ok()?;
        Some(self.shared.http.sharing(format!("http://{address}/api/graphql"), &token(self.user)))
    }

    async fn address(&mut self) -> Result<SocketAddr> {
        let found = timeout(END_WITHIN, self.shared.whereabouts.wait_for(Option::is_some)).await;
        found.context("there is no server")??.context("there is no server")
    }

    /// Sends the request; its id when it was accepted.
    async fn submit(&mut self, graphql: &GraphqlClient, intent: Intent, label: &str) -> Option<String> {
        let mut input = self.input(intent);
        if let Some(fields) = input.as_object_mut() {
            fields.insert("clientSubscriptionId".to_owned(), json!(label));
        }
        self.shared.ledger.note(Fact::Intended { intent, user: self.user });
        let replied = graphql.post(AI_ACTION, json!({ "input": input })).await;
        let fact = settled(intent, &replied);
        self.shared.ledger.note(fact.clone());
        if let Fact::Acknowledged { request_id, .. } = fact {
            self.shared.note_accepted(Accepted { intent, user: self.user, request_id: request_id.clone() });
            return Some(request_id);
        }
        if matches!(fact, Fact::Refused { .. }) {
            self.shared.counts.refused();
        }
        sleep(BREATH).await;
        None
    }

    fn input(&mut self, intent: Intent) -> Value {
        let question = format!("Say {}", canary(intent));
        if self.shared.manners.chats_only || self.random.bool() {
            json!({ "chat": { "content": question } })
        } else {
            json!({ "explainCode": { "resourceId": RESOURCE, "code": question } })
        }
    }

    fn cancels_after(&mut self) -> Option<Duration> {
        let cancels = self.random.u8(0..100) < self.shared.manners.cancels_percent;
        cancels.then(|| Duration::from_millis(self.random.u64(0..CANCELLED_WITHIN_MILLISECONDS)))
    }

    async fn listen_to_the_end(&mut self, intent: Intent, early: Option<Subscriber>, topic: &Topic) {
        let mut subscriber = early;
        let mut patience = Instant::now() + END_WITHIN;
        while Instant::now() < patience {
            let Some(waiting) = subscriber.take() else {
                match self.subscribe(topic, intent).await {
                    Ok(again) => subscriber = Some(again),
                    Err(_) => sleep(BREATH).await,
                }
                continue;
            };
            match self.wait_for_the_final(waiting).await {
                Wait::Over => {
                    self.shared.counts.ended();
                    return self.leave(Some(waiting)).await;
                }
                Wait::Interrupted => patience = Instant::now() + END_WITHIN,
                Wait::Hangs => {
                    if let Some(listener) = self.listener.take() {
                        listener.hang();
                    }
                    return;
                }
            }
        }
    }

    async fn wait_for_the_final(&mut self, waiting: Subscriber) -> Wait {
        let end = Instant::now() + END_WITHIN;
        while let Some(listener) = &mut self.listener {
            match listener.next(end.duration_since(Instant::now())).await {
                Ok(Some(Event::Final(heard) | Event::Unknown(heard))) if heard == waiting => {
                    return Wait::Over;
                }
                Ok(Some(Event::Ended(ended))) if ended == waiting => return Wait::Interrupted,
                Ok(Some(_)) => {}
                Ok(None) => return Wait::Hangs,
                Err(_) => self.listener = None,
            }
        }
        Wait::Interrupted
    }

    /// Subscribes, on a new socket if there is none.
    async fn subscribe(&mut self, topic: &Topic, intent: Intent) -> Result<Subscriber> {
        self.connect().await?;
        let spied_on = if self.shared.manners.tempts { self.shared.last_accepted() } else { None };
        let listener = self.listener.as_mut().context("there is no socket")?;
        let subscribed = async {
            if let Some(request_id) = spied_on {
                // Most often somebody else's; of the client's own there is nothing wrong in hearing.
                listener.subscribe(&Topic::Request(request_id), None).await?;
            }
            listener.subscribe(topic, Some(intent)).await
        }
        .await;
        if subscribed.is_err() {
            self.listener = None;
        }
        subscribed
    }

    async fn connect(&mut self) -> Result<()> {
        if self.listener.is_some() {
            return Ok(());
        }
        let address = self.address().await?;
        let (ledger, subscribers) = (self.shared.ledger.clone(), self.shared.subscribers.clone());
        let mut listener = Listener::open(address, self.user, ledger, subscribers).await?;
        if self.shared.manners.tempts {
            listener.subscribe(&Topic::Chats, None).await?;
        }
        self.listener = Some(listener);
        Ok(())
    }

    async fn leave(&mut self, subscriber: Option<Subscriber>) {
        if let (Some(listener), Some(subscriber)) = (&mut self.listener, subscriber)
            && listener.leave(subscriber).await.is_err()
        {
            self.listener = None;
        }
    }
}

/// Asks for a chat, with this `clientSubscriptionId` if any, and notes what came of it.
///
/// # Errors
/// When there is no server.
pub async fn ask(shared: &Shared, user: User, page: Option<&str>) -> Result<(Intent, Fact)> {
    let url = format!("http://{}/api/graphql", shared.address()?);
    let graphql = shared.http.sharing(url, &token(user));
    let intent = shared.intents.next();
    let input =
        json!({ "chat": { "content": format!("Say {}", canary(intent)) }, "clientSubscriptionId": page });
    shared.ledger.note(Fact::Intended { intent, user });
    let fact = settled(intent, &graphql.post(AI_ACTION, json!({ "input": input })).await);
    shared.ledger.note(fact.clone());
    if let Fact::Acknowledged { request_id, .. } = &fact {
        shared.note_accepted(Accepted { intent, user, request_id: request_id.clone() });
    }
    Ok((intent, fact))
}

/// What a reply, or its absence, says of the request.
fn settled(intent: Intent, replied: &Result<Reply>) -> Fact {
    let reply = match replied {
        Ok(reply) => reply,
        Err(error) if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect) => {
            return Fact::Unsent { intent };
        }
        Err(_) => return Fact::Unanswered { intent },
    };
    // A connection on which nothing came for too long is closed with these words. Whoever uses it just then, as
    // pools do, is answered with them although nothing was read.
    if reply.status == REQUEST_TIMEOUT {
        return Fact::Unsent { intent };
    }
    match reply.at("/data/aiAction/requestId").as_str() {
        Some(request_id) => Fact::Acknowledged { intent, request_id: request_id.to_owned() },
        None => Fact::Refused {
            intent,
            status: reply.status,
            code: reply.code().unwrap_or_else(|| "untyped".to_owned()),
            retry_after: reply.header("retry-after").is_some(),
        },
    }
}

async fn cancel(graphql: &GraphqlClient, request_id: &str, after: Option<Duration>) {
    let Some(after) = after else { return };
    sleep(after).await;
    // A server that is gone cancels nothing; how the request ends is for the ledger to judge.
    let _ = graphql.post(AI_CANCEL, json!({ "requestId": request_id })).await;
}
