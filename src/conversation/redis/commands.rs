//! The commands, in the forms that servers since Redis 6 take.

use duologue_actors::{
    ports::ConversationLimits,
    protocol::{ChatMessage, UserId},
};
use redis::Pipeline;

use crate::conversation::entry;

/// The newest `most` entries, newest first: a stream that others let grow costs no more than one of ours.
pub(super) fn read(owner: UserId, most: usize) -> Pipeline {
    let mut commands = redis::pipe();
    newest(&mut commands, owner, most);
    commands
}

/// The same, and the next EXEC does nothing if the stream has changed by then.
pub(super) fn watch(owner: UserId, most: usize) -> Pipeline {
    let mut commands = redis::pipe();
    commands.cmd("WATCH").arg(entry::key(owner)).ignore();
    newest(&mut commands, owner, most);
    commands
}

/// All of it or nothing, the expiry begins anew, and no more entries are left than a conversation has. `MAXLEN`
/// alone is exact; `~` would leave up to a hundred.
pub(super) fn add(owner: UserId, messages: &[&ChatMessage], limits: &ConversationLimits) -> Pipeline {
    let key = entry::key(owner);
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

fn newest(commands: &mut Pipeline, owner: UserId, most: usize) {
    commands.cmd("XREVRANGE").arg(entry::key(owner)).arg("+").arg("-").arg("COUNT").arg(most);
}
