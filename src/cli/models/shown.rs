//! The registry as a table and as JSON: what a server says of it, and what is only configured here.

use std::fmt::{Display, Write as _};

use serde_json::{Value, json};

use super::settled;
use crate::{
    cli::output,
    config::{Config, ModelPrice},
    providers::{self, BreakerStatus, Entry, Live, ModelStatus, Status},
};

/// Of what is configured here, while a server runs with another configuration.
const NOT_IN_SERVER: &str = "not in the server that runs";

/// The registry as it is shown: as the server has it, if one runs, else as it is configured here.
pub(super) struct Shown {
    models: Vec<Row>,
    /// Each with what it stands for, and the line about it.
    feature_settings: Vec<(String, Option<String>, String)>,
}

struct Row {
    entry: Entry,
    place: Place,
}

/// Where an entry was found.
enum Place {
    /// No server was there to ask.
    Here,
    /// One was, and it does not have the entry.
    OnlyHere,
    Server(Live),
}

impl Shown {
    pub(super) fn new(config: &Config, status: Option<Status>) -> Self {
        let Some(Status { models, feature_settings: theirs }) = status else {
            let rows = Entry::all(config).map(|entry| Row { entry, place: Place::Here });
            let settings = config.feature_settings.keys().map(|name| {
                let model = providers::stands_for(config, name).map(str::to_owned);
                (name.clone(), model, settled(config, name, " is "))
            });
            return Self { models: rows.collect(), feature_settings: settings.collect() };
        };
        let only_here = |entry: &Entry| !models.iter().any(|model| model.entry.name == entry.name);
        let only_here: Vec<Entry> = Entry::all(config).filter(only_here).collect();
        let theirs_too =
            models.into_iter().map(|ModelStatus { entry, live }| Row { entry, place: Place::Server(live) });
        let rows = theirs_too.chain(only_here.into_iter().map(|entry| Row { entry, place: Place::OnlyHere }));
        let only_here = config.feature_settings.keys().filter(|name| !theirs.contains_key(*name));
        let only_here = only_here.map(|name| (name.clone(), None, format!("{name} is {NOT_IN_SERVER}")));
        let settings = theirs
            .iter()
            .map(|(name, model)| (name.clone(), Some(model.clone()), format!("{name} is {model}")));
        Self { models: rows.collect(), feature_settings: settings.chain(only_here).collect() }
    }

    pub(super) fn as_text(&self) -> String {
        let headings = [
            "NAME",
            "MODEL",
            "CONTEXT",
            "OUTPUT",
            "CONCURRENCY",
            "TOKENS/MIN",
            "PRICE IN/CACHED/OUT",
            "FALLBACKS",
            "STATE",
        ];
        let rows = self.models.iter().map(Row::cells);
        let rows: Vec<_> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
        let mut text = output::table(&rows);
        text.push('\n');
        for (_, _, line) in &self.feature_settings {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    pub(super) fn as_json(&self) -> Value {
        let models: Vec<Value> = self.models.iter().map(Row::as_json).collect();
        let settings = self.feature_settings.iter().map(|(name, model, _)| (name.clone(), json!(model)));
        json!({ "models": models, "feature_settings": settings.collect::<serde_json::Map<_, _>>() })
    }
}

impl Row {
    fn cells(&self) -> [String; 9] {
        let Entry { name, model, context_tokens, output_tokens, concurrency, fallbacks, .. } = &self.entry;
        [
            name.clone(),
            model.clone(),
            context_tokens.to_string(),
            output_tokens.to_string(),
            concurrency.to_string(),
            or_dash(self.entry.tokens_per_minute),
            price(&self.entry.price),
            if fallbacks.is_empty() { "-".to_owned() } else { fallbacks.join(", ") },
            self.state(),
        ]
    }

    fn state(&self) -> String {
        match (&self.place, &self.entry.missing) {
            (Place::OnlyHere, _) => NOT_IN_SERVER.to_owned(),
            (_, Some(missing)) => missing.clone(),
            (Place::Here, None) => "set up".to_owned(),
            (Place::Server(live), None) => state(live),
        }
    }

    fn as_json(&self) -> Value {
        let Entry { name, model, context_tokens, output_tokens, concurrency, tokens_per_minute, .. } =
            &self.entry;
        let (is_in_server, live) = match &self.place {
            Place::Here => (None, None),
            Place::OnlyHere => (Some(false), None),
            Place::Server(live) => (Some(true), Some(live)),
        };
        json!({
            "name": name,
            "model": model,
            "limits": {
                "context_tokens": context_tokens,
                "output_tokens": output_tokens,
                "concurrency": concurrency,
                "tokens_per_minute": tokens_per_minute,
            },
            "price": self.entry.price,
            "fallbacks": self.entry.fallbacks,
            "missing": self.entry.missing,
            "is_in_server": is_in_server,
            "live": live,
        })
    }
}

fn state(live: &Live) -> String {
    let breaker = match live.breaker {
        BreakerStatus::Closed => "closed".to_owned(),
        BreakerStatus::Open { seconds } => format!("open for {seconds} s"),
        BreakerStatus::HalfOpen => "half-open".to_owned(),
    };
    let mut text = format!("breaker {breaker}, {} in flight", live.in_flight);
    if let Some(left) = live.tokens_left {
        let _ = write!(text, ", {left} tokens left");
    }
    text
}

fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// US dollars for a million tokens: of the prompt, of what of it was cached, of the answer.
fn price(price: &ModelPrice) -> String {
    let ModelPrice { input, cached_input, output } = price;
    format!("{input}/{cached_input}/{output}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_file::Environment;

    fn config() -> Config {
        Config::from_layers(None, &Environment::default()).unwrap()
    }

    fn line_of<'t>(text: &'t str, name: &str) -> &'t str {
        text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} is not in {text}"))
    }

    #[test]
    fn without_a_server_the_registry_says_what_is_set_up() {
        let text = Shown::new(&config(), None).as_text();
        let words = |name: &str| line_of(&text, name).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words("claude "),
            "claude anthropic/claude-sonnet-4-6 200000 4096 256 - 3/0.3/15 - ANTHROPIC_API_KEY is not set"
        );
        assert_eq!(words("embedded "), "embedded embedded/extractive 200000 4096 256 - 0/0/0 - set up");
        assert!(
            line_of(&text, "default ")
                .starts_with("default is embedded (claude: ANTHROPIC_API_KEY is not set; gpt: "),
            "{text}"
        );
    }

    /// A server whose file has a `claude` of its own and none of the other models, and one model more.
    fn status() -> Status {
        let live = |breaker| Live { breaker, in_flight: 3, tokens_left: Some(1_000) };
        let claude = Entry::all(&config()).find(|entry| entry.name == "claude").unwrap();
        let claude = Entry {
            model: "anthropic/claude-haiku-4-5".to_owned(),
            context_tokens: 100_000,
            fallbacks: vec!["theirs".to_owned()],
            missing: None,
            ..claude
        };
        let theirs = Entry { name: "theirs".to_owned(), model: "local/tiny".to_owned(), ..claude.clone() };
        let models = vec![
            ModelStatus { entry: claude, live: live(BreakerStatus::Open { seconds: 12 }) },
            ModelStatus { entry: theirs, live: live(BreakerStatus::Closed) },
        ];
        Status { models, feature_settings: [("duo_chat".to_owned(), "claude".to_owned())].into() }
    }

    #[test]
    fn with_a_server_its_registry_is_shown_and_what_is_only_here_is_marked() {
        let text = Shown::new(&config(), Some(status())).as_text();
        let words = |name: &str| line_of(&text, name).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words("claude "),
            "claude anthropic/claude-haiku-4-5 100000 4096 256 - 3/0.3/15 theirs breaker open for 12 s, 3 in flight, \
             1000 tokens left"
        );
        assert!(line_of(&text, "theirs ").contains("breaker closed, 3 in flight"), "{text}");
        assert!(line_of(&text, "gpt ").ends_with("not in the server that runs"), "{text}");
        assert_eq!(line_of(&text, "duo_chat "), "duo_chat is claude");
        assert_eq!(line_of(&text, "default "), "default is not in the server that runs");
    }

    #[test]
    fn json_says_where_a_model_was_found() {
        let json = Shown::new(&config(), Some(status())).as_json();
        let model = |name: &str| {
            json["models"].as_array().unwrap().iter().find(|model| model["name"] == name).unwrap()
        };
        let claude = model("claude");
        assert_eq!(claude["limits"]["context_tokens"], 100_000);
        assert_eq!(claude["price"], json!({"input": 3.0, "cached_input": 0.3, "output": 15.0}));
        assert_eq!(claude["live"]["breaker"], json!({"state": "open", "seconds": 12}));
        assert_eq!((&claude["missing"], &claude["is_in_server"]), (&json!(null), &json!(true)));
        assert_eq!((&model("gpt")["is_in_server"], &model("gpt")["live"]), (&json!(false), &json!(null)));
        assert_eq!(json["feature_settings"], json!({"duo_chat": "claude", "default": null}));
    }
}
