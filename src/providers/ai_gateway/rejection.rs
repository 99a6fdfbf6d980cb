//! What a status of the gateway means where it means something of its own.

use duologue_actors::ports::{Cause, ModelError};

use super::super::{
    faults::{self, Rejection},
    keys::Key,
};

/// The gateway's way to say that its own call failed: `{"detail": "401: Unauthorized"}` tells with what.
const MISDIRECTED: u16 = 421;

/// What every valid call of `/v1/chat/` gets from a gateway that no longer serves it.
const CRASHED: u16 = 500;

const NO_LONGER_SERVED: &str = "gateways since the end of 2025 fail so at every /v1/chat/ call and serve only prompts \
                                they keep: give the action's prompt a `for: {ai_gateway: {prompt_id: ..., \
                                prompt_version: ...}}`";

/// Why the gateway refused a call that showed it `key`: of `/v1/chat/`, or for a prompt that it keeps.
pub(super) fn explain(rejection: Rejection, key: Option<&Key>, is_chat: bool) -> ModelError {
    let Some(status) = status_of_its_model(&rejection) else {
        let is_served = !is_chat || rejection.status != CRASHED;
        let mut error = faults::of_key(rejection, key);
        if !is_served {
            let said = error.said.into_iter().chain([NO_LONGER_SERVED.to_owned()]);
            error.said = Some(said.collect::<Vec<_>>().join("; "));
        }
        return error;
    };
    // If a key was refused here it is the gateway's, so ours is not named.
    let mut error = faults::of_status(Rejection { status, ..rejection }).because(Cause::StatusBehind(status));
    error.what = format!("status {MISDIRECTED}, for status {status} of its model").into();
    error
}

fn status_of_its_model(rejection: &Rejection) -> Option<u16> {
    if rejection.status != MISDIRECTED {
        return None;
    }
    let (number, _) = rejection.said.as_deref()?.split_once(':')?;
    number.trim().parse().ok().filter(|status| (400..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use duologue_actors::{ports::Retry, protocol::Code};
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("401: Unauthorized", Code::UpstreamAuth, Retry::Never)]
    #[case("400: Bad Request", Code::UpstreamRejected, Retry::Never)]
    #[case("413: Request Entity Too Large", Code::UpstreamTooLarge, Retry::Never)]
    #[case("429: Too Many Requests", Code::UpstreamRateLimited, Retry::Elsewhere)]
    #[case("500: Internal Server Error", Code::UpstreamUnavailable, Retry::Again)]
    #[case("529: Overloaded", Code::UpstreamOverloaded, Retry::Again)]
    #[case("200: OK", Code::UpstreamRejected, Retry::Never)]
    #[case("somewhere else", Code::UpstreamRejected, Retry::Never)]
    fn a_failed_call_of_the_gateway_s_own_means_what_its_status_means(
        #[case] detail: &str,
        #[case] code: Code,
        #[case] retry: Retry,
    ) {
        let rejection = Rejection { said: Some(detail.to_owned()), ..Rejection::of_status(MISDIRECTED) };
        let error = explain(rejection, None, true);
        assert_eq!((error.code, error.retry), (code, retry));
        assert_eq!(error.said.as_deref(), Some(detail));
    }

    #[test]
    fn a_gateway_that_may_serve_no_prompts_of_ours_is_said_to_be_one() {
        let said = |status, said: Option<&str>, is_chat| {
            let said = said.map(str::to_owned);
            explain(Rejection { said, ..Rejection::of_status(status) }, None, is_chat).said
        };
        assert_eq!(said(500, None, true).as_deref(), Some(NO_LONGER_SERVED));
        let with_reason = said(500, Some("no"), true).unwrap();
        assert!(with_reason.starts_with("no; gateways since"), "{with_reason}");
        assert_eq!(said(500, None, false), None);
        assert_eq!(said(503, None, true), None);
        // That is its model's.
        assert_eq!(said(421, Some("500: no"), true).as_deref(), Some("500: no"));
    }

    #[test]
    fn whose_status_it_is_can_be_told() {
        let refused = |status: u16, detail: &str| {
            let rejection = Rejection { said: Some(detail.to_owned()), ..Rejection::of_status(status) };
            explain(rejection, None, true).cause
        };
        assert_eq!(refused(MISDIRECTED, "401: Unauthorized"), Some(Cause::StatusBehind(401)));
        assert_eq!(refused(MISDIRECTED, "somewhere else"), Some(Cause::Status(MISDIRECTED)));
        assert_eq!(refused(401, "401: Unauthorized"), Some(Cause::Status(401)));
    }

    #[test]
    fn a_rate_limit_of_the_gateway_s_model_that_says_until_when_is_waited_for() {
        let retry_after = Some(Duration::from_secs(7));
        let said = Some("429: Too Many Requests".to_owned());
        let error = explain(Rejection { said, retry_after, ..Rejection::of_status(MISDIRECTED) }, None, true);
        assert_eq!((error.retry, error.retry_after), (Retry::Again, retry_after));
        assert_eq!(error.what, "status 421, for status 429 of its model");
    }
}
