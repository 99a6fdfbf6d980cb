use duologue_actors::protocol::GlobalId;
use rstest::rstest;
use serde_json::json;

use super::*;

fn field(name: &str, required: bool, kind: &str, type_name: &str) -> Value {
    let inner = json!({ "kind": kind, "name": type_name, "ofType": null });
    let outer = json!({ "kind": "NON_NULL", "name": null, "ofType": inner });
    json!({ "name": name, "type": if required { outer } else { inner } })
}

fn action(name: &str, fields: &[Value]) -> Value {
    json!({ "name": name, "type": { "kind": "INPUT_OBJECT", "inputFields": fields } })
}

fn forms() -> Vec<ActionForm> {
    let fields = [
        action(
            "chat",
            &[field("content", true, "SCALAR", "String"), field("resourceId", false, "SCALAR", "AiModelID")],
        ),
        action("summarizeComments", &[field("resourceId", true, "SCALAR", "AiModelID")]),
        action(
            "explainCode",
            &[field("resourceId", false, "SCALAR", "AiModelID"), field("code", true, "SCALAR", "String")],
        ),
        action("ping", &[]),
        action(
            "compare",
            &[
                field("left", true, "SCALAR", "String"),
                field("right", true, "SCALAR", "String"),
                field("limit", false, "SCALAR", "Int"),
                field("mode", false, "ENUM", "Mode"),
                field("files", false, "LIST", ""),
            ],
        ),
        json!({ "name": "clientSubscriptionId", "type": { "kind": "SCALAR", "inputFields": null } }),
    ];
    read(&json!({ "__type": { "inputFields": fields } }))
}

fn filled(
    action: &str,
    question: Option<&str>,
    resource: Option<&str>,
    inputs: &[(&str, &str)],
) -> Result<Value, String> {
    let resource = resource.map(|resource| resource.parse::<GlobalId>().unwrap());
    let inputs: Vec<_> = inputs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let answers = Answers { action, question, resource: resource.as_ref(), inputs: &inputs };
    fill(&answers, &forms()).map(Value::from).map_err(|error| error.to_string())
}

const ISSUE: Option<&str> = Some("gid://gitlab/Issue/52");

#[test]
fn only_fields_that_are_objects_are_actions() {
    let names: Vec<String> = forms().into_iter().map(|form| form.name).collect();
    assert_eq!(names, ["chat", "summarizeComments", "explainCode", "ping", "compare"]);
}

#[test]
fn a_schema_without_the_type_has_no_actions() {
    assert!(read(&json!({ "__type": null })).is_empty());
}

#[test]
fn the_question_goes_to_the_required_text() {
    assert_eq!(filled("chat", Some("why?"), None, &[]).unwrap(), json!({ "chat": { "content": "why?" } }));
    let explained = filled("explain_code", Some("let x;"), None, &[]).unwrap();
    assert_eq!(explained, json!({ "explainCode": { "code": "let x;" } }));
}

#[test]
fn either_spelling_of_a_name_will_do() {
    let expected = json!({ "summarizeComments": { "resourceId": "gid://gitlab/Issue/52" } });
    assert_eq!(filled("summarize_comments", None, ISSUE, &[]).unwrap(), expected);
    assert_eq!(
        filled("summarizeComments", None, None, &[("resource_id", ISSUE.unwrap())]).unwrap(),
        expected
    );
}

#[test]
fn inputs_are_written_as_their_types_want_them() {
    let inputs = [("left", "1"), ("right", "b"), ("limit", "3"), ("mode", "FAST"), ("files", "[\"a\"]")];
    let expected =
        json!({ "compare": { "left": "1", "right": "b", "limit": 3, "mode": "FAST", "files": ["a"] } });
    assert_eq!(filled("compare", None, None, &inputs).unwrap(), expected);
}

#[test]
fn a_question_fills_the_one_text_that_is_left() {
    let expected = json!({ "compare": { "left": "a", "right": "why?" } });
    assert_eq!(filled("compare", Some("why?"), None, &[("left", "a")]).unwrap(), expected);
}

#[rstest]
#[case("chatt", Some("why?"), None, &[], "there is no action \"chatt\"; there are chat, summarize_comments, explain_code, ping, compare")]
#[case("chat", None, None, &[], "chat needs a question, which is its content: duologue ask \"...\"")]
#[case("chat", Some("why?"), None, &[("colour", "red")], "chat has no input \"colour\"; its inputs are content, resource_id")]
#[case("ping", Some("why?"), None, &[], "ping takes no question; it has none")]
#[case("summarize_comments", Some("why?"), ISSUE, &[], "summarize_comments takes no question; its inputs are resource_id")]
#[case("summarize_comments", None, None, &[], "summarize_comments needs a resource: --resource gid://gitlab/Issue/52")]
#[case("ping", None, ISSUE, &[], "ping takes no resource")]
#[case("compare", Some("why?"), None, &[], "compare takes several texts; name each with --input: left, right")]
#[case("compare", None, None, &[], "compare takes several texts; name each with --input: left, right")]
#[case("compare", None, None, &[("limit", "many")], "--input limit must be JSON, such as 3, true or {\"a\": 1}")]
fn what_does_not_fit_is_said_with_its_mend(
    #[case] action: &str,
    #[case] question: Option<&str>,
    #[case] resource: Option<&str>,
    #[case] inputs: &[(&str, &str)],
    #[case] reason: &str,
) {
    assert_eq!(filled(action, question, resource, inputs).unwrap_err(), reason);
}
