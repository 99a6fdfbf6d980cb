//! What the embedded provider answers to the prompts it will see.

use std::collections::BTreeMap;

use duologue_actors::{
    ports::Turn,
    protocol::{RequestId, Role, UserId},
};
use minijinja::{Environment, Value};
use proptest::prelude::*;

use super::*;
use crate::{config::Config, env_file};

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
        user: UserId(2),
        unit_primitive: "duo_chat".to_owned(),
        enabled_flags: Vec::new(),
        system: "Never quoted.".to_owned(),
        turns,
        kept: None,
        max_output_tokens: 4_096,
    };
    let config = Config::from_layers(None, &env_file::Environment::default()).unwrap();
    provider.stream(&config.models["embedded"], call.into()).map(Result::unwrap).collect().await
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

/// With the documentation that is shipped.
fn bundled() -> Extractive {
    Extractive::new(crate::builtin::list("docs").into_iter().map(|path| {
        let text = crate::builtin::read(&path).unwrap();
        (path, text)
    }))
}

#[rstest::rstest]
#[case("How do I add a new AI action?", "docs/actions.md#add-a-new-ai-action")]
#[case("How do I switch a feature on?", "docs/configuration.md#how-do-i-switch-a-feature-on")]
#[case(
    "Where does my answer go if I subscribe late?",
    "docs/delivery.md#subscribe-late-where-does-my-answer-go"
)]
#[case("What is clientSubscriptionId for?", "docs/clients.md#what-is-clientsubscriptionid-for")]
fn the_bundled_documentation_answers(#[case] question: &str, #[case] passage: &str) {
    let answer = bundled().answer(question);
    assert_eq!(answer.split(['(', ')']).nth(1), Some(passage), "{answer}");
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
    assert!(answer.contains("Nothing here uses these words; Duologue's own documentation does:"), "{answer}");
    assert!(answer.contains("docs/actions.md#remove-an-action"), "{answer}");
}

#[test]
fn a_page_that_uses_the_words_goes_before_the_documentation_which_is_only_referred_to() {
    let answer = provider().answer(&format!("{DISCUSSION}How is an action for the export added?"));
    assert!(
        answer.contains("The export of large reports times out after 60 seconds. — description"),
        "{answer}"
    );
    assert!(
        answer.contains("documentation has: Actions › Add an AI action (docs/actions.md#add-an-ai-action)"),
        "{answer}"
    );
    assert!(!answer.contains("```"), "{answer}");
}

#[test]
fn a_question_the_page_has_no_word_of_gets_its_overview_and_never_a_foreign_text() {
    let answer = provider().answer(&format!("{DISCUSSION}Where does the server start its database?"));
    let honest = "Nothing here uses these words; what the discussion says:\n\n**Export times out**";
    assert!(answer.contains(honest), "{answer}");
    assert!(answer.contains("the decision is cursor pagination"), "{answer}");
    assert!(!answer.contains("docs/"), "{answer}");
}

#[test]
fn a_page_of_nothing_but_a_title_is_not_answered_from_the_documentation_either() {
    let page = "<resource><title>Export</title><description></description></resource>";
    let about_the_page = provider().answer(&format!("{page}Which server and which files?"));
    assert!(about_the_page.contains("Nothing I can quote answers this"), "{about_the_page}");
    let about_duologue = provider().answer(&format!("{page}How do I add an AI action?"));
    assert!(about_duologue.contains("docs/actions.md#add-an-ai-action"), "{about_duologue}");
}

const CODE: &str = "<code>// keeps order\nfoo() { console.log() }</code>Explain this code.";

#[test]
fn code_is_described_by_its_names_and_comments_and_nothing_beside_it_is_passed_off_as_its_explanation() {
    let answer = provider().answer(&format!("{DISCUSSION}{CODE}"));
    assert!(answer.contains("The code defines or calls `foo`, `console.log`."), "{answer}");
    assert!(answer.contains("keeps order"), "{answer}");
    assert!(answer.contains("Explaining what code does takes a model."), "{answer}");
    assert!(!answer.contains("\n- "), "{answer}");
}

#[test]
fn what_the_text_beside_code_says_in_the_same_words_is_quoted() {
    let answer =
        provider().answer(&format!("{DISCUSSION}<code>paginate(rows, cursor)</code>Explain this code."));
    assert!(answer.contains("**Export times out**\n\n- We could use cursor pagination"), "{answer}");
    assert!(!answer.contains("lunch") && !answer.contains("60 seconds"), "{answer}");
}

#[test]
fn a_summary_is_of_the_discussion_even_where_code_is_selected() {
    let answer = provider().answer(&format!("{DISCUSSION}<code>foo()</code>Summarize this discussion."));
    assert!(answer.contains("the decision is cursor pagination. — Grace Mbeki"), "{answer}");
}

#[test]
fn notes_come_first_however_short_they_are() {
    let prompt = format!("{DISCUSSION}<notes>slow export fix</notes>Write the description.");
    let answer = provider().answer(&prompt);
    assert!(answer.contains("**Export times out**\n\n- slow export fix — notes\n\n- "), "{answer}");
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
    assert_eq!(events.last(), Some(&ModelEvent::Finished(StopReason::Complete)));
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
#[case("explain_code", &["`foo`, `console.log`", "takes a model"])]
#[case("generate_description", &["- Exports time out; use cursor pagination. — notes", "— description"])]
#[case("chat: What was decided?", &["that is the decision then: cursor pagination", "— Priya Raman"])]
#[case("chat: When will it be done?", &["by Thursday, 7 May.", "out by 29 May"])]
#[tokio::test]
async fn a_shipped_action_on_the_demo_gets_a_useful_extract(#[case] action: &str, #[case] expected: &[&str]) {
    let (action, question) =
        action.split_once(": ").unwrap_or((action, "Exports time out; use cursor pagination."));
    let answer = bundled().answer(&rendered(action, question).await);
    assert!(!answer.contains("docs/"), "{answer}");
    for text in expected {
        assert!(answer.contains(text), "{text} is not in:\n{answer}");
    }
}

async fn rendered(action: &str, content: &str) -> String {
    use duologue_actors::ports::{Caller, Directory};
    let directory = crate::directory::FileDirectory::demo();
    let user = directory.user(duologue_actors::protocol::UserId(2)).await.unwrap().unwrap();
    let caller = Caller { user, credentials: None };
    let id = duologue_actors::protocol::GlobalId::of("Issue", 52).into();
    let resource = directory.resource(&caller, &id).await.unwrap().unwrap().resource;
    let catalogue = crate::catalogue::tests::shipped();
    let action = catalogue.get(action).unwrap();
    let duologue_actors::prompt::PromptText::Written(prompt) = &action.prompt.default.text else {
        panic!("the text is not in the catalogue");
    };

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
        ("content", text(content)),
        ("description_template_name", Value::from(())),
    ]);
    Environment::new().render_str(prompt.user(), map(vec![("resource", resource), ("input", input)])).unwrap()
}

fn joined(events: &[ModelEvent]) -> String {
    let content = |event: &ModelEvent| match event {
        ModelEvent::Content(text) => text.clone(),
        ModelEvent::Finished(_) | ModelEvent::Usage(_) => String::new(),
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
