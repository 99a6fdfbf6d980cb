//! Bounds what a client can make this server hold before a message is whole.
//!
//! The websocket codec looks at a frame's length only once all of the frame has arrived, and at the
//! length of a fragmented message only from fragment to fragment. So the bytes are looked at before
//! it gets them: a message that announces more than the limit, or comes in too many pieces, ends the
//! stream at its header.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use actix_web::{FromRequest, HttpRequest, dev, error::PayloadError, web};
use bytes::Bytes;
use futures::Stream;

/// Nobody who means well sends 64 KiB in pieces of less than 64 bytes.
const MAX_FRAGMENTS: u32 = 1_024;

/// Set once a client has sent more than it may.
#[derive(Clone, Debug, Default)]
pub struct Exceeded(Rc<Cell<bool>>);

impl Exceeded {
    #[must_use]
    pub fn get(&self) -> bool {
        self.0.get()
    }
}

/// The same payload, ended with an error where a message is larger than `max_bytes`.
///
/// # Errors
/// When the payload cannot be taken from the request.
pub async fn bounded(
    request: &HttpRequest,
    payload: web::Payload,
    max_bytes: usize,
) -> Result<(web::Payload, Exceeded), actix_web::Error> {
    let exceeded = Exceeded::default();
    let intake =
        Intake { payload: payload.into_inner(), scan: Scan::new(max_bytes), exceeded: exceeded.clone() };
    let mut payload: dev::Payload = dev::Payload::Stream { payload: Box::pin(intake) };
    Ok((web::Payload::from_request(request, &mut payload).await?, exceeded))
}

struct Intake {
    payload: dev::Payload,
    scan: Scan,
    exceeded: Exceeded,
}

impl Stream for Intake {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.exceeded.get() {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.payload).poll_next(context);
        if let Poll::Ready(Some(Ok(bytes))) = &polled
            && self.scan.exceeds(bytes)
        {
            self.exceeded.0.set(true);
            return Poll::Ready(Some(Err(PayloadError::Overflow)));
        }
        polled
    }
}

/// Follows frame headers (RFC 6455, section 5.2) through bytes that come in any portions.
#[derive(Debug)]
struct Scan {
    max_bytes: u64,
    position: Position,
    /// Of the message whose last fragment has not come yet.
    message_bytes: u64,
    fragments: u32,
}

#[derive(Debug)]
enum Position {
    Header(Header),
    /// Inside a frame, this many bytes before its end.
    Body(u64),
}

/// The bytes of a header so far: 2, then 0, 2 or 8 of length, then 4 of mask.
#[derive(Debug, Default)]
struct Header {
    bytes: [u8; 14],
    filled: usize,
}

/// A frame as its header announces it.
#[derive(Debug, PartialEq, Eq)]
struct Frame {
    last: bool,
    control: bool,
    length: u64,
}

impl Scan {
    fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes: u64::try_from(max_bytes).unwrap_or(u64::MAX),
            position: Position::Header(Header::default()),
            message_bytes: 0,
            fragments: 0,
        }
    }

    /// Whether a message exceeds its bounds within these bytes.
    fn exceeds(&mut self, mut bytes: &[u8]) -> bool {
        loop {
            match &mut self.position {
                Position::Body(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = bytes.get(here..).unwrap_or_default();
                    *left = left.saturating_sub(here as u64);
                    if *left > 0 {
                        return false;
                    }
                    self.position = Position::Header(Header::default());
                }
                Position::Header(header) => {
                    let Some((byte, rest)) = bytes.split_first() else {
                        return false;
                    };
                    bytes = rest;
                    if let Some(frame) = header.push(*byte) {
                        if self.is_too_much(&frame) {
                            return true;
                        }
                        self.position = Position::Body(frame.length);
                    }
                }
            }
        }
    }

    fn is_too_much(&mut self, frame: &Frame) -> bool {
        // Control frames may come between the fragments of a message. The codec bounds them at 125 bytes.
        if frame.control {
            return frame.length > self.max_bytes;
        }
        self.message_bytes = self.message_bytes.saturating_add(frame.length);
        self.fragments += 1;
        let too_much = self.message_bytes > self.max_bytes || self.fragments > MAX_FRAGMENTS;
        if frame.last {
            (self.message_bytes, self.fragments) = (0, 0);
        }
        too_much
    }
}

impl Header {
    /// Takes one byte; the frame when it was the header's last.
    fn push(&mut self, byte: u8) -> Option<Frame> {
        *self.bytes.get_mut(self.filled)? = byte;
        self.filled += 1;
        let [first, second, extended @ ..] = self.bytes;
        let (short, mask_bytes) = (second & 0x7f, if second & 0x80 == 0 { 0 } else { 4 });
        let length_bytes = match short {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.filled < 2 + length_bytes + mask_bytes {
            return None;
        }
        let length = match length_bytes {
            0 => u64::from(short),
            _ => extended.iter().take(length_bytes).fold(0, |length, byte| length << 8 | u64::from(*byte)),
        };
        Some(Frame { last: first & 0x80 != 0, control: first & 0x08 != 0, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAX: usize = 65_536;
    const TEXT: u8 = 0x81;
    const FIRST: u8 = 0x01;
    const CONTINUE: u8 = 0x00;
    const LAST: u8 = 0x80;
    const PING: u8 = 0x89;

    fn header(first: u8, length: u64) -> Vec<u8> {
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(0x80 | length as u8),
            126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((length as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend(length.to_be_bytes());
            }
        }
        bytes.extend([1, 2, 3, 4]);
        bytes
    }

    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut bytes = header(first, length as u64);
        bytes.resize(bytes.len() + length, 0xff);
        bytes
    }

    #[rstest::rstest]
    #[case::the_largest_message(frame(TEXT, MAX), false)]
    #[case::one_byte_more(header(TEXT, MAX as u64 + 1), true)]
    #[case::a_length_that_would_fill_any_memory(header(TEXT, u64::MAX), true)]
    #[case::many_messages(frame(TEXT, 60_000).repeat(10), false)]
    #[case::fragments_up_to_the_limit([frame(FIRST, MAX - 1), frame(LAST, 1)].concat(), false)]
    #[case::fragments_beyond_the_limit([frame(FIRST, MAX - 1), header(CONTINUE, 2)].concat(), true)]
    #[case::a_ping_between_fragments([frame(FIRST, MAX), frame(PING, 125), frame(LAST, 0)].concat(), false)]
    #[case::two_fragmented_messages([frame(FIRST, MAX), frame(LAST, 0)].concat().repeat(2), false)]
    #[case::fragments_without_end([frame(FIRST, 0), frame(CONTINUE, 0).repeat(1_024)].concat(), true)]
    fn a_message_is_bounded_at_its_header(#[case] bytes: Vec<u8>, #[case] exceeds: bool) {
        assert_eq!(Scan::new(MAX).exceeds(&bytes), exceeds);
    }

    proptest! {
        #[test]
        fn portions_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..400), portion in 1_usize..50) {
            let mut whole = Scan::new(100);
            let mut split = Scan::new(100);
            let at_once = whole.exceeds(&bytes);
            prop_assert_eq!(at_once, bytes.chunks(portion).any(|portion| split.exceeds(portion)));
        }
    }
}
