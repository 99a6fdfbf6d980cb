//! Slash commands: answered without a model, and always to the end.

use serde_json::json;

use super::*;

async fn say(world: &World, tree: &Tree, content: &str) -> String {
    let mut ask = world.ask("alice", "chat");
    ask.input = json!({ "content": content }).as_object().cloned().unwrap();
    let mut stream = tree.entrance().stream(a_caller(ALICE).user, ask).await.unwrap();
    let mut last = None;
    while let Some(event) = stream.next().await {
        last = Some(event.unwrap());
    }
    let last = last.unwrap();
    assert_eq!((last.kind, &last.failure), (EventKind::Final, &None));
    last.message.content.clone()
}

async fn shown(tree: &Tree) -> Vec<String> {
    let messages = tree.entrance().messages(ALICE, ThreadChoice::Legacy).await.unwrap();
    slash_command::shown(messages).into_iter().map(|message| message.content).collect()
}

/// What the model was told in its last call.
fn told(world: &World) -> Vec<String> {
    let calls = world.models.calls();
    calls.last().unwrap().turns.iter().map(|turn| turn.content.clone()).collect()
}

#[actix::test]
async fn a_command_ends_without_a_model_and_is_in_the_journal_like_any_request() {
    let world = world();
    let tree = start(&world);
    let mut ask = world.ask("alice", "chat");
    ask.input = json!({ "content": "/help" }).as_object().cloned().unwrap();
    let request_id = {
        let gate = tree.entrance().ask(ask).await.unwrap();
        gate.request_id()
    };
    let ended = async {
        loop {
            if let Some(terminal) = world.store.ended(request_id) {
                break terminal;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let terminal = timeout(Duration::from_secs(1), ended).await.unwrap();
    let Outcome::Completed { content } = terminal.outcome else { panic!("{terminal:?}") };
    assert!(content.contains("/reset"), "{content}");
    assert!(world.models.calls().is_empty());
}

#[actix::test]
async fn after_reset_the_model_is_told_nothing_of_before_and_after_clear_nothing_is_shown() {
    let world = world();
    let tree = start(&world);
    say(&world, &tree, "one?").await;
    say(&world, &tree, "/help").await;
    say(&world, &tree, "two?").await;
    assert_eq!(told(&world), ["one?", "Hello world.", "two?"]);
    say(&world, &tree, "/reset").await;
    say(&world, &tree, "three?").await;
    assert_eq!(told(&world), ["three?"]);
    assert_eq!(shown(&tree).await.len(), 10);
    say(&world, &tree, "/clear").await;
    assert!(shown(&tree).await.is_empty());
    say(&world, &tree, "four?").await;
    assert_eq!(told(&world), ["four?"]);
    assert_eq!(shown(&tree).await, ["four?", "Hello world."]);
    assert_eq!(world.models.calls().len(), 4, "one for each question");
}

#[actix::test]
async fn an_unknown_command_is_a_question() {
    let world = world();
    let tree = start(&world);
    assert_eq!(say(&world, &tree, "/explain").await, "Hello world.");
    assert_eq!(told(&world), ["/explain"]);
}

#[actix::test]
async fn a_command_passes_the_checks_too() {
    let world = world();
    let tree = start(&world);
    let mut ask = world.ask("mallory", "chat");
    ask.input = json!({ "content": "/reset" }).as_object().cloned().unwrap();
    assert_eq!(
        tree.entrance().stream(a_caller(ALICE).user, ask).await.unwrap_err().failure.code,
        Code::Forbidden
    );
}
