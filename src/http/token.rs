//! `/api/v4/personal_access_tokens/self` and `/oauth/token/info`: what a token is good for. GitLab's clients ask
//! both at their start, and go on when one of them names the scope `api`.
//!
//! Which of the two kinds a token is counts at GitLab only, so every token that is good for scopes is told of at
//! both. A JWT is good for unit primitives; it is a bearer token, and no personal access token.

use std::time::SystemTime;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use duologue_actors::{
    clock::Clock,
    ports::{Identity, Scope},
};
use serde_json::{Value, json};

use super::rest::{self, Refusal};
use crate::{calendar, server::Edge};

pub const PERSONAL_PATH: &str = "/api/v4/personal_access_tokens/self";
pub const OAUTH_PATH: &str = "/oauth/token/info";

/// What a token is good for that is good for everything its user may do.
const EVERYTHING: &str = "api";

/// The token as a personal access token.
pub async fn personal(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    rest::answer(personal_of(&request, &edge).await)
}

/// The token as an OAuth token.
pub async fn oauth(request: HttpRequest, edge: web::Data<Edge>) -> HttpResponse {
    match rest::caller(&request, &edge).await {
        Ok(identity) => rest::json_body(StatusCode::OK, &oauth_json(&identity, Clock::system().now())),
        Err(refusal) => refusal.oauth_response(),
    }
}

async fn personal_of(request: &HttpRequest, edge: &Edge) -> Result<HttpResponse, Refusal> {
    let identity = rest::caller(request, edge).await?;
    if matches!(identity.scope, Scope::UnitPrimitives(_)) {
        let reason = "This endpoint requires token type to be a personal access token";
        return Err(Refusal::BadRequest(reason.to_owned()));
    }
    Ok(rest::json_body(StatusCode::OK, &personal_json(&identity)))
}

/// What is kept of a token nowhere is null.
fn personal_json(identity: &Identity) -> Value {
    json!({
        "id": null,
        "name": null,
        "revoked": false,
        "created_at": null,
        "description": null,
        "scopes": scopes(&identity.scope),
        "user_id": identity.user.id,
        "last_used_at": null,
        "active": true,
        "expires_at": identity.expires_at.map(|at| calendar::utc(at).date().to_string()),
    })
}

/// Doorkeeper's token information, with the two names that GitLab adds for what was there before.
fn oauth_json(identity: &Identity, now: SystemTime) -> Value {
    let scopes = scopes(&identity.scope);
    let expires_in = identity.expires_at.map(|at| at.duration_since(now).unwrap_or_default().as_secs());
    json!({
        "resource_owner_id": identity.user.id,
        "scope": scopes,
        "expires_in": expires_in,
        "application": { "uid": null },
        "created_at": null,
        "scopes": scopes,
        "expires_in_seconds": expires_in,
    })
}

fn scopes(scope: &Scope) -> Vec<&str> {
    match scope {
        Scope::Everything => vec![EVERYTHING],
        Scope::UnitPrimitives(names) | Scope::Gitlab(names) => names.iter().map(String::as_str).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use duologue_actors::testing::a_user;

    use super::*;

    fn identity(scope: Scope, expires_at: Option<&str>) -> Identity {
        let expires_at = expires_at.map(|text| calendar::parse(text).unwrap());
        Identity { user: a_user(2, "alice"), expires_at, scope }
    }

    fn set(names: &[&str]) -> Arc<std::collections::BTreeSet<String>> {
        Arc::new(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_token_is_shown_with_its_own_scopes_and_the_day_it_ends() {
        let scope = Scope::Gitlab(set(&["read_user", "ai_features"]));
        let shown = personal_json(&identity(scope, Some("2027-01-31 12:00:00 UTC")));
        assert_eq!(shown["scopes"], json!(["ai_features", "read_user"]));
        assert_eq!((&shown["expires_at"], &shown["user_id"]), (&json!("2027-01-31"), &json!(2)));
    }

    #[test]
    fn a_token_without_bounds_is_good_for_api_and_does_not_end() {
        let identity = identity(Scope::Everything, None);
        let shown = oauth_json(&identity, SystemTime::UNIX_EPOCH);
        assert_eq!((&shown["scope"], &shown["expires_in"]), (&json!(["api"]), &json!(null)));
        assert_eq!(personal_json(&identity)["scopes"], json!(["api"]));
    }

    #[test]
    fn what_is_left_of_a_token_is_told_in_seconds_and_never_less_than_none() {
        let identity = identity(Scope::UnitPrimitives(set(&["duo_chat"])), Some("2027-01-31"));
        let end = identity.expires_at.unwrap();
        let left = |now| oauth_json(&identity, now)["expires_in_seconds"].clone();
        assert_eq!(left(end - Duration::from_millis(90_500)), json!(90));
        assert_eq!(left(end + Duration::from_secs(1)), json!(0));
    }
}
