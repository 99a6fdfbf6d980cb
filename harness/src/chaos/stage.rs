//! Everything a run needs, set up in the same way for each: a ledger, a provider, a server, clients.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::Value;

use super::{
    Plan, audit,
    client::Manners,
    judge::Judgement,
    ledger::{Ledger, LedgerProcess},
    listener::Numbers,
    load::{Load, Shared},
    place,
    report::{self, Report},
    subject::Subject,
    upstream::{self, Pace},
};
use crate::fake_provider::FakeProvider;

/// The file of the ledger, in the server's folder.
const FACTS: &str = "facts.jsonl";

/// What differs from run to run.
#[derive(Default)]
pub struct Setting<'s> {
    pub users: u64,
    /// Pieces of an answer, at least and at most.
    pub pieces: (u64, u64),
    /// Milliseconds before each piece, at least and at most.
    pub milliseconds: (u64, u64),
    /// Characters that each piece has beside its canary.
    pub padding: usize,
    /// Settings of the server beside those of every run.
    pub config: &'s [(&'s str, &'s str, Value)],
    /// What serves, if not the server itself.
    pub binary: Option<PathBuf>,
}

pub struct Stage {
    pub subject: Subject,
    ledger: LedgerProcess,
    users: u64,
    seed: u64,
    intents: Numbers,
    subscribers: Numbers,
    _upstream: FakeProvider,
}

impl Stage {
    pub async fn set(plan: &Plan, setting: Setting<'_>) -> Result<Self> {
        let Setting { users, pieces, milliseconds, padding, config, binary } = setting;
        let mut home = place::home(plan, users)?;
        let ledger = LedgerProcess::start(home.path().join(FACTS))?;
        let pace = Pace { seed: plan.seed, pieces, milliseconds, padding };
        let upstream = upstream::start(pace, ledger.ledger()).await?;
        place::furnish(&mut home, &upstream.url())?;
        for (section, key, value) in config {
            home.set(section, key, value.clone())?;
        }
        if let Some(binary) = binary {
            home.set_binary(binary);
        }
        let subject = Subject::start(home, ledger.ledger()).await?;
        let (intents, subscribers) = Default::default();
        Ok(Self { subject, ledger, users, seed: plan.seed, intents, subscribers, _upstream: upstream })
    }

    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.ledger.ledger()
    }

    /// What the server counts.
    pub async fn metrics(&self) -> Result<String> {
        Ok(self.subject.get("/metrics").await?.text)
    }

    /// What clients of this stage share.
    pub fn shared(&self, manners: Manners) -> Result<Shared> {
        let numbers = (self.intents.clone(), self.subscribers.clone());
        Shared::new(self.ledger(), self.subject.whereabouts(), manners, numbers)
    }

    /// Lets so many clients ask on and on.
    pub fn load(&self, clients: u64, manners: Manners) -> Result<Load> {
        Ok(Load::start(clients, self.users, self.seed, self.shared(manners)?))
    }

    /// Lets the clients hear the ends of what they asked, looks at everything again, and has it judged.
    pub async fn judge(&mut self, mut load: Load) -> Result<Judgement> {
        load.finish().await;
        self.judge_accepted_of(load.shared()).await
    }

    /// The same without the look back, where the server forgets sooner.
    pub async fn judge_as_heard(&mut self, mut load: Load) -> Result<Judgement> {
        load.finish().await;
        self.judge_as_noted().await
    }

    /// The judgement of what was noted so far, when nobody asks or listens any more.
    pub async fn judge_as_noted(&mut self) -> Result<Judgement> {
        self.ledger.judgement().await
    }

    /// The look back and the judgement, when all clients have ended.
    pub async fn judge_accepted_of(&mut self, shared: &Shared) -> Result<Judgement> {
        let (accepted, ledger) = (shared.all_accepted(), self.ledger());
        audit::look_again(accepted, &self.subject.whereabouts(), &ledger, &self.subscribers).await?;
        self.judge_as_noted().await
    }

    /// Ends everything; what a failed run left behind stays for a look at it.
    pub async fn strike(mut self, report: &Report) -> Result<()> {
        if !report.is_clean() {
            self.keep();
        }
        self.subject.server().kill9().await
    }

    fn keep(&mut self) {
        let home = self.subject.server().home_mut();
        home.keep();
        report::kept(home.path());
    }
}
