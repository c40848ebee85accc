//! The stream by its promises.

use super::*;
use crate::queue::Body;

fn stream(config: StreamConfig) -> Stream<u64> {
    Stream::new(config, Epoch(1))
}

/// Appends entries 0..n of 10 bytes, one a millisecond from 1,000 on, all durable.
fn filled(config: StreamConfig, n: u64) -> Stream<u64> {
    let mut stream = stream(config);
    for at in 0..n {
        let offset = stream.append(1_000 + at, at, 10);
        stream.placed(offset, at + 1, at);
        stream.durable(at);
    }
    stream
}

fn read(stream: &Stream<u64>, start: Start) -> (Vec<u64>, bool) {
    let opened = stream.open(start);
    let (mut cursor, mut out) = (opened.cursor, Vec::new());
    stream.read(&mut cursor, usize::MAX, usize::MAX, &mut out);
    (out.iter().map(|shown| shown.offset).collect(), opened.recovered)
}

#[test]
fn readers_begin_where_they_ask() {
    let stream = filled(StreamConfig::default(), 5);
    let cases: [(Start, &[u64], bool); 10] = [
        (Start::First, &[0, 1, 2, 3, 4], true),
        (Start::Last, &[4], true),
        (Start::Next, &[], true),
        (Start::Back(2), &[3, 4], true),
        (Start::Back(99), &[0, 1, 2, 3, 4], true),
        (Start::Offset(3), &[3, 4], true),
        (Start::Offset(5), &[], true),
        (Start::Offset(6), &[], false),
        (Start::Timestamp(1_003), &[3, 4], true),
        (Start::Timestamp(9_999), &[], true),
    ];
    for (start, expected, recovered) in cases {
        assert_eq!(read(&stream, start), (expected.to_vec(), recovered), "{start:?}");
    }
}

#[test]
fn nothing_is_shown_above_the_watermark() {
    let mut stream = stream(StreamConfig::default());
    for at in 0..4 {
        let offset = stream.append(0, at, 1);
        stream.placed(offset, at + 1, at / 2);
    }
    assert_eq!(read(&stream, Start::First), (vec![], true));
    assert!(stream.durable(0));
    assert!(!stream.durable(0));
    assert_eq!(read(&stream, Start::First).0, [0, 1]);
    assert_eq!(read(&stream, Start::Last).0, [1]);
    assert_eq!(stream.open(Start::Next).cursor.offset, 2);
    assert!(!stream.open(Start::Offset(3)).recovered, "nobody can have seen it");
}

#[test]
fn a_volatile_stream_shows_at_once_and_keeps_its_window() {
    let window = MemoryWindow { messages: 3, bytes: 1 << 20 };
    let mut stream = stream(StreamConfig { durable: false, window, ..StreamConfig::default() });
    let mut gone = Vec::new();
    for at in 0..5 {
        stream.append(0, at, 1);
        assert!(!stream.trim(0, 10, &mut gone));
    }
    assert_eq!(read(&stream, Start::First).0, [2, 3, 4]);
    assert_eq!(gone[0], Trimmed { offset: 0, locator: None });
    assert_eq!((stream.resident_bytes(), stream.messages()), (3, 3));
}

#[test]
fn retention_is_by_count_by_size_and_by_age() {
    let configs = [
        StreamConfig { max_messages: Some(2), ..StreamConfig::default() },
        StreamConfig { max_bytes: Some(29), ..StreamConfig::default() },
        StreamConfig { max_age_ms: Some(7), ..StreamConfig::default() },
    ];
    for config in configs {
        let mut stream = filled(config.clone(), 5);
        let mut gone = Vec::new();
        assert!(stream.trim(1_009, 1, &mut gone), "two more are due");
        assert!(!stream.trim(1_009, 100, &mut gone));
        assert_eq!(read(&stream, Start::First).0, [3, 4], "{config:?}");
        assert_eq!(gone.last(), Some(&Trimmed { offset: 2, locator: Some(3) }));
    }
}

#[test]
fn a_cursor_that_is_too_old_or_of_another_epoch_is_told_so() {
    let mut stream = filled(StreamConfig { max_messages: Some(3), ..StreamConfig::default() }, 5);
    let (seen_one, seen_all) = (Cursor { epoch: Epoch(1), offset: 1 }, Cursor { epoch: Epoch(1), offset: 5 });
    assert_eq!(read(&stream, Start::After(seen_one)), (vec![1, 2, 3, 4], true));
    stream.trim(0, 100, &mut Vec::new());
    assert_eq!(read(&stream, Start::After(seen_one)), (vec![2, 3, 4], false));
    assert_eq!(read(&stream, Start::After(Cursor { offset: 2, ..seen_one })), (vec![2, 3, 4], true));
    assert_eq!(read(&stream, Start::After(seen_all)), (vec![], true));
    assert_eq!(read(&stream, Start::After(Cursor { epoch: Epoch(2), offset: 5 })), (vec![2, 3, 4], false));
    let mut elsewhere = Cursor { epoch: Epoch(2), offset: 3 };
    assert!(!stream.read(&mut elsewhere, 1, 1, &mut Vec::new()).same_epoch);
}

#[test]
fn a_reader_overtaken_by_the_trim_learns_how_much_it_missed() {
    let mut stream = filled(StreamConfig { max_messages: Some(2), ..StreamConfig::default() }, 5);
    let mut cursor = stream.open(Start::First).cursor;
    let mut out = Vec::new();
    assert!(stream.read(&mut cursor, 1, usize::MAX, &mut out).more);
    stream.trim(0, 100, &mut Vec::new());
    let reading = stream.read(&mut cursor, 100, usize::MAX, &mut out);
    assert_eq!((reading.missed, reading.more), (2, false));
    stream.truncate_before(u64::MAX, 100, &mut Vec::new());
    assert_eq!((stream.messages(), stream.first_offset(), stream.next_offset()), (0, 5, 5));
}

#[test]
fn a_read_keeps_to_both_bounds_and_always_moves() {
    let stream = filled(StreamConfig::default(), 5);
    let mut cursor = stream.open(Start::First).cursor;
    let mut out = Vec::new();
    for (max, max_bytes, expected) in [(2, usize::MAX, 2), (9, 1, 1), (9, 10, 1), (9, 99, 1)] {
        out.clear();
        stream.read(&mut cursor, max, max_bytes, &mut out);
        assert_eq!(out.len(), expected);
    }
}

#[test]
fn only_the_tail_is_in_memory_and_a_million_entries_are_found() {
    let window = MemoryWindow { messages: 100, bytes: 1 << 20 };
    let mut stream = filled(StreamConfig { window, ..StreamConfig::default() }, 1_000_000);
    assert_eq!(stream.resident_bytes(), 1_000);
    let mut out = Vec::new();
    for offset in [0, 1_023, 1_024, 999_899] {
        stream.read(&mut stream.open(Start::Offset(offset)).cursor, 1, 1, &mut out);
        assert_eq!(out.pop().unwrap().body, Body::Paged(offset + 1));
        assert_eq!(stream.open(Start::Timestamp(1_000 + offset)).cursor.offset, offset);
    }
    stream.read(&mut stream.open(Start::Offset(999_900)).cursor, 1, 1, &mut out);
    assert_eq!(out.pop().unwrap().body, Body::Resident(999_900));
    stream.relocated(5, 77);
    stream.read(&mut stream.open(Start::Offset(5)).cursor, 1, 1, &mut out);
    assert_eq!(out.pop().unwrap().body, Body::Paged(77));
}

#[test]
fn what_was_recovered_reads_as_before_and_a_hole_is_told() {
    let found = |offset| RecoveredStreamEntry { offset, locator: offset + 1, bytes: 10, at_ms: 1_000 };
    let entries = [3, 4, 7, 8].map(found);
    let stream: Stream<u64> = Stream::recover(StreamConfig::default(), Epoch(1), entries, 9);
    assert_eq!(read(&stream, Start::First), (vec![3, 4, 7, 8], true));
    assert_eq!(read(&stream, Start::Offset(4)), (vec![4, 7, 8], false), "5 and 6 are lost");
    assert_eq!(read(&stream, Start::Offset(7)), (vec![7, 8], true));
    let mut cursor = stream.open(Start::First).cursor;
    let reading = stream.read(&mut cursor, 10, usize::MAX, &mut Vec::new());
    assert_eq!((reading.missed, stream.next_offset()), (2, 9));
}

#[test]
fn a_tail_that_is_lost_is_told_and_no_offset_is_used_twice() {
    let entry = RecoveredStreamEntry { offset: 0, locator: 1, bytes: 1, at_ms: 5 };
    let mut stream: Stream<u64> = Stream::recover(StreamConfig::default(), Epoch(1), [entry], 3);
    assert_eq!(read(&stream, Start::Offset(1)), (vec![], false));
    assert_eq!(read(&stream, Start::Offset(3)), (vec![], true));
    assert_eq!(stream.append(1, 9, 1), 3);
    stream.placed(3, 2, 1);
    stream.durable(1);
    assert_eq!(read(&stream, Start::Timestamp(5)).0, [0, 3], "time does not run backwards");
}
