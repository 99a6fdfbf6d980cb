//! What the embedded provider answers to the prompts it will see.

use std::{collections::BTreeMap, path::Path};

use duologue_actors::{
    ports::Turn,
    protocol::{RequestId, Role},
};
use minijinja::{Environment, Value};
use proptest::prelude::*;

use super::*;

const PAGE: &str = "\
# Actions

An action is one file in the folder `catalogue/`. The server checks all files when it starts.

## Add an AI action

1. Write `catalogue/my_action.yaml` with a name, a feature flag and a prompt.
2. Run `duologue check`.

```yaml
name: my_action

feature_flag: my_action_flag
```

## Remove an action

Delete the file of the action and start the server again.

# Storage

The journal is a SQLite database below `storage.path`.
";

fn provider() -> Extractive {
    Extractive::new([("docs/actions.md".to_owned(), PAGE.to_owned())])
}

const DISCUSSION: &str = "\
<resource>
<title>Export times out</title>
<description>The export of large reports times out after 60 seconds.</description>
<comment>
<author>Priya Raman</author>
We could use cursor pagination for the export. I had a nice lunch on the roof today.
</comment>
<comment>
<author>Grace Mbeki</author>
Agreed, the decision is cursor pagination. I take it and it is out by Thursday, 7 May.
</comment>
</resource>

";

async fn stream(provider: &Extractive, turns: Vec<Turn>) -> Vec<ModelEvent> {
    let call = ModelCall {
        request_id: RequestId::new(),
        unit_primitive: "duo_chat".to_owned(),
        system: "Never quoted.".to_owned(),
        turns,
    };
    provider.stream(call).map(Result::unwrap).collect().await
}

fn turn(role: Role, content: &str) -> Turn {
    Turn { role, content: content.to_owned() }
}

#[test]
fn a_question_about_duologue_is_answered_from_the_documentation_with_the_code_whole() {
    let answer = provider().answer("How do I add a new AI action?");
    assert!(answer.starts_with("_No model is configured"), "{answer}");
    assert!(answer.contains("**Actions › Add an AI action** (docs/actions.md#add-an-ai-action)"), "{answer}");
    assert!(answer.contains("```yaml\nname: my_action\n\nfeature_flag: my_action_flag\n```"), "{answer}");
    assert!(!answer.contains("SQLite"), "{answer}");
}

#[test]
fn the_bundled_documentation_answers_how_an_action_is_added() {
    let pages = crate::builtin::list("docs").into_iter().map(|path| {
        let text = crate::builtin::read(&path).unwrap();
        (path, text)
    });
    let answer = Extractive::new(pages).answer("How do I add a new AI action?");
    assert!(answer.contains("(docs/") && answer.contains("catalogue/"), "{answer}");
}

#[test]
fn a_question_about_a_discussion_is_answered_from_it_with_the_names_of_those_who_said_it() {
    let answer = provider().answer(&format!("{DISCUSSION}When will the pagination be out?"));
    assert!(answer.contains("**Export times out**"), "{answer}");
    assert!(answer.contains("- Agreed, the decision is cursor pagination. — Grace Mbeki"), "{answer}");
    assert!(!answer.contains("lunch"), "{answer}");
}

#[test]
fn a_person_asked_about_is_quoted() {
    let answer = provider().answer(&format!("{DISCUSSION}What did Grace say?"));
    assert!(answer.contains("out by Thursday, 7 May. — Grace Mbeki"), "{answer}");
}

#[test]
fn a_summary_keeps_the_decision() {
    let answer = provider().answer(&format!("{DISCUSSION}Summarise this discussion."));
    assert!(answer.contains("the decision is cursor pagination. — Grace Mbeki"), "{answer}");
    assert!(answer.contains("— description"), "{answer}");
}

#[test]
fn a_question_about_duologue_on_a_page_about_something_else_is_answered_from_the_documentation() {
    let answer = provider().answer(&format!("{DISCUSSION}How do I remove an action?"));
    assert!(answer.contains("docs/actions.md#remove-an-action"), "{answer}");
}

#[test]
fn code_is_described_by_its_names_and_comments() {
    let prompt = "<resource><title>T</title></resource><code>// keeps order\nfoo() { console.log() }</code>Explain this code.";
    let answer = provider().answer(prompt);
    assert!(answer.contains("The code defines or calls `foo`, `console.log`."), "{answer}");
    assert!(answer.contains("keeps order"), "{answer}");
}

#[test]
fn what_cannot_be_answered_is_said_honestly() {
    for prompt in ["", "hi", "What is the capital of France?"] {
        let answer = provider().answer(prompt);
        assert!(answer.contains("Nothing I can quote answers this"), "{prompt}: {answer}");
    }
    let empty = provider().answer("<resource><title>T</title></resource><code></code>\nSummarize this.");
    assert!(empty.contains("Nothing I can quote") || empty.contains("no discussion"), "{empty}");
}

#[tokio::test]
async fn only_the_last_user_turn_is_answered_and_the_stream_ends_by_saying_so() {
    let turns = vec![
        turn(Role::User, "How do I remove an action?"),
        turn(Role::Assistant, "Delete it."),
        turn(Role::User, "How do I add an AI action?"),
    ];
    let events = stream(&provider(), turns).await;
    assert_eq!(events.last(), Some(&ModelEvent::Finished));
    assert!(events.len() > 5);
    assert_eq!(joined(&events), provider().answer("How do I add an AI action?"));
}

#[tokio::test]
async fn a_call_without_a_turn_is_answered_too() {
    assert!(joined(&stream(&provider(), Vec::new()).await).contains("Nothing I can quote"));
}

/// The shipped prompts and the demo's resources, together.
#[rstest::rstest]
#[case("summarize_comments", &["decision then: cursor pagination", "still open"])]
#[case("explain_code", &["`foo`, `console.log`"])]
#[case("generate_description", &["export"])]
#[tokio::test]
async fn a_shipped_action_on_the_demo_gets_a_useful_extract(#[case] action: &str, #[case] expected: &[&str]) {
    let answer = provider().answer(&rendered(action).await);
    for text in expected {
        assert!(answer.contains(text), "{text} is not in:\n{answer}");
    }
}

async fn rendered(action: &str) -> String {
    use duologue_actors::ports::{Caller, Directory};
    let directory = crate::directory::FileDirectory::load(Path::new("demo/directory.yaml")).unwrap();
    let user = directory.user(duologue_actors::protocol::UserId(2)).await.unwrap().unwrap();
    let caller = Caller { user, credentials: None };
    let id = "gid://gitlab/Issue/52".parse().unwrap();
    let resource = directory.resource(&caller, &id).await.unwrap().unwrap().resource;
    let catalogue = crate::catalogue::load(Path::new("catalogue"), &["default"]).unwrap();
    let template = catalogue.get(action).unwrap().prompt.text.user.clone();

    let text = |text: &str| Value::from(text.to_owned());
    let map = |entries: Vec<(&str, Value)>| -> Value {
        Value::from(
            entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>(),
        )
    };
    let comments: Vec<Value> = resource
        .comments
        .iter()
        .map(|comment| map(vec![("author", text(&comment.author)), ("text", text(&comment.text))]))
        .collect();
    let resource = map(vec![
        ("title", text(&resource.title)),
        ("description", text(&resource.description)),
        ("comments", Value::from(comments)),
    ]);
    let input = map(vec![
        ("code", text("foo() { console.log() }")),
        ("content", text("Exports time out; use cursor pagination.")),
        ("description_template_name", Value::from(())),
    ]);
    Environment::new().render_str(&template, map(vec![("resource", resource), ("input", input)])).unwrap()
}

fn joined(events: &[ModelEvent]) -> String {
    let content = |event: &ModelEvent| match event {
        ModelEvent::Content(text) => text.clone(),
        ModelEvent::Finished => String::new(),
    };
    events.iter().map(content).collect()
}

proptest! {
    #[test]
    fn deltas_together_are_the_whole_answer(answer in "(\\PC|\n|  ){0,120}") {
        prop_assert_eq!(deltas(&answer).concat(), answer);
    }

    #[test]
    fn any_prompt_gets_the_same_answer_twice_and_never_an_empty_one(
        prompt in "((<|</)(code|comment|author|title|notes)>|action|add|export|[.?(] |\\PC|\n){0,60}"
    ) {
        let (first, second) = (provider().answer(&prompt), provider().answer(&prompt));
        prop_assert!(first.lines().nth(2).is_some_and(|line| !line.trim().is_empty()), "{}", first);
        prop_assert_eq!(first, second);
    }
}
