//! Messages that come twice: at an exchange, and in a queue.

use motet_core::core::Outcome;
use motet_core::exchange::{DeclareError, ExchangeConfig};
use motet_core::message::Value;

use crate::bench::{Bench, Letter, credit, headers, letter, text};

type Fields = Vec<(Box<str>, Value)>;

fn fields(list: &[(&str, Value)]) -> Fields {
    list.iter().map(|(name, value)| ((*name).into(), value.clone())).collect()
}

fn once(said: &str, id: &str) -> Letter {
    Letter { properties: headers(&[("x-deduplication-header", text(id))]), ..letter(said) }
}

/// An exchange that looks for duplicates in front of a queue.
fn with_exchange(arguments: &[(&str, Value)]) -> Bench {
    let bench = Bench::default();
    let config = ExchangeConfig::from_arguments("x-message-deduplication", &fields(arguments)).unwrap();
    bench.exchange_with("once", config);
    bench.queue("q", &[("x-max-length", Value::Int(3)), ("x-overflow", text("reject-publish"))]);
    bench.bind("once", "q", "whatever");
    bench
}

#[test]
fn an_exchange_lets_an_identifier_through_once_whatever_the_key() {
    let mut bench = with_exchange(&[("x-cache-size", Value::Int(10)), ("x-cache-ttl", Value::Int(100))]);
    assert_eq!(bench.send("once", "a", once("1", "id")).outcome, Outcome::Accepted);
    assert_eq!(bench.send("once", "b", once("2", "id")).outcome, Outcome::Unroutable);
    assert_eq!(bench.publish("once", "c", "nobody's duplicate"), Outcome::Accepted);
    bench.pass(100);
    assert_eq!(bench.send("once", "d", once("3", "id")).outcome, Outcome::Accepted, "its time is over");
    assert_eq!(bench.holds("q"), ["1", "nobody's duplicate", "3"]);
}

#[test]
fn what_a_full_queue_refused_may_be_sent_again() {
    let mut bench = with_exchange(&[("x-cache-size", Value::Int(10))]);
    for n in 0..3 {
        bench.publish("once", "", &n.to_string());
    }
    assert!(matches!(bench.send("once", "", once("x", "id")).outcome, Outcome::Rejected(_)));
    bench.consumer("q", 1, credit(1));
    let taken = bench.take("q", 1, 1);
    bench.ack("q", 1, taken[0].seq);
    assert_eq!(bench.send("once", "", once("x", "id")).outcome, Outcome::Accepted);
    assert_eq!(bench.send("once", "", once("x", "id")).outcome, Outcome::Unroutable);
}

#[test]
fn a_transaction_that_is_rolled_back_was_never_seen() {
    let mut bench = with_exchange(&[("x-cache-size", Value::Int(10))]);
    let mut tx = crate::bench::Tx::new(motet_core::transaction::TransactionLimits::default());
    assert!(bench.send_in(&mut tx, "once", "", once("x", "id")));
    assert!(!bench.send_in(&mut tx, "once", "", once("x", "id")), "twice in one");
    tx.rollback();
    assert!(bench.send_in(&mut tx, "once", "", once("x", "id")));
    bench.core.commit(bench.now(), tx.commit()).unwrap();
    assert_eq!(bench.send("once", "", once("x", "id")).outcome, Outcome::Unroutable);
    assert_eq!(bench.stats("q").ready, 1);
}

#[test]
fn the_type_wants_a_size_and_any_other_type_may_look_for_duplicates_too() {
    let declare = |kind: &str, list: &[(&str, Value)]| ExchangeConfig::from_arguments(kind, &fields(list));
    for wrong in [vec![], vec![("x-cache-size", Value::Int(0))], vec![("x-cache-size", text("many"))]] {
        let refused = declare("x-message-deduplication", &wrong).unwrap_err();
        assert!(matches!(refused, DeclareError::Argument { name: "x-cache-size", .. }), "{refused}");
    }
    let wrong = [("x-cache-size", text("5")), ("x-cache-ttl", Value::Int(-1))];
    assert!(declare("x-message-deduplication", &wrong).is_err());
    assert!(declare("direct", &[("x-cache-size", Value::Int(0))]).is_ok(), "means nothing there");
    let config = declare("direct", &[("x-message-deduplication", Value::Bool(true))]).unwrap();
    let mut bench = Bench::default();
    bench.exchange_with("x", config);
    bench.queue("q", &[]);
    bench.bind("x", "q", "k");
    for key in ["k", "k", "other"] {
        bench.send("x", key, once("1", "id"));
    }
    assert_eq!(bench.holds("q"), ["1"]);
}

#[test]
fn an_exchange_that_looks_for_duplicates_is_there_after_a_start() {
    let bench = with_exchange(&[("x-cache-size", Value::Int(10))]);
    bench.sync();
    let mut bench = bench.power_cut(0);
    assert_eq!(bench.send("once", "", once("1", "id")).outcome, Outcome::Accepted);
    assert_eq!(bench.send("once", "", once("2", "id")).outcome, Outcome::Unroutable);
}

#[test]
fn a_queue_without_a_window_knows_what_is_in_it() {
    let mut bench = Bench::default();
    bench.queue("q", &[("x-message-deduplication", Value::Bool(true))]);
    bench.consumer("q", 1, credit(1));
    bench.send("", "q", once("1", "id"));
    let taken = bench.take("q", 1, 1);
    bench.send("", "q", once("held", "id"));
    assert_eq!(bench.stats("q").messages(), 1, "with a consumer it is still there");
    bench.ack("q", 1, taken[0].seq);
    bench.send("", "q", once("2", "id"));
    bench.send("", "q", once("3", "id"));
    bench.sync();
    let mut bench = bench.power_cut(0);
    bench.send("", "q", once("4", "id"));
    assert_eq!(bench.holds("q"), ["2"], "a start knows what is there");
    bench.core.purge_queue(bench.now(), &bench.named("q"));
    bench.send("", "q", once("5", "id"));
    assert_eq!(bench.holds("q"), ["5"]);
}

#[test]
fn a_window_outlasts_the_message() {
    let mut bench = Bench::default();
    bench.queue("q", &[("x-message-deduplication", Value::Bool(true)), ("x-cache-ttl", Value::Int(100))]);
    bench.send("", "q", once("1", "id"));
    bench.core.purge_queue(bench.now(), &bench.named("q"));
    bench.send("", "q", once("2", "id"));
    assert_eq!(bench.stats("q").messages(), 0);
    bench.pass(100);
    bench.send("", "q", once("3", "id"));
    assert_eq!(bench.holds("q"), ["3"]);
}
