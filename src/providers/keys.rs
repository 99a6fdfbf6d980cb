//! The keys of providers: from a variable, or from a file that may be renewed.

use std::{fmt, path::Path, sync::Arc};

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{RegistryError, files};
use crate::config::ProviderConfig;

mod file;

use file::KeyFile;

/// Bytes of a key file. Keys are shorter, service accounts' files are not keys.
const MAX_KEY_BYTES: u64 = 16_384;

/// Bytes of a key's hash that name it.
const ID_BYTES: usize = 4;

/// A provider's key. `Debug` shows its id only.
#[derive(Clone)]
pub(crate) struct Key {
    id: String,
    secret: SecretString,
}

impl Key {
    /// `None` when it cannot be sent: a key is printable.
    fn new(secret: &str) -> Option<Self> {
        HeaderValue::from_str(secret).ok()?;
        let digest = Sha256::digest(secret.as_bytes());
        let id = digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect();
        Some(Self { id, secret: SecretString::from(secret) })
    }

    /// A name by which whoever holds the key finds out which one it is: the beginning of its SHA-256.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// As the value of a header, which is shown nowhere.
    pub(crate) fn header(&self) -> HeaderValue {
        sensitive(self.secret.expose_secret())
    }

    pub(crate) fn bearer(&self) -> HeaderValue {
        sensitive(&format!("Bearer {}", self.secret.expose_secret()))
    }
}

/// Never empty: [`Key::new`] has seen to it that the text can be sent.
fn sensitive(text: &str) -> HeaderValue {
    let mut value = HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    value.set_sensitive(true);
    value
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Where a provider has its key.
#[derive(Clone, Debug)]
pub(crate) enum KeySource {
    None,
    Variable(Key),
    File(Arc<KeyFile>),
}

impl KeySource {
    /// The key of the next call, if there is one.
    pub(crate) fn key(&self) -> Option<Key> {
        match self {
            Self::None => None,
            Self::Variable(key) => Some(key.clone()),
            Self::File(file) => Some(file.key()),
        }
    }
}

/// Where a provider has its key: in its variable, else in its file.
///
/// # Errors
/// When there is a file and it cannot be read, or what is held is no key.
pub(super) fn read(name: &str, provider: &ProviderConfig) -> Result<KeySource, RegistryError> {
    if let Some(key) = &provider.api_key {
        let variable = provider.api_key_variable.as_deref().unwrap_or_default();
        let fault = || RegistryError::fault(format!("{variable} does not hold a key"));
        return Key::new(key.expose_secret()).map(KeySource::Variable).ok_or_else(fault);
    }
    let Some(path) = &provider.api_key_file else {
        return Ok(KeySource::None);
    };
    let file = KeyFile::new(name, path).map_err(|reason| {
        RegistryError::fault(format!("providers.{name}.api_key_file: {} {reason}", path.display()))
    })?;
    Ok(KeySource::File(Arc::new(file)))
}

/// The key in a file.
///
/// # Errors
/// In words that follow the file's name.
fn in_file(path: &Path) -> Result<Key, String> {
    let text = files::read(path, MAX_KEY_BYTES)?;
    let key = Some(text.trim()).filter(|key| !key.is_empty()).and_then(Key::new);
    key.ok_or_else(|| "does not hold a key".to_owned())
}

/// The id of a provider's key, if it has one.
///
/// # Errors
/// When there is one and it cannot be read.
pub fn id_of(name: &str, provider: &ProviderConfig) -> Result<Option<String>, RegistryError> {
    Ok(read(name, provider)?.key().map(|key| key.id))
}

/// Whether there is a key, as far as the configuration tells.
pub(super) fn is_given(provider: &ProviderConfig) -> bool {
    provider.api_key.is_some() || provider.api_key_file.is_some()
}

/// What to do about a key that the provider refused, or about none where it wants one.
pub(super) fn mend(name: &str, provider: &ProviderConfig) -> Option<String> {
    Some(match (&provider.api_key, &provider.api_key_variable, &provider.api_key_file) {
        (Some(_), Some(variable), _) => format!("check the key in {variable}"),
        (_, _, Some(file)) => format!("check the key in {}", file.display()),
        (_, Some(variable), None) => format!("put a key into {variable}"),
        (_, None, None) => format!("name the variable of a key in providers.{name}.api_key_variable"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_the_beginning_of_its_hash_and_shown_by_nothing_else() {
        // printf sk-1 | sha256sum
        let key = Key::new("sk-1").unwrap();
        assert_eq!((key.id(), format!("{key:?}").as_str()), ("0f2c10bf", "Key(0f2c10bf)"));
        assert_eq!(key.bearer().to_str().unwrap(), "Bearer sk-1");
        assert!(!format!("{:?}", key.bearer()).contains("sk-1"));
        assert!(Key::new("two\nlines").is_none());
    }
}
