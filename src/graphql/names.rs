//! One name in the spellings of two worlds.

/// `userInput` from `user_input`.
#[must_use]
pub fn camel_case(snake: &str) -> String {
    let mut upper = false;
    snake.chars().fold(String::with_capacity(snake.len()), |mut name, letter| {
        match letter {
            '_' => upper = true,
            letter if std::mem::take(&mut upper) => name.push(letter.to_ascii_uppercase()),
            letter => name.push(letter),
        }
        name
    })
}

/// `UserInput` from `user_input`.
#[must_use]
pub fn pascal_case(snake: &str) -> String {
    camel_case(&format!("_{snake}"))
}

/// `user_input` from `userInput`.
#[must_use]
pub fn snake_case(camel: &str) -> String {
    camel.chars().fold(String::with_capacity(camel.len() + 4), |mut name, letter| {
        if letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        name
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_way_there_and_back() {
        for name in ["content", "user_input", "source_project_id", "a1_b2"] {
            assert_eq!(snake_case(&camel_case(name)), name);
        }
        assert_eq!(pascal_case("summarize_comments"), "SummarizeComments");
    }
}
