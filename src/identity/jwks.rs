//! The keys of one issuer, as it publishes them, and which of them a token is to be verified with.

use std::sync::Arc;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::refusal::Refusal;

/// An issuer has two keys while it rotates them, and some have one for each algorithm.
const MAX_KEYS: usize = 64;

/// Why an answer is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    #[error("the answer is not a JSON object with a list of `keys`")]
    NotAKeySet,
    #[error("{0} keys are more than an issuer has: at most {MAX_KEYS} are taken")]
    TooMany(usize),
}

/// The keys that can verify a signature. Others in the set are for somebody else.
#[derive(Clone, Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Arc<Key>>,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    id: KeyId,
    /// What its type, its curve and its own `alg` allow. Never a shared-secret algorithm.
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// A key's name and what it is made of: a key of the same name with other material is another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeyId {
    name: Option<String>,
    material: [u8; 32],
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads RFC 7517's JSON. Keys of unknown kinds are passed over, as its section 5 asks.
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        let published: Published = serde_json::from_slice(text).map_err(|_| KeySetError::NotAKeySet)?;
        if published.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(published.keys.len()));
        }
        let keys = published.keys.into_iter().filter_map(|key| Key::read(key).map(Arc::new)).collect();
        Ok(Self { keys })
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key that a token asks for.
    pub(super) fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Refusal> {
        let mut named = self.named(name)?.peekable();
        if named.peek().is_none() {
            return Err(Refusal::UnknownKey);
        }
        let fitting = named.find(|key| key.algorithms.contains(&algorithm));
        fitting.cloned().ok_or(Refusal::KeyDoesNotFit)
    }

    pub(super) fn has(&self, id: &KeyId) -> bool {
        self.keys.iter().any(|key| key.id == *id)
    }

    /// A token without a `kid` can only mean the one key there is.
    fn named(&self, name: Option<&str>) -> Result<impl Iterator<Item = &Arc<Key>>, Refusal> {
        if name.is_none() && self.keys.len() > 1 {
            return Err(Refusal::NoKeyId);
        }
        Ok(self.keys.iter().filter(move |key| name.is_none() || key.id.name.as_deref() == name))
    }
}

impl Key {
    pub(super) fn id(&self) -> &KeyId {
        &self.id
    }

    fn read(published: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(published).ok()?;
        if !verifies(&jwk.common) {
            return None;
        }
        let algorithms = algorithms(&jwk);
        let decoding = (!algorithms.is_empty()).then(|| DecodingKey::from_jwk(&jwk).ok()).flatten()?;
        let material = Sha256::digest(serde_json::to_vec(&jwk.algorithm).ok()?).into();
        Some(Self { id: KeyId { name: jwk.common.key_id, material }, algorithms, decoding })
    }
}

/// RFC 7517 sections 4.2 and 4.3: a key says what it is for, or may be used for everything.
fn verifies(key: &CommonParameters) -> bool {
    let by_use = key.public_key_use.as_ref().is_none_or(|of| *of == PublicKeyUse::Signature);
    let operations = key.key_operations.as_ref();
    by_use && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// What the key may verify by its type and curve, and if it says so itself, nothing but that. A secret in
/// a public set is none.
fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let by_type: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[ES256],
            EllipticCurve::P384 => &[ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDSA],
        _ => &[],
    };
    match jwk.common.key_algorithm {
        None => by_type.to_vec(),
        Some(own) => by_type.iter().copied().filter(|algorithm| own == (*algorithm).into()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use duologue_harness::oidc::SigningKey;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn a_key_is_found_by_its_name_and_only_for_what_it_fits() {
        let (one, two) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let set = set(&[one.jwk(), two.jwk()]);
        let found = set.find(Some(two.id()), Algorithm::RS256).unwrap();
        assert!(set.has(found.id()));
        assert_eq!(set.find(Some("other"), Algorithm::RS256).unwrap_err(), Refusal::UnknownKey);
        assert_eq!(set.find(None, Algorithm::RS256).unwrap_err(), Refusal::NoKeyId);
        for misfit in [Algorithm::HS256, Algorithm::ES256, Algorithm::RS384] {
            assert_eq!(set.find(Some(one.id()), misfit).unwrap_err(), Refusal::KeyDoesNotFit);
        }
    }

    #[test]
    fn a_token_without_a_key_id_means_the_only_key() {
        let key = SigningKey::generate().unwrap();
        assert!(set(&[key.jwk()]).find(None, Algorithm::RS256).is_ok());
        assert_eq!(KeySet::default().find(None, Algorithm::RS256).unwrap_err(), Refusal::UnknownKey);
    }

    #[test]
    fn a_key_of_the_same_name_with_other_material_is_another_key() {
        let (one, two) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let before = set(&[with(one.jwk(), "kid", json!("k"))]);
        let after = set(&[with(two.jwk(), "kid", json!("k"))]);
        let known = before.find(Some("k"), Algorithm::RS256).unwrap();
        assert!(before.has(known.id()) && !after.has(known.id()));
    }

    #[test]
    fn a_key_that_names_no_algorithm_has_those_of_its_type() {
        let mut key = SigningKey::generate().unwrap().jwk();
        key.as_object_mut().unwrap().remove("alg");
        let set = set(&[key]);
        assert!(set.find(None, Algorithm::PS512).is_ok());
        assert!(set.find(None, Algorithm::HS256).is_err());
    }

    #[test]
    fn what_is_no_key_for_signatures_is_passed_over() {
        let key = SigningKey::generate().unwrap().jwk();
        let others = [
            json!({"kty": "oct", "kid": "k", "alg": "HS256", "k": "c2VjcmV0"}),
            json!({"kty": "oct", "kid": "k", "k": "c2VjcmV0"}),
            json!({"kty": "RSA", "kid": "k", "n": "???", "e": "AQAB"}),
            json!({"kty": "AKP", "kid": "k", "pub": "x"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            with(key.clone(), "use", json!("enc")),
            with(key.clone(), "key_ops", json!(["encrypt"])),
            with(key, "alg", json!("HS256")),
            json!(7),
        ];
        assert_eq!(set(&others).len(), 0);
    }

    #[test]
    fn a_set_is_bounded_and_has_a_list() {
        let many = json!({ "keys": vec![json!({}); MAX_KEYS + 1] }).to_string();
        assert_eq!(KeySet::parse(many.as_bytes()).unwrap_err(), KeySetError::TooMany(MAX_KEYS + 1));
        for text in ["", "[]", "{}", "{\"keys\": {}}", "<html>"] {
            assert_eq!(KeySet::parse(text.as_bytes()).unwrap_err(), KeySetError::NotAKeySet, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200),
            kty in "RSA|EC|OKP|oct|x", text in "[A-Za-z0-9_-]{0,20}") {
            prop_assert!(KeySet::parse(&bytes).is_err());
            let key = json!({"kty": kty, "n": text, "e": text, "x": text, "y": text, "k": text, "crv": "P-256", "kid": text});
            prop_assert!(set(&[key]).len() <= 1);
        }
    }
}
