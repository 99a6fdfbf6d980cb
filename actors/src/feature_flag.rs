//! FeatureFlag: is it switched on.
//!
//! Owns checks 1 to 3 of the six. Accepts [`Authenticated`], takes one snapshot of the flags, which then
//! governs the request to its end, and emits [`Enabled`] to Policy or ends the request
//! `feature_disabled`. A flag that is on for some groups or projects only is left open here; Policy,
//! which learns the groups, closes it.

use std::sync::Arc;

use actix::{Actor, Context, Handler, Message, MessageResult, Recipient, ResponseFuture, Supervised};

use crate::{
    action::Action,
    auth::Authenticated,
    desk::Desk,
    ports::{Caller, FlagSource, Flags},
    protocol::{Code, Failure, GlobalId, Hop, Request, Stop, forward},
    trace::{self, Check, Finding, Step},
};

/// Check 1: the switch of everything that is chat. On unless switched off.
pub const CHAT_SWITCH: &str = "ai_duo_chat_switch";
/// Check 2: the switch of everything else. On unless switched off.
pub const GLOBAL_SWITCH: &str = "ai_global_switch";
/// GitLab's text for a closed flag, whichever it is.
pub const FLAG_DISABLED: &str = "required feature flag is disabled.";

/// A request whose switches and flag are on, or may be for its group. Built only in this file.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Enabled {
    authenticated: Authenticated,
    flags: Arc<dyn Flags>,
}

impl Enabled {
    #[must_use]
    pub fn request(&self) -> &Request {
        self.authenticated.request()
    }

    #[must_use]
    pub fn caller(&self) -> &Caller {
        self.authenticated.caller()
    }

    /// The flags as they were when the request passed check 1.
    #[must_use]
    pub fn flags(&self) -> &Arc<dyn Flags> {
        &self.flags
    }
}

/// Asks which of `actions` pass checks 1 to 3 for this caller, and by which flags.
#[derive(Debug, Message)]
#[rtype(result = "EnabledActions")]
pub struct WhichEnabled {
    pub caller: Caller,
    pub actions: Vec<Arc<Action>>,
}

#[derive(Debug)]
pub struct EnabledActions {
    pub flags: Arc<dyn Flags>,
    pub actions: Vec<Arc<Action>>,
}

pub struct FeatureFlag {
    desk: Desk,
    flags: Arc<dyn FlagSource>,
    policy: Recipient<Enabled>,
}

impl FeatureFlag {
    pub(crate) fn new(desk: Desk, flags: Arc<dyn FlagSource>, policy: Recipient<Enabled>) -> Self {
        Self { desk, flags, policy }
    }
}

impl Actor for FeatureFlag {
    type Context = Context<Self>;
}

impl Supervised for FeatureFlag {
    fn restarting(&mut self, _: &mut Self::Context) {
        self.desk.end_abandoned();
    }
}

impl Handler<Authenticated> for FeatureFlag {
    type Result = ();

    fn handle(&mut self, authenticated: Authenticated, _: &mut Self::Context) {
        let request = authenticated.request();
        self.desk.take("Authenticated", Some(request.id));
        let flags = self.flags.snapshot();
        let steps = check(&request.action, &*flags, &authenticated.caller().user.id.global_id());
        trace::log(request.id, &steps);
        match decide(&steps) {
            Ok(()) => forward(&self.policy, Enabled { authenticated, flags }),
            Err(refusal) => self.desk.end(request.id, refusal),
        }
        self.desk.clear();
    }
}

impl Handler<WhichEnabled> for FeatureFlag {
    type Result = MessageResult<WhichEnabled>;

    fn handle(&mut self, asked: WhichEnabled, _: &mut Self::Context) -> Self::Result {
        self.desk.take("WhichEnabled", None);
        let (flags, user) = (self.flags.snapshot(), asked.caller.user.id.global_id());
        let mut actions = asked.actions;
        actions.retain(|action| decide(&check(action, &*flags, &user)).is_ok());
        self.desk.clear();
        MessageResult(EnabledActions { flags, actions })
    }
}

impl Handler<Stop> for FeatureFlag {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.desk.drop_work())
    }
}

/// Checks 1 to 3, in this order: chat's switch, everybody else's switch, the action's own flag.
pub(crate) fn check(action: &Action, flags: &dyn Flags, user: &GlobalId) -> [Step; 3] {
    let switch = |check, name, applies: bool| {
        let finding = match applies {
            true => Finding::of(flags.enabled(name, true, std::slice::from_ref(user))),
            false => Finding::NotApplicable,
        };
        Step::new(check, finding, flag_facts(name, true, flags))
    };
    [
        switch(Check::ChatSwitch, CHAT_SWITCH, action.is_chat()),
        switch(Check::GlobalSwitch, GLOBAL_SWITCH, !action.is_chat()),
        own_flag(action, flags, user),
    ]
}

fn own_flag(action: &Action, flags: &dyn Flags, user: &GlobalId) -> Step {
    let name = &action.feature_flag;
    let is_on = flags.enabled(name, action.flag_default, std::slice::from_ref(user));
    // Its groups and projects are not known yet: Policy closes the gate when they are.
    let finding = Finding::of(is_on || flags.depends_on_container(name));
    Step::new(Check::FeatureFlag, finding, flag_facts(name, action.flag_default, flags))
}

/// What is known of a flag, or what counts while nothing is.
pub(crate) fn flag_facts(name: &str, default: bool, flags: &dyn Flags) -> String {
    match flags.describe(name) {
        Some(gates) => format!("{name} is {gates}"),
        None => format!("{name} is not set, and {} by default", if default { "on" } else { "off" }),
    }
}

pub(crate) fn decide(steps: &[Step; 3]) -> Result<(), Failure> {
    if steps.iter().all(Step::passed) { Ok(()) } else { Err(disabled(Hop::FeatureFlag)) }
}

/// The refusal of a closed switch or flag; Policy uses it for group and project gates.
pub(crate) fn disabled(hop: Hop) -> Failure {
    Failure::new(Code::FeatureDisabled, hop, FLAG_DISABLED)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use actix::Addr;
    use rstest::rstest;

    use super::*;
    use crate::{
        protocol::{Ended, Outcome},
        testing::{FakeFlags, Probe, World, a_desk, a_request, a_user, alone, an_action},
    };

    impl Enabled {
        /// The fact without its actor, for the tests of the next one.
        pub(crate) fn for_test(authenticated: Authenticated, flags: Arc<dyn Flags>) -> Self {
            Self { authenticated, flags }
        }
    }

    /// Flags that count how often they were looked at.
    #[derive(Default)]
    struct Counted {
        flags: FakeFlags,
        snapshots: AtomicUsize,
    }

    impl FlagSource for Counted {
        fn snapshot(&self) -> Arc<dyn Flags> {
            self.snapshots.fetch_add(1, SeqCst);
            self.flags.snapshot()
        }
    }

    struct Alone {
        feature_flag: Addr<FeatureFlag>,
        flags: Arc<Counted>,
        passed: Probe<Enabled>,
        ended: Probe<Ended>,
    }

    fn feature_flag() -> Alone {
        tokio::time::pause();
        let (desk, ended) = a_desk(Hop::FeatureFlag);
        let (passed, policy) = Probe::new();
        let flags = Arc::new(Counted::default());
        let feature_flag = alone(FeatureFlag::new(desk, flags.clone(), policy));
        Alone { feature_flag, flags, passed, ended }
    }

    fn alice() -> Caller {
        Caller { user: a_user(2, "alice"), credentials: None }
    }

    fn authenticated(action: &str) -> Authenticated {
        let request = a_request(&an_action(action), &World::default().clock);
        Authenticated::for_test(request, alice())
    }

    impl Alone {
        async fn code_of(&mut self, action: &str) -> Option<Code> {
            self.feature_flag.send(authenticated(action)).await.unwrap();
            let Some(ended) = self.ended.next_soon().await else {
                self.passed.next().await;
                return None;
            };
            let Outcome::Failed { failure, .. } = ended.outcome else {
                panic!("not a refusal");
            };
            assert_eq!((failure.text.as_str(), failure.hop), (FLAG_DISABLED, Hop::FeatureFlag));
            assert!(self.passed.is_silent().await, "a refused request went on");
            Some(failure.code)
        }
    }

    const OFF: Option<Code> = Some(Code::FeatureDisabled);

    #[rstest]
    #[case::nothing_is_set(None, None, None)]
    #[case::chats_switch_is_chats_alone(Some(CHAT_SWITCH), OFF, None)]
    #[case::the_global_switch_is_everybody_elses(Some(GLOBAL_SWITCH), None, OFF)]
    #[case::an_actions_own_flag("chat_flag".into(), OFF, None)]
    #[case::another_actions_own_flag("explain_code_flag".into(), None, OFF)]
    #[actix::test]
    async fn checks_1_to_3(
        #[case] switched_off: Option<&str>,
        #[case] chat: Option<Code>,
        #[case] explain_code: Option<Code>,
    ) {
        let mut alone = feature_flag();
        if let Some(flag) = switched_off {
            alone.flags.flags.set(flag, false);
        }
        assert_eq!(alone.code_of("chat").await, chat);
        assert_eq!(alone.code_of("explain_code").await, explain_code);
    }

    #[actix::test]
    async fn a_flag_the_source_does_not_know_is_what_the_action_says_it_is() {
        let flags = FakeFlags::default().snapshot();
        let user = GlobalId::of("User", 2);
        let mut action = Action::clone(&an_action("chat"));
        action.flag_default = false;
        assert_eq!(decide(&check(&action, &*flags, &user)).unwrap_err().code, Code::FeatureDisabled);
        action.flag_default = true;
        assert!(decide(&check(&action, &*flags, &user)).is_ok());
    }

    #[rstest]
    #[case::the_user(GlobalId::of("User", 2), None)]
    #[case::another_user(GlobalId::of("User", 3), OFF)]
    #[case::some_group_which_is_for_policy_to_decide(GlobalId::of("Group", 99), None)]
    #[actix::test]
    async fn a_flag_that_is_on_for_one(#[case] actor: GlobalId, #[case] expected: Option<Code>) {
        let mut alone = feature_flag();
        alone.flags.flags.set_for("chat_flag", actor);
        assert_eq!(alone.code_of("chat").await, expected);
    }

    #[actix::test]
    async fn one_snapshot_governs_a_request_whatever_is_flipped_later() {
        let mut alone = feature_flag();
        alone.feature_flag.send(authenticated("chat")).await.unwrap();
        assert_eq!(alone.flags.snapshots.load(SeqCst), 1);
        alone.flags.flags.set("chat_flag", false);
        let fact = alone.passed.next().await;
        assert!(fact.flags().enabled("chat_flag", true, &[fact.caller().user.id.global_id()]));
        assert_eq!(alone.flags.snapshots.load(SeqCst), 1);
    }

    #[actix::test]
    async fn which_of_many_actions_are_on_is_decided_by_the_same_checks() {
        let alone = feature_flag();
        alone.flags.flags.set(GLOBAL_SWITCH, false);
        let actions = vec![an_action("chat"), an_action("explain_code")];
        let enabled = alone.feature_flag.send(WhichEnabled { caller: alice(), actions }).await.unwrap();
        let names: Vec<&str> = enabled.actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(names, ["chat"]);
        assert_eq!(alone.flags.snapshots.load(SeqCst), 1);
    }
}
