//! Server-Sent Events, as a client reads them: event by event, each as it was written.

use anyhow::{Context, Result, bail};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use tokio::time::timeout;

use crate::server::PATIENCE;

/// One response that is a stream of events.
#[derive(Debug)]
pub struct EventStream {
    response: Response,
    text: String,
}

/// An event; comments and `retry` are none.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerEvent {
    /// `None` for what `onmessage` of a browser hears.
    pub name: Option<String>,
    pub id: String,
    pub data: Value,
}

impl EventStream {
    /// Sends the request, whose response must be 200 and a stream.
    pub async fn open(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await.context("no response")?;
        let content_type = response.headers().get("content-type").cloned();
        if response.status() != 200 || content_type.as_ref().is_none_or(|kind| kind != "text/event-stream") {
            bail!("{} {content_type:?}: {}", response.status(), response.text().await.unwrap_or_default());
        }
        Ok(Self { response, text: String::new() })
    }

    #[must_use]
    pub fn response(&self) -> &Response {
        &self.response
    }

    /// The next event; `None` when the response has ended as it should.
    pub async fn next(&mut self) -> Result<Option<ServerEvent>> {
        timeout(PATIENCE, self.read()).await.context("no event in time")?
    }

    /// Everything up to the end of the response.
    pub async fn rest(&mut self) -> Result<Vec<ServerEvent>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }

    async fn read(&mut self) -> Result<Option<ServerEvent>> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = parse(block)?;
                self.text = rest.to_owned();
                if event.is_some() {
                    return Ok(event);
                }
            }
            match self.response.chunk().await.context("the response has no end")? {
                Some(bytes) => self.text += std::str::from_utf8(&bytes).context("half a character")?,
                None if self.text.is_empty() => return Ok(None),
                None => bail!("half an event: {}", self.text),
            }
        }
    }
}

fn parse(block: &str) -> Result<Option<ServerEvent>> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let Some(data) = field("data") else { return Ok(None) };
    Ok(Some(ServerEvent {
        name: field("event").map(str::to_owned),
        id: field("id").context("an event without an id")?.to_owned(),
        data: serde_json::from_str(data).context("data that is no JSON")?,
    }))
}
