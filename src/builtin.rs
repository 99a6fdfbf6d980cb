//! What the binary carries inside itself, so that it runs alone in an empty folder: the catalogue, the unit
//! primitives, the demo's directory and flags, and the documentation the embedded provider answers from.

use std::path::Path;

use rust_embed::RustEmbed;

use crate::document::{self, Fault};

#[derive(RustEmbed)]
#[folder = "catalogue"]
#[prefix = "catalogue/"]
#[include = "*.yaml"]
struct CatalogueFiles;

#[derive(RustEmbed)]
#[folder = "demo"]
#[prefix = "demo/"]
#[include = "*.yaml"]
struct DemoFiles;

#[derive(RustEmbed)]
#[folder = "docs"]
#[prefix = "docs/"]
#[include = "*.md"]
struct DocumentationFiles;

/// Lies at the top of the source tree, where a search for it would go through the build's own folder as well.
const UNIT_PRIMITIVES: (&str, &str) = ("unit_primitives.yaml", include_str!("../unit_primitives.yaml"));

/// The text of a built-in file by its path in the source tree, e.g. `demo/flags.yaml`.
#[must_use]
pub fn read(path: &str) -> Option<String> {
    let (name, text) = UNIT_PRIMITIVES;
    if path == name {
        return Some(text.to_owned());
    }
    let file = CatalogueFiles::get(path)
        .or_else(|| DemoFiles::get(path))
        .or_else(|| DocumentationFiles::get(path))?;
    String::from_utf8(file.data.into_owned()).ok()
}

/// The paths of the built-in files below `folder`, e.g. `catalogue`, in alphabetical order.
#[must_use]
pub fn list(folder: &str) -> Vec<String> {
    let prefix = format!("{}/", folder.trim_end_matches('/'));
    let mut paths: Vec<String> = CatalogueFiles::iter()
        .chain(DemoFiles::iter())
        .chain(DocumentationFiles::iter())
        .filter(|path| path.starts_with(&prefix))
        .map(|path| path.into_owned())
        .collect();
    paths.sort();
    paths
}

/// Whether `path` is where `shipped` would be, but nothing is there, so that the built-in copy serves.
#[must_use]
pub fn stands_in_for(path: &Path, shipped: &str) -> bool {
    path.ends_with(shipped) && !path.exists()
}

/// The text at `path`; the built-in copy when `path` is the shipped default and nothing is there.
///
/// # Errors
/// When there is a file that cannot be read, or no file where someone configured one.
pub fn read_file_or_builtin(path: &Path, shipped: &str) -> Result<String, Fault> {
    if stands_in_for(path, shipped)
        && let Some(text) = read(shipped)
    {
        tracing::info!(path = shipped, "using the built-in file");
        return Ok(text);
    }
    document::read_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_default_is_replaced_but_a_missing_file_of_ones_own_is_a_fault() {
        let empty = tempfile::tempdir().unwrap();
        let default = empty.path().join("demo/flags.yaml");
        assert!(read_file_or_builtin(&default, "demo/flags.yaml").is_ok());
        let own = empty.path().join("flags.yaml");
        let fault = read_file_or_builtin(&own, "demo/flags.yaml").unwrap_err();
        assert!(fault.to_string().contains("flags.yaml: cannot be read"), "{fault}");
    }

    #[test]
    fn the_demo_and_the_catalogue_are_inside() {
        assert_eq!(list("demo"), ["demo/directory.yaml", "demo/flags.yaml"]);
        assert!(list("catalogue/").contains(&"catalogue/chat.yaml".to_owned()));
        assert!(read("demo/flags.yaml").is_some_and(|text| text.contains("ai_global_switch")));
        assert!(read("unit_primitives.yaml").is_some_and(|text| text.contains("duo_chat:")));
    }

    #[test]
    fn what_is_not_inside_is_not_found() {
        assert_eq!(read("demo/../Cargo.toml"), None);
        assert!(list("nowhere").is_empty());
    }
}
