//! Unit primitives: the smallest things a catalogue file, a token or an add-on can be about, and the rules
//! GitLab's Cloud Connector has for them.
//!
//! | field | means |
//! |---|---|
//! | `description` | one line, for people |
//! | `add_ons` | one of these must be there once the primitive is not free any more |
//! | `cut_off_date` | the end of free use, in UTC; without it the primitive stays free and `add_ons` decide nothing |
//! | `min_version` | the least GitLab version, compared with `server.advertised_version` |
//!
//! (GitLab's developer documentation, "Cloud Connector: Configuration".)

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use crate::{
    builtin, calendar,
    catalogue::is_snake_case,
    document::{self, Faults, Fields, Key, Node, Report, Value, as_text},
    spelling,
};

mod version;

pub use version::{GitlabVersion, NoVersion};

/// Where the unit primitives lie unless the configuration says otherwise.
pub const SHIPPED: &str = "unit_primitives.yaml";

/// All that are registered, by name.
#[derive(Clone, Debug)]
pub struct UnitPrimitives {
    /// Where they are from, as shown in faults.
    file: String,
    by_name: BTreeMap<String, UnitPrimitive>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitPrimitive {
    pub description: String,
    pub add_ons: Vec<String>,
    /// When free use ends; never, if absent.
    pub cut_off_date: Option<SystemTime>,
    pub min_version: Option<GitlabVersion>,
}

impl UnitPrimitives {
    /// Reads the file; the built-in one when `path` is the shipped default and nothing is there.
    ///
    /// # Errors
    /// Everything wrong with the file, with line and column.
    pub fn load(path: &Path) -> Result<Self, Faults> {
        let text = builtin::read_file_or_builtin(path, SHIPPED)?;
        parse(&path.display().to_string(), &text)
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&UnitPrimitive> {
        self.by_name.get(name)
    }

    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &UnitPrimitive)> {
        self.by_name.iter().map(|(name, primitive)| (name.as_str(), primitive))
    }

    /// Why `name` cannot be used and what was perhaps meant; `None` when it is registered.
    #[must_use]
    pub fn fault(&self, name: &str) -> Option<String> {
        if self.by_name.contains_key(name) {
            return None;
        }
        let meant = match spelling::nearest(name, self.by_name.keys().map(String::as_str)) {
            Some(meant) => format!("did you mean `{meant}`? new ones are registered"),
            None => "register it".to_owned(),
        };
        Some(format!("unknown unit primitive `{name}`; {meant} in {}", self.file))
    }
}

fn parse(file: &str, text: &str) -> Result<UnitPrimitives, Faults> {
    let document = document::parse(file, text)?;
    let mut report = Report::new(file);
    let mut by_name = BTreeMap::new();
    for (key, node) in entries(&document, &mut report) {
        if !is_snake_case(&key.name) {
            report.fault(key.place, format!("`{}` is not snake_case, such as explain_code", key.name));
        }
        if let Some(primitive) = unit_primitive(node, &mut report) {
            by_name.insert(key.name.clone(), primitive);
        }
    }
    report.conclude(Some(UnitPrimitives { file: file.to_owned(), by_name }))
}

fn entries<'n>(document: &'n Node, report: &mut Report) -> &'n [(Key, Node)] {
    match &document.value {
        Value::Map(entries) => entries,
        other => {
            report.fault(document.place, format!("a mapping from names is needed, not {}", other.kind()));
            &[]
        }
    }
}

fn unit_primitive(node: &Node, report: &mut Report) -> Option<UnitPrimitive> {
    let mut fields = Fields::of(node, "a unit primitive", report)?;
    let place = fields.place();
    let description = fields.required_text("description", report);
    let add_ons = add_ons(&mut fields, report);
    let cut_off_date = cut_off_date(&mut fields, report);
    let min_version = min_version(&mut fields, report);
    fields.finish(report);
    if cut_off_date.is_some() && add_ons.is_empty() {
        report.fault(place, "`cut_off_date` without `add_ons`: nobody could use it from that day on");
    }
    let description = description?.1.trim().to_owned();
    Some(UnitPrimitive { description, add_ons, cut_off_date, min_version })
}

fn add_ons(fields: &mut Fields, report: &mut Report) -> Vec<String> {
    let mut add_ons = Vec::new();
    for node in fields.list("add_ons", report) {
        let Some((place, name)) = as_text(node, "add_ons", report) else {
            continue;
        };
        if !is_snake_case(name) {
            report.fault(place, format!("`{name}` is not snake_case, such as duo_pro"));
        }
        add_ons.push(name.to_owned());
    }
    add_ons
}

fn cut_off_date(fields: &mut Fields, report: &mut Report) -> Option<SystemTime> {
    let (place, text) = fields.text("cut_off_date", report)?;
    let moment = calendar::parse(text);
    if moment.is_none() {
        report.fault(place, format!("`{text}` is no date such as 2027-01-01 or 2027-01-01 12:00:00 UTC"));
    }
    moment
}

fn min_version(fields: &mut Fields, report: &mut Report) -> Option<GitlabVersion> {
    let (place, text) = fields.text("min_version", report)?;
    let version = text.parse();
    if let Err(error @ NoVersion(_)) = &version {
        report.fault(place, error.to_string());
    }
    version.ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Those of a text that is right.
    pub(crate) fn registered(text: &str) -> UnitPrimitives {
        parse("primitives.yaml", text).unwrap_or_else(|faults| panic!("{faults}"))
    }

    pub(crate) fn shipped() -> UnitPrimitives {
        UnitPrimitives::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED)).unwrap()
    }

    #[test]
    fn the_shipped_ones_are_right_and_free_and_built_in() {
        let nowhere = tempfile::tempdir().unwrap().path().join(SHIPPED);
        let built_in = UnitPrimitives::load(&nowhere).unwrap();
        assert!(built_in.iter().eq(shipped().iter()));
        assert!(built_in.iter().count() > 45);
        for (name, primitive) in built_in.iter() {
            assert!(primitive.cut_off_date.is_none() && primitive.min_version.is_none(), "{name}");
            assert!(!primitive.description.is_empty() && !primitive.add_ons.is_empty(), "{name}");
        }
    }

    #[test]
    fn every_field_is_read() {
        let all = registered(
            "explain:\n  description: Explains\n  add_ons: [duo_pro]\n  cut_off_date: 2024-10-17 00:00:00 UTC\n  \
             min_version: \"16.8\"\n",
        );
        let explain = all.get("explain").unwrap();
        assert_eq!(explain.cut_off_date, calendar::parse("2024-10-17"));
        assert_eq!(explain.min_version, Some("16.8.0".parse().unwrap()));
        assert_eq!(
            (explain.description.as_str(), explain.add_ons.as_slice()),
            ("Explains", &["duo_pro".to_owned()][..])
        );
    }

    #[test]
    fn all_faults_are_named_with_line_and_column() {
        let text = "\
explainCode: {description: E}
write_tests: {add_ons: [DuoPro], cut_off_date: soon, min_version: 16.8, price: 7}
ask: {description: A, cut_off_date: 2024-10-17}
fix: {description: F, min_version: 16}
chat: yes
";
        let faults = parse("u", text).unwrap_err().to_string();
        let expected = [
            "u:1:1: `explainCode` is not snake_case, such as explain_code",
            "u:2:14: `description` is missing",
            "u:2:25: `DuoPro` is not snake_case, such as duo_pro",
            "u:2:48: `soon` is no date such as 2027-01-01 or 2027-01-01 12:00:00 UTC",
            "u:2:67: `min_version` must be a text, not a number",
            "u:2:73: unknown key `price`; known here: description, add_ons, cut_off_date, min_version",
            "u:3:6: `cut_off_date` without `add_ons`: nobody could use it from that day on",
            "u:4:36: `min_version` must be a text, not a number",
            "u:5:7: a unit primitive must be a mapping, not true or false",
        ];
        assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
        assert!(
            parse("u", "- a\n").unwrap_err().to_string().contains("u:1:1: a mapping from names is needed")
        );
    }

    #[test]
    fn what_is_not_registered_is_a_fault_that_names_the_nearest_or_the_file() {
        let all = shipped();
        assert_eq!(all.fault("summarize_comments"), None);
        let slip = all.fault("sumarize_comments").unwrap();
        assert!(
            slip.starts_with(
                "unknown unit primitive `sumarize_comments`; did you mean `summarize_comments`?"
            ),
            "{slip}"
        );
        let new = all.fault("brew_coffee").unwrap();
        assert!(new.contains("; register it in ") && new.ends_with("unit_primitives.yaml"), "{new}");
    }
}
