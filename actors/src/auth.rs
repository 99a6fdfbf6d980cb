//! Auth: who is asking.
//!
//! Owns the only use of the [`TokenVerifier`], what a token is good for (`auth/scope.rs`) and how much each user
//! may ask for ([`allowance`]). Accepts [`Submitted`] requests, [`Recovered`] ones
//! after a restart, and [`Identify`] from every entrance that is not a request (a websocket's
//! `connection_init`, a read of the conversation). Emits [`Authenticated`] to FeatureFlag, or ends the
//! request `unauthenticated`, `forbidden` or `rate_limited`.

use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, Supervised};
use tokio::time::Instant;

use crate::{
    cache::Recovered,
    desk::Desk,
    directory_answer::ask_until,
    ports::{Caller, Credentials, Directory, DirectoryError, Identity, TokenVerifier, User, VerifyError},
    protocol::{Code, Failure, Hop, Request, Stop, Submitted, deliver, forward},
};

pub mod allowance;
mod scope;

use allowance::Allowance;

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
    allowance: Allowance,
}

impl Auth {
    pub(crate) fn new(
        desk: Desk,
        verifier: Arc<dyn TokenVerifier>,
        directory: Arc<dyn Directory>,
        feature_flag: Recipient<Authenticated>,
        bounds: allowance::Bounds,
    ) -> Self {
        Self { desk, verifier, directory, feature_flag, allowance: Allowance::new(bounds) }
    }

    /// What remains to be decided about a request whose caller is known.
    fn admit(&mut self, request: &mut Request, identity: &Identity) -> Result<(), Failure> {
        let seat = self.allowance.admit(identity.user.id, Instant::now())?;
        request.permit.seat(Some(seat));
        identity.scope.may_ask(&request.action)
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
        let Submitted { mut request, credentials } = submitted;
        self.desk.take("Verified", Some(request.id));
        let identity = verdict.map_err(|error| refused(&error));
        let admitted = identity.and_then(|identity| self.admit(&mut request, &identity).map(|()| identity));
        match admitted {
            Ok(identity) => {
                let caller = Caller { user: identity.user, credentials: Some(credentials) };
                forward(&self.feature_flag, Authenticated { request, caller });
            }
            Err(failure) => self.desk.end(request.id, failure),
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
            let answer = ask_until(request.deadline, &request.cancel, || directory.user(owner)).await;
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

    fn handle(&mut self, OwnerLookedUp { mut request, answer }: OwnerLookedUp, _: &mut Self::Context) {
        self.desk.take("OwnerLookedUp", Some(request.id));
        match answer {
            Ok(Some(user)) => {
                request.permit.seat(self.allowance.readmit(user.id, Instant::now()));
                let caller = Caller { user, credentials: None };
                forward(&self.feature_flag, Authenticated { request, caller });
            }
            Ok(None) => self.desk.end(request.id, refusal(&VerifyError::Invalid)),
            Err(_) => self.desk.end_or_cancel(&request, Failure::interrupted(Hop::Auth)),
        }
        self.desk.clear();
    }
}

impl Handler<Identify> for Auth {
    type Result = ResponseFuture<Result<Identity, Failure>>;

    fn handle(&mut self, Identify { credentials }: Identify, _: &mut Self::Context) -> Self::Result {
        self.desk.take("Identify", None);
        let verifier = self.verifier.clone();
        let answer = async move { verifier.verify(&credentials).await.map_err(|error| refused(&error)) };
        self.desk.clear();
        self.desk.answer(answer)
    }
}

impl Handler<Stop> for Auth {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.desk.drop_work())
    }
}

/// Counts what was not taken, at every entrance: so guesses are noticed, without a line in the log for each.
fn refused(error: &VerifyError) -> Failure {
    let reason = match error {
        VerifyError::Invalid => "invalid",
        VerifyError::Unavailable => "unavailable",
    };
    metrics::counter!("duologue_credentials_refused_total", "reason" => reason).increment(1);
    refusal(error)
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

#[cfg(test)]
mod tests {
    use std::{sync::atomic::Ordering::SeqCst, time::Duration};

    use actix::Addr;

    use super::*;
    use crate::{
        auth::allowance::{Bounds, TOO_OFTEN},
        limits::Limits,
        ports::Scope,
        protocol::{Ended, GlobalId, Origin, Outcome, RequestId, UserId},
        testing::{FakeDirectory, FakeVerifier, Probe, World, a_desk, a_request, alone},
    };

    impl Authenticated {
        /// The fact without its actor, for the tests of the next one.
        pub(crate) fn for_test(request: Request, caller: Caller) -> Self {
            Self { request, caller }
        }
    }

    struct Alone {
        auth: Addr<Auth>,
        passed: Probe<Authenticated>,
        ended: Probe<Ended>,
        verifier: Arc<FakeVerifier>,
        directory: Arc<FakeDirectory>,
        world: World,
    }

    fn auth() -> Alone {
        auth_with(Limits::default().user)
    }

    fn auth_with(bounds: Bounds) -> Alone {
        tokio::time::pause();
        let world = World::default();
        let (desk, ended) = a_desk(Hop::Auth);
        let (passed, feature_flag) = Probe::new();
        let (verifier, directory) = (world.verifier.clone(), world.directory.clone());
        let auth = alone(Auth::new(desk, verifier.clone(), directory.clone(), feature_flag, bounds));
        Alone { auth, passed, ended, verifier, directory, world }
    }

    impl Alone {
        async fn submit(&self, credentials: Credentials) -> RequestId {
            let request = a_request(&self.world.actions[0], &self.world.clock);
            let request_id = request.id;
            self.auth.send(Submitted { request, credentials }).await.unwrap();
            request_id
        }

        async fn recover(&self) -> RequestId {
            let mut request = a_request(&self.world.actions[0], &self.world.clock);
            request.origin = Origin::Recovered { resource: None };
            let request_id = request.id;
            self.auth.send(Recovered::for_test(request, UserId(2))).await.unwrap();
            request_id
        }

        /// The end that came instead of a fact.
        async fn refusal(mut self, request_id: RequestId) -> Failure {
            self.next_refusal(request_id).await
        }

        async fn next_refusal(&mut self, request_id: RequestId) -> Failure {
            let ended = self.ended.next().await;
            assert_eq!(ended.request_id, request_id);
            assert!(self.passed.is_silent().await, "a refused request went on");
            assert!(self.ended.is_silent().await, "a request ended twice");
            let Outcome::Failed { failure, .. } = ended.outcome else {
                panic!("{ended:?} is no refusal");
            };
            failure
        }
    }

    #[actix::test]
    async fn a_good_token_makes_a_request_authenticated() {
        let mut alone = auth();
        let request_id = alone.submit(Credentials::token("alice")).await;
        let fact = alone.passed.next().await;
        assert_eq!((fact.request().id, fact.caller().user.id), (request_id, UserId(2)));
        assert!(fact.caller().credentials.is_some(), "the directory may need them");
        assert!(alone.ended.is_silent().await);
    }

    #[rstest::rstest]
    #[case::unknown(Credentials::token("nobody"))]
    #[case::empty(Credentials::token(""))]
    #[case::none(Credentials::default())]
    #[actix::test]
    async fn a_bad_token_is_refused(#[case] credentials: Credentials) {
        let alone = auth();
        let request_id = alone.submit(credentials).await;
        let failure = alone.refusal(request_id).await;
        assert_eq!(failure, Failure::new(Code::Unauthenticated, Hop::Auth, INVALID_TOKEN));
    }

    #[actix::test]
    async fn a_verifier_that_does_not_answer_says_when_to_try_again() {
        let alone = auth();
        alone.verifier.is_down.store(true, SeqCst);
        let request_id = alone.submit(Credentials::token("alice")).await;
        let failure = alone.refusal(request_id).await;
        assert_eq!(failure.code, Code::Overloaded);
        assert!(failure.retry_after.is_some());
    }

    #[actix::test]
    async fn every_other_entrance_identifies_its_caller_here_too() {
        let alone = auth();
        let identify = |token: &str| alone.auth.send(Identify { credentials: Credentials::token(token) });
        let known = identify("alice").await.unwrap().unwrap();
        assert_eq!(known.user.id.global_id(), GlobalId::of("User", 2));
        let unknown = identify("nobody").await.unwrap().unwrap_err();
        assert_eq!((unknown.code, unknown.text.as_str()), (Code::Unauthenticated, INVALID_TOKEN));
    }

    // === Scopes and limits ===

    fn unit_primitive(name: &str) -> Scope {
        Scope::UnitPrimitives(Arc::new(std::collections::BTreeSet::from([name.to_owned()])))
    }

    #[actix::test]
    async fn a_narrow_token_is_refused_forbidden_and_its_request_is_counted() {
        let mut alone = auth_with(Bounds { requests: 1, ..Limits::default().user });
        alone.verifier.narrow("alice", unit_primitive("explain_code"));
        let narrow = alone.submit(Credentials::token("alice")).await;
        let failure = alone.next_refusal(narrow).await;
        assert_eq!(failure, Failure::new(Code::Forbidden, Hop::Auth, "Unauthorized to access chat"));
        alone.verifier.narrow("alice", unit_primitive("chat"));
        let counted = alone.submit(Credentials::token("alice")).await;
        assert_eq!(alone.refusal(counted).await.text, TOO_OFTEN);
    }

    #[actix::test]
    async fn a_refused_request_gives_its_seat_back_and_one_that_went_on_keeps_it() {
        let mut alone = auth_with(Bounds { in_flight: 1, ..Limits::default().user });
        alone.verifier.narrow("alice", unit_primitive("explain_code"));
        let narrow = alone.submit(Credentials::token("alice")).await;
        assert_eq!(alone.next_refusal(narrow).await.code, Code::Forbidden);
        alone.verifier.narrow("alice", Scope::Everything);
        alone.submit(Credentials::token("alice")).await;
        let fact = alone.passed.next().await;
        let second = alone.submit(Credentials::token("alice")).await;
        let failure = alone.next_refusal(second).await;
        assert_eq!((failure.code, failure.hop), (Code::RateLimited, Hop::Auth));
        alone.submit(Credentials::token("root")).await;
        alone.passed.next().await;
        drop(fact);
        let third = alone.submit(Credentials::token("alice")).await;
        assert_eq!(alone.passed.next().await.request().id, third);
    }

    #[actix::test]
    async fn credentials_that_are_not_good_are_counted_to_nobody() {
        let mut alone = auth_with(Bounds { requests: 1, ..Limits::default().user });
        let unknown = alone.submit(Credentials::token("nobody")).await;
        assert_eq!(alone.next_refusal(unknown).await.code, Code::Unauthenticated);
        let known = alone.submit(Credentials::token("alice")).await;
        assert_eq!(alone.passed.next().await.request().id, known);
    }

    #[actix::test]
    async fn of_a_thousand_requests_at_once_exactly_160_go_on_and_840_are_refused() {
        let mut alone = auth_with(Bounds { in_flight: 1_000, ..Limits::default().user });
        let submits = (0..1_000).map(|_| alone.submit(Credentials::token("alice")));
        futures::future::join_all(submits).await;
        // Those that went on are kept, so that no seat comes back meanwhile.
        let mut passed = Vec::new();
        while let Some(fact) = alone.passed.next_soon().await {
            passed.push(fact);
        }
        let mut refused = 0;
        while let Some(ended) = alone.ended.next_soon().await {
            let Outcome::Failed { failure, .. } = ended.outcome else { panic!("{ended:?}") };
            assert_eq!((failure.code, failure.text.as_str()), (Code::RateLimited, TOO_OFTEN));
            refused += 1;
        }
        assert_eq!((passed.len(), refused), (160, 840));
    }

    #[actix::test]
    async fn recovered_requests_are_neither_refused_nor_counted() {
        let mut alone = auth_with(Bounds { requests: 1, in_flight: 1, ..Limits::default().user });
        let mut facts = Vec::new();
        for _ in 0..3 {
            let request_id = alone.recover().await;
            facts.push(alone.passed.next().await);
            assert_eq!(facts.last().map(|fact| fact.request().id), Some(request_id));
        }
        drop(facts);
        let asked = alone.submit(Credentials::token("alice")).await;
        assert_eq!(alone.passed.next().await.request().id, asked, "they were not counted");
    }

    #[actix::test]
    async fn a_recovered_request_takes_a_seat() {
        let mut alone = auth_with(Bounds { in_flight: 1, ..Limits::default().user });
        alone.recover().await;
        let _fact = alone.passed.next().await;
        let asked = alone.submit(Credentials::token("alice")).await;
        assert_eq!(alone.refusal(asked).await.code, Code::RateLimited, "it holds the seat");
    }

    #[actix::test]
    async fn a_recovered_request_goes_on_as_its_owner_without_credentials() {
        let mut alone = auth();
        let request_id = alone.recover().await;
        let fact = alone.passed.next().await;
        assert_eq!((fact.request().id, fact.caller().user.username.as_str()), (request_id, "alice"));
        assert!(fact.caller().credentials.is_none());
    }

    #[actix::test]
    async fn a_recovered_request_whose_user_is_gone_ends_unauthenticated() {
        let alone = auth();
        alone.directory.gone.lock().unwrap().insert(UserId(2));
        let request_id = alone.recover().await;
        assert_eq!(alone.refusal(request_id).await.code, Code::Unauthenticated);
    }

    #[actix::test]
    async fn a_recovered_request_waits_for_its_directory() {
        let mut alone = auth();
        alone.directory.is_down.store(true, SeqCst);
        let request_id = alone.recover().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(alone.passed.is_silent().await && alone.ended.is_silent().await);
        alone.directory.is_down.store(false, SeqCst);
        assert_eq!(alone.passed.next().await.request().id, request_id);
    }

    #[actix::test]
    async fn a_recovered_request_waits_for_its_directory_until_its_deadline_and_no_longer() {
        let alone = auth();
        alone.directory.is_down.store(true, SeqCst);
        let request_id = alone.recover().await;
        let started = tokio::time::Instant::now();
        assert_eq!(alone.refusal(request_id).await.code, Code::Interrupted);
        assert_eq!(started.elapsed().as_secs(), 120);
    }
}
