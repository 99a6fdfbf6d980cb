//! What answers mean.

use redis::{ErrorKind, RedisError, ServerError, ServerErrorKind, Value};

use crate::conversation::{entry::Entry, streams::Fault};

/// Redis quotes what it does not understand, so a text from here on could be a message's.
const QUOTED: &str = ", with args";

/// The entries in the answer to a round trip that asked for them once; `None` for one that has not the form of an
/// entry.
pub(super) fn entries(answers: Vec<Vec<Value>>) -> Vec<Option<Entry>> {
    answers.into_iter().flatten().map(|value| redis::from_redis_value(value).ok()).collect()
}

/// What an error is to the one who asked.
pub(super) fn fault(error: &RedisError) -> Fault {
    let Some(errors) = error.clone().into_server_errors() else {
        return of_client(error);
    };
    // A transaction is refused because of one of its commands: that is the reason.
    let is_reason = |error: &&ServerError| error.kind() != Some(ServerErrorKind::ExecAbort);
    let reason = errors.iter().map(|(_, error)| error).find(is_reason);
    let Some(reason) = reason else {
        return Fault::Refused(error.category().to_owned());
    };
    of_server(reason.code(), reason.details().unwrap_or_default())
}

/// Of what could not be read only the kind is told: the rest could quote it.
fn of_client(error: &RedisError) -> Fault {
    let detail = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::Io => Fault::Down(error.to_string()),
        ErrorKind::AuthenticationFailed => Fault::Refused(format!("{}: {detail}", error.category())),
        _ => Fault::Down(error.category().to_owned()),
    }
}

fn of_server(code: &str, details: &str) -> Fault {
    let details = details.split(QUOTED).next().unwrap_or_default();
    let text = format!("{code} {details}").trim_end().to_owned();
    match code {
        "WRONGTYPE" | "ERR" => Fault::OfOne(text),
        "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" => Fault::Down(text),
        _ => Fault::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down(text: &str) -> Fault {
        Fault::Down(text.to_owned())
    }

    #[rstest::rstest]
    #[case("LOADING", "Redis is loading", down("LOADING Redis is loading"))]
    #[case("OOM", "command not allowed", Fault::Refused("OOM command not allowed".to_owned()))]
    #[case("NOPERM", "", Fault::Refused("NOPERM".to_owned()))]
    #[case("WRONGTYPE", "Operation against a key", Fault::OfOne("WRONGTYPE Operation against a key".to_owned()))]
    fn an_answer_says_whom_it_concerns(#[case] code: &str, #[case] details: &str, #[case] fault: Fault) {
        assert_eq!(of_server(code, details), fault);
    }

    #[test]
    fn what_redis_quotes_of_a_command_is_not_repeated() {
        let fault =
            of_server("ERR", "unknown command 'XADD', with args beginning with: 'ai_chat:2' 'a secret'");
        assert_eq!(fault, Fault::OfOne("ERR unknown command 'XADD'".to_owned()));
    }

    #[test]
    fn a_server_that_is_not_there_is_down() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(fault(&RedisError::from(refused)), Fault::Down(_)));
    }
}
