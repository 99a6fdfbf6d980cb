//! Who asks, on whose behalf and for what: the headers by which the gateway checks a token's claims.

use base64::{Engine, engine::general_purpose::STANDARD};
use duologue_actors::{
    ports::{ModelCall, ModelError, Retry},
    protocol::{Code, UserId},
};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::{super::keys::Key, answer};

/// The only kind of token there is.
const AUTHENTICATION_TYPE: HeaderValue = HeaderValue::from_static("oidc");

/// This server, as it introduces itself. What a token claims must agree with it: `gitlab_realm` with
/// `X-Gitlab-Realm`, `gitlab_instance_id` and mostly `sub` with `X-Gitlab-Instance-Id`.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) realm: &'static str,
    pub(super) instance_id: Option<String>,
    /// Of GitLab, by which the gateway decides what it may offer.
    pub(super) version: String,
}

impl Caller {
    /// # Errors
    /// When a value has a character that no header may have.
    pub(super) fn headers(&self, key: Option<&Key>, call: &ModelCall) -> Result<HeaderMap, ModelError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(answer::ACCEPTED));
        headers.insert(HeaderName::from_static("x-gitlab-authentication-type"), AUTHENTICATION_TYPE);
        if let Some(key) = key {
            headers.insert(AUTHORIZATION, key.bearer());
        }
        let flags = call.enabled_flags.join(",");
        let values = [
            ("x-request-id", call.request_id.to_string()),
            ("x-gitlab-realm", self.realm.to_owned()),
            ("x-gitlab-instance-id", self.instance_id.clone().unwrap_or_default()),
            ("x-gitlab-global-user-id", self.global_id(call.user)),
            ("x-gitlab-version", self.version.clone()),
            ("x-gitlab-unit-primitive", call.unit_primitive.clone()),
            ("x-gitlab-enabled-feature-flags", flags),
        ];
        for (name, value) in values {
            // To the gateway, an empty value is another one than none.
            if !value.is_empty() {
                let value = HeaderValue::from_str(&value).map_err(|_| cannot_be_sent(name))?;
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        Ok(headers)
    }

    /// The same for every call of a user, another one at every instance, and no name. GitLab's is made of the
    /// same two things.
    fn global_id(&self, user: UserId) -> String {
        let instance = self.instance_id.as_deref().unwrap_or_default();
        STANDARD.encode(Sha256::digest(format!("{instance}\n{user}")))
    }
}

fn cannot_be_sent(name: &str) -> ModelError {
    let what = format!("{name} has a character that no header may have");
    ModelError::new(Code::UpstreamRejected, Retry::Never, what)
}
