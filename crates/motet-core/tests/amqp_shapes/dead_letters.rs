//! Messages that die, and where they go.

use motet_core::queue::{Nack, Overflow, QueueConfig};

use crate::broker::{Broker, Letter, Record, credit};

fn ttl(ms: u64) -> QueueConfig {
    QueueConfig { message_ttl_ms: Some(ms), ..QueueConfig::default() }
}

#[test]
fn each_way_to_die_leads_to_the_dead_letter_queue_with_its_reason() {
    let limited = |overflow| QueueConfig { max_messages: Some(1), overflow, ..QueueConfig::default() };
    let cases = [
        ("Rejected", QueueConfig::default()),
        ("Expired", ttl(10)),
        ("DeliveryLimit", QueueConfig { delivery_limit: Some(1), ..QueueConfig::default() }),
        ("MaxLen", limited(Overflow::DropHead)),
        ("MaxLen", limited(Overflow::RejectPublishDlx)),
    ];
    for (reason, config) in cases {
        let mut broker = Broker::default();
        broker.queue("dead", QueueConfig::default());
        broker.queue_with_dead("work", "", Some("dead"), config);
        broker.publish("", "work", "x");
        match reason {
            "Expired" => broker.pass(11),
            "MaxLen" => drop(broker.publish("", "work", "y")),
            "Rejected" => {
                broker.consumer("work", 1, credit(1));
                let seq = broker.take("work", 1, 1)[0].seq;
                broker.nack("work", 1, seq, Nack::Reject);
            }
            _ => {
                broker.consumer("work", 1, credit(1));
                for _ in 0..2 {
                    let seq = broker.take("work", 1, 1)[0].seq;
                    broker.nack("work", 1, seq, Nack::Requeue);
                }
            }
        }
        broker.consumer("dead", 9, credit(9));
        assert_eq!(broker.story("dead", 9), [format!("work {reason} 1")]);
    }
}

#[test]
fn a_move_is_one_stage_that_enqueues_there_and_settles_here() {
    let mut broker = Broker::default();
    broker.queue("dead", QueueConfig::default());
    broker.queue_with_dead("work", "", Some("dead"), ttl(10));
    broker.publish("", "work", "x");
    broker.pass(11);
    let moved = [Record::Enqueue("dead".into(), 1), Record::Settle("work".into(), 1)];
    assert_eq!(broker.journal.last().unwrap(), &moved);
    assert_eq!(broker.of("work").stats().messages(), 0);
}

#[test]
fn a_chain_of_deaths_is_told_the_latest_first() {
    let mut broker = Broker::default();
    broker.queue("end", QueueConfig::default());
    broker.queue_with_dead("second", "", Some("end"), ttl(20));
    broker.queue_with_dead("first", "", Some("second"), ttl(10));
    broker.publish("", "first", "x");
    broker.pass(100);
    broker.consumer("end", 1, credit(1));
    assert_eq!(broker.story("end", 1), ["second Expired 1", "first Expired 1"]);
}

#[test]
fn a_cycle_of_automatic_deaths_ends() {
    let mut broker = Broker::default();
    broker.queue_with_dead("a", "", Some("b"), ttl(10));
    broker.queue_with_dead("b", "", Some("a"), ttl(10));
    broker.publish("", "a", "x");
    broker.pass(1_000);
    assert_eq!(broker.cycles, 1);
    assert_eq!((broker.of("a").stats().messages(), broker.of("b").stats().messages()), (0, 0));
}

#[test]
fn a_rejection_and_a_pause_make_a_retry_loop_that_counts() {
    let mut broker = Broker::default();
    broker.queue_with_dead("work", "", Some("pause"), QueueConfig::default());
    broker.queue_with_dead("pause", "", Some("work"), ttl(1_000));
    broker.publish("", "work", "x");
    broker.consumer("work", 1, credit(1));
    for _ in 0..3 {
        let seq = broker.take("work", 1, 1)[0].seq;
        broker.nack("work", 1, seq, Nack::Reject);
        broker.pass(999);
        assert!(broker.take("work", 1, 1).is_empty());
        broker.pass(2);
    }
    assert_eq!(broker.story("work", 1), ["pause Expired 3", "work Rejected 3"]);
    assert_eq!(broker.cycles, 0);
}

#[test]
fn a_message_s_own_expiry_is_taken_off_when_it_dies() {
    let mut broker = Broker::default();
    broker.queue("dead", QueueConfig::default());
    broker.queue_with_dead("work", "", Some("dead"), QueueConfig::default());
    broker.send("", "work", Letter { ttl_ms: Some(10), ..Letter::default() });
    broker.pass(1_000);
    assert_eq!(broker.of("dead").stats().ready, 1);
}

#[test]
fn a_dead_letter_that_no_queue_wants_is_gone() {
    let mut broker = Broker::default();
    broker.queue_with_dead("work", "nowhere", None, ttl(10));
    broker.publish("", "work", "x");
    broker.pass(11);
    assert_eq!(broker.of("work").stats().messages(), 0);
    assert_eq!(broker.journal.last().unwrap(), &[Record::Settle("work".into(), 1)]);
}
