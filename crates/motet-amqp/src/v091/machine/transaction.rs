//! tx: publications and settlements as one.

use super::channel::Mode;
use super::inbound::Run;
use super::running::Running;
use super::unacked::Entry;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::tx;
use motet_core::conversation::add;
use motet_core::core::Publisher;
use motet_core::core::broker::{TxMessage, TxQueue};
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::transaction::{Settlement, Transaction, TransactionFull, TransactionLimits};

/// A channel's transaction since the last commit or rollback.
#[derive(Debug)]
pub(super) struct Tx {
    transaction: Transaction<TxMessage, TxQueue>,
    /// What was settled, to be given back if it comes to nothing.
    settled: Vec<Entry>,
    /// Messages.
    published: u64,
}

fn full(error: TransactionFull) -> Failure {
    Failure::new(ReplyCode::ResourceError, error.to_string())
}

impl Tx {
    fn new() -> Self {
        let transaction = Transaction::new(TransactionLimits::default());
        Tx { transaction, settled: Vec::new(), published: 0 }
    }

    /// Adds a message.
    pub(super) fn publish<E: Engine>(
        &mut self,
        cx: &Context<'_, E>,
        publisher: &Publisher,
        run: Run,
    ) -> Result<(), Failure> {
        let (known, batch, mandatory) = run.into_single(publisher);
        cx.core.publish_in(&mut self.transaction, cx.now, publisher, &known, batch, mandatory).map_err(full)?;
        self.published += 1;
        Ok(())
    }

    /// Adds a settlement.
    pub(super) fn settle(&mut self, entry: Entry, settlement: Settlement) -> Result<(), Failure> {
        let queue = TxQueue(entry.queue.clone());
        let added = self.transaction.settle(queue, entry.consumer, entry.seq, settlement);
        // Either way it is no longer among those that wait, and comes back with a rollback or with the channel's end.
        self.settled.push(entry);
        added.map_err(full)
    }

    /// How many messages.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// How many settlements.
    pub(super) fn settled(&self) -> u64 {
        self.settled.len() as u64
    }

    /// What was settled and never committed.
    pub(super) fn take_settled(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.settled)
    }
}

impl Running {
    pub(super) fn tx_select<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16) -> Result<(), Failure> {
        let channel = self.channel(number);
        match channel.mode {
            Mode::Confirm(_) => {
                return Err(Failure::new(ReplyCode::PreconditionFailed, "cannot switch from confirm to tx mode"));
            }
            Mode::Plain => {
                channel.mode = Mode::Tx(Box::new(Tx::new()));
                channel.books.transactional.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            Mode::Tx(_) => {}
        }
        self.reply(cx, number, None, &tx::SelectOk {});
        Ok(())
    }

    fn tx(&mut self, number: u16) -> Result<&mut Tx, Failure> {
        match &mut self.channel(number).mode {
            Mode::Tx(tx) => Ok(tx),
            _ => Err(Failure::new(ReplyCode::PreconditionFailed, "channel is not transactional")),
        }
    }

    pub(super) fn tx_commit<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16) -> Result<(), Failure> {
        let tx = self.tx(number)?;
        let unit = tx.transaction.commit();
        let committed = cx.core.commit(cx.now, unit);
        let Ok(committed) = committed else {
            // The store takes nothing: as if it had never been; the settlements come back with the channel's end.
            return Err(Failure::new(ReplyCode::PreconditionFailed, "partial tx completion: low on disk"));
        };
        let acked = std::mem::take(&mut tx.settled).len() as u64;
        let published = std::mem::take(&mut tx.published);
        let books = self.channel(number).books.clone();
        for (figure, more) in [
            (&books.totals.published, published),
            (&books.totals.returned, committed.returned.len() as u64),
            (&books.totals.dropped, committed.lost),
            (&books.acked_total, acked),
        ] {
            add(figure, more);
        }
        books.note_nothing_uncommitted();
        for batch in &committed.returned {
            self.give_back(cx, number, batch);
        }
        if committed.refused {
            return Err(Failure::new(ReplyCode::PreconditionFailed, "partial tx completion"));
        }
        let channel = self.channels.get_mut(&number).expect("the channel of a method is open");
        if !channel.holds_back() {
            self.ready.extend(channel.held.drain(..));
        }
        self.reply(cx, number, committed.position, &tx::CommitOk {});
        Ok(())
    }

    pub(super) fn tx_rollback<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16) -> Result<(), Failure> {
        let tx = self.tx(number)?;
        tx.transaction.rollback();
        tx.published = 0;
        let settled = tx.take_settled();
        // An acknowledgement that is rolled back leaves the message with its consumer.
        let channel = self.channel(number);
        channel.unacked.restore(settled);
        channel.books.note_nothing_uncommitted();
        self.reply(cx, number, None, &tx::RollbackOk {});
        Ok(())
    }
}
