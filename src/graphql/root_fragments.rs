//! Fragments in a subscription itself: `subscription { ...Answer }`. The engine looks for a subscription's
//! field in the operation only, and would subscribe to nothing without a word. So such fragments are
//! replaced by what is in them before it sees the document.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::types::{
        Directive, DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition,
        OperationType, Selection, TypeCondition,
    },
};

use super::ai_completion_response::SUBSCRIPTION;

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

/// What a fragment on the root brings.
struct Inside<'d> {
    directives: &'d [Positioned<Directive>],
    selections: &'d [Positioned<Selection>],
}

/// Puts the fields of fragments on the root of subscriptions in their places. There must be no circle of
/// fragments; what is no fragment on that root is left for the engine to judge.
pub fn inline(document: &mut ExecutableDocument) {
    let fragments = &document.fragments;
    match &mut document.operations {
        DocumentOperations::Single(operation) => inline_into(&mut operation.node, fragments),
        DocumentOperations::Multiple(operations) => {
            operations.values_mut().for_each(|operation| inline_into(&mut operation.node, fragments));
        }
    }
    // The engine refuses a document with a fragment that is not used.
    document.fragments.retain(|_, fragment| !is_on_root(Some(&fragment.node.type_condition)));
}

fn inline_into(operation: &mut OperationDefinition, fragments: &Fragments) {
    if operation.ty == OperationType::Subscription {
        let items = std::mem::take(&mut operation.selection_set.node.items);
        put_fields(&mut operation.selection_set.node.items, &items, &[], fragments);
    }
}

/// Adds the fields of `selections` and of the fragments among them, each with the directives of the
/// fragments it is in. Two are enough: a subscription with more than one field is refused, and fragments
/// within fragments could come to more than there is memory.
fn put_fields(
    fields: &mut Vec<Positioned<Selection>>,
    selections: &[Positioned<Selection>],
    directives: &[Positioned<Directive>],
    fragments: &Fragments,
) {
    for selection in selections {
        if fields.len() > 1 {
            return;
        }
        match on_root(&selection.node, fragments) {
            Some(inside) => {
                let directives = [directives, inside.directives].concat();
                put_fields(fields, inside.selections, &directives, fragments);
            }
            None => fields.push(with_directives(selection.clone(), directives)),
        }
    }
}

/// The fragment on the root that is selected; `None` for everything else.
fn on_root<'d>(selection: &'d Selection, fragments: &'d Fragments) -> Option<Inside<'d>> {
    let (directives, condition, selection_set) = match selection {
        Selection::Field(_) => return None,
        Selection::FragmentSpread(spread) => {
            let fragment = &fragments.get(&spread.node.fragment_name.node)?.node;
            (&spread.node.directives, Some(&fragment.type_condition), &fragment.selection_set)
        }
        Selection::InlineFragment(fragment) => {
            let fragment = &fragment.node;
            (&fragment.directives, fragment.type_condition.as_ref(), &fragment.selection_set)
        }
    };
    is_on_root(condition).then_some(Inside { directives, selections: &selection_set.node.items })
}

fn with_directives(
    mut selection: Positioned<Selection>,
    directives: &[Positioned<Directive>],
) -> Positioned<Selection> {
    if let Selection::Field(field) = &mut selection.node {
        field.node.directives.extend_from_slice(directives);
    }
    selection
}

/// Whether a fragment on this type is one on the root of subscriptions; without a type it is on the type
/// around it.
fn is_on_root(condition: Option<&Positioned<TypeCondition>>) -> bool {
    condition.is_none_or(|condition| condition.node.on.node == SUBSCRIPTION)
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;

    use super::*;

    /// The root's fields by their names in the answer, and how many directives each has.
    fn root(text: &str) -> (Vec<(String, usize)>, usize) {
        let mut document = parse_query(text).unwrap();
        inline(&mut document);
        let (_, operation) = document.operations.iter().next().unwrap();
        let fields = operation.node.selection_set.node.items.iter().map(|selection| match &selection.node {
            Selection::Field(field) => {
                (field.node.response_key().node.to_string(), field.node.directives.len())
            }
            other => panic!("{other:?}"),
        });
        (fields.collect(), document.fragments.len())
    }

    #[rstest::rstest]
    #[case::a_field("subscription { a }", "a", 0)]
    #[case::a_spread("subscription { ...F } fragment F on Subscription { b: a }", "b", 0)]
    #[case::a_nested_one("subscription { ...F } fragment F on Subscription { ... { a } }", "a", 0)]
    #[case::with_directives(
        "subscription { ... @include(if: true) { ...F @skip(if: false) } } fragment F on Subscription { a }",
        "a",
        2
    )]
    fn a_field_is_found_wherever_it_is(#[case] text: &str, #[case] name: &str, #[case] directives: usize) {
        assert_eq!(root(text), (vec![(name.to_owned(), directives)], 0));
    }

    #[test]
    fn fragments_on_other_types_and_in_other_operations_stay() {
        let text = "{ ...F } fragment F on Query { a }";
        let mut document = parse_query(text).unwrap();
        inline(&mut document);
        assert_eq!(document.fragments.len(), 1);
        assert_eq!(root("subscription { a { ...F } } fragment F on AiMessage { id }").1, 1);
    }

    #[test]
    fn fragments_that_double_a_hundred_times_end() {
        let chain = (0..100).map(|n| format!("fragment F{n} on Subscription {{ ...F{0} ...F{0} }} ", n + 1));
        let text = format!(
            "subscription {{ ...F0 }} {} fragment F100 on Subscription {{ a }}",
            chain.collect::<String>()
        );
        assert_eq!(root(&text).0.len(), 2);
    }
}
