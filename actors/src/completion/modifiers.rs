//! The steps an action has for a whole answer, as plain functions.

use serde::de::IgnoredAny;

use crate::action::Modifier;

/// A step that found nothing of its kind in the answer, or nothing but blanks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NothingLeft(pub(super) Modifier);

/// Applies the steps in their order.
pub(super) fn apply(modifiers: &[Modifier], answer: String) -> Result<String, NothingLeft> {
    let mut answer = answer;
    for modifier in modifiers {
        let kept = match modifier {
            Modifier::Trim => answer.trim(),
            Modifier::StripCodeFence => without_code_fence(&answer),
            Modifier::ExtractJson => first_json(&answer).unwrap_or_default(),
        };
        if kept.trim().is_empty() {
            return Err(NothingLeft(*modifier));
        }
        if kept.len() < answer.len() {
            answer = kept.to_owned();
        }
    }
    Ok(answer)
}

/// What stands in the fence, if the answer is one fenced block with nothing but white space around it; else
/// the answer as it is. Fences are those of CommonMark 0.31, "Fenced code blocks".
fn without_code_fence(answer: &str) -> &str {
    fenced(answer.trim()).unwrap_or(answer)
}

fn fenced(block: &str) -> Option<&str> {
    let (opening, rest) = block.split_once('\n')?;
    let fence = Fence::opened_by(opening)?;
    let mut content_end = 0;
    for line in rest.split_inclusive('\n') {
        if fence.is_closed_by(line) {
            let is_last = content_end + line.len() == rest.len();
            let content = rest.get(..content_end)?;
            let content = content.strip_suffix('\n').unwrap_or(content);
            return is_last.then(|| content.strip_suffix('\r').unwrap_or(content));
        }
        content_end += line.len();
    }
    None
}

struct Fence {
    character: char,
    length: usize,
}

impl Fence {
    fn opened_by(line: &str) -> Option<Self> {
        let character = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
        let info = line.trim_start_matches(character);
        let length = line.len() - info.len();
        // The language of a block of backticks has none, or the line would be code within a paragraph.
        let is_fence = length >= 3 && !(character == '`' && info.contains('`'));
        is_fence.then_some(Self { character, length })
    }

    /// As long as the opening one or longer, indented by three spaces at most, and nothing else on its line.
    fn is_closed_by(&self, line: &str) -> bool {
        let line = line.trim_end();
        let fence = line.trim_start_matches(' ');
        line.len() - fence.len() <= 3
            && fence.len() >= self.length
            && fence.chars().all(|c| c == self.character)
    }
}

/// The first JSON object or array, byte for byte.
///
/// Where a value breaks, the search goes on behind the break: no part of a broken value is taken for the
/// whole, and no byte is read much more than once. A value that is cut off by the answer's end is none.
fn first_json(answer: &str) -> Option<&str> {
    let mut rest = answer;
    loop {
        rest = rest.get(rest.find(['{', '['])?..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next()? {
            Ok(_) => return rest.get(..values.byte_offset()),
            Err(error) if error.is_eof() => return None,
            Err(error) => rest = behind(rest, &error)?,
        }
    }
}

/// The text from the place of the error on, and at least without its first character.
fn behind<'t>(text: &'t str, error: &serde_json::Error) -> Option<&'t str> {
    let lines_before: usize =
        text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    // Columns count bytes from 1.
    let at = (lines_before + error.column().saturating_sub(1)).max(1);
    text.get(text.ceil_char_boundary(at)..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::none("a ", "a ")]
    #[case::backticks("```\na\n```", "a")]
    #[case::a_language("```rust\nfn a() {}\n```", "fn a() {}")]
    #[case::tildes("~~~ json\n{}\n~~~", "{}")]
    #[case::white_space_around_it(" \n```\n  a\n\n```\n ", "  a\n")]
    #[case::other_line_ends("```\r\na\r\nb\r\n```\r\n", "a\r\nb")]
    #[case::a_shorter_fence_in_it("````md\n```rust\na\n```\n````", "```rust\na\n```")]
    #[case::another_fence_in_it("~~~md\n```\na\n```\n~~~", "```\na\n```")]
    #[case::a_longer_end("```\na\n`````", "a")]
    #[case::an_indented_end("```\na\n   ```", "a")]
    #[case::nothing_in_it("```\n```", "")]
    #[case::text_before_it("So:\n```\na\n```", "So:\n```\na\n```")]
    #[case::text_after_it("```\na\n```\nDone.", "```\na\n```\nDone.")]
    #[case::two_blocks("```\na\n```\n```\nb\n```", "```\na\n```\n```\nb\n```")]
    #[case::no_end("```\na", "```\na")]
    #[case::a_shorter_end("````\na\n```", "````\na\n```")]
    #[case::code_in_a_line("```a```", "```a```")]
    #[case::code_that_begins_a_paragraph("``` a ```\nb\n```", "``` a ```\nb\n```")]
    #[case::too_few("``\na\n``", "``\na\n``")]
    fn a_fence_around_all_is_taken_away(#[case] answer: &str, #[case] expected: &str) {
        assert_eq!(without_code_fence(answer), expected);
    }

    #[rstest]
    #[case::alone("{\"a\": 1}", Some("{\"a\": 1}"))]
    #[case::an_array("[1, [2]]", Some("[1, [2]]"))]
    #[case::in_prose("Sure! {\"a\": \"}\"} Anything else?", Some("{\"a\": \"}\"}"))]
    #[case::in_a_fence("```json\n{\n  \"a\": [1]\n}\n```", Some("{\n  \"a\": [1]\n}"))]
    #[case::the_first_of_two("[1] {\"a\": 1}", Some("[1]"))]
    #[case::after_brackets_of_prose("[see below] {x} {\"a\": 1}", Some("{\"a\": 1}"))]
    #[case::right_behind_a_break("[1 {\"a\": 1}", Some("{\"a\": 1}"))]
    #[case::behind_a_break_on_another_line("[1,\né é\n{\"a\": \"é\"}", Some("{\"a\": \"é\"}"))]
    #[case::numbers_as_they_are("{\"a\": 1.0e400000}", Some("{\"a\": 1.0e400000}"))]
    #[case::digits_as_they_are("{\"a\": 1.50, \"a\": 2}", Some("{\"a\": 1.50, \"a\": 2}"))]
    #[case::never_a_part_of_a_broken_one("{\"a\": {\"b\": 1}, c: 2}", None)]
    #[case::never_a_part_of_one_that_is_cut_off("{\"a\": {\"b\": 1}", None)]
    #[case::no_object_or_array("\"a\" 1 null", None)]
    #[case::nothing("", None)]
    fn the_first_whole_object_or_array_is_taken(#[case] answer: &str, #[case] expected: Option<&str>) {
        assert_eq!(first_json(answer), expected);
    }

    #[test]
    fn an_answer_of_a_million_brackets_takes_no_longer_than_it_is() {
        assert_eq!(first_json(&"[".repeat(1_000_000)), None);
        assert_eq!(first_json(&format!("{}!", "[".repeat(1_000_000))), None);
        assert_eq!(first_json(&"[!".repeat(500_000)), None);
        let deep = format!("{}{}", "[".repeat(1_000), "]".repeat(1_000));
        assert_eq!(first_json(&format!("{deep}!")), Some(deep.as_str()));
    }

    #[test]
    fn the_steps_are_applied_in_their_order() {
        let answer = || "\n```json\n {\"a\": 1} \n```\n".to_owned();
        let result = |steps: &[Modifier]| apply(steps, answer()).unwrap();
        assert_eq!(result(&[]), answer());
        assert_eq!(result(&[Modifier::StripCodeFence]), " {\"a\": 1} ");
        assert_eq!(result(&[Modifier::StripCodeFence, Modifier::Trim]), "{\"a\": 1}");
        assert_eq!(result(&[Modifier::Trim, Modifier::StripCodeFence]), " {\"a\": 1} ");
        assert_eq!(result(&[Modifier::ExtractJson]), "{\"a\": 1}");
    }

    #[test]
    fn the_step_that_leaves_nothing_is_named() {
        let result = |steps: &[Modifier], answer: &str| apply(steps, answer.to_owned()).unwrap_err();
        let (trim, fence, json) = (Modifier::Trim, Modifier::StripCodeFence, Modifier::ExtractJson);
        assert_eq!(result(&[trim, json], "No."), NothingLeft(json));
        assert_eq!(result(&[trim, fence, json], "```\n \n```"), NothingLeft(fence));
        assert_eq!(result(&[trim], " \n"), NothingLeft(trim));
    }

    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|number| number.to_string()),
            ".{0,6}".prop_map(|text| serde_json::Value::from(text).to_string()),
        ];
        let value = leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4)
                    .prop_map(|items| format!("[{}]", items.join(", "))),
                inner.prop_map(|value| format!("{{\"k\": {value}}}")),
            ]
        });
        value.prop_map(|value| format!("[{value}]"))
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_longer_fence_comes_out_of_it(content in "[a-z`~ \n]{0,40}") {
            let fence = "`".repeat(50);
            let block = format!("{fence}text\n{content}\n{fence}\n");
            prop_assert_eq!(without_code_fence(&block), content);
        }

        #[test]
        fn json_is_found_in_any_prose_without_brackets(
            before in "[^{\\[]{0,20}",
            json in json(),
            after in ".{0,20}",
        ) {
            let answer = format!("{before}{json}{after}");
            prop_assert_eq!(first_json(&answer), Some(json.as_str()));
        }

        #[test]
        fn what_is_found_is_json_and_stands_in_the_answer(answer in "[\\[\\]{}\",:a1é\n ]{0,60}") {
            if let Some(found) = first_json(&answer) {
                prop_assert!(answer.contains(found));
                let value: serde_json::Value = serde_json::from_str(found).unwrap();
                prop_assert!(value.is_object() || value.is_array());
            }
        }

        #[test]
        fn no_step_adds_a_byte(answer in ".{0,60}") {
            for modifier in Modifier::ALL {
                let result = apply(&[modifier], answer.clone());
                prop_assert!(result.is_err() || answer.contains(&result.unwrap()));
            }
        }
    }
}
