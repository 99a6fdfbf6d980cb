//! Which events a subscription wants. The argument sets are GitLab's topics: a message is published
//! under {user, action} and {user, resource}, each with or without its `clientSubscriptionId`, and a
//! subscription gets what was published under exactly its own arguments. Two sets are ours in
//! addition: {user, clientSubscriptionId} and {user, requestId} get everything of what they name.

use super::event::EventKind;
use crate::protocol::{Address, Code, Failure, GlobalId, Hop, RequestId, UserId};

/// A subscription's arguments. The owner is part of every one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    owner: UserId,
    scope: Scope,
    client_subscription_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    Action(String),
    Resource(GlobalId),
    Request(RequestId),
    /// Neither action nor resource nor request.
    User,
}

impl Filter {
    /// # Errors
    /// `invalid_input` for a set of arguments under which nothing is ever published.
    pub fn new(
        owner: UserId,
        action: Option<&str>,
        resource_id: Option<GlobalId>,
        client_subscription_id: Option<String>,
        request_id: Option<RequestId>,
    ) -> Result<Self, Failure> {
        let scope = match (action, resource_id, request_id) {
            (None, None, None) => Scope::User,
            (Some(action), None, None) => Scope::Action(action.to_owned()),
            (None, Some(resource_id), None) => Scope::Resource(resource_id),
            (None, None, Some(request_id)) if client_subscription_id.is_none() => Scope::Request(request_id),
            _ => return Err(never_published()),
        };
        Ok(Self { owner, scope, client_subscription_id })
    }

    /// Everything of one request.
    #[must_use]
    pub fn of_request(owner: UserId, request_id: RequestId) -> Self {
        Self { owner, scope: Scope::Request(request_id), client_subscription_id: None }
    }

    #[must_use]
    pub fn owner(&self) -> UserId {
        self.owner
    }

    /// The page it names, if it names one.
    #[must_use]
    pub fn client_subscription_id(&self) -> Option<&str> {
        self.client_subscription_id.as_deref()
    }

    /// The one request it names, if it names one.
    pub(super) fn request_id(&self) -> Option<RequestId> {
        match self.scope {
            Scope::Request(request_id) => Some(request_id),
            Scope::Action(_) | Scope::Resource(_) | Scope::User => None,
        }
    }

    /// Whether it names requests it waits for, so that these are replayed.
    pub(super) fn replays(&self, address: &Address) -> Replays {
        match (&self.scope, &self.client_subscription_id) {
            (Scope::Request(_), _) => Replays::Always,
            (_, Some(_)) => Replays::UntilAcknowledged,
            (Scope::Action(_) | Scope::Resource(_), None) if address.client_subscription_id.is_none() => {
                Replays::WhileRecent
            }
            (Scope::Action(_) | Scope::Resource(_) | Scope::User, None) => Replays::Never,
        }
    }

    /// Whether an event of this kind, published for `address`, is wanted.
    pub(super) fn wants(&self, address: &Address, kind: EventKind) -> bool {
        if self.owner != address.owner {
            return false;
        }
        let same_page = self.client_subscription_id == address.client_subscription_id;
        match (&self.scope, &self.client_subscription_id) {
            (Scope::Request(request_id), _) => *request_id == address.request_id,
            (Scope::User, Some(_)) => same_page,
            (Scope::User, None) => address.resource_id.is_none() && topic(false, same_page, kind),
            (Scope::Action(action), id) => *action == address.action && topic(id.is_some(), same_page, kind),
            (Scope::Resource(resource_id), id) => {
                address.resource_id.as_ref() == Some(resource_id) && topic(id.is_some(), same_page, kind)
            }
        }
    }
}

/// How long a finished request is replayed to a new subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Replays {
    Always,
    UntilAcknowledged,
    WhileRecent,
    Never,
}

/// GitLab's table: the user's message goes only where no `clientSubscriptionId` is asked for, chunks
/// only where the right one is, the final to both.
fn topic(names_page: bool, same_page: bool, kind: EventKind) -> bool {
    match kind {
        EventKind::Echo => !names_page,
        EventKind::Restart | EventKind::Chunk => names_page && same_page,
        EventKind::Final => !names_page || same_page,
    }
}

fn never_published() -> Failure {
    Failure::new(
        Code::InvalidInput,
        Hop::Edge,
        "Nothing is published under these arguments: give clientSubscriptionId alone, requestId alone, or \
         one of aiAction and resourceId with or without clientSubscriptionId.",
    )
}

#[cfg(test)]
mod tests {
    use EventKind::{Chunk, Echo, Final};
    use rstest::rstest;

    use super::*;

    fn alice() -> UserId {
        UserId(2)
    }

    fn issue() -> GlobalId {
        GlobalId::of("Issue", 52)
    }

    fn asked(client_subscription_id: Option<&str>) -> Address {
        Address {
            request_id: RequestId::new(),
            owner: alice(),
            action: "chat".to_owned(),
            resource_id: Some(issue()),
            project_id: None,
            client_subscription_id: client_subscription_id.map(ToOwned::to_owned),
            clearance: None,
            thread_id: None,
        }
    }

    fn filter(action: Option<&str>, resource: Option<GlobalId>, page: Option<&str>) -> Filter {
        Filter::new(alice(), action, resource, page.map(ToOwned::to_owned), None).unwrap()
    }

    #[rstest]
    #[case::action(Some("chat"), None)]
    #[case::resource(None, Some(issue()))]
    fn the_table_of_topics_is_gitlabs(#[case] action: Option<&str>, #[case] resource: Option<GlobalId>) {
        let wide = filter(action, resource.clone(), None);
        let page = filter(action, resource.clone(), Some("C"));
        let other_page = filter(action, resource, Some("D"));
        let wanted =
            |filter: &Filter, address: &Address| [Echo, Chunk, Final].map(|kind| filter.wants(address, kind));
        assert_eq!(wanted(&wide, &asked(Some("C"))), [true, false, true]);
        assert_eq!(wanted(&wide, &asked(None)), [true, false, true]);
        assert_eq!(wanted(&page, &asked(Some("C"))), [false, true, true]);
        assert_eq!(wanted(&page, &asked(None)), [false, false, false]);
        assert_eq!(wanted(&other_page, &asked(Some("C"))), [false, false, false]);
    }

    #[test]
    fn another_action_or_resource_is_not_wanted() {
        let address = asked(Some("C"));
        assert!(!filter(Some("explain_code"), None, Some("C")).wants(&address, Final));
        assert!(!filter(None, Some(GlobalId::of("Issue", 53)), Some("C")).wants(&address, Final));
    }

    #[test]
    fn a_page_alone_and_a_request_alone_get_everything() {
        let address = asked(Some("C"));
        let request = Filter::new(alice(), None, None, None, Some(address.request_id)).unwrap();
        for kind in [Echo, Chunk, Final] {
            assert!(filter(None, None, Some("C")).wants(&address, kind));
            assert!(request.wants(&address, kind));
        }
    }

    #[test]
    fn nobody_but_the_owner_wants_it_whatever_they_name() {
        let address = asked(Some("C"));
        let mallory = UserId(3);
        let filters = [
            Filter::new(mallory, Some("chat"), None, Some("C".to_owned()), None),
            Filter::new(mallory, None, Some(issue()), None, None),
            Filter::new(mallory, None, None, None, Some(address.request_id)),
            Filter::new(mallory, None, None, Some("C".to_owned()), None),
        ];
        for filter in filters {
            assert!(!filter.unwrap().wants(&address, Final));
        }
    }

    #[test]
    fn arguments_under_which_nothing_is_published_are_refused() {
        let (action, page, request) = (Some("chat"), Some("C".to_owned()), Some(RequestId::new()));
        let sets = [
            Filter::new(alice(), action, Some(issue()), None, None),
            Filter::new(alice(), action, None, None, request),
            Filter::new(alice(), None, Some(issue()), None, request),
            Filter::new(alice(), None, None, page.clone(), request),
            Filter::new(alice(), action, Some(issue()), page, request),
        ];
        for set in sets {
            assert_eq!(set.unwrap_err().code, Code::InvalidInput);
        }
    }
}
