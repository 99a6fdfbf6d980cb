//! The directory's file format, and how names in it become ids.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use duologue_actors::{
    ports::{Comment, Resource, User},
    protocol::{GlobalId, UserId},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Account, FileDirectory, OutsideNames, Placed,
    complete::complete,
    tree::{Declared, Tree},
};
use crate::{
    config::DeploymentConfig,
    document::{self, Faults, Fields, Key, Node, Place, Report, Value, as_text},
};

mod containers;

/// Reads named documents, each of which may complete what those before it say.
pub(super) fn read(
    documents: &[(String, String)],
    deployment: &DeploymentConfig,
) -> Result<FileDirectory, Faults> {
    let mut reader = Reader::default();
    for (name, text) in documents {
        reader.document(name, text)?;
    }
    let Reader { users, declared, resources, outside_names, .. } = reader;
    Ok(FileDirectory { users, tree: Tree::settle(&declared, deployment), resources, outside_names })
}

/// What has been read so far; later entries refer to earlier ones by name.
#[derive(Default)]
struct Reader {
    users: BTreeMap<UserId, Account>,
    /// Groups and projects by their paths.
    declared: BTreeMap<String, Declared>,
    resources: BTreeMap<GlobalId, Placed>,
    usernames: BTreeMap<String, UserId>,
    tokens: Vec<String>,
    outside_names: OutsideNames,
    /// The entries of earlier documents, which this one may complete.
    earlier: BTreeMap<Name, Node>,
    /// The entries of this document.
    current: BTreeMap<Name, Node>,
}

/// What kind of entry, and what it is called.
type Name = (Kind, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    User,
    Group,
    Project,
}

impl Kind {
    /// The key that names an entry.
    fn key(self) -> &'static str {
        match self {
            Self::User => "username",
            Self::Group | Self::Project => "path",
        }
    }
}

impl Reader {
    fn document(&mut self, name: &str, text: &str) -> Result<(), Faults> {
        let document = document::parse(name, text)?;
        let mut report = Report::new(name);
        // An empty document adds nothing.
        if !matches!(document.value, Value::Null)
            && let Some(mut fields) = Fields::of(&document, "a directory", &mut report)
        {
            for node in fields.list("users", &mut report) {
                let node = self.whole(Kind::User, node, &mut report);
                self.user(&node, &mut report);
            }
            for node in fields.list("groups", &mut report) {
                let node = self.whole(Kind::Group, node, &mut report);
                self.group(&node, &mut report);
            }
            for node in fields.list("projects", &mut report) {
                let node = self.whole(Kind::Project, node, &mut report);
                self.project(&node, &mut report);
            }
            for node in fields.list("resources", &mut report) {
                self.resource(node, &mut report);
            }
            fields.finish(&mut report);
        }
        let entries = std::mem::take(&mut self.current);
        self.earlier.extend(entries);
        report.conclude(Some(()))
    }

    /// The entry with what an earlier document says of the same user, group or project, which is forgotten: it
    /// is read again, whole. A fault in it is one of this document, because the earlier was right.
    fn whole<'n>(&mut self, kind: Kind, node: &'n Node, report: &mut Report) -> Cow<'n, Node> {
        let Some(name) = text_at(node, kind.key()) else {
            return Cow::Borrowed(node);
        };
        let name = (kind, name.to_owned());
        let node = match self.earlier.remove(&name) {
            Some(earlier) => {
                self.forget(kind, &name.1);
                Cow::Owned(complete(&earlier, node, &name.1, report))
            }
            None => Cow::Borrowed(node),
        };
        self.current.insert(name, node.clone().into_owned());
        node
    }

    fn forget(&mut self, kind: Kind, name: &str) {
        match kind {
            Kind::User => {
                let id = self.usernames.remove(name);
                let account = id.and_then(|id| self.users.remove(&id));
                id.inspect(|id| self.outside_names.forget(*id));
                let token = account.and_then(|account| account.development_token);
                self.tokens.retain(|known| token.as_ref().is_none_or(|token| token.expose_secret() != known));
            }
            Kind::Group | Kind::Project => {
                if let Some(declared) = self.declared.remove(name) {
                    self.resources.remove(&declared.id);
                }
            }
        }
    }

    fn user(&mut self, node: &Node, report: &mut Report) {
        let Some(mut fields) = Fields::of(node, "a user", report) else {
            return;
        };
        let id = number(&mut fields, report);
        let username = fields.required_text("username", report);
        let name = fields.required_text("name", report);
        let admin = fields.bool("admin", report).unwrap_or(false);
        let token = fields.text("development_token", report);
        let identities = fields.map("identities", report);
        let global_user_id = fields.text("global_user_id", report);
        fields.finish(report);
        let (Some((id_place, id)), Some((name_place, username)), Some((_, name))) = (id, username, name)
        else {
            return;
        };
        self.identities(identities, UserId(id), report);
        if let Some((place, global)) = global_user_id
            && (global.is_empty() || !self.outside_names.add_global_user_id(global, UserId(id)))
        {
            report.fault(place, "a global_user_id must be somebody's own, and not empty");
        }
        let development_token = token.and_then(|(place, token)| self.token(place, token, report));
        let user = User { id: UserId(id), username: username.to_owned(), name: name.to_owned(), admin };
        if self.usernames.insert(user.username.clone(), user.id).is_some() {
            report.fault(name_place, format!("there are two users called `{username}`"));
        }
        if self.users.insert(user.id, Account { user, development_token }).is_some() {
            report.fault(id_place, format!("there are two users with the id {id}"));
        }
    }

    /// `{https://issuer.example: subject}`.
    fn identities(&mut self, identities: &[(Key, Node)], user: UserId, report: &mut Report) {
        for (issuer, node) in identities {
            let Some((place, subject)) = as_text(node, "identities", report) else {
                continue;
            };
            if reqwest::Url::parse(&issuer.name).is_err() {
                report.fault(issuer.place, format!("`{}` is no URL of an issuer", issuer.name));
            } else if subject.is_empty() || !self.outside_names.add_subject(&issuer.name, subject, user) {
                report.fault(
                    place,
                    format!("a subject of {} must be somebody's own, and not empty", issuer.name),
                );
            }
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
        if !self.declared.contains_key(parent) {
            return report.fault(parent_place, format!("there is no group or project `{parent}`"));
        }
        match id.parse::<GlobalId>() {
            Ok(id) => {
                let resource = Resource { comments, ..described(id, title, description) };
                self.add(id_place, resource, parent, public, report);
            }
            Err(error) => report.fault(id_place, error.to_string()),
        }
    }

    /// Puts `resource` where it lies: in the group or project at `path`.
    fn add(&mut self, place: Place, resource: Resource, path: &str, public: bool, report: &mut Report) {
        let id = resource.id.clone();
        let placed = Placed { resource: Arc::new(resource), public, path: path.to_owned() };
        if self.resources.insert(id.clone(), placed).is_some() {
            report.fault(place, format!("{id} is there twice"));
        }
    }
}

fn text_at<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    let Value::Map(entries) = &node.value else { return None };
    entries.iter().find_map(|(key, node)| match &node.value {
        Value::Text(text) if key.name == name => Some(text.as_str()),
        _ => None,
    })
}

fn described(id: GlobalId, title: &str, description: &str) -> Resource {
    Resource { id, title: title.to_owned(), description: description.to_owned(), comments: Vec::new() }
}

fn number(fields: &mut Fields, report: &mut Report) -> Option<(Place, u64)> {
    fields.require("id", report)?;
    fields.count("id", report)
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
mod tests;
