//! Several queues, one unit.

use motet_core::queue::Nack;
use motet_core::transaction::{Settlement, TransactionLimits};

use crate::bench::{Bench, Tx, credit};
use motet_core::core::broker::TxQueue;

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
    assert!(bench.publish_in(&mut tx, "amq.fanout", "", "result"));
    settle(bench, &mut tx, 1, Settlement::Ack);
    assert!(bench.publish_in(&mut tx, "", "out", "report"));
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

#[test]
fn an_unroutable_message_is_known_when_it_is_published() {
    let mut bench = bench();
    let mut tx = Tx::new(TransactionLimits::default());
    assert!(!bench.publish_in(&mut tx, "", "no such queue", "lost"));
    assert_eq!(tx.commit().unroutable().count(), 1);
}
