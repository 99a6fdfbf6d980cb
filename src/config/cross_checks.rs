//! Settings that are fine alone and wrong together.

use super::{
    Config,
    layers::{Origin, Origins},
};
use crate::document::Fault;

pub(super) fn check(config: &Config, origins: &Origins) -> Vec<Fault> {
    [development_tokens_stay_on_this_machine(config), one_answer_fits_in_memory(config)]
        .into_iter()
        .flatten()
        .map(|conflict| conflict.fault(origins))
        .collect()
}

struct Conflict {
    /// The settings involved; the fault is shown at the first one that the user gave.
    settings: [&'static str; 2],
    reason: String,
}

impl Conflict {
    fn fault(self, origins: &Origins) -> Fault {
        let origin: Option<&Origin> = self.settings.iter().find_map(|setting| origins.get(*setting));
        match origin {
            Some(origin) => origin.fault(self.reason),
            None => Fault::of_file("the built-in config.yaml", self.reason),
        }
    }
}

fn development_tokens_stay_on_this_machine(config: &Config) -> Option<Conflict> {
    let listen = config.server.listen;
    if !config.auth.development_tokens || listen.ip().is_loopback() {
        return None;
    }
    Some(Conflict {
        settings: ["server.listen", "auth.development_tokens"],
        reason: format!(
            "`server.listen` is {listen}, which other machines can reach, while \
             `auth.development_tokens` accepts tokens that are written in a public file; \
             set auth.development_tokens: false, or listen on 127.0.0.1"
        ),
    })
}

fn one_answer_fits_in_memory(config: &Config) -> Option<Conflict> {
    let (answer, retained) = (config.pipeline.max_answer_bytes, config.pipeline.retained_bytes);
    (answer > retained).then(|| Conflict {
        settings: ["pipeline.retained_bytes", "pipeline.max_answer_bytes"],
        reason: format!(
            "`pipeline.retained_bytes` is {retained}, less than one answer may have \
             (`pipeline.max_answer_bytes`: {answer}); every request would be refused"
        ),
    })
}
