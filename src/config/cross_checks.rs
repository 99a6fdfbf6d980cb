//! Settings that are fine alone and wrong together.

use super::{
    Config, DirectorySource,
    layers::{Origin, Origins},
};
use crate::document::Fault;

pub(super) fn check(config: &Config, origins: &Origins) -> Vec<Fault> {
    let checks = [
        development_tokens_stay_on_this_machine,
        the_bypass_stays_on_this_machine,
        gitlab_decides_with_its_own_tokens,
        gitlab_tokens_are_those_of_an_instance,
        a_directory_of_gitlab_has_an_instance,
        a_directory_of_gitlab_is_read_with_its_tokens,
        an_issuer_is_left_alone_for_as_long_as_it_may_take,
        keys_are_asked_for_before_they_are_too_old,
        one_answer_fits_in_memory,
        a_store_has_room_beside_its_reserve,
        a_silent_model_is_found_out_before_the_deadline,
    ];
    checks.into_iter().filter_map(|check| check(config)).map(|conflict| conflict.fault(origins)).collect()
}

struct Conflict {
    /// The settings involved; the fault is shown at the first one that the user gave.
    settings: [&'static str; 2],
    reason: String,
}

impl Conflict {
    fn fault(self, origins: &Origins) -> Fault {
        let origin: Option<&Origin> = self.settings.iter().find_map(|setting| origins.get(*setting));
        match origin {
            Some(origin) => origin.fault(self.reason),
            None => Fault::of_file("the built-in config.yaml", self.reason),
        }
    }
}

fn development_tokens_stay_on_this_machine(config: &Config) -> Option<Conflict> {
    let listen = config.server.listen;
    if !config.auth.development_tokens || listen.ip().is_loopback() {
        return None;
    }
    Some(Conflict {
        settings: ["server.listen", "auth.development_tokens"],
        reason: format!(
            "`server.listen` is {listen}, which other machines can reach, while \
             `auth.development_tokens` accepts tokens that are written in a public file; \
             set auth.development_tokens: false, or listen on 127.0.0.1"
        ),
    })
}

fn the_bypass_stays_on_this_machine(config: &Config) -> Option<Conflict> {
    let listen = config.server.listen;
    (config.auth.bypass_external && !listen.ip().is_loopback()).then(|| Conflict {
        settings: ["server.listen", "auth.bypass_external"],
        reason: format!(
            "`server.listen` is {listen}, which other machines can reach, while `auth.bypass_external` \
             asks nobody for credentials; set auth.bypass_external: false, or listen on 127.0.0.1"
        ),
    })
}

fn gitlab_decides_with_its_own_tokens(config: &Config) -> Option<Conflict> {
    let auth = &config.auth;
    let other = [
        ("auth.bypass_external", auth.bypass_external),
        ("auth.gitlab_url", auth.gitlab_url.is_some()),
        ("auth.customer_portal_url", auth.customer_portal_url.is_some()),
        ("auth.issuers", !auth.issuers.is_empty()),
    ];
    let (setting, _) = other.into_iter().find(|(_, is_used)| *is_used)?;
    reads_from_gitlab(config).then(|| Conflict {
        settings: ["directory.source", setting],
        reason: format!(
            "`directory.source: gitlab` reads with each caller's own GitLab token, and with `{setting}` \
             callers have none; leave {setting} out, or set directory.source: file"
        ),
    })
}

fn gitlab_tokens_are_those_of_an_instance(config: &Config) -> Option<Conflict> {
    (config.auth.gitlab_tokens && config.gitlab.url.is_none()).then(|| Conflict {
        settings: ["auth.gitlab_tokens", "gitlab.url"],
        reason: "`auth.gitlab_tokens` is on and no instance is named to ask about them; set gitlab.url"
            .to_owned(),
    })
}

fn a_directory_of_gitlab_has_an_instance(config: &Config) -> Option<Conflict> {
    (reads_from_gitlab(config) && config.gitlab.url.is_none()).then(|| Conflict {
        settings: ["directory.source", "gitlab.url"],
        reason: "`directory.source: gitlab` names no instance to read from; set gitlab.url".to_owned(),
    })
}

fn a_directory_of_gitlab_is_read_with_its_tokens(config: &Config) -> Option<Conflict> {
    (reads_from_gitlab(config) && !config.auth.gitlab_tokens).then(|| Conflict {
        settings: ["directory.source", "auth.gitlab_tokens"],
        reason: "`directory.source: gitlab` reads with each caller's own GitLab token, and \
                 `auth.gitlab_tokens` takes none; set auth.gitlab_tokens: true"
            .to_owned(),
    })
}

fn reads_from_gitlab(config: &Config) -> bool {
    config.directory.source == DirectorySource::Gitlab
}

fn an_issuer_is_left_alone_for_as_long_as_it_may_take(config: &Config) -> Option<Conflict> {
    let (pause, timeout) = (config.auth.jwks_unknown_key_seconds, config.auth.jwks_timeout_seconds);
    (pause < timeout).then(|| Conflict {
        settings: ["auth.jwks_unknown_key_seconds", "auth.jwks_timeout_seconds"],
        reason: format!(
            "`auth.jwks_unknown_key_seconds` is {pause}, less than one call of an issuer may take \
             (`auth.jwks_timeout_seconds`: {timeout}), so that one that does not answer would be asked most of \
             the time; set auth.jwks_unknown_key_seconds: {timeout} or more"
        ),
    })
}

fn keys_are_asked_for_before_they_are_too_old(config: &Config) -> Option<Conflict> {
    let (limit, refresh) = (config.auth.jwks_max_stale_seconds, config.auth.jwks_refresh_seconds);
    (limit < refresh).then(|| Conflict {
        settings: ["auth.jwks_max_stale_seconds", "auth.jwks_refresh_seconds"],
        reason: format!(
            "`auth.jwks_max_stale_seconds` is {limit}, so keys would be thrown away before they are asked for \
             again (`auth.jwks_refresh_seconds`: {refresh}); set auth.jwks_max_stale_seconds: {refresh} or more"
        ),
    })
}

fn one_answer_fits_in_memory(config: &Config) -> Option<Conflict> {
    let (answer, retained) = (config.pipeline.max_answer_bytes, config.pipeline.retained_bytes);
    (answer > retained).then(|| Conflict {
        settings: ["pipeline.retained_bytes", "pipeline.max_answer_bytes"],
        reason: format!(
            "`pipeline.retained_bytes` is {retained}, less than one answer may have \
             (`pipeline.max_answer_bytes`: {answer}); every request would be refused"
        ),
    })
}

fn a_store_has_room_beside_its_reserve(config: &Config) -> Option<Conflict> {
    let (reserve, all) = (config.storage.reserve_bytes, config.storage.max_bytes);
    (reserve >= all).then(|| Conflict {
        settings: ["storage.reserve_bytes", "storage.max_bytes"],
        reason: format!(
            "`storage.reserve_bytes` is {reserve}, no less than the whole store may have \
             (`storage.max_bytes`: {all}); every request would be refused"
        ),
    })
}

/// A call that is ended by its request's deadline says nothing of its model, which had no more time than was
/// left: one that is always silent would never be left alone, nor another one be asked in its place.
fn a_silent_model_is_found_out_before_the_deadline(config: &Config) -> Option<Conflict> {
    let (deadline, header) = (config.pipeline.deadline_seconds, config.model_calls.header_seconds);
    (deadline <= header).then(|| Conflict {
        settings: ["model_calls.header_seconds", "pipeline.deadline_seconds"],
        reason: format!(
            "`model_calls.header_seconds` is {header}, no less than a whole request may take \
             (`pipeline.deadline_seconds`: {deadline}), so that a model that does not answer would never be \
             given up for another; set model_calls.header_seconds: {} or less, or a longer \
             pipeline.deadline_seconds",
            deadline.saturating_sub(1).max(1)
        ),
    })
}
