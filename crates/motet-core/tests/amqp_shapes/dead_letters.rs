//! Messages that die, and where they go.

use motet_core::core::Outcome;
use motet_core::core::broker::exchange_and_key;
use motet_core::engine::Completion;
use motet_core::exchange::{Arguments, ExchangeKind};
use motet_core::message::Value;
use motet_core::queue::Nack;

use crate::bench::{Bench, Letter, credit, deaths, headers, letter, text};

fn ttl(ms: i64) -> (&'static str, Value) {
    ("x-message-ttl", Value::Int(ms))
}

#[test]
fn each_way_to_die_leads_to_the_dead_letter_queue_with_its_reason() {
    let limited = |overflow: &str| vec![("x-max-length", Value::Int(1)), ("x-overflow", text(overflow))];
    let cases = [
        ("Rejected", vec![]),
        ("Expired", vec![ttl(10)]),
        ("DeliveryLimit", vec![("x-delivery-limit", Value::Int(1))]),
        ("MaxLen", limited("drop-head")),
        ("MaxLen", limited("reject-publish-dlx")),
    ];
    for (reason, arguments) in cases {
        let mut bench = Bench::default();
        bench.queue("dead", &[]);
        bench.queue_to("work", "dead", &arguments);
        bench.publish("", "work", "x");
        match reason {
            "Expired" => bench.pass(11),
            "MaxLen" => drop(bench.publish("", "work", "y")),
            "Rejected" => {
                bench.consumer("work", 1, credit(1));
                let seq = bench.take("work", 1, 1)[0].seq;
                bench.nack("work", 1, seq, Nack::Reject);
            }
            _ => {
                bench.consumer("work", 1, credit(1));
                for _ in 0..2 {
                    let seq = bench.take("work", 1, 1)[0].seq;
                    bench.nack("work", 1, seq, Nack::Requeue);
                }
            }
        }
        bench.consumer("dead", 9, credit(9));
        assert_eq!(bench.story("dead", 9), [format!("work {reason} 1")]);
    }
}

#[test]
fn a_chain_of_deaths_is_told_the_latest_first() {
    let mut bench = Bench::default();
    bench.queue("end", &[]);
    bench.queue_to("second", "end", &[ttl(20)]);
    bench.queue_to("first", "second", &[ttl(10)]);
    bench.publish("", "first", "x");
    bench.pass(100);
    bench.consumer("end", 1, credit(1));
    assert_eq!(bench.story("end", 1), ["second Expired 1", "first Expired 1"]);
}

#[test]
fn a_cycle_of_automatic_deaths_ends() {
    let mut bench = Bench::default();
    bench.queue_to("a", "b", &[ttl(10)]);
    bench.queue_to("b", "a", &[ttl(10)]);
    bench.publish("", "a", "x");
    bench.pass(1_000);
    assert_eq!((bench.stats("a").messages(), bench.stats("b").messages()), (0, 0));
}

#[test]
fn a_rejection_and_a_pause_make_a_retry_loop_that_counts() {
    let mut bench = Bench::default();
    bench.queue_to("work", "pause", &[]);
    bench.queue_to("pause", "work", &[ttl(1_000)]);
    bench.publish("", "work", "x");
    bench.consumer("work", 1, credit(1));
    for _ in 0..3 {
        let seq = bench.take("work", 1, 1)[0].seq;
        bench.nack("work", 1, seq, Nack::Reject);
        bench.pass(999);
        assert!(bench.take("work", 1, 1).is_empty());
        bench.pass(2);
    }
    assert_eq!(bench.story("work", 1), ["pause Expired 3", "work Rejected 3"]);
}

#[test]
fn a_message_s_own_expiry_is_taken_off_when_it_dies() {
    let mut bench = Bench::default();
    bench.queue("dead", &[]);
    bench.queue_to("work", "dead", &[]);
    bench.send("", "work", Letter { ttl_ms: Some(10), ..letter("x") });
    bench.pass(1_000);
    assert_eq!(bench.stats("dead").ready, 1);
    bench.consumer("dead", 1, credit(1));
    let taken = &bench.take("dead", 1, 1)[0];
    assert_eq!(taken.queued.message.message().expires_at, None);
    assert_eq!(deaths(taken).records()[0].original_expiration_ms, Some(1_010));
}

#[test]
fn a_dead_letter_that_no_queue_wants_is_gone() {
    let mut bench = Bench::default();
    bench.queue("work", &[("x-dead-letter-exchange", text("nowhere")), ttl(10)]);
    bench.publish("", "work", "x");
    bench.pass(11);
    assert_eq!(bench.stats("work").messages(), 0);
    bench.sync();
    assert_eq!(bench.power_cut(0).stats("work").messages(), 0);
}

#[test]
fn a_dead_letter_has_the_address_it_was_sent_to_last_and_remembers_the_first() {
    let mut bench = Bench::default();
    bench.exchange("dlx", motet_core::exchange::ExchangeKind::Direct);
    bench.queue("dead", &[]);
    bench.bind("dlx", "dead", "a.b");
    bench.queue("work", &[("x-dead-letter-exchange", text("dlx")), ttl(10)]);
    bench.bind("amq.direct", "work", "a.b");
    bench.send(
        "amq.direct",
        "a.b",
        Letter { properties: headers(&[("CC", Value::List(vec![text("c")]))]), ..letter("x") },
    );
    bench.pass(11);
    bench.consumer("dead", 1, credit(1));
    let taken = &bench.take("dead", 1, 1)[0];
    let (exchange, key) = exchange_and_key(taken.queued.message.address());
    assert_eq!((&exchange[..], &key[..]), (b"dlx".as_slice(), b"a.b".as_slice()));
    let story = deaths(taken);
    assert_eq!(story.records()[0].exchange, "amq.direct");
    assert_eq!(story.records()[0].routing_keys, ["a.b", "c"]);
}

#[test]
fn a_letter_that_is_on_disk_is_read_before_it_moves() {
    let mut bench = Bench::default();
    bench.queue("dead", &[]);
    bench.queue_to("work", "dead", &[ttl(10)]);
    bench.publish("", "work", "x");
    bench.sync();
    let mut bench = bench.power_cut(0);
    bench.pass(11);
    assert_eq!(bench.holds("dead"), ["x"]);
    assert_eq!(bench.stats("work").messages(), 0);
}

#[test]
fn a_refused_publication_is_told_and_dead_lettered_only_where_that_was_asked_for() {
    for (overflow, dead) in [("reject-publish", 0), ("reject-publish-dlx", 1)] {
        let mut bench = Bench::default();
        bench.queue("dead", &[]);
        bench.queue_to("work", "dead", &[("x-max-length", Value::Int(1)), ("x-overflow", text(overflow))]);
        assert_eq!(bench.publish("", "work", "x"), Outcome::Accepted);
        assert!(matches!(bench.publish("", "work", "y"), Outcome::Rejected(_)));
        assert_eq!(bench.stats("dead").ready, dead);
    }
}

#[test]
fn letters_of_a_transient_queue_are_durable_where_they_arrive() {
    let mut bench = Bench::default();
    bench.queue("dead", &[]);
    let arguments =
        vec![("x-dead-letter-exchange".into(), text("")), ("x-dead-letter-routing-key".into(), text("dead"))];
    bench.declare("work", motet_core::core::broker::QueueDeclaration { arguments, ..Default::default() });
    bench.send("", "work", Letter { ttl_ms: Some(10), ..letter("x") });
    bench.pass(11);
    assert_eq!(bench.power_cut(0).holds("dead"), ["x"]);
}

#[test]
fn an_exchange_that_looks_at_headers_sees_of_what_a_message_died() {
    let mut bench = Bench::default();
    bench.exchange("hx", ExchangeKind::Headers);
    let fields = |how: &str, name: &str, value: Value| {
        Arguments::new([("x-match".into(), text(how)), (name.into(), value), ("k".into(), text("v"))])
    };
    for (queue, arguments) in [
        ("of its time", fields("all-with-x", "x-first-death-reason", text("expired"))),
        ("there", fields("any-with-x", "x-last-death-queue", text("work"))),
        ("at all", fields("all-with-x", "x-death", Value::Null)),
        ("of a consumer", fields("all-with-x", "x-first-death-reason", text("rejected"))),
    ] {
        bench.queue(queue, &[]);
        bench.bind_with("hx", queue, "", arguments);
    }
    bench.queue("work", &[("x-dead-letter-exchange", text("hx")), ttl(10)]);
    bench.send("", "work", Letter { properties: headers(&[("k", text("v"))]), ..letter("x") });
    bench.pass(11);
    let found = ["of its time", "there", "at all", "of a consumer"].map(|queue| bench.stats(queue).ready);
    assert_eq!(found, [1, 1, 1, 0]);
}

#[test]
fn a_dead_letter_that_its_target_refuses_is_counted() {
    let mut bench = Bench::default();
    bench.queue("dead", &[("x-max-length", Value::Int(1)), ("x-overflow", text("reject-publish"))]);
    bench.queue_to("work", "dead", &[ttl(10)]);
    (0..3).for_each(|_| assert_eq!(bench.publish("", "work", "x"), Outcome::Accepted));
    bench.pass(11);
    let counted = bench.core.counters().dead_letters_refused.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((counted, bench.stats("dead").ready, bench.stats("work").messages()), (2, 1, 0));
}

#[test]
fn dead_letters_on_disk_are_read_in_batches() {
    let mut bench = Bench::default();
    bench.queue("dead", &[]);
    bench.queue_to("work", "dead", &[ttl(10)]);
    (0..3_000).for_each(|_| assert_eq!(bench.publish("", "work", "x"), Outcome::Accepted));
    // After a start every body is on disk.
    bench.sync();
    let mut bench = bench.power_cut(0);
    bench.now += 11;
    let mut reads = Vec::new();
    while bench.stats("work").messages() > 0 {
        bench.core.on_time(bench.now());
        for completion in bench.core.engine().step() {
            if let Completion::Read { entries, .. } = &completion {
                reads.push(entries.len());
            }
            bench.core.complete(completion);
        }
    }
    assert_eq!(bench.stats("dead").ready, 3_000);
    assert_eq!((reads.len(), reads.iter().max()), (12, Some(&256)), "{reads:?}");
}
