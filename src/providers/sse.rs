//! Server-sent events, a piece of the body at a time and within a bound. The rules are those of the HTML
//! standard, "Server-sent events", "Interpreting an event stream"; `id` and `retry` are read over, because an
//! answer of a model is never resumed.
//!
//! A value goes from the piece straight into the event it belongs to. Nothing is queued: a piece is taken apart
//! only as far as the next event, and a line that means nothing is not kept.

use std::mem;

use bytes::{Buf, Bytes};

use super::utf8::LossyUtf8;

/// The standard strips one of these from the beginning of a stream.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A byte order mark, the longest field name with a meaning (`event`), and one byte that shows a longer one.
const MAX_FIELD_NAME_BYTES: usize = 9;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `event` field; without one the standard's name is `message`.
    pub(crate) name: Option<String>,
    /// The `data` fields, joined by line feeds.
    pub(crate) data: String,
}

/// A line is longer than the bound, or an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than {max_event_bytes} bytes")]
pub(crate) struct TooLong {
    max_event_bytes: usize,
}

/// The events of one stream, the same for every way to cut the stream into pieces. An event that the stream
/// leaves without its blank line is never given: such a stream was cut.
#[derive(Debug)]
pub(crate) struct Decoder {
    max_event_bytes: usize,
    utf8: LossyUtf8,
    at_start: bool,
    /// The last byte was a carriage return, so a line feed right after it ends the same line.
    after_return: bool,
    place: Place,
    line_bytes: usize,
    field_name: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    too_long: bool,
}

/// Where in its line the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    FieldName,
    /// Right after the colon, where one space means nothing.
    ValueStart(Field),
    Value(Field),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Name,
    /// A comment, or a field without a meaning here.
    Ignored,
}

impl Decoder {
    /// `max_event_bytes` bounds each line as it arrives, and name and data of each event together as text.
    pub(crate) fn new(max_event_bytes: usize) -> Self {
        Self {
            max_event_bytes,
            utf8: LossyUtf8::default(),
            at_start: true,
            after_return: false,
            place: Place::FieldName,
            line_bytes: 0,
            field_name: Vec::with_capacity(MAX_FIELD_NAME_BYTES),
            name: String::new(),
            data: String::new(),
            has_data: false,
            too_long: false,
        }
    }

    /// Takes bytes from the front of `piece` up to the end of the next event, and gives that event; `None` when
    /// the piece is used up before an event is whole.
    ///
    /// # Errors
    /// When a line or an event is longer than the bound, and ever after.
    pub(crate) fn next_event(&mut self, piece: &mut Bytes) -> Result<Option<Event>, TooLong> {
        if self.too_long {
            return Err(self.give_up());
        }
        while let Some(first) = piece.first() {
            if mem::take(&mut self.after_return) && *first == b'\n' {
                piece.advance(1);
                continue;
            }
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = piece.split_to(end.unwrap_or(piece.len()));
            self.take(&part)?;
            let Some(line_end) = piece.first() else { break };
            self.after_return = *line_end == b'\r';
            piece.advance(1);
            if let Some(event) = self.end_line()? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// Takes the next bytes of a line.
    fn take(&mut self, part: &[u8]) -> Result<(), TooLong> {
        self.line_bytes = self.line_bytes.saturating_add(part.len());
        if self.line_bytes > self.max_event_bytes {
            return Err(self.give_up());
        }
        if self.place != Place::FieldName {
            return self.take_value(part);
        }
        let mut halves = part.splitn(2, |byte| *byte == b':');
        self.take_field_name(halves.next().unwrap_or_default());
        let Some(value) = halves.next() else { return Ok(()) };
        self.begin_value()?;
        self.take_value(value)
    }

    fn take_field_name(&mut self, part: &[u8]) {
        let room = MAX_FIELD_NAME_BYTES.saturating_sub(self.field_name.len());
        self.field_name.extend(part.iter().take(room));
        if self.at_start && self.field_name.starts_with(BYTE_ORDER_MARK) {
            self.field_name.drain(..BYTE_ORDER_MARK.len());
            self.at_start = false;
        }
    }

    fn begin_value(&mut self) -> Result<(), TooLong> {
        let field = match self.field_name.as_slice() {
            b"data" => Field::Data,
            b"event" => Field::Name,
            _ => Field::Ignored,
        };
        self.place = Place::ValueStart(field);
        match field {
            Field::Data if mem::replace(&mut self.has_data, true) => self.append(field, "\n"),
            Field::Name => {
                self.name = String::new();
                Ok(())
            }
            Field::Data | Field::Ignored => Ok(()),
        }
    }

    fn take_value(&mut self, part: &[u8]) -> Result<(), TooLong> {
        let (field, part) = match self.place {
            Place::ValueStart(_) if part.is_empty() => return Ok(()),
            Place::ValueStart(field) => (field, part.strip_prefix(b" ").unwrap_or(part)),
            Place::Value(field) => (field, part),
            Place::FieldName => return Ok(()),
        };
        self.place = Place::Value(field);
        if field == Field::Ignored {
            return Ok(());
        }
        let mut utf8 = mem::take(&mut self.utf8);
        let mut taken = Ok(());
        utf8.decode(part, |text| {
            if taken.is_ok() {
                taken = self.append(field, text);
            }
        });
        self.utf8 = utf8;
        taken?;
        // What waits for the rest of its character counts, or the bound would depend on the pieces.
        if self.event_bytes() > self.max_event_bytes { Err(self.give_up()) } else { Ok(()) }
    }

    /// Ends a line; the event, when it was the blank line that ends one.
    fn end_line(&mut self) -> Result<Option<Event>, TooLong> {
        let blank = self.place == Place::FieldName && self.field_name.is_empty();
        match self.place {
            Place::FieldName if !blank => self.begin_value()?,
            Place::Value(field) => {
                let dangling = self.utf8.finish();
                self.append(field, dangling)?;
            }
            Place::FieldName | Place::ValueStart(_) => {}
        }
        self.place = Place::FieldName;
        self.field_name.clear();
        self.line_bytes = 0;
        self.at_start = false;
        Ok(if blank { self.end_event() } else { None })
    }

    fn end_event(&mut self) -> Option<Event> {
        let name = mem::take(&mut self.name);
        let data = mem::take(&mut self.data);
        let event = Event { name: (!name.is_empty()).then_some(name), data };
        mem::take(&mut self.has_data).then_some(event)
    }

    /// Adds text to the event, which never holds more than the bound allows, nor room for more.
    fn append(&mut self, field: Field, text: &str) -> Result<(), TooLong> {
        let max = self.max_event_bytes;
        if self.name.len() + self.data.len() + text.len() > max {
            return Err(self.give_up());
        }
        match field {
            Field::Data => {
                let needed = self.data.len() + text.len();
                if needed > self.data.capacity() {
                    let room = needed.max(self.data.capacity() * 2).min(max - self.name.len());
                    self.data.reserve_exact(room - self.data.len());
                }
                self.data.push_str(text);
            }
            Field::Name => {
                // A name is short: it gets the room it needs, if need be from the data's reserve.
                self.data.shrink_to(max - self.name.len() - text.len());
                self.name.reserve_exact(text.len());
                self.name.push_str(text);
            }
            Field::Ignored => {}
        }
        Ok(())
    }

    fn event_bytes(&self) -> usize {
        self.name.len() + self.data.len() + self.utf8.held()
    }

    /// Nothing can be made of the rest of such a stream, so nothing of it is kept.
    fn give_up(&mut self) -> TooLong {
        self.too_long = true;
        self.name = String::new();
        self.data = String::new();
        TooLong { max_event_bytes: self.max_event_bytes }
    }
}

#[cfg(test)]
mod tests;
