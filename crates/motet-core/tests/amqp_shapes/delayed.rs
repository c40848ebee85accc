//! What a delayed exchange holds back, and what becomes of it.

use motet_core::core::Outcome;
use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind};
use motet_core::message::Value;

use crate::bench::{Bench, Letter, credit, headers, letter, text};

fn with_delayed(kind: ExchangeKind) -> Bench {
    let bench = Bench::default();
    bench.exchange_with("later", ExchangeConfig { delayed: true, ..ExchangeConfig::durable(kind) });
    bench
}

fn in_ms(said: &str, ms: i64) -> Letter {
    Letter { properties: headers(&[("x-delay", Value::Int(ms))]), ..letter(said) }
}

/// The header `x-delay` of the only message in a queue.
fn delay_told(bench: &mut Bench, name: &str) -> Value {
    bench.consumer(name, 7, credit(1));
    let taken = bench.take(name, 7, 1);
    let properties = taken[0].queued.message.message().properties.as_deref().expect("it has headers");
    properties.headers.iter().find(|(name, _)| &**name == "x-delay").expect("it was delayed").1.clone()
}

#[test]
fn bindings_of_the_moment_when_the_delay_is_over_decide() {
    let mut bench = with_delayed(ExchangeKind::Direct);
    bench.queue("before", &[]);
    bench.bind("later", "before", "k");
    assert_eq!(bench.send("later", "k", in_ms("x", 1_000)).outcome, Outcome::Accepted);
    let vhost = bench.core.vhost().clone();
    bench.core.unbind_queue(&vhost, b"later", b"before", b"k", &Arguments::default()).unwrap();
    bench.queue("after", &[]);
    bench.bind("later", "after", "k");
    bench.pass(999);
    assert_eq!(bench.stats("after").messages(), 0, "it waits elsewhere");
    bench.pass(1);
    assert_eq!((bench.holds("after"), bench.stats("before").messages()), (vec!["x".to_owned()], 0));
    assert_eq!(delay_told(&mut bench, "after"), Value::Int(-1_000), "so everybody sees that it was held back");
}

#[test]
fn nobody_need_be_bound_when_a_delayed_message_is_published_and_without_delay_somebody_must() {
    let mut bench = with_delayed(ExchangeKind::Direct);
    assert_eq!(bench.send("later", "k", in_ms("x", 50)).outcome, Outcome::Accepted);
    assert_eq!(bench.send("later", "k", in_ms("x", -50)).outcome, Outcome::Unroutable);
    assert_eq!(bench.publish("later", "k", "x"), Outcome::Unroutable);
    bench.pass(50);
    assert_eq!(bench.core.next_deadline(), None, "it went nowhere");
}

#[test]
fn what_was_due_while_the_power_was_off_comes_in_the_order_of_its_times() {
    let mut bench = with_delayed(ExchangeKind::Fanout);
    bench.queue("q", &[]);
    bench.bind("later", "q", "");
    for (said, ms, transient) in [("third", 3_000, false), ("first", 1_000, true), ("second", 2_000, false)] {
        bench.send("later", "", Letter { transient, ..in_ms(said, ms) });
    }
    bench.sync();
    bench.now += 5_000;
    let mut bench = bench.power_cut(0);
    bench.pass(1);
    assert_eq!(bench.holds("q"), ["first", "second", "third"]);
    let bench = bench.power_cut(0);
    assert_eq!(bench.holds("q"), ["second", "third"], "transient again, once it is under way");
}

#[test]
fn time_to_live_counts_from_the_end_of_the_delay() {
    let mut bench = with_delayed(ExchangeKind::Direct);
    bench.queue("own", &[]);
    bench.queue("ttl", &[("x-message-ttl", Value::Int(100))]);
    bench.bind("later", "own", "own");
    bench.bind("later", "ttl", "ttl");
    bench.send("later", "own", Letter { ttl_ms: Some(100), ..in_ms("x", 5_000) });
    bench.send("later", "ttl", in_ms("x", 5_000));
    bench.pass(5_000);
    bench.pass(100);
    assert_eq!((bench.stats("own").ready, bench.stats("ttl").ready), (1, 1));
    bench.pass(1);
    assert_eq!((bench.holds("own"), bench.holds("ttl")), (vec![], vec![]));
}

#[test]
fn copies_and_blind_copies_leave_with_the_message() {
    let mut bench = with_delayed(ExchangeKind::Direct);
    for name in ["a", "b", "c"] {
        bench.queue(name, &[]);
        bench.bind("later", name, name);
    }
    let list = |name| Value::List(vec![text(name)]);
    let properties = headers(&[("x-delay", Value::Int(10)), ("CC", list("b")), ("BCC", list("c"))]);
    bench.send("later", "a", Letter { properties, ..letter("x") });
    bench.pass(10);
    for name in ["a", "b", "c"] {
        bench.consumer(name, 1, credit(1));
        let taken = bench.take(name, 1, 2);
        let properties = taken[0].queued.message.message().properties.as_deref().unwrap();
        assert_eq!(properties.headers.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["x-delay", "CC"]);
    }
}

#[test]
fn a_delayed_exchange_behind_another_holds_back_its_own_part() {
    let mut bench = with_delayed(ExchangeKind::Fanout);
    bench.queue("now", &[]);
    bench.queue("then", &[]);
    bench.bind("amq.fanout", "now", "");
    bench.bind("later", "then", "");
    bench.core.bind_exchange(bench.core.vhost(), b"amq.fanout", b"later", b"", Arguments::default()).unwrap();
    bench.send("amq.fanout", "k", in_ms("x", 100));
    assert_eq!((bench.stats("now").ready, bench.stats("then").ready), (1, 0));
    bench.pass(100);
    assert_eq!((bench.stats("now").ready, bench.stats("then").ready), (1, 1));
    assert_eq!(delay_told(&mut bench, "now"), Value::Int(100));
    assert_eq!(delay_told(&mut bench, "then"), Value::Int(-100));
}

#[test]
fn a_dead_letter_may_be_held_back_on_its_way_to_the_next_attempt() {
    let mut bench = with_delayed(ExchangeKind::Direct);
    bench.queue("work", &[("x-dead-letter-exchange", text("later"))]);
    bench.bind("later", "work", "work");
    bench.send("", "work", in_ms("x", 500));
    bench.consumer("work", 1, credit(1));
    let taken = bench.take("work", 1, 1);
    bench.nack("work", 1, taken[0].seq, motet_core::queue::Nack::Reject);
    bench.pass(499);
    assert_eq!(bench.stats("work").messages(), 0);
    bench.pass(1);
    assert_eq!(bench.texts("work", 1, 1), ["x"]);
}

#[test]
fn a_transaction_puts_off_with_its_commit() {
    let mut bench = with_delayed(ExchangeKind::Direct);
    bench.queue("q", &[]);
    bench.bind("later", "q", "k");
    let mut tx = crate::bench::Tx::new(motet_core::transaction::TransactionLimits::default());
    assert!(bench.send_in(&mut tx, "later", "k", in_ms("x", 100)));
    bench.pass(200);
    assert_eq!(bench.stats("q").ready, 0, "nothing was committed");
    assert!(bench.core.commit(bench.now(), tx.commit()).unwrap().position.is_some());
    bench.pass(100);
    assert_eq!(bench.stats("q").ready, 1);
}

#[test]
fn the_place_where_messages_wait_is_nobodys_queue() {
    let mut bench = with_delayed(ExchangeKind::Direct);
    let vhost = bench.core.vhost().clone();
    let name = b"$delayed/exchanges";
    assert!(bench.core.find_queue(&vhost, name).is_none() && bench.core.queues(&vhost).is_empty());
    assert!(bench.core.declare_queue(bench.now(), &vhost, name, Default::default(), 1).is_err());
    assert_eq!(bench.publish("", "$delayed/exchanges", "x"), Outcome::Unroutable);
}

#[test]
fn a_hundred_thousand_wait_mostly_on_disk_and_all_of_them_come() {
    const MANY: u64 = 100_000;
    let mut bench = with_delayed(ExchangeKind::Direct);
    bench.queue("q", &[]);
    bench.bind("later", "q", "k");
    for n in 0..MANY {
        // In no order of their times.
        bench.send("later", "k", in_ms("x", 1_000 + (n * 7_919 % 997) as i64));
        if n % 1_000 == 0 {
            bench.sync();
        }
    }
    bench.pass(999);
    assert_eq!(bench.stats("q").messages(), 0);
    bench.pass(1_000);
    assert_eq!(bench.stats("q").ready, MANY);
}
