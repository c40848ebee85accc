//! A transaction: publications and settlements of several queues, collected to be staged as one unit.
//!
//! ```text
//!  tx.publish ─▶ ┌─────────────┐ commit    Unit: per queue, in the order of queues   ┌ one Stage ┐
//!  tx.ack     ─▶ │ Transaction │ ───────▶  lock, enqueue …, settle …, unlock  ─────▶ │  finish   │ ─▶ commit-ok once durable
//!                └─────────────┘ rollback ─▶ nothing happened
//! ```
//! Pure description: the core executes a [`Unit`]. *The law: open one stage; for each [`QueueWork`] in order take that queue's lock,
//! enqueue, settle, stage what both say, let go; then finish the stage. Everything is durable together or not at all.* A body that
//! goes to several durable queues is staged once.
//!
//! As in RabbitMQ: bindings are those of the moment of publishing, and lead to names of queues, which are looked up at the commit; of
//! one queue, publications come before settlements; rolling back an acknowledgement leaves the message with its consumer; a queue that
//! refuses a publication for its length keeps nothing of the rest, but whoever commits is told. Different from RabbitMQ: the unit spans
//! queues, and survives a crash whole.

use std::collections::BTreeMap;

use crate::queue::{ConsumerId, Nack};

/// What one transaction may collect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    /// Publications (counted per queue, at least one each) and settlements together.
    pub steps: usize,
    /// Bytes of the messages published.
    pub bytes: u64,
}

impl Default for TransactionLimits {
    /// A transaction holds its messages in memory until it commits, and its stage until it is durable.
    fn default() -> Self {
        Self { steps: 65_536, bytes: 64 << 20 }
    }
}

/// The transaction is as large as it may be; it stays as it was, to be committed or rolled back. // AMQP 0-9-1: 506 RESOURCE_ERROR
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the transaction has reached its limit of {steps} steps or {bytes} bytes", steps = .0.steps, bytes = .0.bytes)]
pub struct TransactionFull(pub TransactionLimits);

/// How a delivery is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done.
    Ack,
    /// Not done.
    Nack(Nack),
}

/// One message into one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publishing {
    /// Which of [`Unit::messages`].
    pub message: usize,
    /// Milliseconds to hold it back.
    pub delay_ms: u64,
}

/// One delivery settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settling {
    /// Who holds it.
    pub consumer: ConsumerId,
    /// Its sequence in the queue.
    pub seq: u64,
    /// How.
    pub settlement: Settlement,
}

/// What happens in one queue, under one lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueWork<Q> {
    /// Which queue.
    pub queue: Q,
    /// First these, in the order of publishing.
    pub publishings: Vec<Publishing>,
    /// Then these, in the order of settling.
    pub settlings: Vec<Settling>,
}

/// A committed transaction, for the core to execute as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit<M, Q> {
    /// The messages in the order of publishing; those without a queue too, to be returned if they are mandatory.
    pub messages: Vec<M>,
    /// Per queue, each once, in the order of `Q`.
    pub work: Vec<QueueWork<Q>>,
}

impl<M, Q> Unit<M, Q> {
    /// Nothing to stage.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.work.is_empty()
    }
}

/// What was collected since the last commit or rollback; `Q` names a queue for longer than a change of topology takes.
#[derive(Debug)]
pub struct Transaction<M, Q> {
    messages: Vec<M>,
    queues: BTreeMap<Q, (Vec<Publishing>, Vec<Settling>)>,
    steps: usize,
    bytes: u64,
    limits: TransactionLimits,
}

impl<M, Q: Ord> Transaction<M, Q> {
    /// Begins with nothing. // AMQP 0-9-1 section 1.9.2.1, tx.select
    pub fn new(limits: TransactionLimits) -> Self {
        Self { messages: Vec::new(), queues: BTreeMap::new(), steps: 0, bytes: 0, limits }
    }

    /// Steps collected.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Bytes of the messages collected.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a message for `targets`, each queue once: the queue and the milliseconds to hold it back there.
    ///
    /// # Errors
    /// [`TransactionFull`]; nothing was added.
    pub fn publish(
        &mut self,
        message: M,
        bytes: u64,
        targets: impl IntoIterator<Item = (Q, u64), IntoIter: ExactSizeIterator>,
    ) -> Result<(), TransactionFull> {
        let targets = targets.into_iter();
        // A message without a queue counts as well: it is kept in memory.
        self.grow(targets.len().max(1), bytes)?;
        let message_at = self.messages.len();
        for (queue, delay_ms) in targets {
            self.queues.entry(queue).or_default().0.push(Publishing { message: message_at, delay_ms });
        }
        self.messages.push(message);
        Ok(())
    }

    /// Adds the settlement of a delivery, which the caller knows to exist.
    ///
    /// # Errors
    /// [`TransactionFull`]; nothing was added.
    pub fn settle(
        &mut self,
        queue: Q,
        consumer: ConsumerId,
        seq: u64,
        settlement: Settlement,
    ) -> Result<(), TransactionFull> {
        self.grow(1, 0)?;
        self.queues.entry(queue).or_default().1.push(Settling { consumer, seq, settlement });
        Ok(())
    }

    fn grow(&mut self, steps: usize, bytes: u64) -> Result<(), TransactionFull> {
        let (steps, bytes) = (self.steps.saturating_add(steps), self.bytes.saturating_add(bytes));
        if steps > self.limits.steps || bytes > self.limits.bytes {
            return Err(TransactionFull(self.limits));
        }
        (self.steps, self.bytes) = (steps, bytes);
        Ok(())
    }

    /// Gives everything out as one unit; the next transaction begins. // AMQP 0-9-1, tx.commit
    #[must_use = "a unit that is not executed is a transaction that is lost"]
    pub fn commit(&mut self) -> Unit<M, Q> {
        let done = std::mem::replace(self, Self::new(self.limits));
        let work = done.queues.into_iter();
        let work = work.map(|(queue, (publishings, settlings))| QueueWork { queue, publishings, settlings });
        Unit { messages: done.messages, work: work.collect() }
    }

    /// Forgets everything; the next transaction begins. // AMQP 0-9-1, tx.rollback
    pub fn rollback(&mut self) {
        *self = Self::new(self.limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction() -> Transaction<&'static str, u32> {
        Transaction::new(TransactionLimits { steps: 5, bytes: 10 })
    }

    #[test]
    fn a_unit_visits_each_queue_once_in_order_and_publishes_before_it_settles() {
        let mut tx = transaction();
        tx.settle(2, ConsumerId(1), 7, Settlement::Ack).unwrap();
        tx.publish("a", 1, [(3, 0), (2, 50)]).unwrap();
        tx.publish("b", 1, [(2, 0)]).unwrap();
        let unit = tx.commit();
        assert_eq!(unit.messages, ["a", "b"]);
        let publishing = |message, delay_ms| Publishing { message, delay_ms };
        let settling = Settling { consumer: ConsumerId(1), seq: 7, settlement: Settlement::Ack };
        let two =
            QueueWork { queue: 2, publishings: vec![publishing(0, 50), publishing(1, 0)], settlings: vec![settling] };
        let three = QueueWork { queue: 3, publishings: vec![publishing(0, 0)], settlings: vec![] };
        assert_eq!(unit.work, [two, three]);
        assert!(tx.commit().is_empty(), "the next one begins with nothing");
    }

    #[test]
    fn a_message_for_nobody_is_in_the_unit_to_be_returned() {
        let mut tx = transaction();
        tx.publish("lost", 4, []).unwrap();
        let unit = tx.commit();
        assert_eq!((unit.messages, unit.work), (vec!["lost"], vec![]));
    }

    #[test]
    fn what_is_rolled_back_never_was() {
        let mut tx = transaction();
        tx.publish("a", 10, [(1, 0)]).unwrap();
        tx.rollback();
        assert_eq!((tx.steps(), tx.bytes()), (0, 0));
        assert!(tx.commit().is_empty());
    }

    #[test]
    fn a_full_transaction_refuses_and_stays_as_it_was() {
        let mut tx = transaction();
        tx.publish("a", 8, [(1, 0), (2, 0)]).unwrap();
        assert!(tx.publish("too many bytes", 3, [(1, 0)]).is_err());
        assert!(tx.publish("too many queues", 1, [(1, 0), (2, 0), (3, 0), (4, 0)]).is_err());
        assert_eq!((tx.steps(), tx.bytes()), (2, 8));
        let refused = tx.publish("x", 99, []).unwrap_err();
        assert_eq!(refused.to_string(), "the transaction has reached its limit of 5 steps or 10 bytes");
        assert_eq!(tx.commit().messages, ["a"]);
    }
}
