use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use actix::Addr;

use super::*;
use crate::{
    auth::Authenticated,
    ports::FlagSource,
    protocol::{Ended, GlobalId, Outcome, RequestId},
    testing::{FakeDirectory, Probe, World, a_desk, a_request, a_user, alone, an_issue},
};

impl Authorized {
    /// The fact without its actor, for the tests of the next one.
    pub(crate) fn for_test(request: Request, caller: Caller, resource: Option<Arc<Resource>>) -> Self {
        let flags = crate::testing::FakeFlags::default().snapshot();
        let enabled = Enabled::for_test(Authenticated::for_test(request, caller), flags);
        let clearance = Clearance::now(&crate::testing::FakeLicences::default());
        Self { enabled, resource, containers: Vec::new(), clearance }
    }

    /// The same in these groups and projects, while these are the flags.
    pub(crate) fn for_test_in(
        containers: Vec<GlobalId>,
        flags: Arc<dyn Flags>,
        request: Request,
        caller: Caller,
    ) -> Self {
        let enabled = Enabled::for_test(Authenticated::for_test(request, caller), flags);
        let clearance = Clearance::now(&crate::testing::FakeLicences::default());
        Self { enabled, resource: None, containers, clearance }
    }
}

struct Alone {
    policy: Addr<Policy>,
    passed: Probe<Authorized>,
    ended: Probe<Ended>,
    directory: Arc<FakeDirectory>,
    world: World,
}

fn policy() -> Alone {
    tokio::time::pause();
    let world = World::default();
    let (desk, ended) = a_desk(Hop::Policy);
    let (passed, cache) = Probe::new();
    let (directory, catalogue) = (world.directory.clone(), world.parts().catalogue);
    let policy = alone(Policy::new(desk, directory.clone(), world.licences.clone(), catalogue, cache, 20));
    Alone { policy, passed, ended, directory, world }
}

fn alice() -> Caller {
    Caller { user: a_user(2, "alice"), credentials: None }
}

impl Alone {
    fn request(&self, resource_id: Option<GlobalId>) -> Request {
        let action = &self.world.actions[1];
        Request { resource_id, ..a_request(action, &self.world.clock) }
    }

    async fn enable(&self, request: Request, caller: Caller) -> RequestId {
        let request_id = request.id;
        let fact = Authenticated::for_test(request, caller);
        self.policy.send(Enabled::for_test(fact, self.world.flags.snapshot())).await.unwrap();
        request_id
    }

    async fn refusal(mut self, request_id: RequestId) -> Failure {
        let ended = self.ended.next().await;
        assert_eq!(ended.request_id, request_id);
        assert!(self.passed.is_silent().await, "a refused request went on");
        let Outcome::Failed { failure, .. } = ended.outcome else {
            panic!("{ended:?} is no refusal");
        };
        failure
    }
}

#[actix::test]
async fn whoever_may_goes_on_with_the_resource_cut_to_what_a_prompt_holds() {
    let mut alone = policy();
    let request_id = alone.enable(alone.request(Some(an_issue().id)), alice()).await;
    let fact = alone.passed.next().await;
    assert_eq!((fact.request().id, fact.caller().user.id.0), (request_id, 2));
    let description = &fact.resource().unwrap().description;
    assert!(description.ends_with("characters left out]"), "{description}");
    assert_eq!(fact.containers().last().map(GlobalId::model), Some("Group"));
    assert!(alone.ended.is_silent().await);
}

#[actix::test]
async fn without_a_resource_a_group_of_the_caller_is_ground_enough() {
    let mut alone = policy();
    alone.enable(alone.request(None), alice()).await;
    let fact = alone.passed.next().await;
    assert!(fact.resource().is_none());
    assert_eq!(fact.containers().iter().map(GlobalId::model).collect::<Vec<_>>(), ["Group"]);
}

#[actix::test]
async fn whoever_may_not_is_refused_and_goes_nowhere() {
    let alone = policy();
    let mallory = Caller { user: a_user(3, "mallory"), credentials: None };
    let request_id = alone.enable(alone.request(Some(an_issue().id)), mallory).await;
    let failure = alone.refusal(request_id).await;
    assert_eq!(failure, Failure::new(Code::NotFound, Hop::Policy, checks::NOT_FOUND));
}

#[actix::test]
async fn a_directory_that_is_down_refuses_whoever_can_ask_again() {
    let alone = policy();
    alone.directory.is_down.store(true, SeqCst);
    let request_id = alone.enable(alone.request(None), alice()).await;
    let failure = alone.refusal(request_id).await;
    assert_eq!((failure.code, failure.retry_after), (Code::Overloaded, Some(SUGGESTED_RETRY)));
}

#[actix::test]
async fn a_recovered_request_waits_for_the_directory_and_keeps_the_resource_it_was_asked_about() {
    let mut alone = policy();
    alone.directory.is_down.store(true, SeqCst);
    let mut request = alone.request(Some(an_issue().id));
    let then = Resource { title: "As it was".to_owned(), description: String::new(), ..an_issue() };
    let then = Resource { comments: Vec::new(), ..then };
    request.origin = Origin::Recovered { resource: Some(Arc::new(then.clone())) };
    alone.enable(request, alice()).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(alone.passed.is_silent().await && alone.ended.is_silent().await);
    alone.directory.is_down.store(false, SeqCst);
    assert_eq!(**alone.passed.next().await.resource().unwrap(), then);
}

#[actix::test]
async fn a_directory_that_needs_the_token_that_is_gone_interrupts_a_recovered_request() {
    let alone = policy();
    alone.directory.needs_credentials.store(true, SeqCst);
    let mut request = alone.request(None);
    request.origin = Origin::Recovered { resource: None };
    let request_id = alone.enable(request, alice()).await;
    assert_eq!(alone.refusal(request_id).await.code, Code::Interrupted);
}

#[actix::test]
async fn whoever_asks_a_directory_that_needs_a_token_has_to_bring_one() {
    let alone = policy();
    alone.directory.needs_credentials.store(true, SeqCst);
    let request_id = alone.enable(alone.request(None), alice()).await;
    let failure = alone.refusal(request_id).await;
    assert_eq!((failure.code, failure.text.as_str()), (Code::Unauthenticated, INVALID_TOKEN));
}

#[actix::test]
async fn a_slow_directory_holds_up_nobody_else() {
    let mut alone = policy();
    alone.directory.is_down.store(true, SeqCst);
    let mut waiting = alone.request(None);
    waiting.origin = Origin::Recovered { resource: None };
    alone.enable(waiting, alice()).await;
    let refused = alone.enable(alone.request(None), alice()).await;
    assert_eq!(alone.ended.next().await.request_id, refused);
}

#[actix::test]
async fn which_of_many_actions_are_allowed_is_decided_by_the_same_checks() {
    let alone = policy();
    let flags = alone.world.flags.clone();
    flags.set("chat_flag", false);
    let asked =
        |caller| WhichAllowed { caller, flags: flags.snapshot(), actions: alone.world.actions.clone() };
    let allowed = alone.policy.send(asked(alice())).await.unwrap().unwrap();
    let names: Vec<&str> = allowed.iter().map(|action| action.name.as_str()).collect();
    assert_eq!(names, ["summarize_comments"]);
    let mallory = Caller { user: a_user(3, "mallory"), credentials: None };
    assert!(alone.policy.send(asked(mallory)).await.unwrap().unwrap().is_empty());
    alone.directory.is_down.store(true, SeqCst);
    assert_eq!(alone.policy.send(asked(alice())).await.unwrap().unwrap_err().code, Code::Overloaded);
}

#[actix::test]
async fn a_second_look_makes_checks_4_to_6_by_the_facts_of_now() {
    let alone = policy();
    let look = |user, action: &str, resource: Option<GlobalId>| LookAgain {
        caller: Caller { user, credentials: None },
        action: action.to_owned(),
        resource: resource.map(Into::into),
    };
    let issue = || Some(an_issue().id);
    let (alice, mallory) = (|| a_user(2, "alice"), || a_user(3, "mallory"));
    let standing = async |asked: LookAgain| alone.policy.send(asked).await.unwrap().unwrap();
    let refused = |code, text| Standing::Refused(Failure::new(code, Hop::Policy, text));

    for action in ["chat", "one that has left the catalogue"] {
        assert_eq!(standing(look(alice(), action, issue())).await, Standing::Allowed);
        assert_eq!(standing(look(alice(), action, None)).await, Standing::Allowed);
        let elsewhere = look(alice(), action, Some(GlobalId::of("Issue", 53)));
        assert_eq!(standing(elsewhere).await, refused(Code::NotFound, checks::NOT_FOUND));
        let stranger = look(mallory(), action, issue());
        assert_eq!(standing(stranger).await, refused(Code::NotFound, checks::NOT_FOUND));
    }
    alone.world.flags.set("chat_flag", false);
    assert_eq!(standing(look(alice(), "chat", issue())).await, Standing::Allowed);
    alone.world.licences.withdrawn.store(true, SeqCst);
    let unlicensed = standing(look(alice(), "chat", issue())).await;
    assert_eq!(unlicensed, refused(Code::Forbidden, checks::NOT_ALLOWED));
    alone.directory.needs_credentials.store(true, SeqCst);
    let unknown_now = standing(look(alice(), "chat", issue())).await;
    assert_eq!(unknown_now, refused(Code::Unauthenticated, INVALID_TOKEN));
    alone.directory.is_down.store(true, SeqCst);
    assert_eq!(standing(look(alice(), "chat", issue())).await, Standing::Unknown);
}
