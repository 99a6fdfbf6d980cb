//! `aiMessages`: the caller's own conversation, as a connection.

use serde_json::{Value, json};

use crate::support::{ALICE, ROOT, ask_to_the_end, chat, home, messages, start};

const PAGE: &str =
    "query page($first: Int, $last: Int, $after: String, $before: String, $roles: [AiMessageRole!]) {
  aiMessages(first: $first, last: $last, after: $after, before: $before, roles: $roles) {
    nodes { content role }
    edges { cursor node { requestId } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}";

#[tokio::test]
async fn clear_is_answered_and_leaves_an_empty_conversation() {
    let server = start().await;
    ask_to_the_end(&server, ALICE, chat("Who decided what?", None)).await;
    let request_id = ask_to_the_end(&server, ALICE, chat("/clear", None)).await;
    let client = server.graphql(ALICE).unwrap();
    assert!(messages(&client, None).await.is_empty());
    // A client that polls for the answer of its request finds it.
    let polled = messages(&client, Some(&[&request_id])).await;
    let polled: Vec<_> = polled.iter().map(|message| (&message["role"], &message["content"])).collect();
    let answer = (&json!("ASSISTANT"), &json!("The conversation is cleared."));
    assert_eq!(polled, [(&json!("USER"), &json!("/clear")), answer]);
}

#[tokio::test]
async fn the_conversation_can_be_paged_through_in_both_directions() {
    let server = start().await;
    let client = server.graphql(ALICE).unwrap();
    for question in ["one?", "two?", "three?"] {
        ask_to_the_end(&server, ALICE, chat(question, None)).await;
    }
    let page = async |variables: Value| {
        let reply = client.post(PAGE, variables).await.unwrap();
        let page = reply.at("/data/aiMessages");
        assert!(page.is_object(), "{}", reply.text);
        page
    };
    let contents = |page: &Value| -> Vec<String> {
        page["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| node["content"].as_str().unwrap().to_owned())
            .collect()
    };

    let whole = contents(&page(json!({})).await);
    assert_eq!(whole.len(), 6);
    assert_eq!([&whole[0], &whole[2], &whole[4]], ["one?", "two?", "three?"]);

    let mut forwards = Vec::new();
    let mut variables = json!({ "first": 4 });
    loop {
        let page = page(variables).await;
        forwards.extend(contents(&page));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        assert_eq!(page["edges"][3]["cursor"], page["pageInfo"]["endCursor"]);
        variables = json!({ "first": 4, "after": page["pageInfo"]["endCursor"] });
    }
    assert_eq!(forwards, whole);

    let last = page(json!({ "last": 2 })).await;
    assert_eq!(contents(&last), whole[4..]);
    assert_eq!(last["pageInfo"]["hasPreviousPage"], true);
    let before = page(json!({ "last": 2, "before": last["pageInfo"]["startCursor"] })).await;
    assert_eq!(contents(&before), whole[2..4]);

    let questions = contents(&page(json!({ "roles": ["USER"] })).await);
    assert_eq!(questions, ["one?", "two?", "three?"]);
}

#[tokio::test]
async fn whoever_pages_on_when_their_place_has_left_the_conversation_misses_nothing_that_is_there() {
    let mut home = home();
    home.set("conversation", "max_messages", 4).unwrap();
    let server = home.serve().await.unwrap();
    let client = server.graphql(ALICE).unwrap();
    ask_to_the_end(&server, ALICE, chat("one?", None)).await;
    let first = client.post(PAGE, json!({ "first": 1 })).await.unwrap();
    let place = first.at("/data/aiMessages/pageInfo/endCursor");
    for question in ["two?", "three?"] {
        ask_to_the_end(&server, ALICE, chat(question, None)).await;
    }
    let rest = client.post(PAGE, json!({ "after": place, "roles": ["USER"] })).await.unwrap();
    assert_eq!(rest.at("/data/aiMessages/nodes/0/content"), "two?", "{}", rest.text);
    assert_eq!(rest.at("/data/aiMessages/nodes/1/content"), "three?", "{}", rest.text);
    assert_eq!(rest.at("/data/aiMessages/pageInfo/hasPreviousPage"), false);

    let none = client.post(PAGE, json!({ "after": "yesterday" })).await.unwrap();
    assert_eq!(none.error_messages(), ["after is not a cursor of aiMessages"]);
}

#[tokio::test]
async fn a_conversation_is_its_owners_alone() {
    let server = start().await;
    let of_alice = ask_to_the_end(&server, ALICE, chat("Whose is this?", None)).await;
    let root = server.graphql(ROOT).unwrap();
    assert_eq!(messages(&root, None).await, [] as [Value; 0]);
    assert_eq!(messages(&root, Some(&[&of_alice])).await, [] as [Value; 0]);
    let nobody = server.anonymous().unwrap();
    assert_eq!(messages(&nobody, None).await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_last_50_messages_are_kept() {
    let server = start().await;
    for number in 0..26 {
        ask_to_the_end(&server, ALICE, chat(&format!("question {number}?"), None)).await;
    }
    let kept = messages(&server.graphql(ALICE).unwrap(), None).await;
    assert_eq!(kept.len(), 50);
    assert_eq!(kept[0]["content"], "question 1?");
}

#[tokio::test]
async fn a_repeated_question_is_asked_again() {
    let server = start().await;
    let first = ask_to_the_end(&server, ALICE, chat("How do I add a new AI action?", None)).await;
    let second = ask_to_the_end(&server, ALICE, chat("How do I add a new AI action?", None)).await;
    assert_ne!(first, second);
    assert_eq!(messages(&server.graphql(ALICE).unwrap(), None).await.len(), 4);
}
