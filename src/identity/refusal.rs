//! Why a token was not taken: for the log of whoever runs the server. The client hears the same of all.

use duologue_actors::ports::VerifyError;

/// Shown as one fixed word, so that no part of a token can reach the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("no_token")]
    NoToken,
    #[error("too_long")]
    TooLong,
    /// No JWT at all, or one without `iss`, or of an algorithm nobody knows, such as `none`.
    #[error("malformed")]
    Malformed,
    #[error("algorithm_not_allowed")]
    AlgorithmNotAllowed,
    /// The token brings the key to verify it with, or says where to get it, or wants something understood
    /// that is not.
    #[error("key_in_header")]
    KeyInHeader,
    #[error("unknown_issuer")]
    UnknownIssuer,
    /// Not the token's fault: the keys of its issuer are not known yet, and it does not answer.
    #[error("issuer_unavailable")]
    IssuerUnavailable,
    /// No `kid`, and the issuer has several keys.
    #[error("no_key_id")]
    NoKeyId,
    #[error("unknown_key")]
    UnknownKey,
    #[error("key_does_not_fit")]
    KeyDoesNotFit,
    #[error("bad_signature")]
    BadSignature,
    /// A claim that is needed is missing or of the wrong type, or `aud` is somebody else.
    #[error("bad_claims")]
    BadClaims,
    #[error("expired")]
    Expired,
    #[error("not_yet_good")]
    NotYetGood,
    #[error("wrong_realm")]
    WrongRealm,
    #[error("realm_differs")]
    RealmDiffers,
    #[error("instance_differs")]
    InstanceDiffers,
    #[error("user_differs")]
    UserDiffers,
    /// An instance asks that is not among `auth.instance_ids`.
    #[error("unknown_instance")]
    UnknownInstance,
    /// An instance asks, and does not say for whom.
    #[error("no_user_stated")]
    NoUserStated,
    #[error("unknown_user")]
    UnknownUser,
}

impl From<Refusal> for VerifyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::IssuerUnavailable => Self::Unavailable,
            _ => Self::Invalid,
        }
    }
}
