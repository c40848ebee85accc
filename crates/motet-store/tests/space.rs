//! Room is given back: dead segments go, what lives long moves out of the way, and the disk holds at most twice what
//! lives (beside the segments reserved ahead).
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use common::{Bench, small};
use motet_store::{Body, Config, Step};

const BODY: [u8; 100] = [7; 100];

fn tiny() -> Config {
    Config { segment_bytes: 16 << 10, reserve_bytes: 0, ..small() }
}

/// Enqueues `count` messages in batches of 20, and answers their locators.
fn fill(bench: &mut Bench, object: u64, from: u64, count: u64) -> Vec<motet_store::Locator> {
    let journal = bench.journal();
    let mut places = Vec::new();
    for seq in from..from + count {
        places.push(journal.stage().enqueue(object, seq, b"h", Body::Inline(&[&BODY])));
        if seq % 20 == 0 {
            assert_eq!(bench.commit(), Step::Committed);
        }
    }
    bench.commit();
    places
}

fn settle(bench: &mut Bench, object: u64, from: u64, places: &[motet_store::Locator]) {
    let journal = bench.journal();
    for (seq, at) in (from..).zip(places) {
        journal.stage().settle(object, seq, *at);
    }
    bench.commit();
}

#[test]
fn a_drained_queue_leaves_nothing_behind() {
    let mut bench = Bench::new(1, tiny());
    for round in 0..20 {
        let from = round * 500 + 1;
        let places = fill(&mut bench, 1, from, 500);
        settle(&mut bench, 1, from, &places);
        bench.keep();
    }
    let usage = bench.journal().usage();
    assert_eq!(usage.live_bytes, 0);
    assert!(usage.segments <= 3 && usage.class_files == 0, "{usage:?}");
    assert!(bench.disk.used_bytes() < 5 * bench.config.segment_bytes, "{}", bench.disk.used_bytes());
}

#[test]
fn a_stuck_message_pins_nothing_and_keeps_its_locator() {
    let mut bench = Bench::new(2, tiny());
    let stuck = fill(&mut bench, 9, 1, 3);
    for round in 0..20 {
        let from = round * 500 + 1;
        let places = fill(&mut bench, 1, from, 500);
        settle(&mut bench, 1, from, &places);
        bench.keep();
    }
    let journal = bench.journal();
    assert!(journal.usage().class_files == 1 && journal.usage().segments <= 3, "{:?}", journal.usage());
    assert_eq!(&journal.read(stuck[1]).unwrap().body[..], BODY);
    // The settlement carries the locator of the place it left long ago.
    settle(&mut bench, 9, 1, &stuck);
    let places = fill(&mut bench, 1, 20_000, 500);
    settle(&mut bench, 1, 20_000, &places);
    bench.keep();
    assert_eq!(bench.journal().usage().class_files, 0);
    assert_eq!(bench.journal().usage().live_bytes, 0);
}

#[test]
fn the_disk_holds_at_most_twice_what_lives() {
    let mut bench = Bench::new(3, tiny());
    let reserved = 3 * bench.config.segment_bytes;
    let mut kept: Vec<(u64, motet_store::Locator)> = Vec::new();
    for round in 0..30u64 {
        let from = round * 400 + 1;
        let places = fill(&mut bench, 1, from, 400);
        // One in five stays for long, then goes in a random order.
        let (stay, go): (Vec<_>, Vec<_>) = (from..).zip(places).partition(|(seq, _)| seq % 5 == 0);
        kept.extend(stay);
        let journal = bench.journal();
        go.iter().for_each(|(seq, at)| journal.stage().settle(1, *seq, *at));
        while kept.len() > 800 {
            let place = bench.random.below(kept.len() as u64) as usize;
            let (seq, at) = kept.swap_remove(place);
            journal.stage().settle(1, seq, at);
        }
        bench.commit();
        bench.keep();
        let (used, live) = (bench.disk.used_bytes(), journal.usage().live_bytes);
        assert!(used <= 2 * live + reserved, "round {round}: {used} bytes for {live} live, {:?}", journal.usage());
    }
    for (_, at) in &kept {
        assert_eq!(&bench.journal().read(*at).unwrap().body[..], BODY);
    }
}

/// A stream that is kept for thirty days lies between messages that live for moments and a value that is always new:
/// the disk holds at most twice what lives, on each of a hundred days, and after a start on the last.
#[test]
fn a_stream_of_thirty_days_beside_busy_queues_costs_no_more_than_twice_what_lives() {
    const DAYS: u64 = 100;
    const KEPT_DAYS: u64 = 30;
    const A_DAY: u64 = 60;
    let (stream, busy, other, value) = (1, 2, 3, 4);
    let mut bench = Bench::new(6, tiny());
    let reserved = 3 * bench.config.segment_bytes;
    let mut kept = std::collections::VecDeque::new();
    let (mut last, mut sum_used, mut sum_live) = (None, 0, 0);
    for day in 0..DAYS {
        for hour in 0..A_DAY {
            let journal = bench.journal();
            let offset = day * A_DAY + hour + 1;
            kept.push_back((day, offset, journal.stage().enqueue(stream, offset, b"", Body::Inline(&[&BODY[..]; 2]))));
            last = Some(journal.stage().put(value, b"key", &BODY, last));
            for queue in [busy, other] {
                let from = offset * 10;
                let places = fill(&mut bench, queue, from, 10);
                settle(&mut bench, queue, from, &places);
            }
            if hour % 10 == 0 {
                bench.keep();
            }
        }
        while kept.front().is_some_and(|(then, ..)| then + KEPT_DAYS <= day) {
            let (_, offset, at) = kept.pop_front().unwrap();
            bench.journal().stage().settle(stream, offset, at);
        }
        bench.commit();
        bench.keep();
        let (used, usage) = (bench.disk.used_bytes(), bench.journal().usage());
        // Files have a least size, which is what the first day consists of.
        if day > 0 {
            assert!(used <= 2 * usage.live_bytes + reserved, "day {day}: {used} bytes, {usage:?}");
        }
        (sum_used, sum_live) = (sum_used + used, sum_live + usage.live_bytes);
    }
    assert!(bench.journal().usage().live_bytes > 10 * bench.config.segment_bytes, "the stream is worth a test");
    assert!(sum_used < 2 * sum_live, "on the average without any allowance: {sum_used} for {sum_live}");
    bench.disk.kill();
    let mut told = common::Told::default();
    bench.opened = None;
    bench.opened = Some(bench.open(&mut told).unwrap());
    assert!(told.state[&stream].entries.keys().copied().eq(kept.iter().map(|(_, offset, _)| *offset)));
    bench.keep();
    let (used, usage) = (bench.disk.used_bytes(), bench.journal().usage());
    assert!(used <= 2 * usage.live_bytes + reserved, "after a start: {used} bytes, {usage:?}");
}

#[test]
fn keyed_records_overwritten_for_ever_take_the_room_of_the_last() {
    let mut bench = Bench::new(4, tiny());
    let journal = bench.journal();
    let mut last = vec![None; 50];
    for round in 0..3_000usize {
        let key = [(round % 50) as u8];
        last[round % 50] = Some(journal.stage().put(5, &key, &BODY, last[round % 50]));
        if round % 10 == 0 {
            bench.commit();
            bench.keep();
        }
    }
    bench.commit();
    bench.keep();
    let usage = journal.usage();
    assert!(bench.disk.used_bytes() <= 2 * usage.live_bytes + 3 * bench.config.segment_bytes, "{usage:?}");
}

#[test]
fn a_dropped_object_gives_its_room_back_without_being_listed() {
    let mut bench = Bench::new(5, tiny());
    fill(&mut bench, 1, 1, 2_000);
    let journal = bench.journal();
    {
        let mut stage = journal.stage();
        let body = stage.body(&[&BODY]);
        stage.enqueue(1, 3_000, b"", Body::Shared(body));
        stage.enqueue(2, 1, b"", Body::Shared(body));
    }
    bench.commit();
    bench.keep();
    assert!(journal.usage().log_bytes + journal.usage().class_bytes > 200_000);
    journal.stage().drop_object(1);
    journal.stage().drop_object(2);
    bench.commit();
    fill(&mut bench, 3, 1, 300);
    bench.keep();
    let usage = journal.usage();
    assert!(bench.disk.used_bytes() <= 2 * usage.live_bytes + 3 * bench.config.segment_bytes, "{usage:?}");
}

#[test]
fn the_accounts_agree_with_those_made_by_recovery() {
    for seed in 0..40 {
        let mut bench = Bench::new(seed, tiny());
        bench.drops = false;
        for _ in 0..150 {
            bench.stage();
            bench.commit();
            if bench.random.below(3) == 0 {
                bench.keep();
            }
        }
        let before = bench.journal().usage();
        bench.disk.kill();
        bench.reopen();
        let after = bench.journal().usage();
        // Without dropped objects, whose shared bodies count as dead until their file is rewritten, they agree exactly.
        assert_eq!(after.live_bytes, before.live_bytes, "seed {seed}");
    }
}
