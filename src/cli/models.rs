//! `duologue models`: the registry, and how its models are in the server that runs.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context;

use super::{
    ask::{is_duologue, reachable},
    output,
};
use crate::{
    bounded_http,
    config::Config,
    http::models::PATH,
    providers::{self, Status},
};

mod shown;

use shown::Shown;

/// A server on this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of its answer: some hundred for each model.
const MAX_STATUS_BYTES: usize = 1_024 * 1_024;

/// Prints the registry; a note on standard error says when no server is there to ask.
///
/// # Errors
/// When a server is there and its answer is not understood.
pub fn run(json: bool, config: &Config) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let address = reachable(config.server.listen);
    let status = runtime.block_on(status(address))?;
    if status.is_none() {
        output::remark(format_args!(
            "no server answers at {address} (server.listen): this is the registry as it is configured here"
        ));
    }
    let shown = Shown::new(config, status);
    if json {
        output::line(shown.as_json())?;
    } else {
        output::piece(&shown.as_text())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How the models are in the server at `address`; `None` when none is there.
async fn status(address: SocketAddr) -> anyhow::Result<Option<Status>> {
    if !is_duologue(address).await {
        return Ok(None);
    }
    let url = format!("http://{address}{PATH}");
    let client = bounded_http::client(PATIENCE).build()?;
    let response = client.get(&url).send().await.and_then(reqwest::Response::error_for_status);
    let response = response.with_context(|| format!("the server does not show its models at {url}"))?;
    let Ok(body) = bounded_http::body(response, MAX_STATUS_BYTES).await else {
        anyhow::bail!("the server's answer at {url} broke off, or is too long")
    };
    let status = serde_json::from_slice(&body);
    status.map(Some).with_context(|| format!("the server's answer at {url} is not understood"))
}

/// `default: embedded (claude: ANTHROPIC_API_KEY is not set)`, with what stands between the first two.
pub(super) fn settled(config: &Config, name: &str, between: &str) -> String {
    let model = providers::stands_for(config, name).unwrap_or("no model");
    match providers::passed_over(config, name) {
        reasons if reasons.is_empty() => format!("{name}{between}{model}"),
        reasons => format!("{name}{between}{model} ({reasons})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nobody_listens_there_is_no_status() {
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(status(nobody).await.unwrap(), None);
    }
}
