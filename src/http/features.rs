//! `/api/v4/features`: flags changed at run time, for admins, as GitLab's "Feature flags API" documentation
//! has it, so that GitLab's clients for it can be used as they are.
//!
//! A change is on disk and in force when it is answered, and is in the log with the admin's id.

use std::{collections::BTreeMap, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header::CACHE_CONTROL},
    web,
};
use duologue_actors::ports::{Caller, Scope};
use serde_json::{Value, json};

use super::{
    credentials, graphql,
    rest::{self, Refusal},
};
use crate::{
    directory::ActorNames,
    flags::{Change, ChangeError, Definition, FileFlags, Flag, Listed, Percentage, flipper_id},
    server::Edge,
};

mod parameters;
mod targets;

use parameters::Parameters;

/// Reads and changes all flags.
pub const PATH: &str = "/api/v4/features";

/// The scope a GitLab token needs for GitLab's administration.
const ADMINISTRATION: &str = "api";

/// A handful of parameters and at most a hundred names.
const MAX_BODY_BYTES: usize = 65_536;

/// What these paths work with.
pub struct Features {
    pub flags: Arc<FileFlags>,
    /// Knows what the names of users, groups and projects stand for.
    pub names: Arc<dyn ActorNames>,
}

/// All flags that are set.
pub async fn list(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    rest::answer(listed(&request, &edge).await)
}

/// All flags that mean something here.
pub async fn definitions(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    rest::answer(defined(&request, &edge).await)
}

/// One flag.
pub async fn show(request: HttpRequest, edge: web::Data<Edge>, name: web::Path<String>) -> HttpResponse {
    rest::answer(shown(&request, &edge, &name).await)
}

/// Opens or closes gates of a flag.
pub async fn set(
    request: HttpRequest,
    edge: web::Data<Edge>,
    name: web::Path<String>,
    payload: web::Payload,
) -> HttpResponse {
    rest::answer(changed(&request, &edge, name.into_inner(), payload).await)
}

/// Undoes what was changed about a flag.
pub async fn delete(request: HttpRequest, edge: web::Data<Edge>, name: web::Path<String>) -> HttpResponse {
    rest::answer(reset(&request, &edge, name.into_inner()).await)
}

/// What other methods get.
pub async fn other() -> HttpResponse {
    Refusal::Method("GET, POST, DELETE").response()
}

async fn listed(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Refusal> {
    admin(request, edge).await?;
    let flags = &edge.features.flags;
    let all: Vec<Value> = flags.list().into_iter().map(|listed| feature(flags, listed)).collect();
    Ok(rest::json_body(StatusCode::OK, &json!(all)))
}

async fn defined(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Refusal> {
    admin(request, edge).await?;
    let all: Vec<Value> = edge.features.flags.names().definitions().map(definition).collect();
    Ok(rest::json_body(StatusCode::OK, &json!(all)))
}

async fn shown(request: &HttpRequest, edge: &Edge, name: &str) -> Result<HttpResponse, Refusal> {
    admin(request, edge).await?;
    let flags = &edge.features.flags;
    let listed = flags.get(name);
    if listed.flag.is_none() {
        return Err(Refusal::NotFound);
    }
    Ok(rest::json_body(StatusCode::OK, &feature(flags, listed)))
}

async fn changed(
    request: &HttpRequest,
    edge: &Edge,
    name: String,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let caller = admin(request, edge).await?;
    let body = graphql::read(payload, MAX_BODY_BYTES).await.map_err(Refusal::Body)?;
    let parameters = Parameters::read(request, &body)?;
    let flags = &edge.features.flags;
    flags.names().check(&name).map_err(|fault| Refusal::BadRequest(fault.to_string()))?;
    if !parameters.force()? {
        flags.is_known(&name).map_err(|meant| undefined(&name, meant.as_deref()))?;
    }
    let wish = parameters.wish(&name)?;
    let changes = wish.changes(&*edge.features.names, &caller).await?;
    let audited = changes.iter().map(Change::to_string).collect::<Vec<_>>().join(", ");
    let listed =
        write(flags, name, move |flags, name| flags.change(&BTreeMap::from([(name.to_owned(), changes)])))
            .await?;
    audit(&caller, &listed, &audited);
    Ok(rest::json_body(StatusCode::CREATED, &feature(flags, listed)))
}

async fn reset(request: &HttpRequest, edge: &Edge, name: String) -> Result<HttpResponse, Refusal> {
    let caller = admin(request, edge).await?;
    // A flag that was never changed is in that state already, whatever it is called.
    let listed = write(&edge.features.flags, name, FileFlags::reset).await?;
    audit(&caller, &listed, "deleted");
    Ok(HttpResponse::NoContent().insert_header((CACHE_CONTROL, "no-store")).finish())
}

/// Who may administer: an admin, with a token that is good for that.
async fn admin(request: &HttpRequest, edge: &Edge) -> Result<Caller, Refusal> {
    // Also where everybody is somebody: any web page can make a browser send a form here, but not this header.
    let credentials = credentials::of(request.headers());
    if credentials.token.is_none() {
        return Err(Refusal::Unauthorized);
    }
    let identity = rest::identify(edge, credentials.clone()).await?;
    if !(identity.user.admin && administers(&identity.scope)) {
        return Err(Refusal::Forbidden);
    }
    Ok(Caller { user: identity.user, credentials: Some(credentials) })
}

/// A JWT is issued for unit primitives, whoever its user is.
fn administers(scope: &Scope) -> bool {
    match scope {
        Scope::Everything => true,
        Scope::UnitPrimitives(_) => false,
        Scope::Gitlab(scopes) => scopes.contains(ADMINISTRATION),
    }
}

/// In the words of GitLab's `validate_feature_flag_name`.
fn undefined(name: &str, meant: Option<&str>) -> Refusal {
    let end = meant.map_or(".".to_owned(), |meant| format!("; did you mean '{meant}'?"));
    Refusal::BadRequest(format!(
        "The '{name}' does not have feature flag definition, and thus it cannot be used as a feature flag \
         name{end} Use `force` to set this feature flag regardless of this check."
    ))
}

/// Does what waits for the disk on a thread that may.
async fn write(
    flags: &Arc<FileFlags>,
    name: String,
    change: impl FnOnce(&FileFlags, &str) -> Result<(), ChangeError> + Send + 'static,
) -> Result<Listed, Refusal> {
    let flags = flags.clone();
    let written = web::block(move || change(&flags, &name).map(|()| flags.get(&name))).await;
    written.map_err(|_| Refusal::Unavailable("the server is leaving".to_owned()))?.map_err(refused)
}

fn refused(error: ChangeError) -> Refusal {
    match error {
        ChangeError::Name(_) | ChangeError::UnknownGroup(_) | ChangeError::SwitchOfContainer { .. } => {
            Refusal::BadRequest(error.to_string())
        }
        ChangeError::Unreadable(_) | ChangeError::Store(_) => {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "flag not changed");
            Refusal::Unavailable(format!("{error:#}"))
        }
    }
}

fn audit(caller: &Caller, listed: &Listed, change: &str) {
    let now = listed.flag.as_ref().map_or("not set".to_owned(), Flag::to_string);
    let flag: String = listed.name.chars().take(255).collect();
    tracing::info!(user = caller.user.id.0, flag, change, now, "flag changed by an admin");
}

/// GitLab's `Entities::Feature`: of the gates the boolean one always, others when they are open.
fn feature(flags: &FileFlags, listed: Listed) -> Value {
    let flag = listed.flag.unwrap_or_default();
    json!({
        "name": listed.name,
        "state": flag.state().to_string(),
        "gates": gates(&flag),
        "definition": flags.names().definition(&listed.name).map(definition),
    })
}

fn gates(flag: &Flag) -> Vec<Value> {
    let mut gates = vec![json!({"key": "boolean", "value": flag.boolean})];
    if !flag.actors.is_empty() {
        let actors: Vec<String> = flag.actors.iter().map(flipper_id).collect();
        gates.push(json!({"key": "actors", "value": actors}));
    }
    for (key, percentage) in
        [("percentage_of_actors", flag.percentage_of_actors), ("percentage_of_time", flag.percentage_of_time)]
    {
        if percentage != Percentage::NONE {
            gates.push(json!({"key": key, "value": number(percentage)}));
        }
    }
    if !flag.groups.is_empty() {
        gates.push(json!({"key": "groups", "value": flag.groups}));
    }
    gates
}

/// As Flipper has it: a whole number without a point.
fn number(percentage: Percentage) -> Value {
    let value = percentage.value();
    // A percentage is at most 100.
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

/// GitLab's `Entities::Feature::Definition`. What has no history has no addresses of it.
fn definition(definition: &Definition) -> Value {
    json!({
        "name": definition.name,
        "introduced_by_url": null,
        "rollout_issue_url": null,
        "milestone": null,
        "type": definition.kind,
        "group": null,
        "default_enabled": definition.default_enabled,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use duologue_actors::protocol::GlobalId;

    use super::*;

    #[test]
    fn an_admins_narrow_token_is_no_admins() {
        let set = |names: &[&str]| Arc::new(names.iter().map(|name| (*name).to_owned()).collect());
        assert!(administers(&Scope::Everything));
        assert!(administers(&Scope::Gitlab(set(&["read_user", "api"]))));
        assert!(!administers(&Scope::Gitlab(set(&["read_api", "ai_features"]))));
        assert!(!administers(&Scope::UnitPrimitives(set(&["api", "duo_chat"]))), "whatever a JWT names");
    }

    #[test]
    fn open_gates_are_shown_as_gitlab_shows_them() {
        let flag = Flag {
            actors: BTreeSet::from([GlobalId::of("User", 2), GlobalId::of("Group", 10)]),
            groups: BTreeSet::from(["team".to_owned()]),
            percentage_of_actors: Percentage::new(42.0).unwrap(),
            percentage_of_time: Percentage::new(0.5).unwrap(),
            ..Flag::default()
        };
        let expected = json!([
            {"key": "boolean", "value": false},
            {"key": "actors", "value": ["Group:10", "User:2"]},
            {"key": "percentage_of_actors", "value": 42},
            {"key": "percentage_of_time", "value": 0.5},
            {"key": "groups", "value": ["team"]},
        ]);
        assert_eq!(json!(gates(&flag)), expected);
        assert_eq!(json!(gates(&Flag::everyone(true))), json!([{"key": "boolean", "value": true}]));
    }
}
