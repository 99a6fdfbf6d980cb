//! Which settings there are, read off the defaults themselves.

use serde_json::Value;

use crate::spelling;

/// A section whose entries the user names.
struct NamedEntries {
    section: &'static str,
    /// The entry that shows what each of them has.
    example: &'static str,
    /// What an entry of the user's cannot do without.
    required: &'static [&'static str],
}

const NAMED_ENTRIES: [NamedEntries; 3] = [
    NamedEntries { section: "providers", example: "embedded", required: &["kind"] },
    NamedEntries { section: "models", example: "embedded", required: &["provider", "model"] },
    NamedEntries { section: "feature_settings", example: "default", required: &[] },
];

/// A setting's place in the tree: `["server", "listen"]`.
pub(super) type SettingPath = Vec<String>;

/// The defaults as a tree: objects are sections, everything else is a setting.
#[derive(Clone, Debug)]
pub(super) struct Shape(pub(super) Value);

impl Shape {
    /// The shape of `defaults`, in which an entry that others are like leaves out what it shares with the example.
    pub(super) fn new(mut defaults: Value) -> Self {
        for NamedEntries { section, example, .. } in NAMED_ENTRIES {
            let Some(Value::Object(entries)) = defaults.get_mut(section) else { continue };
            let Some(example) = entries.get(example).cloned() else { continue };
            entries.values_mut().for_each(|entry| complete(entry, &example));
        }
        Self(defaults)
    }

    /// What stands at `path`: a section, a setting's default, or nothing. An entry that the user names looks
    /// like the example of its section.
    pub(super) fn at(&self, path: &[String]) -> Option<&Value> {
        let mut value = &self.0;
        for (depth, name) in path.iter().enumerate() {
            let section = value.as_object()?;
            let named = (depth == 1).then(|| named_entries(path)).flatten();
            value = section.get(name).or_else(|| section.get(named?.example))?;
        }
        Some(value)
    }

    /// Sets one setting in `tree`, which has this shape; a new entry starts as a copy of the example.
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

    /// Whether `path` is inside an entry that the defaults do not have; then the section, the entry's name and
    /// what it needs.
    pub(super) fn new_entry<'p>(
        &self,
        path: &'p [String],
    ) -> Option<(&'static str, &'p str, &'static [&'static str])> {
        let (named, name) = (named_entries(path)?, path.get(1)?);
        let known = self.0.get(named.section).and_then(|entries| entries.get(name));
        known.is_none().then_some((named.section, name, named.required))
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

/// What is to be done in place of writing a secret where everybody reads it.
pub(super) fn secret_hint(path: &[String]) -> Option<String> {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    match names.as_slice() {
        ["providers", provider, "api_key" | "key" | "token" | "secret"] => Some(format!(
            "a key is not a setting; put it into an environment variable that \
             `providers.{provider}.api_key_variable` names, or into a file that `api_key_file` names"
        )),
        ["conversation", "redis", "password" | "token" | "secret"] => Some(
            "a password is not a setting; put it into an environment variable that \
             `conversation.redis.password_variable` names"
                .to_owned(),
        ),
        _ => None,
    }
}

fn named_entries(path: &[String]) -> Option<&'static NamedEntries> {
    NAMED_ENTRIES.iter().find(|named| path.first().is_some_and(|section| section == named.section))
}

/// Gives `entry` what it does not have of `example`.
fn complete(entry: &mut Value, example: &Value) {
    let (Value::Object(entry), Value::Object(example)) = (entry, example) else { return };
    for (name, value) in example {
        complete(entry.entry(name.clone()).or_insert_with(|| value.clone()), value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shape() -> Shape {
        Shape::new(json!({
            "server": {"listen": "a", "workers": 1},
            "models": {
                "embedded": {"provider": "embedded", "model": "m", "limits": {"calls": 1, "tokens": 2}},
                "claude": {"model": "c", "limits": {"calls": 3}},
            },
            "feature_settings": {"default": ["claude"]},
        }))
    }

    fn path(text: &str) -> SettingPath {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn an_entry_of_any_name_has_the_fields_of_the_example() {
        assert_eq!(shape().at(&path("models.big.model")), Some(&json!("m")));
        assert_eq!(shape().at(&path("models.big.limits.tokens")), Some(&json!(2)));
        assert_eq!(shape().at(&path("models.big.colour")), None);
        assert_eq!(shape().at(&path("feature_settings.duo_chat")), Some(&json!(["claude"])));
        assert_eq!(shape().at(&path("server.colour")), None);
        let big = path("models.big.model");
        assert_eq!(shape().new_entry(&big), Some(("models", "big", ["provider", "model"].as_slice())));
        assert_eq!(shape().new_entry(&path("models.claude.model")), None);
        assert_eq!(shape().new_entry(&path("server.listen")), None);
    }

    #[test]
    fn a_default_entry_leaves_out_what_it_shares_with_the_example() {
        let claude = json!({"model": "c", "limits": {"calls": 3, "tokens": 2}, "provider": "embedded"});
        assert_eq!(shape().at(&path("models.claude")), Some(&claude));
    }

    #[test]
    fn one_setting_is_changed_and_nothing_else() {
        let tree = shape().with(&path("models.big.model"), json!("x"));
        let limits = json!({"calls": 1, "tokens": 2});
        assert_eq!(tree["models"]["big"], json!({"provider": "embedded", "model": "x", "limits": limits}));
        assert_eq!(tree["models"]["embedded"]["model"], "m");
    }

    #[test]
    fn a_misspelt_or_misplaced_setting_is_recognised() {
        assert_eq!(shape().nearest(&path("server.lisen")), Some(path("server.listen")));
        assert_eq!(shape().nearest(&path("serve")), Some(path("server")));
        assert_eq!(shape().nearest(&path("workers")), Some(path("server.workers")));
        assert_eq!(shape().nearest(&path("server.colour")), None);
    }
}
