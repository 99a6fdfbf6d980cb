//! What the gateway is asked, and where.
//!
//! A token must have the scope that an address wants. `/v1/chat/` wants `duo_chat` of `agent`, `explain_code`,
//! `write_tests` and `refactor_code`, and of `explain_vulnerability`, `summarize_comments` and `troubleshoot_job`
//! the scope of the same name. So a unit primitive goes to the address of its name where there is one, and a token
//! that is good for nothing else will do; every other one goes to `agent`. `/v1/prompts/{id}` wants the unit
//! primitive that is written beside the prompt it keeps.

use duologue_actors::{
    ports::{KeptPrompt, ModelCall, ModelError, Retry},
    protocol::{Code, Role},
};
use reqwest::Url;
use serde_json::{Value, json};

/// What can be asked for under `/v1/chat/` by the name of its unit primitive.
const INVOKABLES: [&str; 6] = [
    "explain_code",
    "explain_vulnerability",
    "refactor_code",
    "summarize_comments",
    "troubleshoot_job",
    "write_tests",
];

/// What takes everything else.
const AGENT: &str = "agent";

/// The type that GitLab gives its prompts.
const PROMPT: &str = "prompt";

/// The most tokens of an answer the gateway lets anybody ask for.
const MAX_OUTPUT_TOKENS: u32 = 8_192;

/// Where an answer ends although the model would go on. To leave it out is to take the gateway's default, which has
/// `Observation:` too and would cut every answer with that word in it; an empty list is not taken.
const STOP_SEQUENCES: [&str; 1] = ["\n\nHuman"];

/// How the names begin of the models for which the gateway asks Anthropic itself. It knows the others as LiteLLM's.
const ANTHROPIC_PREFIX: &str = "claude-";

/// # Errors
/// When nothing can be under the base URL.
pub(super) fn chat_url(base: &Url, unit_primitive: &str) -> Result<Url, ModelError> {
    let invokable = INVOKABLES.into_iter().find(|name| *name == unit_primitive).unwrap_or(AGENT);
    under(base, ["v1", "chat", invokable])
}

/// # Errors
/// When the prompt's id would lead elsewhere.
pub(super) fn prompt_url(base: &Url, prompt: &KeptPrompt) -> Result<Url, ModelError> {
    let leads_elsewhere = |part: &str| matches!(part, "" | "." | "..");
    if prompt.id.split('/').any(leads_elsewhere) {
        return Err(cannot_be_asked("the id of the gateway's prompt is none"));
    }
    under(base, ["v1", "prompts"].into_iter().chain(prompt.id.split('/')))
}

pub(super) fn chat_body(call: &ModelCall, model: &str) -> Value {
    let message = |role: Role, content: &str| json!({ "role": role.as_str(), "content": content });
    let system = (!call.system.is_empty()).then(|| message(Role::System, &call.system));
    let turns = call.turns.iter().map(|turn| message(turn.role, &turn.content));
    let content: Vec<Value> = system.into_iter().chain(turns).collect();
    let provider = if model.starts_with(ANTHROPIC_PREFIX) { "anthropic" } else { "litellm" };
    json!({
        "prompt_components": [{
            "type": PROMPT,
            "metadata": { "source": "duologue", "version": env!("CARGO_PKG_VERSION") },
            "payload": {
                "content": content,
                "provider": provider,
                "model": model,
                "params": {
                    "max_tokens_to_sample": call.max_output_tokens.min(MAX_OUTPUT_TOKENS),
                    "stop_sequences": STOP_SEQUENCES,
                },
            },
        }],
        "stream": true,
    })
}

/// Which model it goes to is written beside the prompt, as is how long an answer may be.
pub(super) fn prompt_body(prompt: &KeptPrompt) -> Value {
    json!({ "inputs": prompt.inputs, "prompt_version": prompt.version, "stream": true })
}

fn under<'a>(base: &Url, path: impl IntoIterator<Item = &'a str>) -> Result<Url, ModelError> {
    let mut url = base.clone();
    let no_path = |()| cannot_be_asked("the base URL can have no path");
    url.path_segments_mut().map_err(no_path)?.pop_if_empty().extend(path);
    Ok(url)
}

fn cannot_be_asked(what: &'static str) -> ModelError {
    ModelError::new(Code::UpstreamRejected, Retry::Never, what)
}
