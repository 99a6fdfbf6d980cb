//! The line under an answer: which request it was, how fast, by which model.

use std::time::Duration;

use tokio::time::Instant;

use super::client::Asked;

#[derive(Debug)]
pub(super) struct Summary {
    request_id: String,
    asked_at: Instant,
    first_chunk: Option<Duration>,
    model: Option<String>,
}

impl Summary {
    pub(super) fn of(asked: &Asked) -> Self {
        Self { request_id: asked.request_id.clone(), asked_at: asked.at, first_chunk: None, model: None }
    }

    /// A chunk came; only the first time counts.
    pub(super) fn first_chunk(&mut self) {
        self.first_chunk.get_or_insert_with(|| self.asked_at.elapsed());
    }

    pub(super) fn model(&mut self, model: Option<String>) {
        self.model = model;
    }

    pub(super) fn line(&self) -> String {
        let mut parts = vec![format!("request {}", self.request_id)];
        parts.extend(self.first_chunk.map(|wait| format!("first chunk {}", readable(wait))));
        parts.push(format!("total {}", readable(self.asked_at.elapsed())));
        parts.extend(self.model.clone());
        parts.join(" | ")
    }
}

pub(in crate::cli) fn readable(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked { request_id: "r-1".to_owned(), at: Instant::now() }
    }

    #[tokio::test(start_paused = true)]
    async fn it_names_request_times_and_model() {
        let mut summary = Summary::of(&asked());
        tokio::time::advance(Duration::from_millis(120)).await;
        summary.first_chunk();
        tokio::time::advance(Duration::from_millis(2_330)).await;
        summary.first_chunk();
        summary.model(Some("embedded/extractive".to_owned()));
        assert_eq!(summary.line(), "request r-1 | first chunk 120 ms | total 2.5 s | embedded/extractive");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_known_is_left_out() {
        assert_eq!(Summary::of(&asked()).line(), "request r-1 | total 0 ms");
    }
}
