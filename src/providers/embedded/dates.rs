//! Whether a question asks for a time, and whether a sentence names one.

use super::terms::words;

/// What follows the "when" of a question, and hardly the one of "what happens when somebody ...".
const AUXILIARIES: &[&str] = &[
    "will", "is", "are", "was", "were", "do", "does", "did", "can", "could", "should", "would", "must",
    "has", "have", "shall",
];

/// Not "today": it tells of lunch as often as of a date.
const DAYS: &[&str] =
    &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "tomorrow"];

/// Full names and the usual short ones; a date only beside a number, because of "may" and "march".
const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "jan",
    "feb",
    "mar",
    "apr",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
];

pub(super) fn asks_when(question: &str) -> bool {
    let words = words(question);
    let next = |at: usize| words.get(at + 1).map(String::as_str);
    words.iter().enumerate().any(|(at, word)| match word.as_str() {
        "when" => next(at).is_none_or(|next| AUXILIARIES.contains(&next)),
        "due" => next(at) != Some("to"),
        "deadline" => true,
        _ => false,
    })
}

pub(super) fn names_a_date(text: &str) -> bool {
    let words = words(text);
    let is_day = words.iter().any(|word| DAYS.contains(&word.as_str()));
    let has_month = words.windows(2).any(|pair| match pair {
        [one, other] => (is_month(one) && is_number(other)) || (is_number(one) && is_month(other)),
        _ => false,
    });
    // 2026-05-07
    let is_iso = words.windows(3).any(|date| {
        date.iter().map(String::len).eq([4, 2, 2]) && date.iter().all(|part| part.parse::<u16>().is_ok())
    });
    is_day || has_month || is_iso
}

fn is_month(word: &str) -> bool {
    MONTHS.contains(&word)
}

/// `7`, and `7th` too.
fn is_number(word: &str) -> bool {
    let bare = ["st", "nd", "rd", "th"].iter().find_map(|ending| word.strip_suffix(ending)).unwrap_or(word);
    bare.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("When will it be done?", true)]
    #[case("By when?", true)]
    #[case("Is there a deadline?", true)]
    #[case("What is due next?", true)]
    #[case("What happens when somebody starts it twice?", false)]
    #[case("Does it fail due to memory?", false)]
    fn a_question_for_a_time_is_told_from_a_condition(#[case] question: &str, #[case] expected: bool) {
        assert_eq!(asks_when(question), expected);
    }

    #[rstest::rstest]
    #[case("In review by Thursday, 7 May.", true)]
    #[case("Out by 29 May.", true)]
    #[case("It starts on March 3rd.", true)]
    #[case("Done on 2026-05-07.", true)]
    #[case("You may export the March data.", false)]
    #[case("It takes 48 seconds.", false)]
    fn a_date_is_a_day_or_a_month_beside_a_number(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(names_a_date(text), expected);
    }
}
