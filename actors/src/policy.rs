//! Policy: may this user do it on this resource.
//!
//! Owns checks 4 to 6 ([`checks`]). Accepts [`Enabled`], asks the directory in a task, decides when the
//! answer is back, and emits [`Authorized`] to Cache or ends the request `not_found`, `forbidden` or
//! `feature_disabled`. Accepts [`LookAgain`] from whoever reads an answer, and says how things stand now. A request recovered after a restart is decided anew; its prompt keeps the
//! resource as it was when it was accepted.

use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Handler, Message, Recipient, ResponseFuture, Supervised};

use crate::{
    action::{Action, Catalogue, ResourceRule},
    auth::INVALID_TOKEN,
    desk::Desk,
    directory_answer::ask_until,
    feature_flag::{self, Enabled},
    limits::SUGGESTED_RETRY,
    ports::{Caller, Directory, DirectoryError, Flags, LicenceSource, Resource, ResourceName},
    protocol::{Code, Failure, GlobalId, Hop, Origin, Request, Stop, deliver, forward},
    trace::{self, Step},
};

pub mod checks;
mod excerpt;
mod second_look;

use checks::{Decision, Ground, Inquiry};
pub use second_look::{Clearance, LookAgain, Standing};

/// A request that passed all six checks. Built only in this file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Authorized {
    enabled: Enabled,
    resource: Option<Arc<Resource>>,
    containers: Vec<GlobalId>,
    clearance: Clearance,
}

impl Authorized {
    #[must_use]
    pub fn request(&self) -> &Request {
        self.enabled.request()
    }

    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.enabled.caller()
    }

    #[must_use]
    pub fn flags(&self) -> &Arc<dyn Flags> {
        self.enabled.flags()
    }

    /// The resource the prompt is about, as the caller may read it.
    #[must_use]
    pub fn resource(&self) -> Option<&Arc<Resource>> {
        self.resource.as_ref()
    }

    /// Where the request is, as flag actors beside its user; see [`Decision::containers`].
    #[must_use]
    pub fn containers(&self) -> &[GlobalId] {
        &self.containers
    }

    /// How long that can be relied on.
    #[must_use]
    pub fn clearance(&self) -> Clearance {
        self.clearance
    }
}

/// Asks which of `actions` pass checks 4 to 6 for this caller without a resource.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<Arc<Action>>, Failure>")]
pub struct WhichAllowed {
    pub caller: Caller,
    pub flags: Arc<dyn Flags>,
    pub actions: Vec<Arc<Action>>,
}

pub struct Policy {
    desk: Desk,
    directory: Arc<dyn Directory>,
    licences: Arc<dyn LicenceSource>,
    catalogue: Arc<Catalogue>,
    cache: Recipient<Authorized>,
    max_resource_characters: usize,
}

impl Policy {
    pub(crate) fn new(
        desk: Desk,
        directory: Arc<dyn Directory>,
        licences: Arc<dyn LicenceSource>,
        catalogue: Arc<Catalogue>,
        cache: Recipient<Authorized>,
        max_resource_characters: usize,
    ) -> Self {
        Self { desk, directory, licences, catalogue, cache, max_resource_characters }
    }

    fn inquiry<'a>(&'a self, enabled: &'a Enabled) -> Inquiry<'a> {
        Inquiry {
            action: &enabled.request().action,
            user: &enabled.caller().user,
            flags: &**enabled.flags(),
            licences: &*self.licences,
        }
    }
}

impl Actor for Policy {
    type Context = Context<Self>;
}

impl Supervised for Policy {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.desk.end_abandoned();
    }
}

impl Handler<Enabled> for Policy {
    type Result = ();

    fn handle(&mut self, enabled: Enabled, ctx: &mut Self::Context) {
        let request_id = enabled.request().id;
        self.desk.take("Enabled", Some(request_id));
        let (directory, back) = (self.directory.clone(), ctx.address().recipient());
        self.desk.work(Some(request_id), async move {
            let answer = look_up(&*directory, &enabled).await;
            deliver(&back, LookedUp { enabled, answer });
        });
        self.desk.clear();
    }
}

/// The directory's answer about what a request is to be decided on.
#[derive(Message)]
#[rtype(result = "()")]
struct LookedUp {
    enabled: Enabled,
    answer: Result<Ground, DirectoryError>,
}

impl Handler<LookedUp> for Policy {
    type Result = ();

    fn handle(&mut self, LookedUp { enabled, answer }: LookedUp, _: &mut Self::Context) {
        let request = enabled.request();
        self.desk.take("LookedUp", Some(request.id));
        let clearance = Clearance::now(&*self.licences);
        let verdict = answer.map_err(|error| no_answer(&error, &request.origin)).and_then(|ground| {
            let decision = checks::decide(self.inquiry(&enabled), ground);
            trace::log(request.id, &decision.steps);
            decision.verdict.map(|resource| (resource, decision.containers))
        });
        match verdict {
            Ok((resource, containers)) => {
                let resource = resource_for_prompt(&request.origin, resource)
                    .map(|resource| excerpt::excerpt(resource, self.max_resource_characters));
                forward(&self.cache, Authorized { enabled, resource, containers, clearance });
            }
            Err(refusal) => self.desk.end_or_cancel(request, refusal),
        }
        self.desk.clear();
    }
}

impl Handler<WhichAllowed> for Policy {
    type Result = ResponseFuture<Result<Vec<Arc<Action>>, Failure>>;

    fn handle(&mut self, asked: WhichAllowed, _: &mut Self::Context) -> Self::Result {
        self.desk.take("WhichAllowed", None);
        let (directory, licences) = (self.directory.clone(), self.licences.clone());
        self.desk.clear();
        self.desk.answer(async move {
            let WhichAllowed { caller, flags, mut actions } = asked;
            let groups = directory.root_namespaces(&caller).await;
            let groups = groups.map_err(|error| no_answer(&error, &Origin::Asked))?;
            actions.retain(|action| {
                // Whether a resource will be named is not known yet: ask as if none were needed.
                let anywhere = Action { resource: ResourceRule::Optional, ..Action::clone(action) };
                let inquiry =
                    Inquiry { action: &anywhere, user: &caller.user, flags: &*flags, licences: &*licences };
                checks::decide(inquiry, Ground::Groups(groups.clone())).verdict.is_ok()
            });
            Ok(actions)
        })
    }
}

impl Handler<Stop> for Policy {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.desk.drop_work())
    }
}

/// Asks the directory what the request is to be decided on. An accepted request is not lost because
/// the directory is down for a moment; one that is not accepted yet hears of it at once.
async fn look_up(directory: &dyn Directory, enabled: &Enabled) -> Result<Ground, DirectoryError> {
    let (request, caller) = (enabled.request(), enabled.caller());
    let name = request.resource();
    if request.origin.is_recovered() {
        ask_until(request.deadline, &request.cancel, || ask(directory, caller, name.as_ref())).await
    } else {
        ask(directory, caller, name.as_ref()).await
    }
}

async fn ask(
    directory: &dyn Directory,
    caller: &Caller,
    name: Option<&ResourceName>,
) -> Result<Ground, DirectoryError> {
    let own_page = caller.user.id.global_id();
    // A page that is about nothing else is about its user: GitLab's web chat names the caller then.
    match name.filter(|name| name.id != own_page) {
        Some(name) => directory.resource(caller, name).await.map(Ground::Resource),
        None => directory.root_namespaces(caller).await.map(Ground::Groups),
    }
}

/// Makes all six checks as a request of `caller` would meet them now, and tells what each of them found.
/// Nothing is asked of a model and nothing is written.
///
/// # Errors
/// When the directory does not answer.
pub async fn explain(
    inquiry: Inquiry<'_>,
    directory: &dyn Directory,
    caller: &Caller,
    name: Option<&ResourceName>,
) -> Result<Explanation, DirectoryError> {
    let ground = ask(directory, caller, name).await?;
    let first = feature_flag::check(inquiry.action, inquiry.flags, &caller.user.id.global_id());
    let switched_on = feature_flag::decide(&first);
    let Decision { steps, verdict, .. } = checks::decide(inquiry, ground);
    let refusal = switched_on.err().or(verdict.err());
    Ok(Explanation { steps: first.into_iter().chain(steps).collect(), refusal })
}

/// Every check with what it found, and what the client would hear.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Checks 1 to 6 in their order, then the action's flag once more for the resource's project and groups.
    pub steps: Vec<Step>,
    /// `None` when the request would be let through.
    pub refusal: Option<Failure>,
}

/// A recovered request answers about the resource as it was when it was asked.
fn resource_for_prompt(origin: &Origin, now: Option<Arc<Resource>>) -> Option<Arc<Resource>> {
    match origin {
        Origin::Recovered { resource: Some(then) } => Some(then.clone()),
        Origin::Recovered { resource: None } | Origin::Asked | Origin::Streamed | Origin::Brought(_) => now,
    }
}

/// A token is never kept: a recovered request has none any more. Whoever asks without one has to bring one.
fn no_answer(error: &DirectoryError, origin: &Origin) -> Failure {
    match error {
        DirectoryError::NeedsCredentials if origin.is_recovered() => Failure::interrupted(Hop::Policy),
        DirectoryError::NeedsCredentials | DirectoryError::CredentialsRefused => {
            Failure::new(Code::Unauthenticated, Hop::Policy, INVALID_TOKEN)
        }
        DirectoryError::Unavailable => Failure::new(
            Code::Overloaded,
            Hop::Policy,
            "Your permissions cannot be checked right now. Please try again.",
        )
        .retry_after(SUGGESTED_RETRY),
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
