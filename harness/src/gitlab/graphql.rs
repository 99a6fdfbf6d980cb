//! What the GraphQL API answers: the part of GitLab's schema that the server asks about, executed as any
//! other. A query that asks for what is not in it is refused, as GitLab refuses it.

use async_graphql::{
    ComplexObject, Context, EmptyMutation, EmptySubscription, Enum, Error, ID, InputValueError,
    InputValueResult, Object, Request, Result, Scalar, ScalarType, Schema, ServerError, SimpleObject, Union,
    Variables,
};
use serde_json::{Value, json};

use super::{
    Answer,
    answers::Asked,
    world::{self, Item, User, World},
};

/// GitLab's message for what is not there or may not be seen.
const NOT_THERE: &str = "The resource that you are attempting to access does not exist or you don't have permission to perform this action";

pub(super) fn answer(asked: &Asked<'_>, request: &Value) -> Answer {
    let query = request.get("query").and_then(Value::as_str).unwrap_or_default();
    let variables = request.get("variables").cloned().unwrap_or_default();
    let eyes = Eyes { world: asked.world.clone(), user: asked.user.clone() };
    let request = Request::new(query).variables(Variables::from_json(variables)).data(eyes);
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    let response = futures::executor::block_on(schema.execute(request));
    let errors: Vec<Value> = response.errors.iter().map(json_of_error).collect();
    let data = serde_json::to_value(&response.data).unwrap_or_default();
    Answer::ok(if errors.is_empty() {
        json!({ "data": data })
    } else {
        json!({ "data": data, "errors": errors })
    })
}

/// The codes are those of GitLab's library, graphql-ruby.
fn json_of_error(error: &ServerError) -> Value {
    let code = match &error.message {
        message if message.starts_with("Unknown field") => "undefinedField",
        message if message.starts_with("Unknown argument") => "argumentNotAccepted",
        message if message == NOT_THERE => return json!({ "message": message, "path": ["found"] }),
        _ => "argumentLiteralsIncompatible",
    };
    json!({ "message": error.message, "extensions": { "code": code } })
}

/// The world as one user sees it.
struct Eyes {
    world: World,
    user: User,
}

impl Eyes {
    fn item(&self, model: &str, id: &str) -> Option<&Item> {
        let id = id.strip_prefix("gid://gitlab/")?.strip_prefix(model)?.strip_prefix('/')?;
        let item = self.world.items.iter().find(|item| item.model == model && item.id == id)?;
        self.world.sees(&self.user, item.at).then_some(item)
    }
}

macro_rules! global_ids {
    ($($id:ident),*) => { $(
        struct $id(String);

        #[Scalar]
        impl ScalarType for $id {
            fn parse(value: async_graphql::Value) -> InputValueResult<Self> {
                match value {
                    async_graphql::Value::String(text) => Ok(Self(text)),
                    other => Err(InputValueError::expected_type(other)),
                }
            }

            fn to_value(&self) -> async_graphql::Value {
                async_graphql::Value::String(self.0.clone())
            }
        }
    )* };
}

global_ids!(IssueID, MergeRequestID, WorkItemID);

struct Query;

#[Object]
impl Query {
    async fn issue(&self, ctx: &Context<'_>, id: IssueID) -> Result<Option<Issue>> {
        Ok(ctx.data::<Eyes>()?.item("Issue", &id.0).map(|item| {
            let (iid, title, description) = (item.iid.into(), item.title.clone(), item.description.clone());
            Issue { iid, title, description: Some(description), at: item.at }
        }))
    }

    async fn merge_request(&self, ctx: &Context<'_>, id: MergeRequestID) -> Result<Option<MergeRequest>> {
        Ok(ctx.data::<Eyes>()?.item("MergeRequest", &id.0).map(|item| {
            let (iid, title, description) =
                (item.iid.to_string(), item.title.clone(), item.description.clone());
            MergeRequest { iid, title, description: Some(description), at: item.at }
        }))
    }

    /// This one resolver says that there is nothing instead of answering null.
    async fn work_item(&self, ctx: &Context<'_>, id: WorkItemID) -> Result<Option<WorkItem>> {
        let eyes = ctx.data::<Eyes>()?;
        let item = eyes.item("WorkItem", &id.0).ok_or_else(|| Error::new(NOT_THERE))?;
        let project = eyes.world.project(item.at).map(|project| Project::of(eyes, project));
        let notes = item.notes.iter().filter(|note| world::shows(&eyes.world, &eyes.user, item, note));
        Ok(Some(WorkItem {
            title: item.title.clone(),
            description: Some(item.description.clone()),
            project,
            namespace: Some(Namespace { id: "gid://gitlab/Group/1".into(), full_path: item.at.to_owned() }),
            widgets: vec![
                WorkItemWidget::Labels(WorkItemWidgetLabels { allows_scoped_labels: None }),
                WorkItemWidget::Notes(WorkItemWidgetNotes { notes: notes.cloned().collect() }),
            ],
        }))
    }

    async fn project(&self, ctx: &Context<'_>, full_path: ID) -> Result<Option<Project>> {
        let eyes = ctx.data::<Eyes>()?;
        let project = eyes.world.project(&full_path).filter(|project| project.path == *full_path);
        let project = project.filter(|project| eyes.world.sees(&eyes.user, project.path));
        Ok(project.map(|project| Project::of(eyes, project)))
    }

    async fn group(&self, ctx: &Context<'_>, full_path: ID) -> Result<Option<Group>> {
        let eyes = ctx.data::<Eyes>()?;
        let group = eyes.world.group(&full_path).filter(|group| group.path == *full_path);
        let group = group.filter(|group| eyes.world.sees(&eyes.user, group.path));
        Ok(group.map(|group| Group {
            id: format!("gid://gitlab/Group/{}", group.id).into(),
            full_path: group.path.into(),
            duo_features_enabled: Some(group.duo_features_enabled),
            max_access_level: AccessLevel { integer_value: Some(World::direct_level(group, eyes.user.id)) },
        }))
    }
}

#[derive(SimpleObject)]
#[graphql(complex)]
struct Issue {
    iid: ID,
    title: String,
    description: Option<String>,
    #[graphql(skip)]
    at: &'static str,
}

#[ComplexObject]
impl Issue {
    async fn reference(&self, #[graphql(default)] full: bool) -> String {
        reference(self.at, '#', &self.iid, full)
    }
}

#[derive(SimpleObject)]
#[graphql(complex)]
struct MergeRequest {
    iid: String,
    title: String,
    description: Option<String>,
    #[graphql(skip)]
    at: &'static str,
}

#[ComplexObject]
impl MergeRequest {
    async fn reference(&self, #[graphql(default)] full: bool) -> String {
        reference(self.at, '!', &self.iid, full)
    }
}

fn reference(at: &str, sign: char, iid: &str, full: bool) -> String {
    if full { format!("{at}{sign}{iid}") } else { format!("{sign}{iid}") }
}

#[derive(SimpleObject)]
struct Project {
    id: ID,
    full_path: ID,
    duo_features_enabled: Option<bool>,
    /// With what is inherited.
    max_access_level: AccessLevel,
    namespace: Option<Namespace>,
}

impl Project {
    fn of(eyes: &Eyes, project: &world::Project) -> Self {
        let namespace = match project.owner {
            Some(owner) => format!("gid://gitlab/Namespaces::UserNamespace/{owner}"),
            None => "gid://gitlab/Group/1".to_owned(),
        };
        let above = project.path.rsplit_once('/').map_or("", |(above, _)| above);
        Self {
            id: format!("gid://gitlab/Project/{}", project.id).into(),
            full_path: project.path.into(),
            duo_features_enabled: Some(project.duo_features_enabled),
            max_access_level: AccessLevel {
                integer_value: Some(eyes.world.level(eyes.user.id, project.path)),
            },
            namespace: Some(Namespace { id: namespace.into(), full_path: above.to_owned() }),
        }
    }
}

#[derive(SimpleObject)]
struct Group {
    id: ID,
    full_path: ID,
    duo_features_enabled: Option<bool>,
    /// Of direct members only.
    max_access_level: AccessLevel,
}

#[derive(SimpleObject)]
struct AccessLevel {
    integer_value: Option<i64>,
}

#[derive(SimpleObject)]
struct Namespace {
    id: ID,
    full_path: String,
}

#[derive(SimpleObject)]
struct WorkItem {
    title: String,
    description: Option<String>,
    project: Option<Project>,
    namespace: Option<Namespace>,
    widgets: Vec<WorkItemWidget>,
}

#[derive(Union)]
enum WorkItemWidget {
    Labels(WorkItemWidgetLabels),
    Notes(WorkItemWidgetNotes),
}

#[derive(SimpleObject)]
struct WorkItemWidgetLabels {
    allows_scoped_labels: Option<bool>,
}

struct WorkItemWidgetNotes {
    notes: Vec<world::Note>,
}

#[derive(Clone, Copy, PartialEq, Eq, Enum)]
enum NotesFilterType {
    AllNotes,
    OnlyComments,
    OnlyActivity,
}

#[Object]
impl WorkItemWidgetNotes {
    /// Forwards only, oldest first, as it is in every version of GitLab.
    async fn discussions(
        &self,
        filter: Option<NotesFilterType>,
        first: Option<usize>,
        after: Option<String>,
    ) -> DiscussionConnection {
        let wanted = self.notes.iter().filter(|note| match filter {
            Some(NotesFilterType::OnlyComments) => !note.system,
            Some(NotesFilterType::OnlyActivity) => note.system,
            Some(NotesFilterType::AllNotes) | None => true,
        });
        let all: Vec<Discussion> = wanted.enumerate().map(Discussion::of).collect();
        let begin = after.and_then(|cursor| cursor.parse().ok()).unwrap_or(0);
        let end = all.len().min(begin + first.unwrap_or(100).min(100));
        let page_info = PageInfo { has_next_page: end < all.len(), end_cursor: Some(end.to_string()) };
        DiscussionConnection { page_info, nodes: all.into_iter().take(end).skip(begin).collect() }
    }
}

#[derive(SimpleObject)]
struct DiscussionConnection {
    page_info: PageInfo,
    nodes: Vec<Discussion>,
}

#[derive(SimpleObject)]
struct PageInfo {
    has_next_page: bool,
    end_cursor: Option<String>,
}

#[derive(SimpleObject)]
struct Discussion {
    notes: NoteConnection,
}

impl Discussion {
    fn of((number, note): (usize, &world::Note)) -> Self {
        let note = Note {
            system: note.system,
            body: note.body.clone(),
            created_at: format!("2024-01-01T{:02}:{:02}:00Z", number / 60, number % 60),
            author: Some(UserCore { name: note.author.to_owned() }),
        };
        Self { notes: NoteConnection { nodes: vec![note] } }
    }
}

#[derive(SimpleObject)]
struct NoteConnection {
    nodes: Vec<Note>,
}

#[derive(SimpleObject)]
struct Note {
    system: bool,
    body: String,
    created_at: String,
    author: Option<UserCore>,
}

#[derive(SimpleObject)]
struct UserCore {
    name: String,
}
