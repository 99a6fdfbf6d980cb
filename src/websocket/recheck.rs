//! The second look at the credentials of a live socket. A token can be revoked long after
//! `connection_init`; the Auth actor is asked again from time to time, and its verifier answers from what it
//! keeps. A user whom GitLab blocks is found out that way only with a token of GitLab: the file of the
//! directory is read once, at the start.

use std::time::Duration;

use duologue_actors::{
    ports::Identity,
    protocol::{Code, Failure},
};

use super::departure::place;

/// When the credentials of one socket are looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rechecks {
    /// From the acknowledgement to the first look.
    pub first: Duration,
    /// From one look to the next.
    pub every: Duration,
}

/// What a second look found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The same caller, as the verifier sees them now.
    Good(Identity),
    /// They identify nobody any more, or somebody else, or may not be used for what the socket is for.
    NotGood,
    /// Nobody could tell. An identity provider that is down is no reason to end a stream.
    Unknown,
}

impl Rechecks {
    /// The first look of a socket comes in the second half of the interval, wherever its number puts it, so
    /// that clients that connected all at once do not ask all at once, now or later.
    #[must_use]
    pub fn of_socket(number: u64, every: Duration) -> Self {
        Self { first: every.mul_f64(f64::midpoint(1.0, place(number))), every }
    }
}

impl Finding {
    /// What `verdict` means to a socket that was opened as `before`. `None` stands for a look that was lost.
    #[must_use]
    pub fn of(before: &Identity, verdict: Option<Result<Identity, Failure>>) -> Self {
        match verdict {
            Some(Ok(now)) if now.user.id != before.user.id || lost_its_use(before, &now) => Self::NotGood,
            Some(Ok(now)) => Self::Good(now),
            Some(Err(failure)) if failure.code == Code::Unauthenticated => Self::NotGood,
            Some(Err(_)) | None => Self::Unknown,
        }
    }
}

/// Whether the token could be used to read answers, and cannot any more.
fn lost_its_use(before: &Identity, now: &Identity) -> bool {
    before.scope.may_read().is_ok() && now.scope.may_read().is_err()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use duologue_actors::{ports::Scope, protocol::Hop, testing::a_user};

    use super::*;

    fn identity(id: u64, scope: Scope) -> Identity {
        Identity { user: a_user(id, "alice"), expires_at: None, scope }
    }

    fn gitlab(scope: &str) -> Scope {
        Scope::Gitlab(Arc::new(BTreeSet::from([scope.to_owned()])))
    }

    fn failed(code: Code) -> Option<Result<Identity, Failure>> {
        Some(Err(Failure::new(code, Hop::Auth, "")))
    }

    #[test]
    fn a_token_that_identifies_nobody_or_somebody_else_is_not_good() {
        let before = identity(2, Scope::Everything);
        assert_eq!(Finding::of(&before, failed(Code::Unauthenticated)), Finding::NotGood);
        let another = Some(Ok(identity(3, Scope::Everything)));
        assert_eq!(Finding::of(&before, another), Finding::NotGood);
    }

    #[test]
    fn the_same_user_is_good_and_is_known_anew() {
        let renamed = Identity { user: a_user(2, "alice.smith"), ..identity(2, gitlab("read_api")) };
        let finding = Finding::of(&identity(2, gitlab("api")), Some(Ok(renamed.clone())));
        assert_eq!(finding, Finding::Good(renamed));
    }

    #[test]
    fn a_token_that_may_not_read_any_more_is_not_good_for_a_socket() {
        let narrowed = || Some(Ok(identity(2, gitlab("read_user"))));
        assert_eq!(Finding::of(&identity(2, gitlab("api")), narrowed()), Finding::NotGood);
        let as_narrow_before = identity(2, gitlab("read_user"));
        assert!(matches!(Finding::of(&as_narrow_before, narrowed()), Finding::Good(_)));
    }

    #[test]
    fn a_verifier_that_cannot_tell_ends_nothing() {
        let before = identity(2, Scope::Everything);
        for verdict in [failed(Code::Overloaded), failed(Code::Internal), None] {
            assert_eq!(Finding::of(&before, verdict), Finding::Unknown);
        }
    }

    #[test]
    fn sockets_that_connect_at_once_look_again_one_after_another() {
        let every = Duration::from_secs(60);
        let mut firsts: Vec<_> = (0..50_000).map(|number| Rechecks::of_socket(number, every).first).collect();
        firsts.sort_unstable();
        assert!(firsts[0] >= every / 2 && firsts[49_999] <= every);
        // 50,000 over 30 seconds is one every 0.6 ms.
        let largest_gap = firsts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(largest_gap < Duration::from_millis(3), "{largest_gap:?}");
    }
}
