//! The schema, and what is wrong with documents that do not fit it.

use super::*;

#[actix_web::test]
async fn the_schema_is_as_published() {
    let test = start(world());
    insta::assert_snapshot!("schema", test.edge.graphql.sdl());
}

#[actix_web::test]
async fn an_action_of_the_catalogue_is_in_the_schema_without_more() {
    let mut world = world();
    let mut action = duologue_actors::action::Action::clone(&duologue_actors::testing::an_action(
        "amazing_new_ai_feature",
    ));
    action.input = vec![duologue_actors::action::InputField {
        name: "user_input".to_owned(),
        type_name: "String!".to_owned(),
        max_length: None,
        allow_blank: true,
    }];
    world.actions.push(Arc::new(action));
    let sdl = start(world).edge.graphql.sdl();
    for part in
        ["amazingNewAiFeature: AiAmazingNewAiFeatureInput", "userInput: String!", "AMAZING_NEW_AI_FEATURE"]
    {
        assert!(sdl.contains(part), "{part} is not in {sdl}");
    }
}

#[actix_web::test]
async fn a_catalogue_that_does_not_fit_a_schema_is_refused() {
    let test = start(world());
    let mut action =
        duologue_actors::action::Action::clone(&duologue_actors::testing::an_action("platform_origin"));
    action.input.clear();
    let parts = GraphqlParts {
        entrance: test.edge.entrance.clone(),
        catalogue: Arc::new(Catalogue::new(vec![action])),
        flags: test.world.flags.clone(),
        admission: test.edge.admission.clone(),
        config: GraphqlConfig::clone(&test.edge.graphql.parts.config),
        advertised_version: String::new(),
        needs_token: true,
        allows_inline: false,
    };
    assert!(matches!(Graphql::new(parts), Err(BuildError::Catalogue(_))));
}

#[actix_web::test]
async fn what_is_wrong_with_a_document_has_the_code_gitlabs_clients_probe_for() {
    let test = start(world());
    let documents = [
        "{ currentUser { id(full: true) } }",
        "mutation { aiAction(input: {chat: {content: \"a\"}, speed: 9}) { requestId } }",
        "{ nothing }",
        "{ metadata { featureFlags { name } } }",
        "{ currentUser }",
        "{ currentUser { id { a } } }",
        "{ metadata { version @upside } }",
        "query @skip(if: true) { metadata { version } }",
        "{ currentUser { ...F } }",
        "fragment F on CurrentUser { id } { currentUser { username } }",
        "fragment F on Nobody { id } { currentUser { ...F } }",
        "fragment F on Metadata { version } { currentUser { ...F } }",
        "fragment F on CurrentUser { ...F } { currentUser { ...F } }",
        "query($a: Nothing) { aiMessages(before: $a) { nodes { id } } }",
        "{ aiMessages(first: $a) { nodes { id } } }",
        "query($a: Int) { metadata { version } }",
        "{ a: currentUser { id } a: metadata { version } }",
        "{ aiMessages(first: \"two\") { nodes { id } } }",
        "{ aiMessages(first: 1, first: 2) { nodes { id } } }",
        "{ aiMessages(roles: [NOBODY]) { nodes { id } } }",
        "{ aiMessages(first: -1) { nodes { id } } }",
        "subscription { aiCompletionResponse { id } }",
        "{",
        "",
        "query A { metadata { version } } query B { metadata { version } }",
    ];
    let mut lines = Vec::new();
    for document in documents {
        lines.push(format!("{document}\n    {}", error_of(&test, "alice", document).await));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
{ currentUser { id(full: true) } }
    Unknown argument "full" on field "id" of type "CurrentUser". [argumentNotAccepted]
mutation { aiAction(input: {chat: {content: "a"}, speed: 9}) { requestId } }
    Invalid value for argument "input", unknown field "speed" of type "AiActionInput" [argumentNotAccepted]
{ nothing }
    Unknown field "nothing" on type "Query". [undefinedField]
{ metadata { featureFlags { name } } }
    Field "featureFlags" argument "names" of type "Metadata" is required but not provided [missingRequiredArguments]
{ currentUser }
    Field "currentUser" of type "CurrentUser" must have a selection of subfields [selectionMismatch]
{ currentUser { id { a } } }
    Field "id" must not have a selection since type "UserID" has no subfields [selectionMismatch]
{ metadata { version @upside } }
    Unknown directive "upside" [undefinedDirective]
query @skip(if: true) { metadata { version } }
    Directive "skip" may not be used on "QUERY" [directiveCannotBeApplied]
{ currentUser { ...F } }
    Unknown fragment: "F" [useAndDefineFragment]
fragment F on CurrentUser { id } { currentUser { username } }
    Fragment "F" is never used [useAndDefineFragment]
fragment F on Nobody { id } { currentUser { ...F } }
    Unknown type "Nobody" [undefinedType]
fragment F on Metadata { version } { currentUser { ...F } }
    Fragment "F" cannot be spread here as objects of type "CurrentUser" can never be of type "Metadata" [cannotSpreadFragment]
fragment F on CurrentUser { ...F } { currentUser { ...F } }
    Fragment "F" contains itself [infiniteLoop]
query($a: Nothing) { aiMessages(before: $a) { nodes { id } } }
    Unknown type "Nothing" [undefinedType]
{ aiMessages(first: $a) { nodes { id } } }
    Variable "$a" is not defined [variableNotDefined]
query($a: Int) { metadata { version } }
    Variable "$a" is not used [variableNotUsed]
{ a: currentUser { id } a: metadata { version } }
    Fields "a" conflict because "currentUser" and "metadata" are different fields. Use different aliases on the fields to fetch both if this was intentional. [fieldConflict]
{ aiMessages(first: "two") { nodes { id } } }
    Invalid value for argument "first", expected type "Int" [argumentLiteralsIncompatible]
{ aiMessages(first: 1, first: 2) { nodes { id } } }
    There can only be one argument named "first" [argumentNotUnique]
{ aiMessages(roles: [NOBODY]) { nodes { id } } }
    Invalid value for argument "roles.0", enumeration type "AiMessageRole" does not contain the value "NOBODY" [argumentLiteralsIncompatible]
{ aiMessages(first: -1) { nodes { id } } }
    first can't be negative [invalid_input]
subscription { aiCompletionResponse { id } }
    Subscriptions are not supported on this transport. [transportNotSupported]
{
    Syntax error: expected selection [parseError]

    Syntax error: expected executable_definition [parseError]
query A { metadata { version } } query B { metadata { version } }
    Operation name required in request. [operationNameRequired]
"#);
}

#[actix_web::test]
async fn the_introspection_query_of_graphql_js_is_answered() {
    let test = start(world());
    let query = include_str!("../introspection_query.graphql");
    let body = body(&test, "", query).await;
    assert_eq!(body.get("errors"), None);
    assert_eq!(body["data"]["__schema"]["mutationType"]["name"], json!("Mutation"));
}

#[actix_web::test]
async fn the_kind_of_an_operation_is_known_before_it_runs() {
    let graphql = start(world()).edge.graphql;
    let two = "query A { metadata { version } } mutation B { aiCancel(requestId: 1) { errors } }";
    let named =
        |name: &str| GraphqlRequest { operation_name: Some(name.to_owned()), ..request(two, json!({})) };
    assert_eq!(graphql.operation(&named("A")).unwrap(), OperationType::Query);
    assert_eq!(graphql.operation(&named("B")).unwrap(), OperationType::Mutation);
    assert!(graphql.operation(&named("C")).is_err());
    assert!(graphql.operation(&request(two, json!({}))).is_err());
    assert_eq!(graphql.operation(&request(SUBSCRIBE, json!({}))).unwrap(), OperationType::Subscription);
}
