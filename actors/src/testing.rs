//! Fakes of the ports and probes in place of neighbours, for tests and benches. A fake is a whole
//! implementation with switches, not a script of expected calls.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use semver::Version;
use tokio_util::sync::CancellationToken;

use crate::{
    action::{Action, Catalogue, InputField, Maturity, OnDisconnect, ResourceRule},
    clock::{Clock, Deadline},
    entrance::Ask,
    limits::Limits,
    permits::Permits,
    ports::{Caller, Credentials, User},
    prompt::{PromptTemplate, PromptText, PromptVersion, WrittenPrompt},
    protocol::{ChatMessage, MessageId, Origin, Request, RequestId, Role, ThreadChoice, UserId},
    supervisor::{Inspector, Parts},
};

#[cfg(test)]
mod alone;
#[cfg(test)]
mod log;
mod model;
mod probe;
mod store;
mod threads;
mod world;

#[cfg(test)]
pub(crate) use alone::{a_desk, alone};
#[cfg(test)]
pub(crate) use log::Log;
pub use model::{FakeModels, Script, route_to};
pub use probe::Probe;
pub use store::MemoryStore;
pub use world::{FakeDirectory, FakeFlags, FakeLicences, FakeVerifier, an_issue};

/// A GA action called `name` that takes an optional resource and any input.
#[must_use]
pub fn an_action(name: &str) -> Arc<Action> {
    Arc::new(Action {
        name: name.to_owned(),
        description: "an action for tests".to_owned(),
        feature_flag: format!("{name}_flag"),
        flag_default: true,
        licensed_feature: "ai_features".to_owned(),
        unit_primitive: name.to_owned(),
        maturity: Maturity::Ga,
        resource: ResourceRule::Optional,
        resource_types: vec!["Issue".to_owned(), "MergeRequest".to_owned()],
        input: if name == "chat" { vec![content()] } else { Vec::new() },
        cache_response: name == "chat",
        model: "default".to_owned(),
        prompt: PromptTemplate::only(a_prompt(Version::new(1, 0, 0), "Answer.", "{{ input.content }}")),
        response: Vec::new(),
        on_disconnect: OnDisconnect::Cancel,
    })
}

/// A version of a prompt with these templates for every provider.
#[must_use]
#[allow(clippy::expect_used, reason = "a test whose template does not compile is wrong")]
pub fn a_prompt(version: Version, system: &str, user: &str) -> PromptVersion {
    let text = PromptText::Written(WrittenPrompt::new(system, user).expect("templates that compile"));
    PromptVersion { version, text, for_provider: BTreeMap::new() }
}

fn content() -> InputField {
    InputField {
        name: "content".to_owned(),
        type_name: "String!".to_owned(),
        max_length: None,
        allow_blank: false,
    }
}

#[must_use]
pub fn a_user(id: u64, username: &str) -> User {
    User { id: UserId(id), username: username.to_owned(), name: username.to_owned(), admin: false }
}

/// The user with this id, with a token.
#[must_use]
pub fn a_caller(id: UserId) -> Caller {
    let username = format!("user-{id}");
    let credentials = Some(Credentials::token(username.as_str()));
    Caller { user: a_user(id.0, &username), credentials }
}

#[must_use]
pub fn a_message(request_id: RequestId, role: Role, content: &str) -> ChatMessage {
    ChatMessage {
        id: MessageId::new(),
        request_id,
        thread_id: None,
        role,
        content: content.to_owned(),
        timestamp: SystemTime::UNIX_EPOCH,
        chunk_id: None,
        errors: Vec::new(),
    }
}

/// A request for `action` with the content "hello", as the edge would make it.
#[must_use]
pub fn a_request(action: &Arc<Action>, clock: &Clock) -> Request {
    let input = serde_json::json!({ "content": "hello" });
    Request {
        id: RequestId::new(),
        action: action.clone(),
        input: input.as_object().cloned().unwrap_or_default(),
        resource_id: None,
        project_id: None,
        client_subscription_id: None,
        platform_origin: None,
        thread: ThreadChoice::Legacy,
        idempotency_key: None,
        deadline: Deadline::after(clock, Duration::from_secs(120)),
        cancel: CancellationToken::new(),
        permit: a_permit(),
        origin: Origin::Asked,
    }
}

/// A permit of its own, bounded by nothing else.
#[must_use]
#[allow(clippy::expect_used, reason = "the one permit of a fresh set is free")]
pub fn a_permit() -> crate::permits::Permit {
    Permits::new(1).take().expect("a fresh permit")
}

/// A whole pipeline's surroundings, each with its switches.
#[derive(Clone)]
pub struct World {
    pub clock: Clock,
    pub permits: Permits,
    pub verifier: Arc<FakeVerifier>,
    pub flags: Arc<FakeFlags>,
    pub directory: Arc<FakeDirectory>,
    pub licences: Arc<FakeLicences>,
    pub models: Arc<FakeModels>,
    pub store: Arc<MemoryStore>,
    pub limits: Limits,
    pub actions: Vec<Arc<Action>>,
    pub inspector: Option<Inspector>,
}

impl Default for World {
    /// Alice (token `alice`), Mallory (token `mallory`), root (token `root`, an admin); Alice's licensed
    /// group with issue 52; `chat` and `summarize_comments`; a model that says "Hello world."
    fn default() -> Self {
        let clock = Clock::following_tokio();
        Self {
            permits: Permits::new(1_024),
            verifier: Arc::default(),
            flags: Arc::default(),
            directory: Arc::default(),
            licences: Arc::default(),
            models: Arc::default(),
            store: Arc::new(MemoryStore::default()),
            limits: Limits::default(),
            actions: vec![an_action("chat"), an_action("summarize_comments")],
            inspector: None,
            clock,
        }
    }
}

impl World {
    #[must_use]
    pub fn parts(&self) -> Parts {
        Parts {
            clock: self.clock.clone(),
            permits: self.permits.clone(),
            catalogue: Arc::new(Catalogue::new(
                self.actions.iter().map(|action| Action::clone(action)).collect(),
            )),
            verifier: self.verifier.clone(),
            flags: self.flags.clone(),
            directory: self.directory.clone(),
            licences: self.licences.clone(),
            models: self.models.clone(),
            journal: self.store.clone(),
            conversation: self.store.clone(),
            limits: self.limits.clone(),
            inspector: self.inspector.clone(),
        }
    }

    /// What `token` asks of the action called `action`, with a permit of this world.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a test that asks for what is not there is wrong")]
    pub fn ask(&self, token: &str, action: &str) -> Ask {
        let found = self.actions.iter().find(|known| known.name == action);
        let input = serde_json::json!({ "content": "hello" });
        Ask {
            credentials: Credentials::token(token),
            action: found.expect("an action of this world").clone(),
            input: input.as_object().cloned().unwrap_or_default(),
            resource_id: None,
            project_id: None,
            client_subscription_id: None,
            platform_origin: None,
            thread: ThreadChoice::Legacy,
            idempotency_key: None,
            permit: self.permits.take().expect("a free permit"),
        }
    }
}

/// Panics once, when the actor called `actor` takes a message called `message`.
#[must_use]
#[allow(clippy::panic, reason = "panicking is its purpose")]
pub fn panic_once(actor: &'static str, message: &'static str) -> Inspector {
    let armed = AtomicBool::new(true);
    Arc::new(move |at, taking| {
        if at == actor && taking == message && armed.swap(false, SeqCst) {
            panic!("injected into {actor} at {message}");
        }
    })
}
