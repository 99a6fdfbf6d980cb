//! The keys of who issues licences: Ed25519, in the PEM files that `openssl genpkey -algorithm ed25519` and
//! `openssl pkey -pubout` write (RFC 8410).

use std::{fmt, io::ErrorKind, path::Path};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{DecodingKey, EncodingKey};
use pem::{EncodeConfig, LineEnding, Pem};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use sha2::{Digest, Sha256};

use super::store;

const PUBLIC_TAG: &str = "PUBLIC KEY";
const PRIVATE_TAG: &str = "PRIVATE KEY";

/// What stands before the 32 bytes of an Ed25519 key in its SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Bytes of the SHA-256 that make a fingerprint: enough that nobody finds a second key with the same one.
const FINGERPRINT_BYTES: usize = 16;

/// Whether `text` could be a [`PublicKey::fingerprint`].
pub(super) fn is_fingerprint(text: &str) -> bool {
    text.len() == 2 * FINGERPRINT_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// What is wrong with a key; the message reads after the name of its file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("cannot be read: there is no such file")]
    Missing,
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("is no PEM file; `duologue licence keygen` makes a pair of keys")]
    NotPem,
    #[error("holds a private key, which stays with whoever issues licences; the public one is needed here")]
    Private,
    #[error("holds a public key; a licence is signed with the private one")]
    Public,
    #[error("holds no Ed25519 key; `duologue licence keygen` makes a pair of them")]
    NotEd25519,
    #[error("could not be made: the system gives no random numbers")]
    NotMade,
}

/// The half of a key that verifies.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    raw: Vec<u8>,
    fingerprint: String,
}

impl PublicKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&text_of(path)?)
    }

    /// # Errors
    /// When `text` is no PEM of an Ed25519 public key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pem = pem::parse(text).map_err(|_| KeyError::NotPem)?;
        match pem.tag() {
            PUBLIC_TAG => {}
            tag if tag.ends_with(PRIVATE_TAG) => return Err(KeyError::Private),
            _ => return Err(KeyError::NotEd25519),
        }
        let raw = pem.contents().strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotEd25519)?;
        Self::from_raw(raw)
    }

    #[must_use]
    pub fn to_pem(&self) -> String {
        encode(PUBLIC_TAG, spki(&self.raw))
    }

    /// How people tell keys apart and how a licence names its issuer: the first 32 hexadecimal digits of
    /// `openssl pkey -pubin -in KEY.pub.pem -outform DER | sha256sum`.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn decoding_key(&self) -> DecodingKey {
        DecodingKey::from_ed_der(&self.raw)
    }

    fn from_raw(raw: &[u8]) -> Result<Self, KeyError> {
        if raw.len() != 32 {
            return Err(KeyError::NotEd25519);
        }
        let digest = Sha256::digest(spki(raw));
        let fingerprint = digest.iter().take(FINGERPRINT_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { raw: raw.to_owned(), fingerprint })
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint)
    }
}

/// The half of a key that signs.
#[derive(Debug)]
pub struct SigningKey {
    pkcs8: SecretSlice<u8>,
    public: PublicKey,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::NotMade)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError::NotMade)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        Self::from_pem(&SecretString::from(text_of(path)?))
    }

    /// # Errors
    /// When `text` is no PEM of an Ed25519 private key.
    pub fn from_pem(text: &SecretString) -> Result<Self, KeyError> {
        let pem = pem::parse(text.expose_secret()).map_err(|_| KeyError::NotPem)?;
        match pem.tag() {
            PRIVATE_TAG => Self::from_pkcs8(pem.contents()),
            PUBLIC_TAG => Err(KeyError::Public),
            _ => Err(KeyError::NotEd25519),
        }
    }

    #[must_use]
    pub fn to_pem(&self) -> SecretString {
        SecretString::from(encode(PRIVATE_TAG, self.pkcs8.expose_secret().to_vec()))
    }

    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn encoding_key(&self) -> EncodingKey {
        EncodingKey::from_ed_der(self.pkcs8.expose_secret())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::NotEd25519)?;
        let public = PublicKey::from_raw(pair.public_key().as_ref())?;
        Ok(Self { pkcs8: SecretSlice::from(pkcs8.to_vec()), public })
    }
}

fn text_of(path: &Path) -> Result<String, KeyError> {
    store::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => KeyError::Missing,
        ErrorKind::InvalidData => KeyError::NotPem,
        _ => KeyError::Unreadable(error.to_string()),
    })
}

fn spki(raw: &[u8]) -> Vec<u8> {
    [SPKI_PREFIX.as_slice(), raw].concat()
}

fn encode(tag: &str, contents: Vec<u8>) -> String {
    pem::encode_config(&Pem::new(tag, contents), EncodeConfig::new().set_line_ending(LineEnding::LF))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl genpkey -algorithm ed25519` and `openssl pkey -pubout`; it signs nothing.
    const PRIVATE: &str = "MC4CAQAwBQYDK2VwBCIEIAM7gNXFqTKsVAaUly6AlbcFdUODXSD5bIjETUg1bIL5";
    const PUBLIC: &str = "MCowBQYDK2VwAyEARcNKOQNrnpGpzCFSsxnbU9Ubz6/ClvizJhj3ExDNMMg=";
    /// `openssl pkey -pubin -outform DER | sha256sum | cut -c1-32` of it.
    const FINGERPRINT: &str = "58c1092bca11dfcfe5e6c92e101905e4";
    /// `openssl ecparam -genkey -name prime256v1 -noout | openssl ec -pubout`.
    const OTHER_KIND: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEegtnRtFOKhp0o760pDmMotqcPY/H\n\
                              nZ4b/UUkbN74poFA36JjQJJTjKJW81d+8yvP84HWUcqhdDBy9me9+c2t3g==";

    fn pem_of(tag: &str, contents: &str) -> String {
        format!("-----BEGIN {tag}-----\n{contents}\n-----END {tag}-----\n")
    }

    fn private(text: &str) -> Result<SigningKey, KeyError> {
        SigningKey::from_pem(&SecretString::from(text))
    }

    #[test]
    fn keys_are_those_that_openssl_writes() {
        let (private_pem, public_pem) = (pem_of(PRIVATE_TAG, PRIVATE), pem_of(PUBLIC_TAG, PUBLIC));
        let (key, public) = (private(&private_pem).unwrap(), PublicKey::from_pem(&public_pem).unwrap());
        assert_eq!(*key.public(), public);
        assert_eq!((public.to_pem(), key.to_pem().expose_secret()), (public_pem, private_pem.as_str()));
        assert_eq!(public.fingerprint(), FINGERPRINT);
    }

    #[test]
    fn a_new_key_is_another_one_each_time_and_reads_back() {
        let (one, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        assert_ne!(one.public().fingerprint(), other.public().fingerprint());
        assert_eq!(SigningKey::from_pem(&one.to_pem()).unwrap().public(), one.public());
        assert_eq!(PublicKey::from_pem(&one.public().to_pem()).unwrap(), *one.public());
    }

    #[test]
    fn the_wrong_half_and_the_wrong_kind_are_named() {
        let public = PublicKey::from_pem;
        assert_eq!(public(&pem_of(PRIVATE_TAG, PRIVATE)), Err(KeyError::Private));
        assert_eq!(private(&pem_of(PUBLIC_TAG, PUBLIC)).unwrap_err(), KeyError::Public);
        assert_eq!(public(&pem_of(PUBLIC_TAG, OTHER_KIND)), Err(KeyError::NotEd25519));
        assert_eq!(private(&pem_of(PRIVATE_TAG, OTHER_KIND)).unwrap_err(), KeyError::NotEd25519);
        assert_eq!(public("hello"), Err(KeyError::NotPem));
        assert_eq!(private("").unwrap_err(), KeyError::NotPem);
    }

    #[test]
    fn debug_shows_nothing_of_a_private_key() {
        let shown = format!("{:?}", private(&pem_of(PRIVATE_TAG, PRIVATE)).unwrap());
        assert!(shown.contains(FINGERPRINT) && shown.contains("REDACTED"), "{shown}");
        // The first bytes of the secret, 03 3b 80, as Debug shows bytes.
        assert!(!shown.contains("3, 59, 128"), "{shown}");
    }
}
