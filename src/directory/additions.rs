//! The file of additions: what is added to a directory without touching the file somebody wrote by hand.
//!
//! It has the directory's own format, so that a person can read and edit it too; comments are not kept. It may
//! hold development tokens, so nobody else may read it.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{
    document::{self, Faults},
    private_file::{self, Lock, WriteError},
};

mod yaml;

/// Stands at the head of the file.
const HEADER: &str = "\
# Added by `duologue setup`, and read after the file at directory.path. An entry whose username or path is
# there already completes it: what is given here replaces, and members are added. Edit it as you like, except
# that comments are lost when `duologue setup` writes it again.

";

/// Why nothing was added.
#[derive(Debug, thiserror::Error)]
pub enum AdditionsError {
    #[error(transparent)]
    Faults(#[from] Faults),
    #[error("{0}, or set directory.additions to another file")]
    Write(#[from] WriteError),
}

/// The kinds of entries that can be added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Users,
    Groups,
    Projects,
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Groups => "groups",
            Self::Projects => "projects",
        }
    }

    /// The key that names an entry.
    fn key(self) -> &'static str {
        match self {
            Self::Users => "username",
            Self::Groups | Self::Projects => "path",
        }
    }
}

/// The additions, to be added to and written back. While this lives no other process adds anything.
pub struct Additions {
    path: PathBuf,
    document: Map<String, Value>,
    is_changed: bool,
    /// Two that add at once would each lose what the other added.
    lock: Lock,
}

impl Additions {
    /// What is at `path`; nothing when there is no such file. Waits for whoever else is adding.
    ///
    /// # Errors
    /// When it cannot be read, is no YAML, or its folder is none. What else may be wrong with it, a directory
    /// says that is loaded.
    pub fn open(path: &Path) -> Result<Self, AdditionsError> {
        let lock = private_file::lock(path)?;
        let name = path.display().to_string();
        let text =
            if path.exists() { document::read_file(path).map_err(Faults::from)? } else { String::new() };
        let document = match yaml::plain(&document::parse(&name, &text).map_err(Faults::from)?.value) {
            Value::Object(document) => document,
            _ => Map::new(),
        };
        Ok(Self { path: path.to_owned(), document, is_changed: false, lock })
    }

    /// Gives `fields` to the entry called `name`, which is made if it is not there; whether that changed anything.
    pub fn complete(&mut self, section: Section, name: &str, fields: Map<String, Value>) -> bool {
        let list = self.document.entry(section.name()).or_insert_with(|| Value::Array(Vec::new()));
        if list.is_null() {
            *list = Value::Array(Vec::new());
        }
        let Value::Array(entries) = list else { return false };
        let found = entries.iter_mut().find(|entry| entry.get(section.key()).is_some_and(|key| key == name));
        let is_changed = match found {
            Some(Value::Object(entry)) => join(entry, fields),
            _ => {
                entries.push(entry(section, name, fields).into());
                true
            }
        };
        self.is_changed |= is_changed;
        is_changed
    }

    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// Puts the whole file in place at once, readable for its owner only: whoever reads it meanwhile sees the
    /// one before or this one.
    ///
    /// # Errors
    /// When it cannot be written; then the one before is still there.
    pub fn save(&mut self) -> Result<(), AdditionsError> {
        let text = format!("{HEADER}{}", yaml::render(&self.document));
        private_file::replace(&self.lock, &self.path, &text)?;
        self.is_changed = false;
        Ok(())
    }
}

/// A new entry, its id and name first.
fn entry(section: Section, name: &str, fields: Map<String, Value>) -> Map<String, Value> {
    let mut entry = Map::new();
    if let Some(id) = fields.get("id") {
        entry.insert("id".to_owned(), id.clone());
    }
    entry.insert(section.key().to_owned(), name.into());
    join(&mut entry, fields);
    entry
}

/// Puts `fields` into `entry`, mappings into mappings; whether it was different before.
fn join(entry: &mut Map<String, Value>, fields: Map<String, Value>) -> bool {
    let mut is_changed = false;
    for (key, value) in fields {
        is_changed |= match (entry.get_mut(&key), value) {
            (Some(Value::Object(known)), Value::Object(given)) => join(known, given),
            (Some(known), value) if *known == value => false,
            (_, value) => {
                entry.insert(key, value);
                true
            }
        };
    }
    is_changed
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn fields(value: Value) -> Map<String, Value> {
        let Value::Object(fields) = value else { panic!("no fields") };
        fields
    }

    #[test]
    fn what_is_added_is_there_when_it_is_opened_again_and_adding_it_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/directory.yaml");
        let mut additions = Additions::open(&path).unwrap();
        assert!(!additions.is_changed());
        assert!(additions.complete(Section::Groups, "demo", fields(json!({"members": {"a": "owner"}}))));
        assert!(additions.complete(Section::Users, "a", fields(json!({"name": "A: the first", "id": 7}))));
        additions.save().unwrap();
        assert!(!additions.is_changed());
        let expected = "groups:\n  - path: demo\n    members:\n      a: owner\n\
                        users:\n  - id: 7\n    username: a\n    name: \"A: the first\"\n";
        assert_eq!(fs::read_to_string(&path).unwrap().strip_prefix(HEADER).unwrap(), expected);

        drop(additions);
        let mut again = Additions::open(&path).unwrap();
        assert!(!again.complete(Section::Groups, "demo", fields(json!({"members": {"a": "owner"}}))));
        assert!(!again.is_changed());
        assert!(again.complete(Section::Groups, "demo", fields(json!({"members": {"b": "guest"}}))));
        assert_eq!(
            again.document["groups"],
            json!([{"path": "demo", "members": {"a": "owner", "b": "guest"}}])
        );
    }

    #[test]
    fn what_somebody_wrote_there_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("directory.yaml");
        fs::write(&path, "resources:\n  - {id: gid://gitlab/Issue/1, group: a, title: T, comments: [{author: x}]}\nusers:\n")
            .unwrap();
        let mut additions = Additions::open(&path).unwrap();
        assert!(additions.complete(Section::Users, "a", Map::new()));
        additions.save().unwrap();
        drop(additions);
        let read = Additions::open(&path).unwrap().document;
        assert_eq!(read["resources"][0]["comments"], json!([{"author": "x"}]));
        assert_eq!(read["users"], json!([{"username": "a"}]));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named_with_the_mend() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("data"), "a file, not a folder").unwrap();
        let path = folder.path().join("data/directory.yaml");
        let error = Additions::open(&path).err().unwrap().to_string();
        assert!(error.contains("cannot be written") && error.contains("directory.additions"), "{error}");
    }
}
