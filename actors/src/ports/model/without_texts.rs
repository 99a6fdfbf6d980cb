//! What `Debug` shows of calls and failures: lengths in place of texts, so that no prompt, and nothing a
//! provider says of one, reaches a log by way of `{:?}`.

use std::fmt;

use super::{KeptPrompt, ModelCall, ModelError, Turn};

/// A text, by its length.
struct Hidden<'t>(&'t str);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl fmt::Debug for ModelCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelCall")
            .field("request_id", &self.request_id)
            .field("user", &self.user)
            .field("unit_primitive", &self.unit_primitive)
            .field("enabled_flags", &self.enabled_flags)
            .field("system", &Hidden(&self.system))
            .field("turns", &self.turns)
            .field("kept", &self.kept)
            .field("max_output_tokens", &self.max_output_tokens)
            .finish()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("role", &self.role).field("content", &Hidden(&self.content)).finish()
    }
}

impl fmt::Debug for KeptPrompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Inputs<'k>(&'k KeptPrompt);
        impl fmt::Debug for Inputs<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_map().entries(self.0.inputs.iter().map(|(name, text)| (name, Hidden(text)))).finish()
            }
        }
        f.debug_struct("KeptPrompt")
            .field("id", &self.id)
            .field("version", &self.version)
            .field("inputs", &Inputs(self))
            .finish()
    }
}

impl fmt::Debug for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelError")
            .field("code", &self.code)
            .field("retry", &self.retry)
            .field("retry_after", &self.retry_after)
            .field("was_taken", &self.was_taken)
            .field("cause", &self.cause)
            .field("what", &self.what)
            .field("said", &self.said.as_deref().map(Hidden))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        ports::Retry,
        protocol::{Code, RequestId, Role, UserId},
    };

    const SECRET: &str = "clementine";

    #[test]
    fn no_text_of_a_call_is_shown_but_what_tells_it_from_others() {
        let inputs = BTreeMap::from([("question".to_owned(), SECRET.to_owned())]);
        let call = ModelCall {
            request_id: RequestId::new(),
            user: UserId(2),
            unit_primitive: "duo_chat".to_owned(),
            enabled_flags: vec!["chat_flag".to_owned()],
            system: SECRET.to_owned(),
            turns: vec![Turn { role: Role::User, content: SECRET.to_owned() }],
            kept: Some(KeptPrompt { id: "chat/react".to_owned(), version: "^1.0.0".to_owned(), inputs }),
            max_output_tokens: 4_096,
        };
        let shown = format!("{call:?}");
        assert!(!shown.contains(SECRET), "{shown}");
        assert_eq!(shown.matches("[10 bytes]").count(), 3, "{shown}");
        for told in [&call.request_id.to_string(), "duo_chat", "chat_flag", "chat/react", "question", "4096"]
        {
            assert!(shown.contains(told), "{told} in {shown}");
        }
    }

    #[test]
    fn what_a_provider_said_is_not_shown_and_what_we_say_of_it_is() {
        let error = ModelError::new(Code::UpstreamRejected, Retry::Never, "status 400")
            .said(Some(format!("`{SECRET}` is too rude")));
        let shown = format!("{error:?}");
        assert!(!shown.contains(SECRET) && shown.contains("status 400"), "{shown}");
    }
}
