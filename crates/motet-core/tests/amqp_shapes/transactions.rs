//! Several queues, one unit.

use motet_core::queue::Nack;
use motet_core::transaction::{Settlement, TransactionLimits};

use crate::bench::{Bench, Tx, credit, text};
use motet_core::core::broker::TxQueue;
use motet_core::message::{Batch, MessageRef, Value};
use std::sync::Arc;

fn bench() -> Bench {
    let mut bench = Bench::default();
    for name in ["out", "copy", "dead"] {
        bench.queue(name, &[]);
    }
    bench.queue_to("in", "dead", &[]);
    bench.bind("amq.fanout", "out", "");
    bench.bind("amq.fanout", "copy", "");
    bench.publish("", "in", "task 1");
    bench.publish("", "in", "task 2");
    bench.consumer("in", 1, credit(9));
    bench.take("in", 1, 9);
    bench.sync();
    bench
}

fn settle(bench: &Bench, tx: &mut Tx, seq: u64, settlement: Settlement) {
    tx.settle(TxQueue(bench.named("in")), bench.id("in", 1), seq, settlement).unwrap();
}

fn filled(bench: &mut Bench) -> Tx {
    let mut tx = Tx::new(TransactionLimits::default());
    bench.publish_in(&mut tx, "amq.fanout", "", "result");
    settle(bench, &mut tx, 1, Settlement::Ack);
    bench.publish_in(&mut tx, "", "out", "report");
    settle(bench, &mut tx, 2, Settlement::Nack(Nack::Reject));
    tx
}

#[test]
fn a_commit_is_one_group_over_all_queues() {
    let mut bench = bench();
    let mut tx = filled(&mut bench);
    assert_eq!(bench.core.engine().pending_groups(), 0, "nothing before the commit");
    let committed = bench.core.commit(bench.now(), tx.commit()).unwrap();
    assert!(committed.position.is_some() && committed.unknown == 0);
    assert_eq!(bench.core.engine().pending_groups(), 1);
    assert_eq!(bench.holds("out"), ["result", "report"]);
    assert_eq!(bench.holds("dead"), ["task 2"]);
    assert_eq!(bench.stats("in").messages(), 0);
}

#[test]
fn a_power_cut_keeps_all_of_a_commit_or_nothing() {
    for keep in [0, 1] {
        let mut bench = bench();
        let mut tx = filled(&mut bench);
        bench.core.commit(bench.now(), tx.commit()).unwrap();
        let bench = bench.power_cut(keep);
        let held = ["in", "out", "copy", "dead"].map(|name| bench.holds(name).len());
        assert_eq!(held, if keep == 0 { [2, 0, 0, 0] } else { [0, 2, 1, 1] });
    }
}

#[test]
fn a_rollback_publishes_nothing_and_leaves_deliveries_with_their_consumer() {
    let mut bench = bench();
    let mut tx = filled(&mut bench);
    tx.rollback();
    bench.core.commit(bench.now(), tx.commit()).unwrap();
    assert_eq!((bench.stats("out").messages(), bench.stats("in").unacked), (0, 2));
    bench.ack("in", 1, 1);
}

/// What came back of a commit, and whether a queue refused something.
fn commit(bench: &Bench, tx: &mut Tx) -> (Vec<String>, bool) {
    let committed = bench.core.commit(bench.now(), tx.commit()).unwrap();
    let payload = |batch: &Arc<Batch>| MessageRef::new(batch.clone(), 0).payload().to_vec();
    let texts = committed.returned.iter().map(|batch| String::from_utf8(payload(batch)).unwrap());
    (texts.collect(), committed.refused)
}

#[test]
fn queues_are_looked_up_at_the_commit_and_what_nobody_gets_comes_back() {
    let mut bench = bench();
    let mut tx = Tx::new(TransactionLimits::default());
    for (key, text) in [("out", "deleted"), ("nobody", "lost"), ("late", "declared")] {
        bench.publish_in(&mut tx, "", key, text);
    }
    bench.publish_in(&mut tx, "amq.fanout", "", "result");
    bench.core.delete_queue(bench.now(), &bench.named("out"), false, false).unwrap();
    bench.queue("late", &[]);
    assert_eq!(commit(&bench, &mut tx), (vec!["deleted".to_owned(), "lost".into()], false));
    assert_eq!((bench.holds("late"), bench.holds("copy")), (vec!["declared".to_owned()], vec!["result".to_owned()]));
}

#[test]
fn a_queue_that_was_deleted_and_declared_again_gets_what_was_published_to_its_name() {
    let mut bench = bench();
    let mut tx = Tx::new(TransactionLimits::default());
    for (exchange, key, text) in [("amq.fanout", "", "1"), ("", "out", "2"), ("amq.fanout", "", "3")] {
        bench.publish_in(&mut tx, exchange, key, text);
    }
    bench.core.delete_queue(bench.now(), &bench.named("out"), false, false).unwrap();
    bench.queue("out", &[]);
    assert_eq!(commit(&bench, &mut tx), (vec![], false));
    assert_eq!((bench.holds("out"), bench.holds("copy").len()), (["1", "2", "3"].map(String::from).to_vec(), 2));
}

#[test]
fn whoever_commits_is_told_that_a_full_queue_refused_a_message() {
    let mut bench = bench();
    bench.queue("full", &[("x-max-length", Value::Int(1)), ("x-overflow", text("reject-publish"))]);
    let mut tx = Tx::new(TransactionLimits::default());
    for (key, text) in [("full", "1"), ("full", "2"), ("out", "3")] {
        bench.publish_in(&mut tx, "", key, text);
    }
    assert_eq!(commit(&bench, &mut tx), (vec![], true));
    assert_eq!((bench.holds("full"), bench.holds("out")), (vec!["1".to_owned()], vec!["3".to_owned()]));
}
