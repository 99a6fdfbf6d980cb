//! Slash commands: what a user says to the conversation itself and not to the model. They go through the pipeline
//! like any question, and are answered without a model. An unknown one is an ordinary question.
//!
//! | command | what the model hears of what was said before | what `aiMessages` shows of it |
//! |---|---|---|
//! | `/reset` | nothing | everything |
//! | `/new`, `/clear` | nothing | nothing |
//! | `/help` | everything | everything |
//!
//! A command is kept as a message of the conversation, where it marks the place. It and its answer never reach a
//! model.

use crate::protocol::{ChatMessage, RequestId, Role};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlashCommand {
    Reset,
    New,
    Clear,
    Help,
}

impl SlashCommand {
    pub const ALL: [Self; 4] = [Self::Reset, Self::New, Self::Clear, Self::Help];

    /// The command that `question` is, when it is nothing else.
    #[must_use]
    pub fn of(question: &str) -> Option<Self> {
        let said = question.trim();
        Self::ALL.into_iter().find(|command| command.name() == said)
    }

    /// As users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "/reset",
            Self::New => "/new",
            Self::Clear => "/clear",
            Self::Help => "/help",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Reset => {
                "Starts a new topic: what was said before stays here, and is not taken into account."
            }
            Self::New => "Starts a new conversation.",
            Self::Clear => "Clears the conversation and starts a new one.",
            Self::Help => "Shows this list.",
        }
    }

    /// What the user hears, in Markdown.
    #[must_use]
    pub fn answer(self) -> String {
        match self {
            Self::Reset => "This is a new topic: what was said before is not taken into account.".to_owned(),
            Self::New => "This is a new conversation.".to_owned(),
            Self::Clear => "The conversation is cleared.".to_owned(),
            Self::Help => {
                let lines =
                    Self::ALL.map(|command| format!("- `{}`: {}", command.name(), command.explanation()));
                format!("Ask a question, or use one of these commands:\n\n{}", lines.join("\n"))
            }
        }
    }

    /// Whether what was said before is not shown any more.
    fn hides(self) -> bool {
        matches!(self, Self::New | Self::Clear)
    }

    /// Whether what was said before does not reach the model any more.
    fn is_forgotten_behind(self) -> bool {
        self != Self::Help
    }
}

/// What a conversation shows of the messages that are kept of it, oldest first: those after the last command that
/// hides the others, whose own answer may be older than a question that was asked meanwhile.
#[must_use]
pub fn shown(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    after_last(messages, SlashCommand::hides)
}

/// What a model is told of the messages that are kept.
#[must_use]
pub fn remembered(messages: Vec<ChatMessage>) -> Vec<ChatMessage> {
    let messages = after_last(messages, SlashCommand::is_forgotten_behind);
    let commands: Vec<RequestId> =
        messages.iter().filter(|said| command(said).is_some()).map(request_id).collect();
    messages.into_iter().filter(|said| !commands.contains(&said.request_id)).collect()
}

fn after_last(mut messages: Vec<ChatMessage>, ends: fn(SlashCommand) -> bool) -> Vec<ChatMessage> {
    let Some(at) = messages.iter().rposition(|said| command(said).is_some_and(ends)) else {
        return messages;
    };
    let mut rest = messages.split_off(at);
    let marker = rest.first().map(request_id);
    // An answer without its question is no part of what is left.
    let over: Vec<RequestId> = messages.iter().map(request_id).collect();
    rest.retain(|said| Some(said.request_id) != marker && !over.contains(&said.request_id));
    rest
}

fn command(message: &ChatMessage) -> Option<SlashCommand> {
    (message.role == Role::User).then(|| SlashCommand::of(&message.content)).flatten()
}

fn request_id(message: &ChatMessage) -> RequestId {
    message.request_id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::a_message;

    /// Each question with its answer.
    fn conversation(questions: &[&str]) -> Vec<ChatMessage> {
        let exchange = |question: &&str| {
            let id = RequestId::new();
            [a_message(id, Role::User, question), a_message(id, Role::Assistant, &format!("{question}!"))]
        };
        questions.iter().flat_map(exchange).collect()
    }

    fn contents(messages: &[ChatMessage]) -> Vec<&str> {
        messages.iter().map(|message| message.content.as_str()).collect()
    }

    #[rstest::rstest]
    #[case("/reset", Some(SlashCommand::Reset))]
    #[case(" /clear\n", Some(SlashCommand::Clear))]
    #[case("/new", Some(SlashCommand::New))]
    #[case("/help", Some(SlashCommand::Help))]
    #[case::of_an_editor("/explain", None)]
    #[case::longer("/resetting", None)]
    #[case::with_more("/reset the index, please", None)]
    #[case::within("what does /clear do?", None)]
    #[case::of_another_case("/RESET", None)]
    #[case("", None)]
    fn a_command_is_the_whole_of_what_is_said(#[case] text: &str, #[case] expected: Option<SlashCommand>) {
        assert_eq!(SlashCommand::of(text), expected);
    }

    #[test]
    fn help_names_every_command() {
        let help = SlashCommand::Help.answer();
        assert!(SlashCommand::ALL.iter().all(|command| help.contains(command.name())), "{help}");
    }

    #[test]
    fn after_reset_the_model_hears_what_came_after_it_and_the_conversation_shows_everything() {
        let said = conversation(&["one?", "/reset", "two?"]);
        assert_eq!(contents(&remembered(said.clone())), ["two?", "two?!"]);
        assert_eq!(contents(&shown(said)).len(), 6);
    }

    #[rstest::rstest]
    #[case("/new")]
    #[case("/clear")]
    fn a_new_conversation_shows_nothing_of_the_old_one_nor_of_the_command(#[case] command: &str) {
        let said = conversation(&["one?", command, "two?"]);
        assert_eq!(contents(&shown(said.clone())), ["two?", "two?!"]);
        assert_eq!(contents(&remembered(said)), ["two?", "two?!"]);
        assert!(shown(conversation(&["one?", command])).is_empty());
    }

    #[test]
    fn help_is_shown_and_does_not_reach_the_model() {
        let said = conversation(&["one?", "/help", "two?"]);
        assert_eq!(contents(&remembered(said.clone())), ["one?", "one?!", "two?", "two?!"]);
        assert_eq!(shown(said).len(), 6);
    }

    #[test]
    fn an_answer_that_comes_after_the_conversation_was_cleared_went_with_its_question() {
        let mut said = conversation(&["one?", "/clear", "two?"]);
        let late = said.remove(1);
        said.push(late);
        assert_eq!(contents(&shown(said)), ["two?", "two?!"]);
    }
}
