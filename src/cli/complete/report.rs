//! An answer as it is shown: the text, or its events as JSON, and the line about it.

use std::io::{self, Write};

use duologue_actors::{models::Tally, ports::StopReason, protocol::Code};
use serde::Serialize;
use serde_json::json;

use crate::{
    cli::{ask::readable, output},
    hidden,
};

/// How a call ends that was interrupted, in a log line as well.
pub(super) const CANCELLED: &str = "cancelled";

pub(super) struct Report<'o> {
    out: &'o mut dyn Write,
    json: bool,
    is_in_line: bool,
}

impl<'o> Report<'o> {
    pub(super) fn new(out: &'o mut dyn Write, json: bool) -> Self {
        Self { out, json, is_in_line: false }
    }

    pub(super) fn content(&mut self, content: &str) -> io::Result<()> {
        if self.json {
            return self.print(&format!("{}\n", json!({ "content": content })));
        }
        self.is_in_line = !content.ends_with('\n');
        self.print(&hidden::shown(content))
    }

    pub(super) fn finish(&mut self, tally: &Tally, reason: StopReason) -> io::Result<()> {
        self.leave()?;
        if self.json {
            return self.end(&End::FinishReason(reason.as_str()), tally);
        }
        output::remark(line(tally, reason));
        Ok(())
    }

    /// The call was interrupted: whoever reads JSON is told as well that nothing more comes.
    pub(super) fn cancelled(&mut self, tally: &Tally) -> io::Result<()> {
        self.leave()?;
        if self.json { self.end(&End::FinishReason(CANCELLED), tally) } else { Ok(()) }
    }

    /// The call failed. In words that is said by whoever ends the process.
    pub(super) fn failed(&mut self, tally: &Tally, code: Code, message: &str) -> io::Result<()> {
        self.leave()?;
        if self.json { self.end(&End::Error { code: code.as_str(), message }, tally) } else { Ok(()) }
    }

    fn end(&mut self, end: &End<'_>, tally: &Tally) -> io::Result<()> {
        let event = serde_json::to_string(&LastEvent::new(end, tally))?;
        self.print(&format!("{event}\n"))
    }

    /// Ends the line the answer stopped in.
    fn leave(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.is_in_line) { self.print("\n") } else { Ok(()) }
    }

    /// So that it is seen at once.
    fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }
}

/// How a call ended.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum End<'e> {
    FinishReason(&'e str),
    Error { code: &'e str, message: &'e str },
}

/// What is said of a call at its end, however it ended.
#[derive(Serialize)]
struct LastEvent<'e> {
    #[serde(flatten)]
    end: &'e End<'e>,
    model: Option<&'e str>,
    input_tokens: u64,
    cached_input_tokens: u64,
    output_tokens: Option<u64>,
    tokens_estimated: bool,
    attempts: u32,
    first_content_millis: Option<u128>,
    total_millis: u128,
}

impl<'e> LastEvent<'e> {
    fn new(end: &'e End<'e>, tally: &'e Tally) -> Self {
        Self {
            end,
            model: tally.model.as_deref(),
            input_tokens: tally.usage.input_tokens,
            cached_input_tokens: tally.usage.cached_input_tokens,
            output_tokens: tally.usage.output_tokens,
            tokens_estimated: tally.is_estimated,
            attempts: tally.attempts,
            first_content_millis: tally.first_content.map(|wait| wait.as_millis()),
            total_millis: tally.total.as_millis(),
        }
    }
}

fn line(tally: &Tally, reason: StopReason) -> String {
    let usage = tally.usage;
    let mut parts: Vec<String> = tally.model.iter().cloned().collect();
    parts.push(format!(
        "{} tokens in, {} out{}",
        usage.input_tokens,
        usage.output_tokens.unwrap_or_default(),
        if tally.is_estimated { " (estimated)" } else { "" },
    ));
    parts.extend(tally.first_content.map(|wait| format!("first content {}", readable(wait))));
    parts.push(format!("total {}", readable(tally.total)));
    parts.push(match tally.attempts {
        1 => "1 attempt".to_owned(),
        attempts => format!("{attempts} attempts"),
    });
    match reason {
        StopReason::Complete => {}
        StopReason::Length => parts.push("cut off at its limit of tokens".to_owned()),
        StopReason::Refused => parts.push("broken off by the provider's filter".to_owned()),
    }
    parts.join(" | ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_actors::ports::Usage;

    use super::*;

    fn tally() -> Tally {
        Tally {
            model: Some("local/small".to_owned()),
            attempts: 1,
            usage: Usage { input_tokens: 12, cached_input_tokens: 0, output_tokens: Some(30) },
            is_estimated: false,
            first_content: Some(Duration::from_millis(120)),
            total: Duration::from_millis(2_500),
        }
    }

    #[test]
    fn the_line_has_the_model_the_tokens_the_times_and_the_attempts() {
        let expected = "local/small | 12 tokens in, 30 out | first content 120 ms | total 2.5 s | 1 attempt";
        assert_eq!(line(&tally(), StopReason::Complete), expected);
    }

    #[test]
    fn estimates_further_attempts_and_an_early_end_are_marked() {
        let tally = Tally { is_estimated: true, attempts: 3, first_content: None, ..tally() };
        assert_eq!(
            line(&tally, StopReason::Length),
            "local/small | 12 tokens in, 30 out (estimated) | total 2.5 s | 3 attempts | cut off at its limit \
             of tokens"
        );
    }

    #[test]
    fn the_line_the_answer_stopped_in_is_ended_once() {
        let mut out = Vec::new();
        let mut report = Report::new(&mut out, false);
        report.content("one\n").unwrap();
        report.leave().unwrap();
        report.content("two").unwrap();
        report.leave().unwrap();
        report.leave().unwrap();
        assert_eq!(out, b"one\ntwo\n");
    }

    #[test]
    fn a_model_gives_the_terminal_no_commands() {
        let mut out = Vec::new();
        Report::new(&mut out, false).content("\u{1b}]0;title\u{7}one\r\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\u{FFFD}]0;title\u{FFFD}one\n");
    }
}
