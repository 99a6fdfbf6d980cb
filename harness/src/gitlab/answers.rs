//! What the REST API answers.

use serde_json::{Value, json};

use super::{
    Answer, graphql,
    world::{Group, Item, Kind, Note, Project, Token, User, World, shows},
};
use crate::fake_provider::Call;

/// Who asks, and for what.
pub(super) struct Asked<'a> {
    pub(super) world: &'a World,
    pub(super) user: &'a User,
    query: Vec<(String, String)>,
}

pub(super) fn answer(world: &World, call: &Call) -> Answer {
    let (path, query) = call.path.split_once('?').unwrap_or((&call.path, ""));
    let path: Vec<String> = path.split('/').skip(1).map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some((token, user)) = holder(world, call) else {
        return error(401, "401 Unauthorized");
    };
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect();
    let asked = Asked { world, user, query };
    match path.as_slice() {
        ["api", "v4", "personal_access_tokens", "self"] => personal_token(token),
        ["oauth", "token", "info"] => oauth_token(token),
        ["api", "v4", "user"] if token.may(&["api", "read_api", "read_user"]) => Answer::ok(json_of(user)),
        _ if !token.may(&["api", "read_api"]) => error(403, "insufficient_scope"),
        ["api", "graphql"] => graphql::answer(&asked, &call.json()),
        ["api", "v4", rest @ ..] => asked.rest(rest).unwrap_or_else(|| error(404, "404 Not found")),
        _ => error(404, "404 Not found"),
    }
}

impl Token {
    fn may(&self, scopes: &[&str]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

fn holder<'w>(world: &'w World, call: &Call) -> Option<(&'w Token, &'w User)> {
    let text = call.header("authorization")?.strip_prefix("Bearer ")?;
    let token = world.tokens.iter().find(|token| token.text == text)?;
    Some((token, world.users.iter().find(|user| user.id == token.user)?))
}

/// GitLab shows a token that is not active any more to nobody, itself included; what is inactive and shown
/// all the same is for those who must not rely on that.
fn personal_token(token: &Token) -> Answer {
    let Kind::Personal { expires_at, active } = &token.kind else {
        return error(400, "This endpoint requires token type to be a personal access token");
    };
    Answer::ok(json!({
        "id": 4, "name": "Test Token", "revoked": !active, "created_at": "2020-07-23T14:31:47.729Z",
        "scopes": token.scopes, "user_id": token.user, "last_used_at": "2021-10-06T17:58:37.550Z",
        "active": active, "expires_at": expires_at
    }))
}

fn oauth_token(token: &Token) -> Answer {
    let Kind::Oauth { expires_in } = &token.kind else {
        return Answer { body: json!({ "error": "invalid_token" }), ..error(401, "") };
    };
    Answer::ok(json!({
        "resource_owner_id": token.user, "scope": token.scopes, "expires_in": expires_in,
        "application": { "uid": "1cb242f4" }, "created_at": 1_363_094_790,
        "scopes": token.scopes, "expires_in_seconds": expires_in
    }))
}

fn json_of(user: &User) -> Value {
    let mut json = json!({
        "id": user.id, "username": user.username, "name": user.name, "state": user.state, "locked": false,
        "email": format!("{}@example.com", user.username)
    });
    if user.admin
        && let Some(fields) = json.as_object_mut()
    {
        fields.insert("is_admin".to_owned(), Value::Bool(true));
    }
    json
}

impl Asked<'_> {
    fn rest(&self, path: &[&str]) -> Option<Answer> {
        match path {
            ["users"] => self.users(),
            ["groups"] => Some(self.groups()),
            ["groups", name] => self.group(name).map(|group| Answer::ok(self.json_of_group(group))),
            ["groups", name, "members", "all", user] => self.member(name, user),
            ["projects"] => Some(self.projects()),
            ["namespaces", name] => self.namespace(name),
            ["groups", name, "epics"] => self.epics(name),
            ["groups", name, "epics", id, "notes"] => self.epic_notes(name, id),
            ["projects", name] => self.project(name).map(|project| Answer::ok(json_of_project(project))),
            ["projects", name, "issues", iid, "notes"] => self.item_notes(name, "Issue", iid),
            ["projects", name, "merge_requests", iid, "notes"] => self.item_notes(name, "MergeRequest", iid),
            ["projects", name, "repository", "commits", sha] => self.commit(name, sha),
            ["projects", name, "repository", "commits", sha, "comments"] => self.commit_comments(name, sha),
            _ => None,
        }
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn users(&self) -> Option<Answer> {
        let username = self.query("username")?;
        let users = self.world.users.iter().filter(|user| user.username == username);
        Some(Answer::ok(users.map(|user| json!({ "id": user.id, "username": user.username })).collect()))
    }

    fn groups(&self) -> Answer {
        let least: i64 = self.query("min_access_level").and_then(|level| level.parse().ok()).unwrap_or(0);
        let top = self.query("top_level_only") == Some("true");
        let groups = self.world.groups.iter().filter(|group| {
            let level = self.world.level(self.user.id, group.path);
            let enough = if least > 0 { level >= least } else { self.world.sees(self.user, group.path) };
            enough && !(top && group.path.contains('/'))
        });
        self.page(groups.map(|group| self.json_of_group(group)).collect())
    }

    /// With what is inherited from the groups above it.
    fn member(&self, name: &str, user: &str) -> Option<Answer> {
        let (group, user) = (self.group(name)?, user.parse().ok()?);
        let level = self.world.level(user, group.path);
        (level > 0).then(|| Answer::ok(json!({ "id": user, "state": "active", "access_level": level })))
    }

    fn projects(&self) -> Answer {
        let least: i64 = self.query("min_access_level").and_then(|level| level.parse().ok()).unwrap_or(0);
        let of_member = self.query("membership") == Some("true");
        let projects = self.world.projects.iter().filter(|project| {
            let level = self.world.level(self.user.id, project.path);
            level >= least && (level > 0 || (!of_member && self.world.sees(self.user, project.path)))
        });
        self.page(projects.map(json_of_project).collect())
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.world.group(name).filter(|group| self.world.sees(self.user, group.path))
    }

    fn project(&self, name: &str) -> Option<&Project> {
        self.world.project(name).filter(|project| self.world.sees(self.user, project.path))
    }

    fn owns(&self, path: &str) -> bool {
        self.user.admin || self.world.level(self.user.id, path) >= 50
    }

    /// Settings are shown to owners only.
    fn json_of_group(&self, group: &Group) -> Value {
        let mut json = json!({
            "id": group.id, "name": group.path, "path": group.path, "description": format!("About {}.", group.path),
            "visibility": if group.public { "public" } else { "private" },
            "full_name": group.path.replace('/', " / "), "full_path": group.path, "parent_id": null
        });
        if self.owns(group.path)
            && let Some(fields) = json.as_object_mut()
        {
            fields.insert("duo_features_enabled".to_owned(), group.duo_features_enabled.into());
            if self.world.shows_experiment_features {
                let experiments = group.experiment_features_enabled;
                fields.insert("experiment_features_enabled".to_owned(), experiments.into());
            }
        }
        json
    }

    fn namespace(&self, name: &str) -> Option<Answer> {
        let group = self.group(name)?;
        let mut json =
            json!({ "id": group.id, "name": group.path, "kind": "group", "full_path": group.path });
        if self.owns(group.path)
            && let Some(fields) = json.as_object_mut()
        {
            fields.insert("plan".to_owned(), group.plan.into());
        }
        Some(Answer::ok(json))
    }

    /// The items of a kind below a group, newest first.
    fn below(&self, name: &str, model: &str) -> Option<Vec<&Item>> {
        let group = self.group(name)?;
        let mut items: Vec<&Item> = self.world.items.iter().filter(|item| item.model == model).collect();
        items.retain(|item| item.at == group.path || item.at.starts_with(&format!("{}/", group.path)));
        items.reverse();
        Some(items)
    }

    fn epics(&self, name: &str) -> Option<Answer> {
        let epics = self.below(name, "Epic")?.into_iter().map(|epic| {
            json!({
                "id": epic.id.parse::<u64>().ok(), "iid": epic.iid, "title": epic.title,
                "group_id": self.world.group(epic.at).map(|group| group.id), "description": epic.description
            })
        });
        Some(self.page(epics.collect()))
    }

    fn epic_notes(&self, name: &str, id: &str) -> Option<Answer> {
        let epic = self.below(name, "Epic")?.into_iter().find(|epic| epic.id == id)?;
        Some(self.notes(epic))
    }

    fn item_notes(&self, name: &str, model: &str, iid: &str) -> Option<Answer> {
        let project = self.project(name)?;
        let item = self
            .world
            .items
            .iter()
            .find(|item| item.model == model && item.at == project.path && item.iid.to_string() == iid)?;
        Some(self.notes(item))
    }

    /// A page of notes may have fewer than it holds: what may not be seen is taken out afterwards.
    fn notes(&self, item: &Item) -> Answer {
        let only_comments = self.query("activity_filter") == Some("only_comments");
        let mut notes: Vec<(usize, &Note)> = item.notes.iter().enumerate().collect();
        notes.retain(|(_, note)| !(only_comments && note.system));
        if self.query("sort") != Some("asc") {
            notes.reverse();
        }
        let notes = notes.into_iter().map(|(number, note)| {
            let seen = shows(self.world, self.user, item, note);
            seen.then(|| {
                json!({
                    "id": number, "body": note.body, "author": { "id": 9, "name": note.author, "state": "active" },
                    "system": note.system, "internal": note.internal, "noteable_type": item.model
                })
            })
        });
        let mut answer = self.page(notes.map(|note| note.unwrap_or(Value::Null)).collect());
        if let Some(page) = answer.body.as_array_mut() {
            page.retain(|note| !note.is_null());
        }
        answer
    }

    fn commit(&self, name: &str, sha: &str) -> Option<Answer> {
        let commit = self.find_commit(name, sha)?;
        let message = format!("{}\n\n{}", commit.title, commit.description);
        Some(Answer::ok(json!({
            "id": commit.id, "short_id": commit.id.get(..8), "title": commit.title, "message": message,
            "author_name": "Alice Example", "created_at": "2021-09-20T09:06:12.300+03:00"
        })))
    }

    fn commit_comments(&self, name: &str, sha: &str) -> Option<Answer> {
        let commit = self.find_commit(name, sha)?;
        let comments = commit.notes.iter().map(|note| {
            json!({ "note": note.body, "author": { "id": 9, "name": note.author, "state": "active" } })
        });
        Some(self.page(comments.collect()))
    }

    fn find_commit(&self, name: &str, sha: &str) -> Option<&Item> {
        let project = self.project(name)?;
        let mut commits = self.world.items.iter().filter(|item| item.model == "Commit");
        commits.find(|commit| commit.at == project.path && commit.id == sha)
    }

    /// 20 entries of a page unless `per_page` says otherwise, 100 at most.
    fn page(&self, entries: Vec<Value>) -> Answer {
        let number = |name, otherwise| self.query(name).and_then(|n| n.parse().ok()).unwrap_or(otherwise);
        let (page, size): (usize, usize) = (number("page", 1).max(1), number("per_page", 20).clamp(1, 100));
        let next_page = (entries.len() > page * size).then_some(page + 1);
        let body = entries.into_iter().skip((page - 1) * size).take(size).collect();
        Answer { status: 200, next_page, body }
    }
}

fn json_of_project(project: &Project) -> Value {
    let namespace = project.path.rsplit_once('/').map_or("", |(namespace, _)| namespace);
    let kind = if project.owner.is_some() { "user" } else { "group" };
    json!({
        "namespace": { "kind": kind, "full_path": namespace, "path": namespace },
        "id": project.id, "description": format!("About {}.", project.path), "name": project.path,
        "name_with_namespace": project.path.replace('/', " / "), "path_with_namespace": project.path,
        "visibility": if project.public { "public" } else { "private" }
    })
}

fn error(status: u16, message: &str) -> Answer {
    Answer { status, next_page: None, body: json!({ "message": message }) }
}

/// Undoes `%2F` and the like.
fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        let digits = if byte == b'%' { bytes.next().zip(bytes.next()) } else { None };
        let escaped = digits.and_then(|(high, low)| {
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            Some(digit(high)? * 16 + digit(low)?)
        });
        plain.push(escaped.unwrap_or(byte));
    }
    String::from_utf8_lossy(&plain).into_owned()
}
