//! What is asked: a prompt, a conversation in one text, or messages as JSON.

use std::{borrow::Cow, io::Read};

use duologue_actors::{
    ports::Turn,
    prompt::{Turns, TurnsError, turns_of},
    protocol::Role,
};
use serde::Deserialize;

use super::Complete;

/// Stands for standard input.
const STANDARD_INPUT: &str = "-";

/// Bytes read of standard input (4 MiB): no model has a context that large.
const MAX_PROMPT_BYTES: u64 = 4 * 1_024 * 1_024;

#[derive(Debug, thiserror::Error)]
pub(super) enum PromptError {
    #[error("the prompt is empty")]
    Empty,
    #[error(transparent)]
    Turns(#[from] TurnsError),
    #[error("--messages must be JSON such as [{{\"role\": \"user\", \"content\": \"...\"}}]")]
    NotMessages(#[source] serde_json::Error),
    #[error("the content of message {0} of --messages is empty")]
    EmptyMessage(usize),
    #[error("--messages must end with a message of the user, for a model to answer")]
    NotTheUsersTurn,
    #[error("--messages must have a system message before all others, or none")]
    LateSystem,
    #[error("read standard input")]
    Input(#[source] std::io::Error),
    #[error("standard input is longer than {MAX_PROMPT_BYTES} bytes")]
    TooLong,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    role: Speaker,
    content: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Speaker {
    System,
    User,
    Assistant,
}

/// The conversation the command line has, with `--system` before what it says itself.
pub(super) fn read(asked: &Complete, input: &mut dyn Read) -> Result<Turns, PromptError> {
    let mut turns = match (&asked.messages, asked.prompt.as_deref()) {
        (Some(messages), _) => of_messages(messages)?,
        (None, Some(STANDARD_INPUT)) => of_text(&all_of(input)?)?,
        (None, prompt) => of_text(&unescaped(prompt.unwrap_or_default()))?,
    };
    if let Some(system) = &asked.system {
        let own = std::mem::take(&mut turns.system);
        turns.system = if own.is_empty() { system.clone() } else { format!("{system}\n\n{own}") };
    }
    Ok(turns)
}

fn of_text(text: &str) -> Result<Turns, PromptError> {
    if text.trim().is_empty() {
        return Err(PromptError::Empty);
    }
    Ok(turns_of(text)?)
}

fn of_messages(text: &str) -> Result<Turns, PromptError> {
    let messages: Vec<Message> = serde_json::from_str(text).map_err(PromptError::NotMessages)?;
    let mut turns = Turns { system: String::new(), turns: Vec::new() };
    for (number, Message { role, content }) in (1..).zip(messages) {
        if content.trim().is_empty() {
            return Err(PromptError::EmptyMessage(number));
        }
        let role = match role {
            Speaker::System if turns.turns.is_empty() && turns.system.is_empty() => {
                turns.system = content;
                continue;
            }
            Speaker::System => return Err(PromptError::LateSystem),
            Speaker::User => Role::User,
            Speaker::Assistant => Role::Assistant,
        };
        turns.turns.push(Turn { role, content });
    }
    if turns.turns.last().is_none_or(|turn| turn.role != Role::User) {
        return Err(PromptError::NotTheUsersTurn);
    }
    Ok(turns)
}

/// A shell leaves `\n` as it is typed. A prompt that has its turns written that way means line breaks.
fn unescaped(prompt: &str) -> Cow<'_, str> {
    if prompt.contains(r"\n\nHuman:") || prompt.contains(r"\n\nAssistant:") {
        return prompt.replace(r"\n", "\n").into();
    }
    prompt.into()
}

fn all_of(input: &mut dyn Read) -> Result<String, PromptError> {
    let mut text = String::new();
    input.take(MAX_PROMPT_BYTES + 1).read_to_string(&mut text).map_err(PromptError::Input)?;
    if text.len() as u64 > MAX_PROMPT_BYTES {
        return Err(PromptError::TooLong);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use rstest::rstest;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn read(arguments: &[&str], input: &str) -> Result<Turns, PromptError> {
        let all = ["duologue", "complete", "--unit-primitive", "duo_chat"].iter().chain(arguments);
        let Some(Command::Complete(asked)) = Arguments::try_parse_from(all).unwrap().command else {
            panic!("not complete")
        };
        super::read(&asked, &mut input.as_bytes())
    }

    fn said(arguments: &[&str], input: &str) -> (String, Vec<(Role, String)>) {
        let Turns { system, turns } = read(arguments, input).unwrap();
        (system, turns.into_iter().map(|turn| (turn.role, turn.content)).collect())
    }

    #[rstest]
    #[case::plainly("Hi, how are you?")]
    #[case::with_turns("\n\nHuman: Hi, how are you?\n\nAssistant:")]
    #[case::with_turns_as_typed_in_a_shell(r"\n\nHuman: Hi, how are you?\n\nAssistant:")]
    fn the_same_question_in_every_form(#[case] prompt: &str) {
        let expected = (String::new(), vec![(Role::User, "Hi, how are you?".to_owned())]);
        assert_eq!(said(&[prompt], ""), expected);
        let messages = r#"[{"role": "user", "content": "Hi, how are you?"}]"#;
        assert_eq!(said(&["--messages", messages], ""), expected);
        assert_eq!(said(&["-"], "Hi, how are you?"), expected);
    }

    #[test]
    fn a_backslash_in_any_other_prompt_stays() {
        assert_eq!(said(&[r"What is \n?"], "").1, [(Role::User, r"What is \n?".to_owned())]);
    }

    #[test]
    fn what_the_model_is_told_comes_before_what_the_conversation_says() {
        let messages = r#"[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]"#;
        let (system, turns) = said(&["--system", "Be kind.", "--messages", messages], "");
        assert_eq!(system, "Be kind.\n\nBe brief.");
        let roles: Vec<Role> = turns.iter().map(|(role, _)| *role).collect();
        assert_eq!(roles, [Role::User, Role::Assistant, Role::User]);
    }

    #[rstest]
    #[case::not_json("Hello", "--messages must be JSON such as")]
    #[case::another_role(r#"[{"role": "human", "content": "a"}]"#, "--messages must be JSON such as")]
    #[case::nothing("[]", "--messages must end with a message of the user")]
    #[case::nothing_in_one(
        r#"[{"role": "system", "content": "a"}, {"role": "user", "content": " \n"}]"#,
        "the content of message 2 of --messages is empty"
    )]
    #[case::not_the_user_s_turn(
        r#"[{"role": "assistant", "content": "a"}]"#,
        "--messages must end with a message of the user"
    )]
    #[case::a_late_system_message(
        r#"[{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]"#,
        "--messages must have a system message before all others"
    )]
    fn messages_that_cannot_be_sent_are_refused(#[case] messages: &str, #[case] said: &str) {
        let error = read(&["--messages", messages], "").unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }

    #[rstest]
    #[case::nothing(&[""], "")]
    #[case::blanks(&[" \n"], "")]
    #[case::nothing_from_standard_input(&["-"], "")]
    #[case::a_line_break_from_standard_input(&["-"], "\n")]
    fn an_empty_prompt_is_called_that(#[case] arguments: &[&str], #[case] input: &str) {
        assert_eq!(read(arguments, input).unwrap_err().to_string(), "the prompt is empty");
    }

    #[test]
    fn a_turn_without_text_is_another_mistake() {
        let error = read(&[r"\n\nHuman:\n\nAssistant:"], "").unwrap_err();
        assert!(matches!(error, PromptError::Turns(TurnsError::NothingAsked)), "{error}");
    }

    #[test]
    fn an_answer_that_is_begun_for_the_model_is_refused() {
        let error = read(&[r"\n\nHuman: Hi\n\nAssistant: Well"], "").unwrap_err();
        assert!(matches!(error, PromptError::Turns(TurnsError::Prefill)), "{error}");
    }
}
