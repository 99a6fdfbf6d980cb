//! Users, tokens, groups, projects and what was written in them. Who belongs to a group belongs to what is
//! below it; who belongs to something below a group sees the group.

/// A user, by number.
#[derive(Clone, Debug)]
pub struct User {
    pub id: u64,
    pub username: &'static str,
    pub name: &'static str,
    pub admin: bool,
    /// `active`, `blocked` ...
    pub state: &'static str,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub user: u64,
    pub scopes: Vec<&'static str>,
    pub kind: Kind,
}

/// What sort of token it is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// With the day on which it expires, as `2030-01-31`.
    Personal { expires_at: Option<&'static str>, active: bool },
    /// With the seconds it has left.
    Oauth { expires_in: Option<u64> },
}

#[derive(Clone, Debug)]
pub struct Group {
    pub id: u64,
    pub path: &'static str,
    pub plan: &'static str,
    pub duo_features_enabled: bool,
    pub experiment_features_enabled: bool,
    /// Users and their access levels: 10 guest, 20 reporter, 30 developer, 50 owner.
    pub members: Vec<(u64, i64)>,
    pub public: bool,
}

#[derive(Clone, Debug)]
pub struct Project {
    pub id: u64,
    pub path: &'static str,
    pub duo_features_enabled: bool,
    pub public: bool,
    /// The owner of a project that is in no group.
    pub owner: Option<u64>,
    /// As of a group.
    pub members: Vec<(u64, i64)>,
}

/// An issue, merge request, epic, work item or commit.
#[derive(Clone, Debug)]
pub struct Item {
    /// As in a global id: `Issue`, `MergeRequest`, `WorkItem`, `Epic`, `Commit`.
    pub model: &'static str,
    pub id: &'static str,
    pub iid: u64,
    /// The path of its project or group.
    pub at: &'static str,
    pub title: String,
    pub description: String,
    pub notes: Vec<Note>,
}

#[derive(Clone, Debug)]
pub struct Note {
    pub author: &'static str,
    pub body: String,
    pub system: bool,
    /// Shown to those with access level 20 and more.
    pub internal: bool,
}

impl Note {
    #[must_use]
    pub fn by(author: &'static str, body: &str) -> Self {
        Self { author, body: body.to_owned(), system: false, internal: false }
    }
}

#[derive(Clone, Debug)]
pub struct World {
    /// Whether this version of GitLab shows `experiment_features_enabled`, to owners. Most show it to nobody.
    pub shows_experiment_features: bool,
    /// Users who belong to a group because another group was invited to it, and their access levels.
    pub invited: Vec<(u64, &'static str, i64)>,
    pub users: Vec<User>,
    pub tokens: Vec<Token>,
    pub groups: Vec<Group>,
    pub projects: Vec<Project>,
    pub items: Vec<Item>,
}

pub const SHA: &str = "1f0e3dad99908345f7439f8ffabdffc4d6c7b9a1";

impl Default for World {
    /// - `root` (1) is an admin, `alice` (2) owns the group `demo`, `mallory` (3) belongs nowhere, `bob` (4)
    ///   is a guest of the subgroup `demo/tools`, `carol` (5) is blocked.
    /// - The tokens are `glpat-root` ..., with the scope `api`; `glpat-alice-reads` with `read_api`,
    ///   `glpat-alice-asks` with `ai_features` only, `glpat-alice-old` expired, `oauth-alice` of OAuth.
    /// - `demo` (10) has `demo/tools` (12) and the project `demo/duologue` (20); `demo/tools/cli` (21) has
    ///   AI features off; `site/www` (22) is public; `mallory/pet` (23) is Mallory's own.
    /// - Issue 52, merge request 52 and a commit are in `demo/duologue`, issue 60 in `demo/tools/cli`, 61
    ///   in `site/www`, 62 in `mallory/pet`; epic 5 and work item 90 are in `demo/tools`, work item 91 in
    ///   `demo/duologue`.
    fn default() -> Self {
        Self {
            shows_experiment_features: false,
            invited: Vec::new(),
            users: users(),
            tokens: tokens(),
            groups: groups(),
            projects: projects(),
            items: items(),
        }
    }
}

fn users() -> Vec<User> {
    let user = |id, username, name| User { id, username, name, admin: false, state: "active" };
    vec![
        User { admin: true, ..user(1, "root", "Administrator") },
        user(2, "alice", "Alice Example"),
        user(3, "mallory", "Mallory Example"),
        user(4, "bob", "Bob Example"),
        User { state: "blocked", ..user(5, "carol", "Carol Example") },
    ]
}

fn tokens() -> Vec<Token> {
    let personal = Kind::Personal { expires_at: None, active: true };
    let token = |text: &str, user, scope| Token {
        text: text.to_owned(),
        user,
        scopes: vec![scope],
        kind: personal.clone(),
    };
    vec![
        token("glpat-root", 1, "api"),
        token("glpat-alice", 2, "api"),
        token("glpat-alice-reads", 2, "read_api"),
        token("glpat-alice-asks", 2, "ai_features"),
        Token {
            kind: Kind::Personal { expires_at: Some("2020-01-01"), active: true },
            ..token("glpat-alice-old", 2, "api")
        },
        Token { kind: Kind::Oauth { expires_in: Some(7_200) }, ..token("oauth-alice", 2, "api") },
        token("glpat-mallory", 3, "api"),
        token("glpat-bob", 4, "api"),
        token("glpat-carol", 5, "api"),
    ]
}

fn groups() -> Vec<Group> {
    let group = |id, path, plan| Group {
        id,
        path,
        plan,
        duo_features_enabled: true,
        experiment_features_enabled: true,
        members: Vec::new(),
        public: false,
    };
    vec![
        Group { members: vec![(2, 50)], ..group(10, "demo", "ultimate") },
        Group { members: vec![(4, 10)], ..group(12, "demo/tools", "ultimate") },
        Group { public: true, experiment_features_enabled: false, ..group(13, "site", "free") },
    ]
}

fn projects() -> Vec<Project> {
    let project = |id, path| Project {
        id,
        path,
        duo_features_enabled: true,
        public: false,
        owner: None,
        members: Vec::new(),
    };
    vec![
        project(20, "demo/duologue"),
        Project { duo_features_enabled: false, ..project(21, "demo/tools/cli") },
        Project { public: true, ..project(22, "site/www") },
        Project { owner: Some(3), ..project(23, "mallory/pet") },
    ]
}

fn items() -> Vec<Item> {
    let item = |model, id, iid, at| Item {
        model,
        id,
        iid,
        at,
        title: format!("{model} {id}"),
        description: format!("What {model} {id} is about."),
        notes: vec![Note::by("Bob Example", "We should decide this today.")],
    };
    let discussion = vec![
        Note::by("Bob Example", "Login fails after the upgrade to version 4."),
        Note { system: true, ..Note::by("Bob Example", "changed the description") },
        Note { internal: true, ..Note::by("Alice Example", "The customer is Example Corp.") },
        Note::by("Alice Example", "We agreed to roll back to version 3 by Friday.\r\nBob does it."),
    ];
    vec![
        Item {
            title: "Login fails".to_owned(),
            description: "Since Monday nobody can log in.\0".to_owned(),
            notes: discussion,
            ..item("Issue", "52", 7, "demo/duologue")
        },
        item("MergeRequest", "52", 3, "demo/duologue"),
        item("Commit", SHA, 0, "demo/duologue"),
        item("WorkItem", "91", 9, "demo/duologue"),
        item("Issue", "60", 1, "demo/tools/cli"),
        item("Issue", "61", 1, "site/www"),
        item("Issue", "62", 1, "mallory/pet"),
        item("Epic", "5", 2, "demo/tools"),
        item("WorkItem", "90", 2, "demo/tools"),
    ]
}

// === What a user may see ===

impl World {
    #[must_use]
    pub fn item(&mut self, model: &str, id: &str) -> Option<&mut Item> {
        self.items.iter_mut().find(|item| item.model == model && item.id == id)
    }

    /// The group of that number or path.
    pub(super) fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.path == name || group.id.to_string() == name)
    }

    /// The project of that number or path.
    pub(super) fn project(&self, name: &str) -> Option<&Project> {
        self.projects.iter().find(|project| project.path == name || project.id.to_string() == name)
    }

    /// The access level of a user in the group, project or personal namespace at `path`.
    pub(super) fn level(&self, user: u64, path: &str) -> i64 {
        let of_groups = self
            .groups
            .iter()
            .filter(|group| is_within(path, group.path))
            .flat_map(|group| levels(&group.members, user));
        let projects = self.projects.iter().filter(|project| project.path == path);
        let of_projects = projects.flat_map(|project| {
            let own = (project.owner == Some(user)).then_some(50);
            levels(&project.members, user).chain(own)
        });
        let invited = self.invited.iter().filter(|(member, at, _)| *member == user && is_within(path, at));
        of_groups.chain(of_projects).chain(invited.map(|(.., level)| *level)).max().unwrap_or(0)
    }

    /// The access level of a direct member of the group.
    pub(super) fn direct_level(group: &Group, user: u64) -> i64 {
        levels(&group.members, user).max().unwrap_or(0)
    }

    pub(super) fn sees(&self, user: &User, path: &str) -> bool {
        let public = self.groups.iter().any(|group| group.path == path && group.public)
            || self.projects.iter().any(|project| project.path == path && project.public);
        let below = self.groups.iter().any(|group| {
            is_within(group.path, path) && group.members.iter().any(|(member, _)| *member == user.id)
        });
        let below = below
            || self.projects.iter().any(|project| {
                is_within(project.path, path) && levels(&project.members, user.id).next().is_some()
            });
        user.admin || public || below || self.level(user.id, path) > 0
    }
}

pub(super) fn shows(world: &World, user: &User, item: &Item, note: &Note) -> bool {
    !note.internal || user.admin || world.level(user.id, item.at) >= 20
}

fn levels(members: &[(u64, i64)], user: u64) -> impl Iterator<Item = i64> {
    members.iter().filter(move |(member, _)| *member == user).map(|(_, level)| *level)
}

fn is_within(path: &str, group: &str) -> bool {
    path.strip_prefix(group).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
