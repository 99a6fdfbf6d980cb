//! The directory's file format, and how names in it become ids.

use std::{collections::BTreeMap, sync::Arc};

use duologue_actors::{
    ports::{Comment, Resource, RootNamespace, User},
    protocol::{GlobalId, UserId},
};
use secrecy::SecretString;

use super::{Account, FileDirectory, Group, Placed, plans};
use crate::document::{self, Faults, Fields, Node, Place, Report, as_text};

/// What a membership may be called. All of them make a member.
const ROLES: &[&str] = &["guest", "reporter", "developer", "maintainer", "owner"];

pub(super) fn parse(file: &str, text: &str) -> Result<FileDirectory, Faults> {
    let document = document::parse(file, text)?;
    let mut report = Report::new(file);
    let mut reader = Reader::default();
    if let Some(mut fields) = Fields::of(&document, "a directory", &mut report) {
        for node in fields.list("users", &mut report) {
            reader.user(node, &mut report);
        }
        for node in fields.list("groups", &mut report) {
            reader.group(node, &mut report);
        }
        for node in fields.list("projects", &mut report) {
            reader.project(node, &mut report);
        }
        for node in fields.list("resources", &mut report) {
            reader.resource(node, &mut report);
        }
        fields.finish(&mut report);
    }
    let directory = FileDirectory { users: reader.users, groups: reader.groups, resources: reader.resources };
    report.conclude(Some(directory))
}

/// What has been read so far; later entries refer to earlier ones by name.
#[derive(Default)]
struct Reader {
    users: BTreeMap<UserId, Account>,
    groups: Vec<Group>,
    resources: BTreeMap<GlobalId, Placed>,
    usernames: BTreeMap<String, UserId>,
    /// Paths of groups and projects, and the containers of what lies in them.
    paths: BTreeMap<String, Vec<GlobalId>>,
    tokens: Vec<String>,
}

impl Reader {
    fn user(&mut self, node: &Node, report: &mut Report) {
        let Some(mut fields) = Fields::of(node, "a user", report) else {
            return;
        };
        let id = number(&mut fields, report);
        let username = fields.required_text("username", report);
        let name = fields.required_text("name", report);
        let admin = fields.bool("admin", report).unwrap_or(false);
        let token = fields.text("development_token", report);
        fields.finish(report);
        let (Some((id_place, id)), Some((name_place, username)), Some((_, name))) = (id, username, name)
        else {
            return;
        };
        let development_token = token.and_then(|(place, token)| self.token(place, token, report));
        let user = User { id: UserId(id), username: username.to_owned(), name: name.to_owned(), admin };
        if self.usernames.insert(user.username.clone(), user.id).is_some() {
            report.fault(name_place, format!("there are two users called `{username}`"));
        }
        if self.users.insert(user.id, Account { user, development_token }).is_some() {
            report.fault(id_place, format!("there are two users with the id {id}"));
        }
    }

    fn token(&mut self, place: Place, token: &str, report: &mut Report) -> Option<SecretString> {
        if token.is_empty() || self.tokens.iter().any(|known| known == token) {
            report.fault(place, "a development token must be somebody's own, and not empty");
            return None;
        }
        self.tokens.push(token.to_owned());
        Some(SecretString::from(token))
    }

    fn group(&mut self, node: &Node, report: &mut Report) {
        let Some(mut fields) = Fields::of(node, "a group", report) else {
            return;
        };
        let id = number(&mut fields, report);
        let path = fields.required_text("path", report);
        let name = fields.required_text("name", report);
        let description = fields.text("description", report).map_or("", |(_, text)| text);
        let public = fields.bool("public", report).unwrap_or(false);
        let plan = plan(&mut fields, report);
        let experiment_features_enabled = fields.bool("experiment_features_enabled", report).unwrap_or(false);
        let members = self.members(&mut fields, report);
        fields.finish(report);
        let (Some((place, id)), Some((_, path)), Some((_, name))) = (id, path, name) else {
            return;
        };
        let id = GlobalId::of("Group", id);
        self.paths.insert(path.to_owned(), vec![id.clone()]);
        let namespace =
            RootNamespace { id: id.clone(), path: path.to_owned(), plan, experiment_features_enabled };
        self.groups.push(Group { namespace, members });
        let containers = vec![id.clone()];
        self.add(place, described(id, name, description), containers, public, report);
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

    fn project(&mut self, node: &Node, report: &mut Report) {
        let Some(mut fields) = Fields::of(node, "a project", report) else {
            return;
        };
        let id = number(&mut fields, report);
        let path = fields.required_text("path", report);
        let name = fields.required_text("name", report);
        let description = fields.text("description", report).map_or("", |(_, text)| text);
        let public = fields.bool("public", report).unwrap_or(false);
        fields.finish(report);
        let (Some((place, id)), Some((path_place, path)), Some((_, name))) = (id, path, name) else {
            return;
        };
        let group = path.split('/').next().unwrap_or_default();
        let Some(group) = self.containers(group, path_place, report) else {
            return;
        };
        let id = GlobalId::of("Project", id);
        let mut containers = vec![id.clone()];
        containers.extend(group);
        self.paths.insert(path.to_owned(), containers.clone());
        self.add(place, described(id, name, description), containers, public, report);
    }

    fn resource(&mut self, node: &Node, report: &mut Report) {
        let Some(mut fields) = Fields::of(node, "a resource", report) else {
            return;
        };
        let id = fields.required_text("id", report);
        let parent = fields.text("project", report);
        let parent = fields.text("group", report).or(parent);
        let title = fields.required_text("title", report);
        let description = fields.text("description", report).map_or("", |(_, text)| text);
        let public = fields.bool("public", report).unwrap_or(false);
        let comments = comments(&mut fields, report);
        let start = fields.place();
        fields.finish(report);
        let (Some((id_place, id)), Some((_, title))) = (id, title) else {
            return;
        };
        let Some((parent_place, parent)) = parent else {
            return report.fault(start, "a resource needs its `project` or `group`");
        };
        let Some(containers) = self.containers(parent, parent_place, report) else {
            return;
        };
        match id.parse::<GlobalId>() {
            Ok(id) => {
                let resource = Resource { comments, ..described(id, title, description) };
                self.add(id_place, resource, containers, public, report);
            }
            Err(error) => report.fault(id_place, error.to_string()),
        }
    }

    fn containers(&self, path: &str, place: Place, report: &mut Report) -> Option<Vec<GlobalId>> {
        let containers = self.paths.get(path).cloned();
        if containers.is_none() {
            report.fault(place, format!("there is no group or project `{path}`"));
        }
        containers
    }

    fn add(
        &mut self,
        place: Place,
        resource: Resource,
        containers: Vec<GlobalId>,
        public: bool,
        report: &mut Report,
    ) {
        let id = resource.id.clone();
        let placed = Placed { resource: Arc::new(resource), public, containers };
        if self.resources.insert(id.clone(), placed).is_some() {
            report.fault(place, format!("{id} is there twice"));
        }
    }
}

fn described(id: GlobalId, title: &str, description: &str) -> Resource {
    Resource { id, title: title.to_owned(), description: description.to_owned(), comments: Vec::new() }
}

fn number(fields: &mut Fields, report: &mut Report) -> Option<(Place, u64)> {
    fields.require("id", report)?;
    fields.count("id", report)
}

fn plan(fields: &mut Fields, report: &mut Report) -> Option<String> {
    let (place, plan) = fields.text("plan", report)?;
    if !plans::names().any(|known| known == plan) {
        let known: Vec<&str> = plans::names().collect();
        report.fault(place, format!("unknown plan `{plan}`; known: {}", known.join(", ")));
    }
    Some(plan.to_owned())
}

fn comments(fields: &mut Fields, report: &mut Report) -> Vec<Comment> {
    let mut comments = Vec::new();
    for node in fields.list("comments", report) {
        let Some(mut fields) = Fields::of(node, "a comment", report) else {
            continue;
        };
        let author = fields.required_text("author", report);
        let text = fields.required_text("text", report);
        fields.finish(report);
        if let (Some((_, author)), Some((_, text))) = (author, text) {
            comments.push(Comment { author: author.to_owned(), text: text.trim_end().to_owned() });
        }
    }
    comments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_named_with_line_and_column() {
        let text = "\
users:
  - {id: 1, username: root, name: Root, development_token: t}
  - {id: 1, username: root, name: Again, development_token: t}
  - {id: x, username: eve, name: Eve, nick: e}
groups:
  - {id: 10, path: demo, name: Demo, plan: gold, members: {bob: developer, root: king}}
projects:
  - {id: 20, path: nowhere/site, name: Site}
resources:
  - {id: Issue/52, group: demo, title: T}
  - {id: gid://gitlab/Issue/1, title: T}
";
        let faults = parse("d", text).unwrap_err().to_string();
        let expected = [
            "d:3:10: there are two users with the id 1",
            "d:3:23: there are two users called `root`",
            "d:3:61: a development token must be somebody's own, and not empty",
            "d:4:10: `id` must be a whole number above 0",
            "d:4:39: unknown key `nick`; known here: id, username, name, admin, development_token",
            "d:6:44: unknown plan `gold`; known: premium, ultimate",
            "d:6:60: there is no user called `bob`",
            "d:6:82: unknown role `king`; known: guest, reporter, developer, maintainer, owner",
            "d:8:20: there is no group or project `nowhere`",
            "d:10:10: \"Issue/52\" is not a global id such as gid://gitlab/Issue/52",
            "d:11:5: a resource needs its `project` or `group`",
        ];
        assert_eq!(faults.lines().collect::<Vec<_>>(), expected);
    }
}
