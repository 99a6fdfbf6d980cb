use proptest::prelude::*;

use super::*;

/// More than any test's event has.
const AMPLE: usize = 1 << 20;

/// The events of a stream in the given pieces, and whether it was given up.
fn decoded<'a>(max: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Event>, Option<TooLong>) {
    let mut decoder = Decoder::new(max);
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            let next = decoder.next_event(&mut piece);
            let room = decoder.name.capacity() + decoder.data.capacity();
            assert!(room <= max, "room for {room} bytes with a bound of {max}");
            match next {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(too_long) => return (events, Some(too_long)),
            }
        }
        assert!(piece.is_empty());
    }
    (events, None)
}

fn events(stream: &[u8]) -> Vec<Event> {
    let (events, too_long) = decoded(AMPLE, [stream]);
    assert_eq!(too_long, None);
    events
}

fn event(name: &str, data: &str) -> Event {
    Event { name: (!name.is_empty()).then(|| name.to_owned()), data: data.to_owned() }
}

/// The standard's rules applied to a stream that is there as a whole: slow, unbounded and plain to see.
fn by_the_book(stream: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(stream).replace("\r\n", "\n").replace('\r', "\n");
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let mut lines: Vec<&str> = text.split('\n').collect();
    lines.pop();
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), String::new());
    for line in lines {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" if line.is_empty() => {
                if let Some(data) = data.strip_suffix('\n') {
                    events.push(event(&name, data));
                }
                name.clear();
                data.clear();
            }
            "event" => value.clone_into(&mut name),
            "data" => data.push_str(&format!("{value}\n")),
            _ => {}
        }
    }
    events
}

#[test]
fn an_event_has_a_name_and_its_lines_of_data() {
    let stream = b"event: delta\ndata: one\ndata:two\ndata:  three\n\n";
    assert_eq!(events(stream), [event("delta", "one\ntwo\n three")]);
}

#[test]
fn every_kind_of_line_end_ends_a_line() {
    assert_eq!(events(b"data: a\n\ndata: b\r\rdata: c\r\n\r\n").len(), 3);
    assert_eq!(events(b"data: a\r\ndata: b\rdata: c\n\r\n"), [event("", "a\nb\nc")]);
}

#[test]
fn a_carriage_return_ends_the_event_before_what_follows_has_arrived() {
    let (events, _) = decoded(AMPLE, [b"data: a\r\n\r".as_slice()]);
    assert_eq!(events, [event("", "a")]);
}

#[test]
fn a_byte_order_mark_is_dropped_once_and_only_at_the_start() {
    assert_eq!(events("\u{FEFF}data: a\n\n".as_bytes()), [event("", "a")]);
    assert_eq!(events("\u{FEFF}\u{FEFF}data: a\n\ndata: b\n\n".as_bytes()), [event("", "b")]);
    assert_eq!(events("data: a\n\n\u{FEFF}data: b\n\n".as_bytes()), [event("", "a")]);
    assert_eq!(events("data: \u{FEFF}a\n\n".as_bytes()), [event("", "\u{FEFF}a")]);
}

#[test]
fn comments_and_fields_without_a_meaning_are_read_over() {
    let stream = b": ping\n\nid: 7\nretry: 10\nDATA: x\ndata : x\nfoo\nevents: y\ndata: a\n:\n\n";
    assert_eq!(events(stream), [event("", "a")]);
}

#[test]
fn a_field_without_a_colon_has_no_value() {
    assert_eq!(events(b"event: x\nevent\ndata\n\n"), [event("", "")]);
    assert_eq!(events(b"data\ndata\n\n"), [event("", "\n")]);
}

#[test]
fn an_event_without_data_is_none_and_leaves_no_name_behind() {
    assert_eq!(events(b"event: ping\n\ndata: a\n\n"), [event("", "a")]);
}

#[test]
fn an_event_without_its_blank_line_is_none() {
    assert_eq!(events(b"data: a\n\ndata: b\n"), [event("", "a")]);
    assert_eq!(events(b"data: a\n\ndata: b"), [event("", "a")]);
}

#[test]
fn what_is_no_text_is_replaced_and_the_rest_stays_intact() {
    assert_eq!(events(b"data: a\xFFb\ndata: \xE2\x82\n\n"), [event("", "a\u{FFFD}b\n\u{FFFD}")]);
}

#[test]
fn a_piece_is_taken_apart_only_as_far_as_the_next_event() {
    let mut piece = Bytes::from(b"data: a\n\n".repeat(1_000));
    let whole = piece.len();
    let mut decoder = Decoder::new(64);
    assert_eq!(decoder.next_event(&mut piece), Ok(Some(event("", "a"))));
    assert_eq!(piece.len(), whole - 9);
}

#[test]
fn the_bound_is_the_longest_line_and_the_longest_event() {
    let too_long = Some(TooLong { max_event_bytes: 10 });
    assert_eq!(decoded(10, [b"data: 1234\n\n".as_slice()]), (vec![event("", "1234")], None));
    assert_eq!(decoded(10, [b"data: 12345\n\n".as_slice()]), (vec![], too_long));
    assert_eq!(decoded(10, [b": 123456789\n".as_slice()]), (vec![], too_long));
    assert_eq!(decoded(10, [b"data:12345\ndata:6789\n\n".as_slice()]).0, [event("", "12345\n6789")]);
    assert_eq!(decoded(10, [b"data:12345\ndata:67890\n\n".as_slice()]), (vec![], too_long));
    assert_eq!(decoded(10, [b"data:1234\nevent:1234\ndata:5\n\n".as_slice()]).0, [event("1234", "1234\n5")]);
    assert_eq!(decoded(10, [b"data:\xFF\xFF\xFF\xFF\n\n".as_slice()]), (vec![], too_long));
}

#[test]
fn what_came_before_a_line_that_is_too_long_is_given_and_nothing_after_it() {
    let mut piece = Bytes::from_static(b"data: a\n\ndata: 123456789\n\ndata: b\n\n");
    let mut decoder = Decoder::new(10);
    assert_eq!(decoder.next_event(&mut piece), Ok(Some(event("", "a"))));
    for _ in 0..3 {
        assert!(decoder.next_event(&mut piece).is_err());
    }
    assert_eq!((decoder.name.capacity(), decoder.data.capacity()), (0, 0));
}

#[test]
fn a_line_without_an_end_takes_no_more_memory_than_the_bound() {
    let mut decoder = Decoder::new(100_000);
    let mut first = Bytes::from_static(b"data: ");
    assert_eq!(decoder.next_event(&mut first), Ok(None));
    let piece = Bytes::from(vec![b'x'; 7_777]);
    for _ in 0..12 {
        assert_eq!(decoder.next_event(&mut piece.clone()), Ok(None));
        assert!(decoder.data.capacity() <= 100_000);
    }
    assert!(decoder.next_event(&mut piece.clone()).is_err());
}

#[test]
fn a_stream_cut_anywhere_gives_the_same_events() {
    let stream = "\u{FEFF}: hello\r\n\r\nevent: größe\r\ndata: Grüße 👋🏽\r\ndata: …\r\n\r\nid: 1\rdata:b\r\r\
                  data: c\n\ndata: cut"
        .as_bytes();
    let whole = (by_the_book(stream), None);
    assert_eq!(whole.0, [event("größe", "Grüße 👋🏽\n…"), event("", "b"), event("", "c")]);
    assert_eq!(decoded(AMPLE, stream.chunks(1)), whole);
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let pieces = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(decoded(AMPLE, pieces), whole, "cut at {first} and {second}");
        }
    }
}

/// Parts that mean something to the decoder, and parts that should mean nothing to it.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let known = proptest::sample::select(vec![
        "data",
        "data:",
        "data: ",
        "event",
        "event: ",
        "id: 1",
        "retry: 3",
        ":",
        ": ping",
        "\u{FEFF}",
        " ",
        "👋🏽 ö",
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\r\n\r\n",
        "\n\n",
        "\r\n\r\n",
    ]);
    prop_oneof![
        8 => known.prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(part(), 0..40).prop_map(|parts| parts.concat())
}

/// Pieces of the given lengths, in turn; some of them empty.
fn cut<'a>(mut stream: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let (piece, rest) = stream.split_at((*length).min(stream.len()));
        pieces.push(piece);
        stream = rest;
        if stream.is_empty() {
            break;
        }
    }
    pieces
}

proptest! {
    #[test]
    fn the_events_are_those_of_the_standard_for_every_split(
        stream in stream(),
        lengths in proptest::collection::vec(0_usize..12, 1..6).prop_map(|mut lengths| { lengths.push(1); lengths }),
    ) {
        prop_assert_eq!(decoded(AMPLE, cut(&stream, &lengths)), (by_the_book(&stream), None));
    }

    #[test]
    fn the_bound_cuts_at_the_same_event_for_every_split(stream in stream(), max in 0_usize..40, length in 1_usize..12) {
        prop_assert_eq!(decoded(max, stream.chunks(length)), decoded(max, [stream.as_slice()]));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), max in 0_usize..64, length in 1_usize..12) {
        decoded(max, bytes.chunks(length));
    }
}
