//! What the gateway answers: the text as it is, piece by piece, under the content type of an event stream but
//! without any events in it. Its end is the end of the body, and nothing else.
//!
//! A gateway that is set up not to stream answers in JSON: `/v1/chat/` with an object, `/v1/prompts/` with a string.

use async_stream::try_stream;
use duologue_actors::ports::{ModelError, ModelEvent, StopReason};
use futures::{StreamExt, stream::BoxStream};
use serde::Deserialize;

use super::super::{
    faults,
    transport::{EVENT_STREAM, Incoming, JSON},
    utf8::LossyUtf8,
};

pub(super) const CONTENT_TYPES: [&str; 2] = [EVENT_STREAM, JSON];
/// The same, for the header that asks for them.
pub(super) const ACCEPTED: &str = "text/event-stream, application/json";

/// The answer that `call` brings. Nothing happens before the stream is polled; dropping it closes the connection.
pub(super) fn stream(
    call: impl Future<Output = Result<Incoming, ModelError>> + Send + 'static,
) -> BoxStream<'static, Result<ModelEvent, ModelError>> {
    try_stream! {
        let mut incoming = call.await?;
        if incoming.is_of_type(JSON) {
            yield ModelEvent::Content(whole(incoming).await?);
        } else {
            if !incoming.has_marked_end() {
                Err(faults::malformed("an answer that looks the same whether whole or cut"))?;
            }
            let mut utf8 = LossyUtf8::default();
            while let Some(piece) = incoming.piece().await? {
                yield ModelEvent::Content(utf8.push(&piece));
            }
            yield ModelEvent::Content(utf8.finish().to_owned());
        }
        // Why the model stopped is not told. An answer without any text is not taken for one by whoever asked.
        yield ModelEvent::Finished(StopReason::Complete);
    }
    .boxed()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Whole {
    Text(String),
    Chat { response: String },
}

/// An answer in one piece is what an event of others is, and no longer.
async fn whole(mut incoming: Incoming) -> Result<String, ModelError> {
    let bound = incoming.bounds.max_event;
    let body = incoming.whole(bound).await?;
    match serde_json::from_slice(&body) {
        Ok(Whole::Text(text) | Whole::Chat { response: text }) => Ok(text),
        Err(_) => Err(faults::foreign("an answer in JSON without its text")),
    }
}
