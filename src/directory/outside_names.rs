//! What users are called outside: by the issuers of their JWTs, and by GitLab instances.

use std::collections::BTreeMap;

use duologue_actors::protocol::UserId;

use super::issuer_name;

/// Each name is one user's.
#[derive(Debug, Default)]
pub(super) struct OutsideNames {
    /// Subjects, by the name of their issuer.
    subjects: BTreeMap<String, BTreeMap<String, UserId>>,
    global_user_ids: BTreeMap<String, UserId>,
}

impl OutsideNames {
    pub(super) fn subject(&self, issuer: &str, subject: &str) -> Option<UserId> {
        self.subjects.get(issuer_name(issuer))?.get(subject).copied()
    }

    pub(super) fn has_of_issuer(&self, issuer: &str) -> bool {
        self.subjects.get(issuer_name(issuer)).is_some_and(|subjects| !subjects.is_empty())
    }

    pub(super) fn has_global_user_ids(&self) -> bool {
        !self.global_user_ids.is_empty()
    }

    pub(super) fn global_user_id(&self, id: &str) -> Option<UserId> {
        self.global_user_ids.get(id).copied()
    }

    /// Adds a name; `false` when it is somebody's already.
    pub(super) fn add_subject(&mut self, issuer: &str, subject: &str, user: UserId) -> bool {
        let subjects = self.subjects.entry(issuer_name(issuer).to_owned()).or_default();
        subjects.insert(subject.to_owned(), user).is_none_or(|known| known == user)
    }

    /// Adds a name; `false` when it is somebody's already.
    pub(super) fn add_global_user_id(&mut self, id: &str, user: UserId) -> bool {
        self.global_user_ids.insert(id.to_owned(), user).is_none()
    }

    pub(super) fn has(&self, user: UserId) -> bool {
        let mut subjects = self.subjects.values().flat_map(BTreeMap::values);
        subjects.any(|owner| *owner == user) || self.global_user_ids.values().any(|owner| *owner == user)
    }

    /// Takes all of a user's names away.
    pub(super) fn forget(&mut self, user: UserId) {
        self.subjects.values_mut().for_each(|subjects| subjects.retain(|_, owner| *owner != user));
        self.global_user_ids.retain(|_, owner| *owner != user);
    }
}
