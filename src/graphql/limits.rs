//! What a document may cost, measured before anything else looks at it. Fragments are weighed once each,
//! so that a document which unfolds exponentially is refused in time linear in its length; the engine's
//! own checks, which unfold, only ever see documents that passed here.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::types::{ExecutableDocument, FragmentDefinition, OperationDefinition, Selection, SelectionSet},
};

/// Brackets nested deeper than this are refused before the document is parsed: parsing takes stack.
const MAX_BRACKETS: usize = 64;

/// How often `fields`, `interfaces`, `possibleTypes` and `inputFields` may be nested. The usual
/// introspection query has one; each level multiplies the answer by the size of the schema.
const MAX_INTROSPECTION_LISTS: usize = 2;

const INTROSPECTION_LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

/// The bounds of one operation.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub depth: usize,
    pub complexity: usize,
    pub aliases: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    #[error("Query has a length of {0} characters, which exceeds the maximum of {1}")]
    Characters(usize, usize),
    #[error("Query is nested too deep: the maximum is {0}")]
    Depth(usize),
    #[error("Query is too complex: the maximum is {0}")]
    Complexity(usize),
    #[error("Query has too many aliases: the maximum is {0}")]
    Aliases(usize),
    #[error("Introspection is nested too deep")]
    Introspection,
    #[error("Fragment \"{0}\" contains itself")]
    FragmentCycle(String),
    #[error("Only one aiAction is allowed in a document")]
    Actions,
}

impl Exceeded {
    /// `extensions.code`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Characters(..) => "queryTooLong",
            Self::Depth(_) => "queryTooDeep",
            Self::Complexity(_) => "queryTooComplex",
            Self::Aliases(_) => "tooManyAliases",
            Self::Introspection => "introspectionTooDeep",
            Self::FragmentCycle(_) => "infiniteLoop",
            Self::Actions => "invalid_input",
        }
    }
}

/// Checks the text of a document.
///
/// # Errors
/// When it is too long, or nested so deep that it must not be parsed.
pub fn check_text(text: &str, max_characters: usize, max_depth: usize) -> Result<(), Exceeded> {
    let characters = text.chars().count();
    if characters > max_characters {
        return Err(Exceeded::Characters(characters, max_characters));
    }
    if brackets(text) > MAX_BRACKETS { Err(Exceeded::Depth(max_depth.min(MAX_BRACKETS))) } else { Ok(()) }
}

/// Checks every operation and fragment of a document.
///
/// # Errors
/// Names the first bound that is exceeded.
pub fn check(document: &ExecutableDocument, bounds: &Bounds) -> Result<(), Exceeded> {
    let mut scales = Scales { fragments: &document.fragments, weighed: HashMap::new() };
    for name in document.fragments.keys() {
        scales.fragment(name)?.check(bounds)?;
    }
    for (_, operation) in document.operations.iter() {
        scales.operation(operation)?.check(bounds)?;
    }
    Ok(())
}

/// The deepest nesting of brackets outside texts and comments.
fn brackets(text: &str) -> usize {
    let (mut depth, mut deepest, mut rest) = (0_usize, 0, text);
    loop {
        if let Some(block) = rest.strip_prefix("\"\"\"") {
            rest = after_block_text(block);
            continue;
        }
        let mut letters = rest.chars();
        match letters.next() {
            Some('"') => skip_text(&mut letters),
            Some('#') => drop(letters.find(|letter| matches!(letter, '\n' | '\r'))),
            Some('{' | '[' | '(') => depth += 1,
            Some('}' | ']' | ')') => depth = depth.saturating_sub(1),
            Some(_) => {}
            None => return deepest,
        }
        deepest = deepest.max(depth);
        rest = letters.as_str();
    }
}

/// What follows the end of a block text; nothing when it does not end.
fn after_block_text(mut rest: &str) -> &str {
    while let Some((block, after)) = rest.split_once("\"\"\"") {
        rest = after;
        if !block.ends_with('\\') {
            return rest;
        }
    }
    ""
}

/// Goes to the end of a text, which is at the end of its line at the latest.
fn skip_text(letters: &mut std::str::Chars<'_>) {
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => drop(letters.next()),
            '"' | '\n' | '\r' => return,
            _ => {}
        }
    }
}

/// What one selection set comes to, with everything below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Weight {
    depth: usize,
    complexity: usize,
    aliases: usize,
    introspection_lists: usize,
    actions: usize,
}

impl Weight {
    fn add(&mut self, other: Self) {
        self.depth = self.depth.max(other.depth);
        self.complexity = self.complexity.saturating_add(other.complexity);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.introspection_lists = self.introspection_lists.max(other.introspection_lists);
        self.actions = self.actions.saturating_add(other.actions);
    }

    fn check(&self, bounds: &Bounds) -> Result<(), Exceeded> {
        if self.depth > bounds.depth {
            return Err(Exceeded::Depth(bounds.depth));
        }
        if self.aliases > bounds.aliases {
            return Err(Exceeded::Aliases(bounds.aliases));
        }
        if self.introspection_lists > MAX_INTROSPECTION_LISTS {
            return Err(Exceeded::Introspection);
        }
        if self.actions > 1 {
            return Err(Exceeded::Actions);
        }
        if self.complexity > bounds.complexity {
            return Err(Exceeded::Complexity(bounds.complexity));
        }
        Ok(())
    }
}

struct Scales<'a> {
    fragments: &'a HashMap<Name, Positioned<FragmentDefinition>>,
    /// `None` while a fragment is being weighed: meeting it again then is a cycle.
    weighed: HashMap<&'a Name, Option<Weight>>,
}

impl<'a> Scales<'a> {
    fn operation(&mut self, operation: &'a Positioned<OperationDefinition>) -> Result<Weight, Exceeded> {
        self.selections(&operation.node.selection_set.node)
    }

    fn fragment(&mut self, name: &'a Name) -> Result<Weight, Exceeded> {
        match self.weighed.get(name) {
            Some(Some(weight)) => return Ok(*weight),
            Some(None) => return Err(Exceeded::FragmentCycle(name.to_string())),
            None => {}
        }
        // What is not defined weighs nothing; validation names it.
        let Some(fragment) = self.fragments.get(name) else {
            return Ok(Weight::default());
        };
        self.weighed.insert(name, None);
        let weight = self.selections(&fragment.node.selection_set.node)?;
        self.weighed.insert(name, Some(weight));
        Ok(weight)
    }

    fn selections(&mut self, set: &'a SelectionSet) -> Result<Weight, Exceeded> {
        let mut total = Weight::default();
        for selection in &set.items {
            let weight = match &selection.node {
                Selection::FragmentSpread(spread) => self.fragment(&spread.node.fragment_name.node)?,
                Selection::InlineFragment(inline) => self.selections(&inline.node.selection_set.node)?,
                Selection::Field(field) => {
                    let mut weight = self.selections(&field.node.selection_set.node)?;
                    let name = field.node.name.node.as_str();
                    weight.depth += 1;
                    weight.complexity = weight.complexity.saturating_add(1);
                    weight.aliases = weight.aliases.saturating_add(usize::from(field.node.alias.is_some()));
                    weight.introspection_lists += usize::from(INTROSPECTION_LISTS.contains(&name));
                    weight.actions = weight.actions.saturating_add(usize::from(name == "aiAction"));
                    weight
                }
            };
            total.add(weight);
        }
        Ok(total)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    const BOUNDS: Bounds = Bounds { depth: 20, complexity: 250, aliases: 32 };

    fn checked(text: &str) -> Result<(), Exceeded> {
        check_text(text, 10_000, 20)?;
        check(&parse_query(text).unwrap(), &BOUNDS)
    }

    fn nested(depth: usize) -> String {
        format!("{}a{}", "{a".repeat(depth - 1).replacen("{a", "{ a ", 1) + "{", "}".repeat(depth))
    }

    #[test]
    fn twenty_levels_are_allowed_and_not_one_more() {
        assert_eq!(checked(&nested(20)), Ok(()));
        assert_eq!(checked(&nested(21)), Err(Exceeded::Depth(20)));
    }

    #[test]
    fn fields_are_counted_where_a_fragment_is_used_not_where_it_is_written() {
        let fields: String = (0..124).map(|n| format!("f{n} ")).collect();
        let document = |uses: &str| format!("query {{ {uses} }} fragment F on Query {{ {fields} }}");
        assert_eq!(checked(&document("...F ...F")), Ok(()));
        assert_eq!(checked(&document("...F ...F a b c")), Err(Exceeded::Complexity(250)));
    }

    #[test]
    fn aliases_are_counted_through_fragments() {
        let aliases: String = (0..16).map(|n| format!("a{n}: x ")).collect();
        let document = |uses: &str| format!("{{ {uses} }} fragment F on Query {{ {aliases} }}");
        assert_eq!(checked(&document("...F ... on Query { ...F }")), Ok(()));
        assert_eq!(checked(&document("...F ...F one: x")), Err(Exceeded::Aliases(32)));
    }

    #[test]
    fn a_document_that_unfolds_exponentially_is_refused_at_once() {
        let fragments: String =
            (0..200).map(|n| format!("fragment F{n} on Q{{...F{0} ...F{0}}}", n + 1)).collect();
        let text = format!("{{...F0}} {fragments} fragment F200 on Q{{a}}");
        assert_eq!(checked(&text), Err(Exceeded::Complexity(250)));
    }

    #[test]
    fn a_fragment_that_contains_itself_is_refused_by_name() {
        let text = "{...A} fragment A on Q{...B ...B} fragment B on Q{...A ...A}";
        assert!(matches!(checked(text), Err(Exceeded::FragmentCycle(_))));
    }

    #[test]
    fn two_actions_in_one_operation_are_refused_however_they_are_written() {
        let action = r#"aiAction(input: {chat: {content: "a"}}) { requestId }"#;
        assert_eq!(checked(&format!("mutation {{ {action} }}")), Ok(()));
        assert_eq!(checked(&format!("mutation {{ {action} b: {action} }}")), Err(Exceeded::Actions));
        let fragment = format!("mutation {{ ...F ...F }} fragment F on Mutation {{ {action} }}");
        assert_eq!(checked(&fragment), Err(Exceeded::Actions));
    }

    #[test]
    fn the_introspection_query_of_graphql_js_passes() {
        assert_eq!(checked(include_str!("introspection_query.graphql")), Ok(()));
    }

    #[test]
    fn introspection_that_multiplies_is_refused() {
        let text = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
        assert_eq!(checked(text), Err(Exceeded::Introspection));
    }

    #[test]
    fn a_document_of_brackets_is_refused_unparsed() {
        for bracket in ["{", "[", "{a(b:[", "\"{", "\"\"\"[\"\"\" [", "#\n[", "\"\\n[", "\"\" ["] {
            assert!(check_text(&bracket.repeat(1_500), 10_000, 20).is_err(), "{bracket}");
        }
    }

    #[test]
    fn brackets_within_texts_and_comments_do_not_matter() {
        let code = "{[(".repeat(100);
        for text in [
            format!("{{ a(b: \"{code}\\\"{code}\") # {code}\n }}"),
            format!("{{ a(b: \"\"\"\"{code}\n\\\"\"\"{code}\"\"\") }}"),
        ] {
            assert_eq!(check_text(&text, 10_000, 20), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_length_is_counted_in_characters() {
        assert_eq!(check_text(&"ä".repeat(10_000), 10_000, 20), Ok(()));
        assert_eq!(check_text(&"ä".repeat(10_001), 10_000, 20), Err(Exceeded::Characters(10_001, 10_000)));
    }
}
