//! A look back when a run is over: each request that was accepted is subscribed to once more, and what is replayed
//! must be what was heard the first time. A second final would be seen here however late it came.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result};
use tokio::task::JoinSet;

use super::{
    fact::{Intent, User},
    ledger::Ledger,
    listener::{Event, Listener, Numbers, Topic},
    subject::Whereabouts,
};

/// An accepted request.
#[derive(Clone, Debug)]
pub struct Accepted {
    pub intent: Intent,
    pub user: User,
    pub request_id: String,
}

/// A final that was kept is replayed at once.
const REPLAYED_WITHIN: Duration = Duration::from_secs(30);

/// Looks at all of them, each user's on a socket of its own. What is missing is in the ledger as a subscriber that
/// waits.
pub async fn look_again(
    accepted: Vec<Accepted>,
    whereabouts: &Whereabouts,
    ledger: &Ledger,
    subscribers: &Numbers,
) -> Result<()> {
    let address = (*whereabouts.borrow()).context("there is no server to ask again")?;
    let mut of_users: BTreeMap<User, Vec<Accepted>> = BTreeMap::new();
    for request in accepted {
        of_users.entry(request.user).or_default().push(request);
    }
    let mut looks = JoinSet::new();
    for (user, requests) in of_users {
        let listener = Listener::open(address, user, ledger.clone(), subscribers.clone()).await?;
        looks.spawn(look(listener, requests));
    }
    while let Some(looked) = looks.join_next().await {
        looked??;
    }
    Ok(())
}

async fn look(mut listener: Listener, requests: Vec<Accepted>) -> Result<()> {
    for Accepted { intent, request_id, .. } in requests {
        let subscriber = listener.subscribe(&Topic::Request(request_id), Some(intent)).await?;
        loop {
            match listener.next(REPLAYED_WITHIN).await? {
                None => {
                    listener.hang();
                    return Ok(());
                }
                Some(Event::Final(heard) | Event::Unknown(heard) | Event::Ended(heard))
                    if heard == subscriber =>
                {
                    break;
                }
                Some(_) => {}
            }
        }
        listener.leave(subscriber).await?;
    }
    Ok(())
}
