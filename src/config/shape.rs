//! Which settings there are, read off the defaults themselves.

use serde_json::{Map, Value};

use crate::spelling;

/// The section whose entries the user names.
const NAMED_ENTRIES: &str = "models";
/// The entry that shows what each of them has.
const EXAMPLE_ENTRY: &str = "default";

/// A setting's place in the tree: `["server", "listen"]`.
pub(super) type SettingPath = Vec<String>;

/// The defaults as a tree: objects are sections, everything else is a setting.
#[derive(Clone, Debug)]
pub(super) struct Shape(pub(super) Value);

impl Shape {
    /// What stands at `path`: a section, a setting's default, or nothing. An entry of `models` looks
    /// like the default one, whatever its name.
    pub(super) fn at(&self, path: &[String]) -> Option<&Value> {
        let mut value = &self.0;
        for (depth, name) in path.iter().enumerate() {
            let section = value.as_object()?;
            let under_models = depth == 1 && path.first().is_some_and(|first| first == NAMED_ENTRIES);
            let example = under_models.then(|| section.get(EXAMPLE_ENTRY)).flatten();
            value = section.get(name).or(example)?;
        }
        Some(value)
    }

    /// Sets one setting in `tree`, which has this shape; a new model starts as a copy of the default one.
    pub(super) fn set(&self, tree: &mut Value, path: &[String], value: Value) {
        let Some((name, sections)) = path.split_last() else {
            return;
        };
        let mut here = tree;
        for depth in 0..sections.len() {
            let Value::Object(section) = here else { return };
            let known = path.get(..=depth).and_then(|path| self.at(path)).cloned();
            let Some(step) = path.get(depth) else { return };
            here = section.entry(step.clone()).or_insert_with(|| known.unwrap_or_default());
        }
        if let Value::Object(section) = here {
            section.insert(name.clone(), value);
        }
    }

    /// The tree with one setting changed.
    pub(super) fn with(&self, path: &[String], value: Value) -> Value {
        let mut tree = self.0.clone();
        self.set(&mut tree, path, value);
        tree
    }

    /// Whether `path` is inside a model that the defaults do not have; then its name.
    pub(super) fn new_model<'p>(&self, path: &'p [String]) -> Option<&'p str> {
        let (section, name) = (path.first()?, path.get(1)?);
        let known = self.0.get(NAMED_ENTRIES).and_then(|models| models.get(name));
        (section == NAMED_ENTRIES && known.is_none()).then_some(name)
    }

    /// What every model has.
    pub(super) fn model_fields(&self) -> impl Iterator<Item = &String> {
        let example = self.0.get(NAMED_ENTRIES).and_then(|models| models.get(EXAMPLE_ENTRY));
        example.and_then(Value::as_object).into_iter().flat_map(Map::keys)
    }

    /// The setting or section the writer of an unknown `path` may have meant.
    pub(super) fn nearest(&self, path: &[String]) -> Option<SettingPath> {
        let (name, parents) = path.split_last()?;
        let section = self.at(parents).and_then(Value::as_object)?;
        if let Some(similar) = spelling::nearest(name, section.keys().map(String::as_str)) {
            return Some(parents.iter().cloned().chain([similar.to_owned()]).collect());
        }
        let elsewhere = self.0.as_object()?.iter().filter(|(_, section)| section.get(name).is_some());
        elsewhere.map(|(section, _)| vec![section.clone(), name.clone()]).next()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        Shape(json!({
            "server": {"listen": "a", "workers": 1},
            "models": {"default": {"provider": "embedded", "model": "m"}},
        }))
    }

    fn path(text: &str) -> SettingPath {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_model_of_any_name_has_the_fields_of_the_default_one() {
        assert_eq!(shape().at(&path("models.big.model")), Some(&json!("m")));
        assert_eq!(shape().at(&path("models.big.colour")), None);
        assert_eq!(shape().at(&path("server.colour")), None);
        assert_eq!(shape().new_model(&path("models.big.model")), Some("big"));
        assert_eq!(shape().new_model(&path("models.default.model")), None);
    }

    #[test]
    fn one_setting_is_changed_and_nothing_else() {
        let tree = shape().with(&path("models.big.model"), json!("x"));
        assert_eq!(tree["models"]["big"], json!({"provider": "embedded", "model": "x"}));
        assert_eq!(tree["models"]["default"]["model"], "m");
    }

    #[test]
    fn a_misspelt_or_misplaced_setting_is_recognised() {
        assert_eq!(shape().nearest(&path("server.lisen")), Some(path("server.listen")));
        assert_eq!(shape().nearest(&path("serve")), Some(path("server")));
        assert_eq!(shape().nearest(&path("workers")), Some(path("server.workers")));
        assert_eq!(shape().nearest(&path("server.colour")), None);
    }
}
