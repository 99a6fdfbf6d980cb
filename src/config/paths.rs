//! What relative paths are relative to.

use std::path::{Path, PathBuf};

use super::{
    Config,
    layers::{Origin, Origins},
};

/// Turns relative paths into paths from the working directory: those of the file, and the defaults
/// beside it, start at the file's folder; those of a variable at the working directory.
pub(super) fn resolve(config: &mut Config, file: Option<&Path>, origins: &Origins) {
    let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let rebase = |setting: &str, path: &mut PathBuf| {
        if !matches!(origins.get(setting), Some(Origin::Variable(_))) {
            *path = folder.join(&*path);
        }
    };
    if let Some(to_file) = &mut config.logging.to_file {
        rebase("logging.to_file", to_file);
    }
    rebase("storage.path", &mut config.storage.path);
    rebase("directory.path", &mut config.directory.path);
    rebase("directory.additions", &mut config.directory.additions);
    rebase("flags.path", &mut config.flags.path);
    rebase("flags.changes", &mut config.flags.changes);
    rebase("licence.path", &mut config.licence.path);
    if let Some(public_key) = &mut config.licence.public_key {
        rebase("licence.public_key", public_key);
    }
    rebase("unit_primitives.path", &mut config.unit_primitives.path);
    rebase("catalogue.path", &mut config.catalogue.path);
    for (name, provider) in &mut config.providers {
        if let Some(api_key_file) = &mut provider.api_key_file {
            rebase(&format!("providers.{name}.api_key_file"), api_key_file);
        }
        if let Some(credentials_file) = &mut provider.credentials_file {
            rebase(&format!("providers.{name}.credentials_file"), credentials_file);
        }
    }
}
