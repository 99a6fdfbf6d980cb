//! Asking a server on a real loopback socket, with fakes behind its pipeline.

use std::{future::pending, sync::Arc};

use duologue_actors::testing::{FakeModels, MemoryStore, Script};
use serde_json::json;

use super::*;
use crate::{
    env_file::Environment,
    server::{
        bind,
        testing::{start, world},
    },
};

const SOON: Duration = Duration::from_secs(10);

struct Running {
    client: Client,
    models: Arc<FakeModels>,
    store: Arc<MemoryStore>,
    _tree: duologue_actors::supervisor::Tree,
}

/// A server whose model does what `script` says.
fn serve(script: Script) -> Running {
    let test = start(world());
    test.world.models.next_call(script);
    let mut config = Config::from_layers(None, &Environment::default()).unwrap().server;
    config.listen = "127.0.0.1:0".parse().unwrap();
    let server = bind(&config, test.edge).unwrap();
    let client = Client::new(server.address(), "alice").unwrap();
    // It ends with the test's system.
    drop(actix_rt::spawn(server.run_until(pending())));
    Running { client, models: test.world.models.clone(), store: test.world.store.clone(), _tree: test.tree }
}

fn question(json: bool) -> Question {
    Question {
        text: Some("why?".to_owned()),
        action: "chat".to_owned(),
        resource: None,
        inputs: Vec::new(),
        json,
        token: None,
    }
}

impl Running {
    fn asking<'q>(&self, question: &'q Question) -> Asking<'q> {
        let client = Client::new(self.client.address, &self.client.token).unwrap();
        Asking { client, question, patience: SOON, interrupted: CancellationToken::new() }
    }

    /// Resolves when the one request was accepted, has ended, and its model is not called any more.
    async fn cancelled(&self) {
        let cancelled = async {
            let mut looks = tokio::time::interval(Duration::from_millis(5));
            loop {
                looks.tick().await;
                let accepted = self.store.accepted();
                let ended = accepted.first().and_then(|record| self.store.ended(record.request_id));
                if ended.is_some() && self.models.open_calls() == 0 {
                    assert_eq!(accepted.len(), 1);
                    return;
                }
            }
        };
        tokio::time::timeout(SOON, cancelled).await.expect("the request was not cancelled");
    }
}

#[actix_web::test]
async fn every_chunk_is_heard_even_of_an_answer_that_comes_at_once() {
    let server = serve(Script::saying(&["Because ", "it ", "is."]));
    let mut out = Vec::new();
    let question = question(true);
    let exit = server.asking(&question).run(&mut out).await.unwrap();
    assert_eq!(format!("{exit:?}"), format!("{:?}", ExitCode::SUCCESS));
    let out = String::from_utf8(out).unwrap();
    let events: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answer: Vec<_> = events.iter().filter(|event| event["role"] == "ASSISTANT").collect();
    let (last, chunks) = answer.split_last().unwrap();
    assert_eq!((&last["chunkId"], &last["content"]), (&Value::Null, &json!("Because it is.")), "{out}");
    assert!(!chunks.is_empty(), "{out}");
    let pieces: String = chunks.iter().map(|chunk| chunk["content"].as_str().unwrap()).collect();
    assert_eq!(pieces, "Because it is.", "{out}");
}

/// A pipe whose reader has left.
struct Unread;

impl Write for Unread {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[actix_web::test]
async fn an_answer_nobody_reads_on_is_cancelled() {
    let server = serve(Script::default().then(Duration::ZERO, "Because ").hang());
    let question = question(false);
    let error = server.asking(&question).run(&mut Unread).await.unwrap_err();
    assert!(error.is_unread(), "{error}");
    server.cancelled().await;
}

#[actix_web::test]
async fn a_request_interrupted_before_its_response_is_cancelled_when_the_response_comes() {
    let server = serve(Script::default().hang());
    let question = question(false);
    let asking = server.asking(&question);
    let input = json!({ "chat": { "content": "why?" } }).as_object().unwrap().clone();
    asking.interrupted.cancel();
    assert!(asking.submit(input, "page").await.unwrap().is_none());
    server.cancelled().await;
}

#[actix_web::test]
async fn nothing_is_asked_when_interrupted_before() {
    let server = serve(Script::default().hang());
    let question = question(false);
    let asking = server.asking(&question);
    asking.interrupted.cancel();
    asking.run(&mut Vec::new()).await.unwrap();
    assert!(server.store.accepted().is_empty());
}
