//! The answer as it is printed.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use tokio::time::Instant;

use super::{
    assembly::{Assembly, End, Event},
    error::AskError,
    follow::Following,
    summary::Summary,
};
use crate::{cli::output, hidden};

pub(super) struct Answer<'o> {
    out: &'o mut dyn Write,
    json: bool,
    assembly: Assembly,
    summary: Summary,
}

impl<'o> Answer<'o> {
    pub(super) fn new(out: &'o mut dyn Write, json: bool, summary: Summary) -> Self {
        Self { out, json, assembly: Assembly::default(), summary }
    }

    /// Prints what arrives until the request has ended. May be dropped between two events.
    pub(super) async fn read(
        &mut self,
        following: &mut Following<'_>,
        request_id: &str,
        patience: Duration,
    ) -> Result<End, AskError> {
        let limit = Instant::now() + patience;
        loop {
            let payload = tokio::time::timeout_at(limit, following.next())
                .await
                .map_err(|_| AskError::NoEnd { request_id: request_id.to_owned(), patience })??;
            let Some(event) = Event::of(&payload, request_id)? else {
                continue;
            };
            if let Some(end) = self.take(event)? {
                return Ok(end);
            }
        }
    }

    pub(super) fn conclude(&mut self, end: End) -> Result<ExitCode, AskError> {
        self.leave()?;
        match end {
            End::Complete => {
                if !self.json {
                    output::remark(self.summary.line());
                }
                Ok(ExitCode::SUCCESS)
            }
            End::Failed(reason) => Err(AskError::Failed(reason)),
        }
    }

    /// Ends the line the answer stopped in.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        if self.json || self.assembly.ends_with_a_line() { Ok(()) } else { self.print("\n") }
    }

    fn take(&mut self, event: Event) -> io::Result<Option<End>> {
        if self.json {
            self.print(&format!("{}\n", event.message))?;
        }
        let taken = self.assembly.take(&event);
        if event.is_chunk() {
            self.summary.first_chunk();
        }
        if !self.json && !taken.text.is_empty() {
            self.print(&hidden::shown(&taken.text))?;
        }
        if taken.end.is_some() {
            self.summary.model(event.model);
        }
        Ok(taken.end)
    }

    /// So that it is seen at once.
    fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::ask::client::Asked;

    fn event(chunk_id: Value, content: &str) -> Event {
        let message =
            json!({ "requestId": "r", "content": content, "role": "ASSISTANT", "chunkId": chunk_id });
        let payload = json!({ "data": { "aiCompletionResponse": message }, "extensions": { "model": "m" } });
        Event::of(&payload, "r").unwrap().unwrap()
    }

    fn summary() -> Summary {
        Summary::of(&Asked { request_id: "r".to_owned(), at: Instant::now() })
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_came_whole_had_no_first_chunk() {
        let mut out = Vec::new();
        let mut answer = Answer::new(&mut out, false, summary());
        assert_eq!(answer.take(event(Value::Null, "All of it.")).unwrap(), Some(End::Complete));
        answer.leave().unwrap();
        assert_eq!(answer.summary.line(), "request r | total 0 ms | m");
        assert_eq!(out, b"All of it.\n");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_pieces_says_when_the_first_came() {
        let mut out = Vec::new();
        let mut answer = Answer::new(&mut out, false, summary());
        assert_eq!(answer.take(event(json!(1), "All ")).unwrap(), None);
        answer.take(event(json!(2), "of it.\n")).unwrap();
        answer.take(event(Value::Null, "All of it.\n")).unwrap();
        answer.leave().unwrap();
        assert_eq!(answer.summary.line(), "request r | first chunk 0 ms | total 0 ms | m");
        assert_eq!(out, b"All of it.\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_model_gives_the_terminal_no_commands_and_programs_get_what_it_said() {
        let said = "\u{1b}[2Jall is lost\rall is well\u{202E}";
        let mut out = Vec::new();
        let mut answer = Answer::new(&mut out, false, summary());
        answer.take(event(json!(1), said)).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\u{FFFD}[2Jall is lostall is well\u{FFFD}");

        let mut out = Vec::new();
        Answer::new(&mut out, true, summary()).take(event(json!(1), said)).unwrap();
        let printed: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(printed["content"], said);
    }
}
