//! The examples on the page about clients are run as they stand there.

use std::path::Path;

use duologue_harness::{fake_provider::Signal, proxy::Passage};
use rstest::rstest;

use super::{
    folder::Folder,
    stage::{PIECES, Stage, until},
};

/// How a subscription is known that stands.
const STANDS: &str = "\"subscribed\":true";

const QUESTION: &str = "How do I add a new AI action?";

/// The blocks of the page that have a file's name behind their language, with that name.
fn files() -> Vec<(String, String)> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md")).unwrap();
    let blocks = page.split("\n```").skip(1).step_by(2).filter_map(|block| {
        let (info, text) = block.split_once('\n')?;
        let (_, name) = info.split_once(' ')?;
        Some((name.to_owned(), format!("{text}\n")))
    });
    blocks.collect()
}

/// What an example prints: the question, each piece, and all of them.
fn expected() -> String {
    let pieces: String =
        (1..).zip(PIECES).map(|(number, piece)| format!("ASSISTANT {number} {piece}\n")).collect();
    format!("USER whole {QUESTION}\n{pieces}ASSISTANT whole {}\n", PIECES.concat())
}

#[rstest]
#[tokio::test]
#[ignore = "needs npm and pip: run make test"]
async fn an_example_of_the_page_prints_the_question_each_chunk_and_the_whole_answer(
    #[values(
        "graphql-ws.js",
        "apollo.js",
        "urql.js",
        "relay.js",
        "actioncable.js",
        "anycable.js",
        "answer.py"
    )]
    example: &str,
) {
    let signal = Signal::default();
    let stage = Stage::set_waiting(&signal, 3).await;
    let proxy = stage.proxy(Passage::default()).await;
    let folder = Folder::new().unwrap();
    for (name, text) in files() {
        folder.write(&name, &text).unwrap();
    }
    if example == "relay.js" {
        folder.compile_for_relay().await.unwrap();
    }
    let subscribed = async {
        until(|| proxy.passed(STANDS) > 0).await;
        signal.give();
    };
    let url = format!("http://{}/api/graphql", proxy.address());
    let variables = [("DUOLOGUE_URL", url.as_str())];
    let (said, ()) = tokio::join!(run(&folder, example, &variables), subscribed);
    assert_eq!(said, expected());
}

async fn run(folder: &Folder, example: &str, variables: &[(&str, &str)]) -> String {
    match example {
        "answer.py" => folder.python(example, variables).await,
        "actioncable.js" => folder.node_as_a_page(example, variables).await,
        _ => folder.node(example, variables).await,
    }
}

#[test]
fn every_file_on_the_page_is_an_example_or_needed_by_one() {
    let mut names: Vec<_> = files().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    let expected = [
        "actioncable.js",
        "answer.py",
        "anycable.js",
        "apollo.js",
        "graphql-ws.js",
        "relay.config.json",
        "relay.js",
        "shared.js",
        "shared.py",
        "urql.js",
    ];
    assert_eq!(names, expected);
    for (name, text) in files().iter().filter(|(name, _)| !name.starts_with("shared")) {
        assert!(text.lines().count() <= 10, "{name} is longer than ten lines");
    }
}
