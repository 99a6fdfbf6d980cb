//! `duologue serve`: says where things are, serves, and drains when told to stop.

use std::{net::SocketAddr, path::Path, process::ExitCode};

use super::{choice::DEFAULT, models, output, signals};
use crate::{
    app::App,
    config::{Config, Loaded},
    http,
    logging::{self, Audience},
};

/// Serves until a signal; returns when what was in flight has ended or the drain time is over.
///
/// # Errors
/// When the server cannot start, or gave up.
pub fn run(loaded: &Loaded) -> anyhow::Result<ExitCode> {
    let _logs = logging::start(&loaded.config.logging, Audience::Operator)?;
    actix_rt::System::new().block_on(serve(loaded))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(loaded: &Loaded) -> anyhow::Result<()> {
    const SECOND_SIGNAL: i32 = 1;
    signals::survive_file_size_limits()?;
    let stop = signals::stop(SECOND_SIGNAL)?;
    let server = App::start(&loaded.config).await?;
    output::line(welcome(server.address(), &loaded.config, loaded.file.as_deref()))?;
    Ok(server.run_until(stop.cancelled_owned()).await?)
}

/// Where things are, and a request to begin with.
fn welcome(address: SocketAddr, config: &Config, file: Option<&Path>) -> String {
    let settings = file.map_or("the built-in defaults".to_owned(), |file| file.display().to_string());
    let token = if config.auth.development_tokens { "demo-alice" } else { "$TOKEN" };
    format!(
        "Duologue {version}, settings from {settings}\n\
         \n\
         GraphQL     http://{address}/api/graphql\n\
         websocket   ws://{address}/api/graphql (graphql-transport-ws)\n\
         cable       ws://{address}{path_of_cable} (ActionCable)\n\
         liveness    http://{address}/-/liveness\n\
         readiness   http://{address}/-/readiness\n\
         models      http://{address}{path_of_models}\n\
         metrics     http://{address}/metrics\n\
         \n\
         The model {default}\n\
         \n\
         {curl}\n",
        version = env!("CARGO_PKG_VERSION"),
        path_of_cable = http::cable::PATH,
        path_of_models = http::models::PATH,
        default = models::settled(config, DEFAULT, " is "),
        curl = curl(address, token),
    )
}

fn curl(address: SocketAddr, token: &str) -> String {
    let question = "How do I add a new AI action?";
    let query = format!(
        "mutation {{ aiAction(input: {{ chat: {{ content: \"{question}\" }} }}) {{ requestId errors }} }}"
    );
    let body = serde_json::json!({ "query": query });
    format!(
        "curl http://{address}/api/graphql -H \"Authorization: Bearer {token}\" \
         -H 'Content-Type: application/json' -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_file::Environment;

    fn welcome_with(variables: &[(&str, &str)]) -> String {
        let config = Config::from_layers(None, &variables.iter().copied().collect::<Environment>()).unwrap();
        welcome("127.0.0.1:8080".parse().unwrap(), &config, Some(Path::new("config.yaml")))
    }

    #[test]
    fn the_curl_line_is_one_line_with_a_body_that_is_json() {
        let text = welcome_with(&[]);
        let line = text.lines().find(|line| line.starts_with("curl ")).unwrap();
        assert!(line.contains("Bearer demo-alice"));
        let body = line.split('\'').nth(3).unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let query = body["query"].as_str().unwrap();
        assert!(query.contains("chat: { content: \"How do I add a new AI action?\" }"), "{query}");
    }

    #[test]
    fn the_model_that_answers_is_named_with_why_none_before_it_does() {
        let text = welcome_with(&[("OPENAI_API_KEY", "sk-1")]);
        let line = "\nThe model default is gpt (claude: ANTHROPIC_API_KEY is not set)\n";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("\ncable       ws://127.0.0.1:8080/-/cable (ActionCable)\n"), "{text}");
        assert!(text.contains("\nmodels      http://127.0.0.1:8080/-/models\n"), "{text}");
        assert!(!text.contains("sk-1"), "{text}");
    }

    #[test]
    fn no_development_token_is_shown_where_none_is_taken() {
        let text = welcome_with(&[("DUOLOGUE__AUTH__DEVELOPMENT_TOKENS", "false")]);
        assert!(!text.contains("demo-alice") && text.contains("$TOKEN"), "{text}");
    }
}
