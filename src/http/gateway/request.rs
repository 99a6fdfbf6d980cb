//! The body of a call, with the gateway's own bounds. What it says of providers, models and their parameters must
//! be in order, and is not followed: which model answers is the action's business.

use garde::Validate;
use serde::Deserialize;

/// Characters of a component's type, and of what its metadata say.
const MAX_NAME: usize = 100;
/// Characters of a content that is one text.
const MAX_TEXT: usize = 400_000;
/// Messages of a content that is a conversation.
const MAX_MESSAGES: usize = 100;
const MAX_STOP_SEQUENCES: usize = 10;
/// Characters of one of them.
const MAX_STOP_SEQUENCE: usize = 225;
const MAX_OUTPUT_TOKENS: u32 = 8_192;

#[derive(Debug, Deserialize, Validate)]
pub(super) struct ChatRequest {
    #[garde(dive)]
    prompt_components: [Component; 1],
    #[garde(skip)]
    #[serde(default)]
    pub stream: bool,
}

#[derive(Debug, Deserialize, Validate)]
struct Component {
    #[garde(length(chars, max = MAX_NAME))]
    #[serde(rename = "type")]
    _kind: String,
    #[garde(dive)]
    #[serde(rename = "metadata")]
    _metadata: Metadata,
    #[garde(dive)]
    payload: Payload,
}

/// Who calls.
#[derive(Debug, Deserialize, Validate)]
struct Metadata {
    #[garde(length(chars, max = MAX_NAME))]
    #[serde(rename = "source")]
    _source: String,
    #[garde(length(chars, max = MAX_NAME))]
    #[serde(rename = "version")]
    _version: String,
}

#[derive(Debug, Deserialize, Validate)]
struct Payload {
    #[garde(dive)]
    content: Content,
    #[garde(skip)]
    #[serde(rename = "provider")]
    _provider: Option<Provider>,
    #[garde(skip)]
    #[serde(rename = "model")]
    _model: Option<String>,
    #[garde(dive)]
    #[serde(rename = "params")]
    _params: Option<Params>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Provider {
    Anthropic,
    LiteLlm,
}

#[derive(Debug, Deserialize, Validate)]
struct Params {
    #[garde(length(min = 1, max = MAX_STOP_SEQUENCES), inner(inner(length(chars, max = MAX_STOP_SEQUENCE))))]
    #[serde(rename = "stop_sequences")]
    _stop_sequences: Option<Vec<String>>,
    #[garde(range(min = 0.0, max = 1.0))]
    #[serde(rename = "temperature")]
    _temperature: Option<f64>,
    #[garde(range(min = 1, max = MAX_OUTPUT_TOKENS))]
    #[serde(rename = "max_tokens_to_sample")]
    _max_tokens_to_sample: Option<u32>,
}

/// What the model is to be asked.
#[derive(Debug, Deserialize, Validate)]
#[serde(untagged)]
pub(super) enum Content {
    Text(#[garde(length(chars, max = MAX_TEXT))] String),
    Messages(#[garde(length(min = 1, max = MAX_MESSAGES))] Vec<Message>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub role: Speaker,
    pub content: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Speaker {
    System,
    User,
    Assistant,
}

impl ChatRequest {
    /// `None` when it is not as it must be: the gateway does not say in what.
    pub fn read(body: &[u8]) -> Option<Self> {
        let request: Self = serde_json::from_slice(body).ok()?;
        request.validate().is_ok().then_some(request)
    }

    pub fn into_content(self) -> Content {
        let [component] = self.prompt_components;
        component.payload.content
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn body(payload: Value) -> Value {
        let metadata = json!({"source": "gitlab", "version": "18.6.0"});
        json!({"prompt_components": [{"type": "prompt", "metadata": metadata, "payload": payload}]})
    }

    fn is_read(body: &Value) -> bool {
        ChatRequest::read(body.to_string().as_bytes()).is_some()
    }

    #[rstest::rstest]
    #[case::text(json!({"content": "Hi"}))]
    #[case::messages(json!({"content": [{"role": "user", "content": "Hi"}]}))]
    #[case::everything(json!({
        "content": "a".repeat(MAX_TEXT), "provider": "litellm", "model": "mistral",
        "params": {"stop_sequences": ["Observation"], "temperature": 1.0, "max_tokens_to_sample": 8_192},
    }))]
    #[case::nulls(json!({"content": "Hi", "provider": null, "params": null, "model_endpoint": null}))]
    fn what_the_gateway_takes_is_taken(#[case] payload: Value) {
        assert!(is_read(&body(payload)));
    }

    #[rstest::rstest]
    #[case::nothing(json!({}))]
    #[case::too_long(json!({"content": "a".repeat(MAX_TEXT + 1)}))]
    #[case::no_messages(json!({"content": []}))]
    #[case::too_many(json!({"content": vec![json!({"role": "user", "content": "Hi"}); MAX_MESSAGES + 1]}))]
    #[case::unknown_role(json!({"content": [{"role": "tool", "content": "Hi"}]}))]
    #[case::unknown_provider(json!({"content": "Hi", "provider": "acme"}))]
    #[case::hot(json!({"content": "Hi", "params": {"temperature": 1.1}}))]
    #[case::no_tokens(json!({"content": "Hi", "params": {"max_tokens_to_sample": 0}}))]
    #[case::no_stops(json!({"content": "Hi", "params": {"stop_sequences": []}}))]
    #[case::long_stop(json!({"content": "Hi", "params": {"stop_sequences": ["a".repeat(226)]}}))]
    fn what_it_does_not_take_is_refused(#[case] payload: Value) {
        assert!(!is_read(&body(payload)));
    }

    #[test]
    fn there_is_exactly_one_component_and_it_says_who_calls() {
        let one = body(json!({"content": "Hi"}));
        let mut none = one.clone();
        none["prompt_components"] = json!([]);
        let mut two = one.clone();
        two["prompt_components"] = json!([one["prompt_components"][0], one["prompt_components"][0]]);
        let mut nameless = one.clone();
        nameless["prompt_components"][0]["metadata"] = json!({"source": "gitlab"});
        let mut long = one.clone();
        long["prompt_components"][0]["type"] = json!("a".repeat(MAX_NAME + 1));
        for refused in [none, two, nameless, long, json!("Hi")] {
            assert!(!is_read(&refused), "{refused}");
        }
        assert!(is_read(&one));
    }
}
