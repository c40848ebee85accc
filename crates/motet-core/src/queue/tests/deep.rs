//! A million messages: what they cost in memory and in time.

use super::*;

const MILLION: u64 = 1_000_000;

fn durable(n: u64) -> NewEntry<'static, u64> {
    NewEntry { persistent: true, bytes: 100, ..message(n) }
}

/// Enqueues and places `n` durable messages; the locator is the sequence number and a thousand million.
fn deep(config: QueueConfig, n: u64) -> Bench {
    let mut bench = Bench::new(config);
    for seq in 1..=n {
        bench.put(durable(seq));
        bench.queue.placed(seq, locator(seq));
        bench.fx.drain();
    }
    bench
}

fn locator(seq: u64) -> u64 {
    seq + 1_000_000_000
}

fn small_window() -> QueueConfig {
    QueueConfig { window: MemoryWindow { messages: 1_000, bytes: 1 << 30 }, ..QueueConfig::default() }
}

#[test]
fn a_paged_out_message_costs_less_than_twenty_four_bytes() {
    let bench = deep(small_window(), MILLION);
    assert_eq!(bench.queue.stats().resident, 1_000);
    let per_message = bench.queue.heap_bytes() as f64 / MILLION as f64;
    assert!(per_message < 20.0, "{per_message}");
}

#[test]
fn with_a_ttl_it_costs_eight_bytes_more() {
    let bench = deep(QueueConfig { message_ttl_ms: Some(60_000), ..small_window() }, MILLION);
    let per_message = bench.queue.heap_bytes() as f64 / MILLION as f64;
    assert!(per_message < 28.0, "{per_message}");
}

#[test]
fn head_and_tail_stay_in_memory_and_the_middle_does_not() {
    let bench = deep(small_window(), 10_000);
    let resident = |seq| bench.queue.entries.body(seq).is_some();
    assert!((1..=500).all(resident) && (9_600..=10_000).all(resident));
    assert!((600..=9_400).all(|seq| !resident(seq)));
}

#[test]
fn a_window_in_bytes_pages_large_messages() {
    let window = MemoryWindow { messages: 1_000_000, bytes: 10_000 };
    let bench = deep(QueueConfig { window, ..QueueConfig::default() }, 1_000);
    assert_eq!(bench.queue.stats().resident_bytes, 10_000);
    assert_eq!(bench.queue.stats().resident, 100);
}

#[test]
fn reading_ahead_keeps_a_steady_consumer_out_of_the_journal() {
    let mut bench = deep(small_window(), 20_000);
    bench.consumer(1, None);
    let (mut next, mut paged, mut peak) = (1, 0, 0);
    while next <= 20_000 {
        for taken in bench.taken(1, 50) {
            assert_eq!(taken.seq, next);
            match taken.body {
                Body::Resident(body) => assert_eq!(body, next),
                Body::Paged(at) => {
                    assert_eq!(at, locator(next));
                    paged += 1;
                }
            }
            bench.ack(1, next);
            next += 1;
        }
        while let Some(Effect::NeedRead { entries }) =
            bench.effects().into_iter().find(|effect| matches!(effect, Effect::NeedRead { .. }))
        {
            for (seq, at) in entries {
                assert_eq!(at, locator(seq));
                bench.queue.loaded(seq, seq, &mut bench.fx);
            }
        }
        peak = peak.max(bench.queue.stats().resident);
    }
    assert_eq!(paged, 0);
    assert!(peak <= 1_256, "{peak}");
    assert_eq!((bench.queue.stats().resident, bench.queue.stats().resident_bytes), (0, 0));
}

#[test]
fn a_slow_read_stalls_nobody_and_may_come_late() {
    let mut bench = deep(small_window(), 5_000);
    bench.consumer(1, None);
    let first: Vec<_> = bench.taken(1, 3_000);
    assert!(first.iter().any(|taken| matches!(taken.body, Body::Paged(_))), "nobody waited for the journal");
    let reads: Vec<_> = bench.effects();
    for effect in reads {
        if let Effect::NeedRead { entries } = effect {
            for (seq, _) in entries {
                if seq % 2 == 0 {
                    bench.queue.loaded(seq, seq, &mut bench.fx);
                } else {
                    bench.queue.load_failed(seq, &mut bench.fx);
                }
            }
        }
    }
    let rest: Vec<u64> = std::iter::from_fn(|| bench.take(1, 1).first().copied()).collect();
    assert_eq!(rest, (3_001..=5_000).collect::<Vec<_>>());
}

#[test]
fn what_is_not_placed_yet_stays_in_memory() {
    let mut bench = Bench::new(small_window());
    for seq in 1..=3_000 {
        bench.put(durable(seq));
    }
    assert_eq!(bench.queue.stats().resident, 3_000);
    for seq in 1..=3_000 {
        bench.queue.placed(seq, locator(seq));
    }
    assert_eq!(bench.queue.stats().resident, 1_000);
}

/// Found by a simulation: whoever had stopped at the message that was being read was not told of the one before it.
#[test]
fn a_delayed_message_that_becomes_due_while_the_head_is_being_read_arrives() {
    let window = MemoryWindow { messages: 10, bytes: 1 << 30 };
    let mut bench = Bench::new(QueueConfig { window, resident_only: true, ..QueueConfig::default() });
    bench.put(NewEntry { deliver_at_ms: Some(100), ..durable(1) });
    bench.queue.placed(1, locator(1));
    for seq in 2..=100 {
        bench.put(durable(seq));
        bench.queue.placed(seq, locator(seq));
    }
    bench.consumer(1, None);
    let before = bench.take(1, 200);
    assert!(!before.is_empty() && before.len() < 99, "it stops where a body is away: {before:?}");
    assert!(bench.effects().iter().any(|effect| matches!(effect, Effect::NeedRead { .. })), "which is being read");
    bench.at(100);
    assert_eq!(bench.woken(), [1]);
    assert_eq!(bench.take(1, 200), [1]);
}

#[test]
fn transient_messages_are_never_paged_out() {
    let mut bench = Bench::new(small_window());
    bench.fill(3_000);
    assert_eq!(bench.queue.stats().resident, 3_000);
}

#[test]
fn closing_a_channel_returns_a_hundred_thousand_of_a_million_in_order() {
    let mut bench = deep(QueueConfig::default(), MILLION);
    bench.consumer(1, None);
    bench.consumer(2, None);
    let mut held = 0;
    while held < 100_000 {
        held += bench.take(1, 100_000 - held).len();
    }
    bench.fx.drain();
    let returned = bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx);
    assert_eq!((returned, bench.queue.stats().ready), (100_000, MILLION));
    let again = bench.taken(2, 100_001);
    assert!(again.iter().map(|taken| (taken.seq, taken.redelivered)).eq((1..=100_001).map(|n| (n, n <= 100_000))));
}

/// Takes `n` messages from a queue that hands out resident bodies only; how often the journal was asked.
fn take_resident(bench: &mut Bench, id: u64, n: usize) -> (Vec<Taken<u64>>, usize) {
    let (mut out, mut reads) = (Vec::new(), 0);
    while out.len() < n {
        let before = out.len();
        out.extend(bench.taken(id, n - before));
        let mut asked = bench.effects();
        while !asked.is_empty() {
            for effect in std::mem::take(&mut asked) {
                let Effect::NeedRead { entries } = effect else { continue };
                reads += 1;
                entries.into_iter().for_each(|(seq, _)| bench.queue.loaded(seq, seq, &mut bench.fx));
            }
            asked = bench.effects();
        }
        assert!(out.len() > before || reads > 0, "something is taken or asked for");
    }
    (out, reads)
}

#[test]
fn a_hundred_thousand_that_came_back_are_read_again_in_batches_and_in_order() {
    let mut bench = deep(QueueConfig { resident_only: true, ..QueueConfig::default() }, MILLION);
    bench.consumer(1, None);
    let (taken, _) = take_resident(&mut bench, 1, 100_000);
    assert!(taken.iter().map(|taken| taken.seq).eq(1..=100_000));
    bench.consumer(2, None);
    bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx);
    let (again, reads) = take_resident(&mut bench, 2, 100_010);
    assert!(again.iter().map(|taken| (taken.seq, taken.redelivered)).eq((1..=100_010).map(|n| (n, n <= 100_000))));
    assert!(reads < 1_000, "one read for many messages, not {reads} reads");
    assert!(bench.queue.stats().resident < 6_000, "{}", bench.queue.stats().resident);
}

#[test]
fn what_waits_for_its_time_is_paged_out_too() {
    let mut bench = Bench::new(small_window());
    for seq in 1..=10_000 {
        bench.put(NewEntry { deliver_at_ms: Some(20_000 - seq), ..durable(seq) });
        bench.queue.placed(seq, locator(seq));
    }
    assert_eq!((bench.queue.stats().delayed, bench.queue.stats().resident), (10_000, 1_000));
}

#[test]
fn a_million_survivors_are_recovered_without_their_bodies() {
    let survivors = (1..=MILLION).map(|seq| RecoveredEntry {
        seq,
        locator: locator(seq),
        bytes: 100,
        priority: 0,
        expires_at_ms: None,
        deliver_at_ms: None,
        delivery_count: 0,
        may_have_been_sent: false,
    });
    let queue = Queue::<u64>::recover(small_window(), survivors, MILLION, 0);
    assert_eq!((queue.stats().ready, queue.stats().resident, queue.last_seq()), (MILLION, 0, MILLION));
    assert!(queue.heap_bytes() < 20 * MILLION as usize);
    let mut bench = Bench { queue, fx: Effects::new(), now: 0 };
    bench.consumer(1, None);
    let first = bench.effects().into_iter().find_map(|effect| match effect {
        Effect::NeedRead { entries } => Some(entries[0]),
        _ => None,
    });
    assert_eq!(first, Some((1, locator(1))), "reading begins when somebody is there to take");
}

#[test]
fn an_old_message_settled_late_does_not_slow_its_holder() {
    let mut bench = deep(QueueConfig::default(), 200_000);
    bench.consumer(1, None);
    assert_eq!(bench.take(1, 1), [1]);
    for seq in 2..=200_000 {
        assert_eq!(bench.take(1, 1), [seq]);
        bench.ack(1, seq);
        bench.fx.drain();
    }
    let steps = bench.queue.consumers.steps(ConsumerId(1));
    assert!(steps < 2 * 200_000, "{steps}");
    assert!(bench.queue.heap_bytes() < 64_000, "{}", bench.queue.heap_bytes());
    bench.ack(1, 1);
    assert_eq!(bench.queue.stats().messages(), 0);
}
