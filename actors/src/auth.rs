//! Auth: who is asking.
//!
//! Owns the only use of the [`TokenVerifier`]. Accepts [`Submitted`] requests, [`Recovered`] ones
//! after a restart, and [`Identify`] from every entrance that is not a request (a websocket's
//! `connection_init`, a read of the conversation). Emits [`Authenticated`] to FeatureFlag, or ends the
//! request `unauthenticated`.

use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, Supervised};

use crate::{
    cache::Recovered,
    desk::Desk,
    directory_answer::ask_until,
    ports::{Caller, Credentials, Directory, DirectoryError, Identity, TokenVerifier, User, VerifyError},
    protocol::{Code, Failure, Hop, Request, Stop, Submitted, deliver, forward},
};

/// GitLab's text for a token that is not good; it says nothing about why.
pub const INVALID_TOKEN: &str = "Invalid token";

/// A request whose owner is known. Built only in this file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Authenticated {
    request: Request,
    caller: Caller,
}

impl Authenticated {
    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    #[must_use]
    pub fn caller(&self) -> &Caller {
        &self.caller
    }
}

/// Asks who holds these credentials.
#[derive(Debug, Message)]
#[rtype(result = "Result<Identity, Failure>")]
pub struct Identify {
    pub credentials: Credentials,
}

pub struct Auth {
    desk: Desk,
    verifier: Arc<dyn TokenVerifier>,
    directory: Arc<dyn Directory>,
    feature_flag: Recipient<Authenticated>,
}

impl Auth {
    pub(crate) fn new(
        desk: Desk,
        verifier: Arc<dyn TokenVerifier>,
        directory: Arc<dyn Directory>,
        feature_flag: Recipient<Authenticated>,
    ) -> Self {
        Self { desk, verifier, directory, feature_flag }
    }
}

impl Actor for Auth {
    type Context = Context<Self>;
}

impl Supervised for Auth {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.desk.end_abandoned();
    }
}

impl Handler<Submitted> for Auth {
    type Result = ();

    fn handle(&mut self, submitted: Submitted, ctx: &mut Self::Context) {
        let request_id = submitted.request.id;
        self.desk.take("Submitted", Some(request_id));
        let (verifier, back) = (self.verifier.clone(), ctx.address().recipient());
        self.desk.work(Some(request_id), async move {
            let verdict = verifier.verify(&submitted.credentials).await;
            deliver(&back, Verified { submitted, verdict });
        });
        self.desk.clear();
    }
}

/// The verifier's answer about a submitted request.
#[derive(Message)]
#[rtype(result = "()")]
struct Verified {
    submitted: Submitted,
    verdict: Result<Identity, VerifyError>,
}

impl Handler<Verified> for Auth {
    type Result = ();

    fn handle(&mut self, Verified { submitted, verdict }: Verified, _: &mut Self::Context) {
        let Submitted { request, credentials } = submitted;
        self.desk.take("Verified", Some(request.id));
        match verdict {
            Ok(identity) => {
                let caller = Caller { user: identity.user, credentials: Some(credentials) };
                forward(&self.feature_flag, Authenticated { request, caller });
            }
            Err(error) => self.desk.end(request.id, refusal(&error)),
        }
        self.desk.clear();
    }
}

impl Handler<Recovered> for Auth {
    type Result = ();

    fn handle(&mut self, recovered: Recovered, ctx: &mut Self::Context) {
        let (request, owner) = recovered.into_parts();
        self.desk.take("Recovered", Some(request.id));
        let (directory, back) = (self.directory.clone(), ctx.address().recipient());
        self.desk.work(Some(request.id), async move {
            let answer = ask_until(request.deadline, || directory.user(owner)).await;
            deliver(&back, OwnerLookedUp { request, answer });
        });
        self.desk.clear();
    }
}

/// The directory's answer about the owner of a recovered request.
#[derive(Message)]
#[rtype(result = "()")]
struct OwnerLookedUp {
    request: Request,
    answer: Result<Option<User>, DirectoryError>,
}

impl Handler<OwnerLookedUp> for Auth {
    type Result = ();

    fn handle(&mut self, OwnerLookedUp { request, answer }: OwnerLookedUp, _: &mut Self::Context) {
        self.desk.take("OwnerLookedUp", Some(request.id));
        match answer {
            Ok(Some(user)) => {
                let caller = Caller { user, credentials: None };
                forward(&self.feature_flag, Authenticated { request, caller });
            }
            Ok(None) => self.desk.end(request.id, refusal(&VerifyError::Invalid)),
            Err(_) => self.desk.end(request.id, Failure::interrupted(Hop::Auth)),
        }
        self.desk.clear();
    }
}

impl Handler<Identify> for Auth {
    type Result = ResponseFuture<Result<Identity, Failure>>;

    fn handle(&mut self, Identify { credentials }: Identify, _: &mut Self::Context) -> Self::Result {
        self.desk.take("Identify", None);
        let verifier = self.verifier.clone();
        self.desk.clear();
        Box::pin(async move { verifier.verify(&credentials).await.map_err(|error| refusal(&error)) })
    }
}

impl Handler<Stop> for Auth {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.desk.drop_work())
    }
}

fn refusal(error: &VerifyError) -> Failure {
    match error {
        VerifyError::Invalid => Failure::new(Code::Unauthenticated, Hop::Auth, INVALID_TOKEN),
        VerifyError::Unavailable => Failure::new(
            Code::Overloaded,
            Hop::Auth,
            "Your credentials cannot be checked right now. Please try again.",
        )
        .retry_after(crate::limits::SUGGESTED_RETRY),
    }
}
