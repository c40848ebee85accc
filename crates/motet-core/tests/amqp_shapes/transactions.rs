//! Several queues, one unit.

use motet_core::queue::{ConsumerId, Nack, QueueConfig};
use motet_core::transaction::{Settlement, Transaction, TransactionLimits};

use crate::broker::{Broker, Record, credit};

fn broker() -> Broker {
    let mut broker = Broker::default();
    broker.queue("out", QueueConfig::default());
    broker.queue("copy", QueueConfig::default());
    broker.queue("dead", QueueConfig::default());
    broker.queue_with_dead("in", "", Some("dead"), QueueConfig::default());
    broker.bind("amq.fanout", "out", "");
    broker.bind("amq.fanout", "copy", "");
    broker.publish("", "in", "task 1");
    broker.publish("", "in", "task 2");
    broker.consumer("in", 1, credit(9));
    broker.take("in", 1, 9);
    broker.journal.clear();
    broker
}

#[test]
fn a_commit_is_one_stage_over_all_queues() {
    let mut broker = broker();
    let mut tx = Transaction::new(TransactionLimits::default());
    broker.publish_in(&mut tx, "amq.fanout", "", "result");
    tx.settle("in".into(), ConsumerId(1), 1, Settlement::Ack).unwrap();
    broker.publish_in(&mut tx, "", "out", "report");
    tx.settle("in".into(), ConsumerId(1), 2, Settlement::Nack(Nack::Reject)).unwrap();
    assert!(broker.journal.is_empty(), "nothing before the commit");
    broker.execute(tx.commit());
    let enqueue = |queue: &str, seq| Record::Enqueue(queue.into(), seq);
    let settle = |seq| Record::Settle("in".into(), seq);
    let expected = [enqueue("copy", 1), enqueue("out", 1), enqueue("out", 2), settle(1), enqueue("dead", 1), settle(2)];
    let [stage] = &broker.journal[..] else { panic!("one stage, not {}", broker.journal.len()) };
    assert!(expected.iter().all(|record| stage.contains(record)) && stage.len() == expected.len(), "{stage:?}");
    broker.consumer("out", 2, credit(9));
    assert_eq!(broker.texts("out", 2, 9), ["result", "report"]);
}

#[test]
fn a_rollback_publishes_nothing_and_leaves_deliveries_with_their_consumer() {
    let mut broker = broker();
    let mut tx = Transaction::new(TransactionLimits::default());
    broker.publish_in(&mut tx, "amq.fanout", "", "result");
    tx.settle("in".into(), ConsumerId(1), 1, Settlement::Ack).unwrap();
    tx.rollback();
    broker.execute(tx.commit());
    assert!(broker.journal.is_empty());
    assert_eq!((broker.of("out").stats().messages(), broker.of("in").stats().unacked), (0, 2));
    broker.ack("in", 1, 1);
}

#[test]
fn an_unroutable_message_is_known_at_the_commit() {
    let broker = broker();
    let mut tx = Transaction::new(TransactionLimits::default());
    broker.publish_in(&mut tx, "", "no such queue", "lost");
    let unit = tx.commit();
    assert_eq!(unit.unroutable().map(|letter| letter.text.as_str()).collect::<Vec<_>>(), ["lost"]);
}
