//! The power fails at every moment: what was confirmed is there, and what is one thing is there whole or not at all.

use motet_core::exchange::ExchangeKind;
use motet_core::fake::Plan;
use motet_core::machine::Random;
use motet_core::message::Value;
use motet_core::queue::Nack;
use std::sync::atomic::Ordering;

use crate::bench::{Bench, Letter, credit, letter, text, told};

#[test]
fn what_was_confirmed_is_there_after_a_power_cut() {
    let mut bench = Bench::default();
    bench.exchange("x", ExchangeKind::Direct);
    bench.queue("q", &[]);
    bench.bind("x", "q", "k");
    for n in 0..10 {
        let receipt = bench.send("x", "k", letter(&n.to_string()));
        assert!(receipt.position.is_some());
    }
    bench.send("x", "k", Letter { transient: true, ..letter("transient") });
    bench.sync();
    bench.publish("x", "k", "not durable");
    let mut bench = bench.power_cut(0);
    let expected: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(bench.holds("q"), expected);
    assert_eq!(bench.send("x", "k", letter("goes on")).outcome, motet_core::core::Outcome::Accepted);
}

#[test]
fn a_quorum_queue_keeps_what_was_published_as_transient() {
    let mut bench = Bench::default();
    for kind in ["classic", "quorum"] {
        bench.queue(kind, &[("x-queue-type", text(kind))]);
        bench.bind("amq.fanout", kind, "");
    }
    let transient = || Letter { transient: true, ..letter("transient") };
    assert!(bench.send("", "quorum", transient()).position.is_some(), "confirmed when it is durable");
    bench.send("amq.fanout", "", transient());
    bench.publish("", "classic", "persistent");
    bench.sync();
    let bench = bench.power_cut(0);
    assert_eq!((bench.holds("quorum").len(), bench.holds("classic")), (2, vec!["persistent".to_owned()]));
}

#[test]
fn a_queue_is_declared_whole_or_not_at_all_and_its_number_is_never_used_again() {
    let bench = Bench::default();
    bench.queue("kept", &[]);
    bench.sync();
    let lost = bench.queue("lost", &[]).cell().id();
    let again = bench.power_cut(0);
    assert_eq!(again.core.queues(again.core.vhost()).len(), 1);
    assert_ne!(again.queue("lost", &[]).cell().id(), lost);
}

#[test]
fn a_dead_letter_is_in_exactly_one_queue_whenever_the_power_fails() {
    for keep in 0..=8 {
        let mut bench = Bench::default();
        bench.queue("dead", &[]);
        bench.queue_to("work", "dead", &[("x-message-ttl", Value::Int(10))]);
        bench.publish("", "work", "x");
        bench.publish("", "work", "y");
        bench.consumer("work", 1, credit(1));
        let seq = bench.take("work", 1, 1)[0].seq;
        bench.sync();
        // Nothing is durable from here on but what `keep` says.
        bench.core.engine().set_plan(Plan { groups_max: Some(0), ..Plan::default() });
        bench.nack("work", 1, seq, Nack::Reject);
        bench.pass(20);
        let bench = bench.power_cut(keep);
        let mut all = [bench.holds("work"), bench.holds("dead")].concat();
        all.sort();
        assert_eq!(all, ["x", "y"], "with {keep} groups kept");
    }
}

#[test]
fn what_cannot_be_read_lets_the_others_pass_and_is_there_again_after_a_start() {
    let mut bench = Bench::default();
    bench.queue("q", &[]);
    for text in ["one", "two"] {
        bench.publish("", "q", text);
    }
    bench.sync();
    let mut bench = bench.power_cut(0);
    bench.core.engine().set_plan(Plan { damaged_one_in: 1, ..Plan::default() });
    bench.consumer("q", 1, credit(10));
    assert_eq!(bench.take("q", 1, 10).len(), 0);
    bench.sync();
    assert_eq!(bench.take("q", 1, 10).len(), 0);
    assert_eq!((bench.stats("q").set_aside, bench.stats("q").ready), (2, 0));
    assert_eq!(bench.core.counters().damaged.load(Ordering::Relaxed), 2);
    bench.publish("", "q", "three");
    assert_eq!(bench.take("q", 1, 10).len(), 1, "the queue goes on");
    bench.sync();
    let bench = bench.power_cut(0);
    assert_eq!(bench.holds("q"), ["one", "two", "three"]);
}

#[test]
fn a_dead_letter_that_cannot_be_read_ends_nowhere() {
    let mut bench = Bench::default();
    bench.queue("dead", &[]);
    bench.queue_to("work", "dead", &[("x-message-ttl", Value::Int(10))]);
    bench.publish("", "work", "x");
    bench.sync();
    let mut bench = bench.power_cut(0);
    bench.core.engine().set_plan(Plan { damaged_one_in: 1, ..Plan::default() });
    bench.pass(100);
    bench.sync();
    assert_eq!((bench.stats("work").set_aside, bench.stats("work").moving), (1, 0));
    let mut bench = bench.power_cut(0);
    bench.pass(100);
    bench.sync();
    assert_eq!(bench.holds("dead"), ["x"]);
    // Who purges a queue wants what cannot be read gone as well.
    bench.queue("other", &[]);
    bench.publish("", "other", "y");
    bench.sync();
    let mut bench = bench.power_cut(0);
    bench.core.engine().set_plan(Plan { damaged_one_in: 1, ..Plan::default() });
    bench.consumer("other", 1, credit(1));
    bench.take("other", 1, 1);
    bench.sync();
    assert_eq!(bench.core.purge_queue(bench.now(), &bench.named("other")).0, 1);
    bench.sync();
    assert_eq!(bench.power_cut(0).holds("other"), [""; 0]);
}

/// What the consumer gets, each with whether it may have been sent before.
fn marked(bench: &mut Bench) -> Vec<(String, bool)> {
    bench.consumer("q", 1, credit(10));
    bench.take("q", 1, 10).iter().map(|taken| (told(taken), taken.redelivered)).collect()
}

#[test]
fn after_an_orderly_stop_only_what_was_sent_is_redelivered() {
    let mut bench = Bench::default();
    bench.queue("q", &[]);
    for text in ["sent", "held", "new", "newer"] {
        bench.publish("", "q", text);
    }
    bench.consumer("q", 7, credit(1));
    assert_eq!(bench.take("q", 7, 1).len(), 1);
    bench.leave("q", 7);
    // The second consumer is still there when the server stops.
    bench.consumer("q", 8, credit(2));
    assert_eq!(bench.take("q", 8, 2).len(), 2);
    let expected = [("sent", true), ("held", true), ("new", false), ("newer", false)];
    let expected = expected.map(|(text, sent)| (text.to_owned(), sent));
    let bench = bench.restart();
    assert_eq!(marked(&mut bench.restart()), expected, "also when nothing happened between two stops");
    // What this one took is written nowhere.
    let mut bench = bench.restart();
    bench.sync();
    bench.consumer("q", 7, credit(3));
    bench.take("q", 7, 3);
    assert!(marked(&mut bench.power_cut(0)).iter().all(|(_, sent)| *sent));
}

#[test]
fn what_an_orderly_stop_wrote_is_not_believed_after_a_crash() {
    let mut bench = Bench::default();
    bench.queue("q", &[]);
    bench.publish("", "q", "x");
    bench.sync();
    let bench = bench.restart();
    // Nothing that this start did is durable, so the record is still there.
    bench.core.engine().set_plan(Plan { groups_max: Some(0), ..Plan::default() });
    assert_eq!(marked(&mut bench.power_cut(0)), [("x".to_owned(), true)]);
}

#[test]
fn failed_attempts_are_remembered() {
    let mut bench = Bench::default();
    bench.queue("q", &[("x-delivery-limit", Value::Int(3))]);
    bench.publish("", "q", "x");
    for attempts in 0..3 {
        bench.consumer("q", 1, credit(1));
        let taken = &bench.take("q", 1, 1)[0];
        assert_eq!(taken.delivery_count, attempts);
        bench.nack("q", 1, taken.seq, Nack::Requeue);
        bench.sync();
        bench = bench.power_cut(0);
    }
}

#[test]
fn the_queue_s_own_time_to_live_is_remembered() {
    let mut bench = Bench::default();
    bench.queue("q", &[("x-message-ttl", Value::Int(100))]);
    bench.publish("", "q", "x");
    bench.sync();
    let mut bench = bench.power_cut(0);
    bench.pass(99);
    assert_eq!(bench.stats("q").ready, 1);
    bench.pass(2);
    assert_eq!(bench.stats("q").messages(), 0);
}

/// Two queues that dead-letter into a third, random calls, and a power cut after each few: every message that was
/// confirmed and not settled is in exactly one of them.
#[test]
fn random_work_with_power_cuts_loses_and_doubles_nothing() {
    for seed in 0..40 {
        let mut random = Random::seeded(seed);
        let mut bench = Bench::default();
        bench.queue("end", &[]);
        bench.queue_to("b", "end", &[("x-max-length", Value::Int(4))]);
        bench.queue_to("a", "b", &[("x-message-ttl", Value::Int(50))]);
        bench.exchange("x", ExchangeKind::Fanout);
        bench.bind("x", "a", "");
        bench.sync();
        let mut confirmed = Vec::new();
        for round in 0..6 {
            bench.consumer("a", 1, credit(3));
            let slow = Plan { groups_max: Some(2), moved_one_in: 3, ..Plan::default() };
            bench.core.engine().set_plan(slow);
            let mut staged = Vec::new();
            for step in 0..20 {
                match random.next_u64() % 4 {
                    0 => {
                        let name = format!("{round}.{step}");
                        let receipt = bench.send("x", "", letter(&name));
                        staged.push((receipt.position.unwrap(), name));
                    }
                    1 => bench.pass(random.next_u64() % 30),
                    2 => {
                        for taken in bench.take("a", 1, 1) {
                            bench.nack("a", 1, taken.seq, Nack::Reject);
                        }
                    }
                    _ => bench.sync(),
                }
            }
            let durable = bench.core.durable();
            confirmed.extend(staged.into_iter().filter(|(at, _)| *at <= durable).map(|(_, name)| name));
            bench = bench.power_cut(0);
        }
        let mut held = [bench.holds("a"), bench.holds("b"), bench.holds("end")].concat();
        held.sort();
        confirmed.sort();
        assert_eq!(held, confirmed, "seed {seed}");
    }
}

#[test]
fn a_queue_with_a_name_survives_what_the_journal_moves() {
    let mut bench = Bench::default();
    bench.core.engine().set_plan(Plan { moved_one_in: 1, ..Plan::default() });
    bench.queue("q", &[("x-dead-letter-exchange", text("dlx"))]);
    bench.exchange("x", ExchangeKind::Direct);
    bench.bind("x", "q", "k");
    for n in 0..50 {
        bench.publish("x", "k", &n.to_string());
        bench.core.engine().step().into_iter().for_each(|news| bench.core.complete(news));
    }
    let queue = bench.named("q");
    bench.core.delete_queue(bench.now(), &queue, false, false).unwrap();
    bench.core.delete_exchange(bench.core.vhost(), b"x", false).unwrap();
    bench.core.engine().sync();
    let bench = bench.power_cut(0);
    assert!(bench.core.queues(bench.core.vhost()).is_empty());
}
