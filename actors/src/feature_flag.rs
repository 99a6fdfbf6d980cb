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
        match decide(&request.action, &*flags, &authenticated.caller().user.id.global_id()) {
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
        actions.retain(|action| decide(action, &*flags, &user).is_ok());
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
fn decide(action: &Action, flags: &dyn Flags, user: &GlobalId) -> Result<(), Failure> {
    let actors = std::slice::from_ref(user);
    let switch = if action.is_chat() { CHAT_SWITCH } else { GLOBAL_SWITCH };
    let switched_on = flags.enabled(switch, true, actors);
    let flagged_on = flags.enabled(&action.feature_flag, action.flag_default, actors)
        || flags.depends_on_container(&action.feature_flag);
    if switched_on && flagged_on { Ok(()) } else { Err(disabled(Hop::FeatureFlag)) }
}

/// The refusal of a closed switch or flag; Policy uses it for group and project gates.
pub(crate) fn disabled(hop: Hop) -> Failure {
    Failure::new(Code::FeatureDisabled, hop, FLAG_DISABLED)
}
