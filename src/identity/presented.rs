//! What a JWT says of itself before anything is verified: enough to choose the key, and trusted for
//! nothing else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, dangerous::insecure_decode};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refusal::Refusal;

/// Longer tokens are not looked at. GitLab's, with all unit primitives, have about 3 KiB.
const MAX_TOKEN_BYTES: usize = 16_384;

/// Whether `token` has the shape of a JWT: three parts, the first of which is a JSON object. GitLab's own
/// tokens may have three parts too, and begin with whatever its administrator chose.
pub(super) fn looks_like_a_jwt(token: &str) -> bool {
    let mut parts = token.split('.');
    let (Some(header), 2) = (parts.next(), parts.count()) else { return false };
    let header = URL_SAFE_NO_PAD.decode(header);
    header.is_ok_and(|header| serde_json::from_slice::<Map<String, Value>>(&header).is_ok())
}

/// The unverified choice of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Presented {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    /// `iss`, as it stands there.
    pub(super) issuer: String,
}

#[derive(Deserialize)]
struct Unverified {
    iss: String,
}

impl Presented {
    pub(super) fn read(token: &str, allowed: &[Algorithm]) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::TooLong);
        }
        let unverified = insecure_decode::<Unverified>(token).map_err(|_| Refusal::Malformed)?;
        let header = unverified.header;
        if !allowed.contains(&header.alg) {
            return Err(Refusal::AlgorithmNotAllowed);
        }
        if brings_a_key(&header) {
            return Err(Refusal::KeyInHeader);
        }
        Ok(Self { algorithm: header.alg, key_id: header.kid, issuer: unverified.claims.iss })
    }
}

/// RFC 7515 sections 4.1.2 to 4.1.6: `jku`, `jwk`, `x5u` and `x5c` let whoever made the token choose the
/// key it is verified with; `crit` (4.1.11) names what must be understood, and nothing is.
fn brings_a_key(header: &Header) -> bool {
    header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some()
        || header.crit.is_some()
}

#[cfg(test)]
mod tests {
    use duologue_harness::oidc::unsigned;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(header: Value) -> Result<Presented, Refusal> {
        Presented::read(&unsigned(&header, &json!({"iss": "https://i.example"})), &[Algorithm::RS256])
    }

    #[test]
    fn the_algorithm_the_key_and_the_issuer_are_read() {
        let presented = read(json!({"alg": "RS256", "kid": "k", "typ": "JWT"})).unwrap();
        let expected = Presented {
            algorithm: Algorithm::RS256,
            key_id: Some("k".to_owned()),
            issuer: "https://i.example".to_owned(),
        };
        assert_eq!(presented, expected);
    }

    #[rstest::rstest]
    #[case::none(json!({"alg": "none"}), Refusal::Malformed)]
    #[case::of_another_case(json!({"alg": "rs256"}), Refusal::Malformed)]
    #[case::missing(json!({"kid": "k"}), Refusal::Malformed)]
    #[case::shared_secret(json!({"alg": "HS256"}), Refusal::AlgorithmNotAllowed)]
    #[case::not_in_the_list(json!({"alg": "PS256"}), Refusal::AlgorithmNotAllowed)]
    #[case::a_key(json!({"alg": "RS256", "jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}}), Refusal::KeyInHeader)]
    #[case::keys_elsewhere(json!({"alg": "RS256", "jku": "https://evil.example"}), Refusal::KeyInHeader)]
    #[case::a_certificate(json!({"alg": "RS256", "x5c": ["AA=="]}), Refusal::KeyInHeader)]
    #[case::one_elsewhere(json!({"alg": "RS256", "x5u": "https://evil.example"}), Refusal::KeyInHeader)]
    #[case::unknown_demands(json!({"alg": "RS256", "crit": ["b64"], "b64": false}), Refusal::KeyInHeader)]
    fn a_header_that_would_choose_its_own_verification_is_refused(
        #[case] header: Value,
        #[case] refusal: Refusal,
    ) {
        assert_eq!(read(header), Err(refusal));
    }

    #[test]
    fn a_token_that_is_too_long_is_not_decoded() {
        let token = format!("eyJ.{}.x", "x".repeat(MAX_TOKEN_BYTES));
        assert_eq!(Presented::read(&token, &[Algorithm::RS256]), Err(Refusal::TooLong));
    }

    #[rstest::rstest]
    #[case("eyJhbGciOiJSUzI1NiJ9.e30.c2ln", true)]
    #[case::without_a_signature("eyJhbGciOiJub25lIn0.e30.", true)]
    #[case::with_a_space("eyAiYWxnIjoiUlMyNTYifQ.e30.c2ln", true)]
    #[case::of_gitlab("glpat-bzox79Ou5xM0.01.0z0bd4bp", false)]
    #[case("demo-alice", false)]
    #[case::of_gitlab_with_a_prefix("ey-glpat-bzox79Ou5xM0.01.0z0bd4bp", false)]
    #[case::of_gitlab_with_another("eyJhbGci.01.0z0bd4bp", false)]
    #[case::no_object("WzFd.e30.c2ln", false)]
    #[case("e.y", false)]
    #[case::encrypted("eyJhbGciOiJSUzI1NiJ9.a.b.c.d", false)]
    fn a_jwt_is_known_by_its_shape(#[case] token: &str, #[case] expected: bool) {
        assert_eq!(looks_like_a_jwt(token), expected);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_and_nothing_worse(token in "\\PC{0,80}", parts in "[A-Za-z0-9_=-]{0,40}(\\.[A-Za-z0-9_=-]{0,40}){0,4}") {
            prop_assert!(Presented::read(&token, &[Algorithm::RS256]).is_err());
            prop_assert!(Presented::read(&parts, &[Algorithm::RS256]).is_err());
        }

        #[test]
        fn any_header_is_read_or_refused(alg in "[A-Za-z0-9]{0,6}", key in "jwk|jku|x5c|crit|kid|typ", value in any::<Option<i32>>()) {
            let header = json!({"alg": alg, key: value});
            prop_assert!(read(header).is_err());
        }
    }
}
