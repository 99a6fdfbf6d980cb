//! How a socket ends, and its last words.

use actix_ws::CloseReason;

use super::{
    super::{
        close::Close,
        writer::{Lost, Writer},
    },
    Session,
};

/// Why a socket ends.
#[derive(Debug)]
pub(super) enum End {
    /// We close it.
    Close(Close),
    /// The client closed it, with this reason.
    Left(Option<CloseReason>),
    Lost(Lost),
    NoPong,
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

impl Session {
    pub(super) async fn finish(self, end: End) {
        let user_id = self.caller.as_ref().map(|caller| caller.identity.user.id.0);
        let protocol = self.protocol.name();
        // Nothing comes between the last words.
        drop(self.pulse);
        let closed = match end {
            End::Close(close) => {
                tracing::debug!(protocol, user_id, close.code = close.code(), "websocket closed");
                take_leave(self.writer, self.machine.dialect().farewell(&close), &close).await
            }
            End::Left(reason) => {
                tracing::debug!(protocol, user_id, "websocket left");
                self.writer.close(reason).await
            }
            End::Lost(lost) => Err(lost),
            End::NoPong => {
                tracing::debug!(protocol, user_id, "websocket dropped without pong");
                Ok(())
            }
        };
        if let Err(lost) = closed {
            lost.count();
            tracing::debug!(protocol, user_id, reason = %lost, "websocket lost");
        }
    }
}

async fn take_leave(mut writer: Writer, farewell: Option<String>, close: &Close) -> Result<(), Lost> {
    if let Some(farewell) = farewell {
        writer.text(farewell).await?;
    }
    writer.close(Some(CloseReason::from(close))).await
}
