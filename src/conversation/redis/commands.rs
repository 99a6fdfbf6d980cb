//! The commands, in the forms that servers since Redis 6 take.

use duologue_actors::{ports::ConversationLimits, protocol::ChatMessage};
use redis::Pipeline;

use crate::conversation::{entry, outbox::StreamName};

/// The newest `most` entries, newest first: a stream that others let grow costs no more than one of ours.
pub(super) fn read(stream: StreamName, most: usize) -> Pipeline {
    let mut commands = redis::pipe();
    newest(&mut commands, stream, most);
    commands
}

/// The same, and the next EXEC does nothing if the stream has changed by then.
pub(super) fn watch(stream: StreamName, most: usize) -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("WATCH").arg(entry::key(stream)).ignore();
    newest(&mut commands, stream, most);
    commands
}

/// All of it or nothing, the expiry begins anew, and no more entries are left than a conversation has. `MAXLEN`
/// alone is exact; `~` would leave up to a hundred.
pub(super) fn add(stream: StreamName, messages: &[&ChatMessage], limits: &ConversationLimits) -> Pipeline {
    let key = entry::key(stream);
    let mut commands = redis::pipe();
    commands.atomic();
    for message in messages {
        commands.cmd("XADD").arg(&key).arg("MAXLEN").arg(limits.messages).arg("*");
        for (name, value) in entry::fields(message) {
            commands.arg(name).arg(value);
        }
    }
    commands.cmd("EXPIRE").arg(&key).arg(limits.expiry.as_secs());
    commands
}

pub(super) fn ping() -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("PING");
    commands
}

fn newest(commands: &mut Pipeline, stream: StreamName, most: usize) {
    commands.cmd("XREVRANGE").arg(entry::key(stream)).arg("+").arg("-").arg("COUNT").arg(most);
}
