//! Tokens: estimated where no provider has counted them, and added up.

use crate::ports::{ModelCall, Usage};

/// Bytes that make one token, roughly. English and code have about four characters a token with the usual
/// tokenizers; other scripts have fewer characters a token, and more bytes a character.
const BYTES_PER_TOKEN: u64 = 4;

pub(super) fn of_text(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

pub(super) fn of_prompt(call: &ModelCall) -> u64 {
    let turns = call.turns.iter().map(|turn| turn.content.len());
    let inputs = call.kept.iter().flat_map(|kept| kept.inputs.values()).map(String::len);
    of_text((call.system.len() + turns.chain(inputs).sum::<usize>()) as u64)
}

/// Of prompt and answer together. What a provider reports is not to be trusted to be small.
pub(super) fn total(usage: &Usage) -> u64 {
    usage.input_tokens.saturating_add(usage.output_tokens.unwrap_or_default())
}

/// What several attempts have cost together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Spent {
    pub(super) usage: Usage,
    pub(super) dollars: f64,
    /// Whether any of it is an estimate.
    pub(super) is_estimated: bool,
}

impl Spent {
    pub(super) fn add(&mut self, usage: &Usage, dollars: f64, is_estimated: bool) {
        let sum = &mut self.usage;
        sum.input_tokens = sum.input_tokens.saturating_add(usage.input_tokens);
        sum.cached_input_tokens = sum.cached_input_tokens.saturating_add(usage.cached_input_tokens);
        let output = sum.output_tokens.unwrap_or_default();
        sum.output_tokens = Some(output.saturating_add(usage.output_tokens.unwrap_or_default()));
        self.dollars += dollars;
        self.is_estimated |= is_estimated;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bytes_make_a_token_and_a_rest_makes_one_more() {
        assert_eq!([0, 1, 4, 5].map(of_text), [0, 1, 1, 2]);
    }

    #[test]
    fn absurd_reports_add_up_to_the_most_there_is() {
        let absurd =
            Usage { input_tokens: u64::MAX, cached_input_tokens: u64::MAX, output_tokens: Some(u64::MAX) };
        assert_eq!(total(&absurd), u64::MAX);
        let mut spent = Spent::default();
        for _ in 0..2 {
            spent.add(&absurd, 1.0, false);
        }
        assert_eq!((spent.usage, spent.dollars), (absurd, 2.0));
    }
}
