//! A page in a browser with the websocket that browsers have: it is cut off, comes back with its last cursor, and goes
//! on where it was; and the browser tells by itself what has arrived.

use std::time::Duration;

use duologue_harness::{
    browser::Browser,
    fake_provider::{FakeProvider, Script, Signal},
    proxy::{Passage, Proxy},
    server::PATIENCE,
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{
    Library,
    stage::{PIECES, Stage, until, whole},
};
use crate::support::{ALICE, forgetful_socket, subscribe};

const PAGE: &str = include_str!("../../clients/page.html");

/// Behind each of these messages a connection is cut: that the subscription stands, the question, and the chunks.
const CUTS: usize = PIECES.len() + 2;

/// As many of them come before the model waits.
const CUTS_BEFORE_THE_SIGNAL: usize = CUTS - 1;

#[tokio::test]
#[ignore = "needs a browser: run make test"]
async fn a_page_that_is_cut_off_goes_on_where_it_was_and_its_browser_acknowledges_what_came() {
    let signal = Signal::default();
    // Where the page comes from, and what it has seen goes to. It answers everything with the page.
    let host = FakeProvider::start(Script::body(200, "text/html", PAGE)).await.unwrap();
    let stage = Stage::set_for_pages(&signal, &host.url()).await;
    let mut proxies = Vec::new();
    for number in 1..=CUTS {
        let mark = Library::GraphqlWs.mark_of_a_result();
        proxies.push(stage.proxy(Passage::cut_after_message(mark, number)).await);
    }
    let browser = Browser::open(&address(&host, &stage, &proxies)).unwrap();
    let all_are_back = |proxies: &[Proxy]| {
        let (early, late) = proxies.split_at(CUTS_BEFORE_THE_SIGNAL);
        early.iter().all(|proxy| stands(proxy, 2)) && late.iter().all(|proxy| stands(proxy, 1))
    };
    until(|| all_are_back(&proxies)).await;
    signal.give();

    for (seen, proxy) in reported(&host).await.iter().zip(&proxies) {
        // With a cursor nothing comes twice.
        whole(seen, false);
        let resumes = seen["resumes"].as_array().unwrap();
        assert!(resumes.len() == 2 && !resumes.contains(&json!("RESET")), "{seen}");
        assert_eq!(proxy.connections(), 2, "{seen}");
    }
    for number in 0..CUTS {
        until_acknowledged(&stage, &format!("page-{number}")).await;
    }
    browser.close().await.unwrap();
}

fn address(host: &FakeProvider, stage: &Stage, proxies: &[Proxy]) -> String {
    let url = |address| Library::GraphqlWs.url_at(address);
    let urls: Vec<_> = proxies.iter().map(|proxy| url(proxy.address())).collect();
    let plan = json!({ "direct": url(stage.server.address()), "urls": urls, "token": ALICE });
    let mut address = reqwest::Url::parse(&host.url()).unwrap();
    address.set_fragment(Some(&plan.to_string()));
    address.to_string()
}

fn stands(proxy: &Proxy, times: usize) -> bool {
    proxy.passed("\"subscribed\":true") >= times
}

/// What the page has sent to where it came from.
async fn reported(host: &FakeProvider) -> Vec<Value> {
    let calls = host.until(|calls| calls.iter().any(|call| call.method == "POST")).await.unwrap();
    let report = calls.iter().find(|call| call.method == "POST").unwrap().json();
    report.as_array().unwrap().clone()
}

/// Waits until nothing of what was sent to the page is sent again. Who looks here acknowledges nothing.
async fn until_acknowledged(stage: &Stage, page: &str) {
    let acknowledged = async {
        loop {
            let mut socket = forgetful_socket(&stage.server, ALICE).await;
            if subscribe(&mut socket, "1", json!({ "clientSubscriptionId": page })).await == "LIVE" {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, acknowledged).await.expect("the browser acknowledges nothing");
}
