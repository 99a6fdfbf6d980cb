//! Groups, subgroups and projects as they are written.

use duologue_actors::protocol::{GlobalId, UserId};

use super::{Reader, described, number};
use crate::{
    directory::{
        cascade::Own,
        tree::{self, Declared, GROUP, PROJECT, TopLevel},
    },
    document::{Fields, Node, Place, Report, as_text},
    licence::plans,
};

/// What a membership may be called. All of them make a member.
const ROLES: &[&str] = &["guest", "reporter", "developer", "maintainer", "owner"];
/// What is bought and consented to for a top-level group, with everything in it.
const TOP_LEVEL_ONLY: &[&str] = &["plan", "add_ons", "experiment_features_enabled"];

/// What groups and projects have in common.
struct Common<'n> {
    id: (Place, u64),
    path: (Place, &'n str),
    name: &'n str,
    description: &'n str,
    public: bool,
}

impl Reader {
    pub(super) fn group(&mut self, node: &Node, report: &mut Report) {
        let Some(mut fields) = Fields::of(node, "a group", report) else {
            return;
        };
        let common = common(&mut fields, report);
        let path = common.as_ref().map(|common| common.path.1);
        let top_level = top_level(&mut fields, path.unwrap_or_default(), report);
        let lock = fields.bool("lock_duo_features_enabled", report).unwrap_or(false);
        let duo_features = Own { enabled: fields.bool("duo_features_enabled", report), lock };
        let members = self.members(&mut fields, report);
        fields.finish(report);
        if let Some(common) = common {
            let id = GlobalId::of(GROUP, common.id.1);
            self.declare(&common, Declared { id, members, duo_features, top_level }, report);
        }
    }

    pub(super) fn project(&mut self, node: &Node, report: &mut Report) {
        let Some(mut fields) = Fields::of(node, "a project", report) else {
            return;
        };
        let common = common(&mut fields, report);
        let duo_features = Own { enabled: fields.bool("duo_features_enabled", report), lock: false };
        let members = self.members(&mut fields, report);
        fields.finish(report);
        if let Some(common) = common {
            let (id, top_level) = (GlobalId::of(PROJECT, common.id.1), TopLevel::default());
            self.declare(&common, Declared { id, members, duo_features, top_level }, report);
        }
    }

    fn members(&self, fields: &mut Fields, report: &mut Report) -> Vec<UserId> {
        let mut members = Vec::new();
        for (key, node) in fields.map("members", report) {
            match self.usernames.get(&key.name) {
                Some(id) => members.push(*id),
                None => report.fault(key.place, format!("there is no user called `{}`", key.name)),
            }
            if let Some((place, role)) = as_text(node, "members", report)
                && !ROLES.contains(&role)
            {
                report.fault(place, format!("unknown role `{role}`; known: {}", ROLES.join(", ")));
            }
        }
        members
    }

    /// Takes a group or project if it can be where its path says.
    fn declare(&mut self, common: &Common<'_>, declared: Declared, report: &mut Report) {
        let (place, path) = common.path;
        if let Err(reason) = self.place_for(declared.id.model(), path) {
            return report.fault(place, reason);
        }
        let resource = described(declared.id.clone(), common.name, common.description);
        self.add(common.id.0, resource, path, common.public, report);
        self.declared.insert(path.to_owned(), declared);
    }

    fn place_for(&self, model: &str, path: &str) -> Result<(), String> {
        if self.declared.contains_key(path) {
            return Err(format!("there is a group or project at `{path}` already"));
        }
        let Some(above) = tree::above(path) else {
            let is_group = model == GROUP;
            return is_group.then_some(()).ok_or_else(|| format!("a project lies in a group: GROUP/{path}"));
        };
        match self.declared.get(above) {
            Some(declared) if declared.id.model() == GROUP => Ok(()),
            Some(_) => Err(format!("`{above}` is a project, and nothing lies in a project")),
            None => Err(format!("there is no group `{above}`; declare it before what lies in it")),
        }
    }
}

fn common<'n>(fields: &mut Fields<'n>, report: &mut Report) -> Option<Common<'n>> {
    let id = number(fields, report);
    let path = fields.required_text("path", report);
    let name = fields.required_text("name", report);
    let description = fields.text("description", report).map_or("", |(_, text)| text);
    let public = fields.bool("public", report).unwrap_or(false);
    Some(Common { id: id?, path: path?, name: name?.1, description, public })
}

fn top_level(fields: &mut Fields, path: &str, report: &mut Report) -> TopLevel {
    let root = tree::root(path);
    if root != path {
        for key in TOP_LEVEL_ONLY {
            if let Some(node) = fields.take(key) {
                let reason =
                    format!("`{key}` is the top-level group's and counts for all in it: give it to `{root}`");
                report.fault(node.place, reason);
            }
        }
        return TopLevel::default();
    }
    let plan = plan(fields, report);
    let add_ons = fields.list("add_ons", report).iter();
    let add_ons = add_ons.filter_map(|node| as_text(node, "add_ons", report)).collect::<Vec<_>>();
    let experiment_features_enabled = fields.bool("experiment_features_enabled", report).unwrap_or(false);
    let add_ons = add_ons.into_iter().map(|(_, name)| name.to_owned()).collect();
    TopLevel { plan, add_ons, experiment_features_enabled }
}

fn plan(fields: &mut Fields, report: &mut Report) -> Option<String> {
    let (place, plan) = fields.text("plan", report)?;
    if !plans::names().any(|known| known == plan) {
        let known: Vec<&str> = plans::names().collect();
        report.fault(place, format!("unknown plan `{plan}`; known: {}", known.join(", ")));
    }
    Some(plan.to_owned())
}
