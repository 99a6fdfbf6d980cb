//! What a caller brings, as exchanges that are over and the question that is open. Models refuse two turns of the
//! same speaker in a row, so these are one; what a system message says stands before the question it came before.

use duologue_actors::protocol::Exchange;

use super::request::{Content, Message, Speaker};

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Conversation {
    /// Oldest first.
    pub before: Vec<Exchange>,
    pub question: String,
}

impl Conversation {
    /// `None` when there is no question at its end, or an answer to none.
    pub fn of(content: Content) -> Option<Self> {
        let messages = match content {
            Content::Text(text) => vec![Message { role: Speaker::User, content: text }],
            Content::Messages(messages) => messages,
        };
        let (mut before, mut question, mut answer) = (Vec::new(), String::new(), String::new());
        let mut is_asked = false;
        for Message { role, content } in messages {
            if role == Speaker::Assistant {
                add(&mut answer, &content);
                continue;
            }
            if !answer.is_empty() {
                let over =
                    Exchange { question: std::mem::take(&mut question), answer: std::mem::take(&mut answer) };
                before.push(over);
                is_asked = false;
            }
            is_asked |= role == Speaker::User && !content.trim().is_empty();
            add(&mut question, &content);
        }
        let is_whole = before.iter().all(|over| !over.question.is_empty());
        (is_asked && is_whole && answer.is_empty()).then_some(Self { before, question })
    }
}

fn add(to: &mut String, text: &str) {
    if text.trim().is_empty() {
        return;
    }
    if !to.is_empty() {
        to.push_str("\n\n");
    }
    to.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(messages: &[(Speaker, &str)]) -> Option<Conversation> {
        let message =
            |(role, content): &(Speaker, &str)| Message { role: *role, content: (*content).to_owned() };
        Conversation::of(Content::Messages(messages.iter().map(message).collect()))
    }

    fn conversation(before: &[(&str, &str)], question: &str) -> Conversation {
        let exchange = |(question, answer): &(&str, &str)| Exchange {
            question: (*question).to_owned(),
            answer: (*answer).to_owned(),
        };
        Conversation { before: before.iter().map(exchange).collect(), question: question.to_owned() }
    }

    use Speaker::{Assistant, System, User};

    #[test]
    fn a_text_is_a_question() {
        assert_eq!(Conversation::of(Content::Text("Hi".to_owned())), Some(conversation(&[], "Hi")));
    }

    #[test]
    fn earlier_turns_are_pairs_and_neighbours_are_one() {
        let said = [
            (System, "Be brief."),
            (User, "One?"),
            (Assistant, "One."),
            (Assistant, "Indeed."),
            (User, "Two?"),
            (User, "Well?"),
        ];
        let expected = conversation(&[("Be brief.\n\nOne?", "One.\n\nIndeed.")], "Two?\n\nWell?");
        assert_eq!(of(&said), Some(expected));
    }

    #[rstest::rstest]
    #[case::answered(&[(User, "One?"), (Assistant, "One.")])]
    #[case::answer_to_none(&[(Assistant, "One."), (User, "Two?")])]
    #[case::only_a_system_message(&[(System, "Be brief.")])]
    #[case::only_a_system_message_after_an_answer(&[(User, "One?"), (Assistant, "One."), (System, "Be brief.")])]
    #[case::blank(&[(User, " ")])]
    fn a_conversation_without_an_open_question_is_none(#[case] said: &[(Speaker, &str)]) {
        assert_eq!(of(said), None);
    }
}
