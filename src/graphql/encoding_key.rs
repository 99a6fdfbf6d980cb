//! What an event looks like to a subscription, as a name: two subscriptions with the same name are sent the same bytes.
//!
//! That is the document, the operation that is selected, and those variables that what is shown depends on. Which
//! events a subscription gets is no part of that: readers who have come differently far share one encoding.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    hash::{DefaultHasher, Hash, Hasher},
};

use async_graphql::{
    Name, Positioned, Value,
    parser::types::{Directive, ExecutableDocument, Selection, SelectionSet},
};

use super::GraphqlRequest;

/// The key of a request whose document, with the fragments on its root put in their places, is this one. 128 bits of
/// SipHash: a collision could only ever mix up two documents of the same user.
pub(super) fn of(request: &GraphqlRequest, document: &ExecutableDocument) -> String {
    let variables = shown(request, document);
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &request.query, &request.operation_name, &variables).hash(&mut hasher);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}

/// The variables that what is shown depends on, with their values.
fn shown(request: &GraphqlRequest, document: &ExecutableDocument) -> String {
    let mut names = BTreeSet::new();
    for (_, operation) in document.operations.iter() {
        for root in &operation.node.selection_set.node.items {
            of_directives(root.node.directives(), &mut names);
            match &root.node {
                // Its arguments say what is subscribed to.
                Selection::Field(field) => of_selections(&field.node.selection_set.node, &mut names),
                other => of_selection(other, &mut names),
            }
        }
    }
    for fragment in document.fragments.values() {
        of_directives(&fragment.node.directives, &mut names);
        of_selections(&fragment.node.selection_set.node, &mut names);
    }
    let given = request.variables.iter().flatten().filter(|(name, _)| names.contains(name.as_str()));
    serde_json::Value::from_iter(given.map(|(name, value)| (name.clone(), value.clone()))).to_string()
}

type Names = BTreeSet<Name>;

fn of_selections(selections: &SelectionSet, names: &mut Names) {
    selections.items.iter().for_each(|selection| of_selection(&selection.node, names));
}

fn of_selection(selection: &Selection, names: &mut Names) {
    of_directives(selection.directives(), names);
    match selection {
        Selection::Field(field) => {
            for (_, value) in &field.node.arguments {
                let Ok(_) = value.node.clone().into_const_with(noting(names));
            }
            of_selections(&field.node.selection_set.node, names);
        }
        Selection::InlineFragment(fragment) => of_selections(&fragment.node.selection_set.node, names),
        // Fragments are looked at by themselves.
        Selection::FragmentSpread(_) => {}
    }
}

fn of_directives(directives: &[Positioned<Directive>], names: &mut Names) {
    for (_, value) in directives.iter().flat_map(|directive| &directive.node.arguments) {
        let Ok(_) = value.node.clone().into_const_with(noting(names));
    }
}

/// Notes each variable in a value, also inside of lists and objects.
fn noting(names: &mut Names) -> impl FnMut(Name) -> Result<Value, Infallible> {
    |name| {
        names.insert(name);
        Ok(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::{Value, json};

    use super::*;
    use crate::graphql::root_fragments;

    const QUERY: &str =
        "subscription s($after: String, $html: Boolean = true, $page: String, $deep: Boolean = false) {
        aiCompletionResponse(clientSubscriptionId: $page, after: $after) {
            content ...Html ... on AiMessage @skip(if: $deep) { chunkId }
        }
    }
    fragment Html on AiMessage { contentHtml @include(if: $html) }";

    fn key(query: &str, variables: Value) -> String {
        let mut document = parse_query(query).unwrap();
        root_fragments::inline(&mut document);
        let request = GraphqlRequest {
            query: query.to_owned(),
            operation_name: None,
            variables: variables.as_object().cloned(),
            extensions: None,
            idempotency_key: None,
            inline: false,
        };
        of(&request, &document)
    }

    #[rstest::rstest]
    #[case::further_on(json!({"page": "C", "after": "5b1f"}))]
    #[case::another_page(json!({"page": "D"}))]
    #[case::one_that_is_not_used(json!({"page": "C", "other": 1}))]
    fn what_is_subscribed_to_is_no_difference(#[case] variables: Value) {
        assert_eq!(key(QUERY, json!({"page": "C"})), key(QUERY, variables));
        let in_a_fragment = format!(
            "subscription ($page: String) {{ ...Root }} fragment Root on Subscription {}",
            "{ aiCompletionResponse(clientSubscriptionId: $page) { content } }"
        );
        assert_eq!(key(&in_a_fragment, json!({"page": "C"})), key(&in_a_fragment, json!({"page": "D"})));
    }

    #[rstest::rstest]
    #[case::in_a_fragment(json!({"html": false}))]
    #[case::in_an_inline_fragment(json!({"deep": true}))]
    fn what_is_shown_is_one(#[case] variables: Value) {
        assert_ne!(key(QUERY, json!({})), key(QUERY, variables));
    }

    #[test]
    fn another_document_or_operation_is_another_key() {
        assert_ne!(
            key(QUERY, json!({})),
            key("subscription { aiCompletionResponse { content } }", json!({}))
        );
    }
}
