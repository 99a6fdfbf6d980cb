//! Prompts in the shape older models were asked in, `\n\nHuman: ...\n\nAssistant:`, as messages (those of
//! text completions).
//!
//! Turns begin where the author of a text wrote them. They are marked in a template before it is rendered,
//! with a character that no value keeps, and the rendered text is cut at the marks: whatever a value
//! contains, it is part of the turn it stands in.

use std::borrow::Cow;

use crate::{ports::Turn, protocol::Role};

/// Stands in front of each turn of a template. YAML and JSON texts seldom have it; values lose it.
const MARK: char = '\0';

const SPEAKERS: [(&str, Role); 2] = [("Human:", Role::User), ("Assistant:", Role::Assistant)];

/// A conversation taken from one text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turns {
    /// What stood before the first turn.
    pub system: String,
    /// Oldest first; the first and the last are the user's.
    pub turns: Vec<Turn>,
}

/// Why a text is no conversation that can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TurnsError {
    #[error(
        "text follows the last `Assistant:`, and models refuse an answer that is begun for them; leave it empty"
    )]
    Prefill,
    #[error("the first turn must be `Human:`, not `Assistant:`")]
    AssistantFirst,
    #[error("nothing is asked; text must follow `Human:`")]
    NothingAsked,
}

/// The messages of a text. A text without turns is one question.
///
/// A turn begins with `Human:` or `Assistant:` after an empty line, or at the very start. An empty turn is
/// left out, as the `Assistant:` is at which an old model would have gone on; two of one speaker are one.
///
/// # Errors
/// When the turns cannot be sent to a model.
pub fn turns_of(text: &str) -> Result<Turns, TurnsError> {
    match marked(text) {
        Some(marked) => taken_apart(&marked),
        None if text.trim().is_empty() => Err(TurnsError::NothingAsked),
        None => {
            let question = Turn { role: Role::User, content: text.to_owned() };
            Ok(Turns { system: String::new(), turns: vec![question] })
        }
    }
}

/// The text with a mark in front of each turn; `None` if there is no turn in it.
pub(super) fn marked(text: &str) -> Option<String> {
    let text = unmarked(text);
    let mut marked = String::with_capacity(text.len());
    let (mut has_turns, mut after_blank) = (false, true);
    for line in text.split_inclusive('\n') {
        if after_blank && SPEAKERS.iter().any(|(speaker, _)| line.starts_with(speaker)) {
            has_turns = true;
            marked.push(MARK);
        }
        marked.push_str(line);
        after_blank = matches!(line, "\n" | "\r\n");
    }
    has_turns.then_some(marked)
}

/// What is left of a value or a text that could contain marks.
pub(super) fn unmarked(text: &str) -> Cow<'_, str> {
    if text.contains(MARK) { Cow::Owned(text.replace(MARK, "")) } else { Cow::Borrowed(text) }
}

/// The turns of a marked text.
pub(super) fn taken_apart(marked: &str) -> Result<Turns, TurnsError> {
    let mut pieces = marked.split(MARK);
    let system = pieces.next().unwrap_or_default().trim().to_owned();
    let mut turns: Vec<Turn> = Vec::new();
    for piece in pieces {
        let (role, content) = spoken(piece);
        match turns.last_mut() {
            _ if content.is_empty() => {}
            Some(last) if last.role == role => {
                last.content.push_str("\n\n");
                last.content.push_str(content);
            }
            _ => turns.push(Turn { role, content: content.to_owned() }),
        }
    }
    match (turns.first(), turns.last()) {
        (None, _) | (_, None) => Err(TurnsError::NothingAsked),
        (_, Some(last)) if last.role == Role::Assistant => Err(TurnsError::Prefill),
        (Some(first), _) if first.role == Role::Assistant => Err(TurnsError::AssistantFirst),
        _ => Ok(Turns { system, turns }),
    }
}

/// Who says a marked piece, and what. A mark is only ever set before a speaker.
fn spoken(piece: &str) -> (Role, &str) {
    SPEAKERS
        .iter()
        .find_map(|(speaker, role)| Some((*role, piece.strip_prefix(speaker)?.trim())))
        .unwrap_or((Role::User, piece.trim()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn said(text: &str) -> Vec<(Role, String)> {
        turns_of(text).unwrap().turns.into_iter().map(|turn| (turn.role, turn.content)).collect()
    }

    fn user(content: &str) -> (Role, String) {
        (Role::User, content.to_owned())
    }

    fn assistant(content: &str) -> (Role, String) {
        (Role::Assistant, content.to_owned())
    }

    #[rstest]
    #[case::with_the_blank_line("\n\nHuman: Hi, how are you?\n\nAssistant:")]
    #[case::without_it("Human: Hi, how are you?\n\nAssistant:")]
    #[case::with_what_files_end_with("\n\nHuman: Hi, how are you?\n\nAssistant: \n")]
    #[case::without_an_end("\n\nHuman: Hi, how are you?")]
    #[case::of_another_system("\r\n\r\nHuman: Hi, how are you?\r\n\r\nAssistant:")]
    #[case::without_turns("Hi, how are you?")]
    fn a_question_is_one_message(#[case] text: &str) {
        let expected = vec![Turn { role: Role::User, content: "Hi, how are you?".to_owned() }];
        assert_eq!(turns_of(text), Ok(Turns { system: String::new(), turns: expected }));
    }

    #[test]
    fn turns_become_messages_and_what_stands_before_them_the_system_text() {
        let text = "You are brief.\n\nHuman: One?\n\nAssistant: One.\nIndeed.\n\nHuman: Two?\n\nAssistant:";
        assert_eq!(turns_of(text).unwrap().system, "You are brief.");
        assert_eq!(said(text), [user("One?"), assistant("One.\nIndeed."), user("Two?")]);
    }

    #[test]
    fn two_turns_of_one_speaker_are_one_and_an_empty_turn_is_none() {
        let text = "\n\nHuman: One.\n\nHuman: Two?\n\nAssistant:\n\nHuman: Well?\n\nAssistant:";
        assert_eq!(said(text), [user("One.\n\nTwo?\n\nWell?")]);
    }

    #[test]
    fn a_speaker_within_a_paragraph_begins_no_turn() {
        let text = "\n\nHuman: He said\nAssistant: no. Then Human: yes.\n\n Human: too";
        assert_eq!(said(text), [user("He said\nAssistant: no. Then Human: yes.\n\n Human: too")]);
    }

    #[rstest]
    #[case("\n\nHuman: Hi\n\nAssistant: Here is", TurnsError::Prefill)]
    #[case("\n\nAssistant: Hello\n\nHuman: Hi", TurnsError::AssistantFirst)]
    #[case("System only.\n\nHuman:\n\nAssistant:", TurnsError::NothingAsked)]
    #[case(" \n", TurnsError::NothingAsked)]
    fn what_no_model_takes_is_refused(#[case] text: &str, #[case] error: TurnsError) {
        assert_eq!(turns_of(text), Err(error));
    }
}
