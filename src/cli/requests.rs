//! `duologue requests`: what the journal has, without what was asked and answered.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{lookup::Lookup, output, store};
use crate::{
    calendar,
    config::Config,
    graphql::timestamp,
    storage::{RequestLine, State},
};

#[derive(Debug, Args)]
pub struct Requests {
    /// Only those of this user: a username, a number, or a global id such as gid://gitlab/User/2
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// Only those that have not ended
    #[arg(long)]
    pub unfinished: bool,

    /// Print one JSON object a request instead
    #[arg(long)]
    pub json: bool,
}

/// Prints a line for each request.
///
/// # Errors
/// When there is no such user, or the journal cannot be read.
pub fn run(asked: &Requests, config: &Config) -> anyhow::Result<ExitCode> {
    let owner = asked.user.as_deref().map(|name| Lookup::new(config).user(name)).transpose()?;
    let mut requests = store::look(config)?.requests()?;
    requests.retain(|request| {
        let is_theirs = owner.is_none_or(|owner| request.owner == owner);
        is_theirs && (!asked.unfinished || matches!(request.state, State::Unfinished { .. }))
    });
    if asked.json {
        for request in &requests {
            output::line(as_json(request))?;
        }
    } else {
        output::piece(&as_table(&requests))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn as_table(requests: &[RequestLine]) -> String {
    let headings = ["REQUEST", "USER", "ACTION", "STATE", "SINCE", "MODEL"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(headings).chain(requests.iter().map(row)).collect();
    output::table(&rows)
}

fn row(request: &RequestLine) -> [String; 6] {
    let (state, since, model) = match &request.state {
        State::Unfinished { accepted_at, interruptions: 0, .. } => {
            ("unfinished".to_owned(), accepted_at, None)
        }
        State::Unfinished { accepted_at, interruptions, .. } => {
            (format!("unfinished, interrupted {interruptions}×"), accepted_at, None)
        }
        State::Ended { ended_at, outcome, model } => ((*outcome).to_owned(), ended_at, model.clone()),
    };
    let model = model.unwrap_or_else(|| "-".to_owned());
    let (id, owner) = (request.request_id.to_string(), request.owner.to_string());
    [id, owner, request.action.clone(), state, calendar::show(*since), model]
}

fn as_json(request: &RequestLine) -> Value {
    let mut line = json!({
        "requestId": request.request_id,
        "user": request.owner.global_id().to_string(),
        "action": request.action,
    });
    let state = match &request.state {
        State::Unfinished { accepted_at, deadline, interruptions } => json!({
            "state": "unfinished",
            "acceptedAt": timestamp::rfc3339(*accepted_at),
            "deadline": timestamp::rfc3339(*deadline),
            "interruptions": interruptions,
        }),
        State::Ended { ended_at, outcome, model } => json!({
            "state": outcome,
            "endedAt": timestamp::rfc3339(*ended_at),
            "model": model,
        }),
    };
    if let (Value::Object(line), Value::Object(state)) = (&mut line, state) {
        line.extend(state);
    }
    line
}
