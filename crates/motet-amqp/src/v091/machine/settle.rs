//! ack, nack, reject, recover; deliveries that wait too long.

use super::channel::Mode;
use super::running::Running;
use super::unacked::Entry;
use crate::v091::config::Config;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::basic;
use motet_core::conversation::add;
use motet_core::core::broker::Settle;
use motet_core::engine::Engine;
use motet_core::machine::Context;
use motet_core::queue::Nack;
use motet_core::time::Instant;
use motet_core::transaction::Settlement;

/// Acknowledgements collected before they go to the core; bounds what a turn holds.
const SETTLES_MAX: usize = 4096;

impl Running {
    pub(super) fn ack<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        ack: basic::Ack,
    ) -> Result<(), Failure> {
        self.settle(cx, number, ack.delivery_tag, ack.multiple, Settlement::Ack)
    }

    pub(super) fn nack<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        nack: basic::Nack,
    ) -> Result<(), Failure> {
        let how = if nack.requeue { Nack::Requeue } else { Nack::Reject };
        self.settle(cx, number, nack.delivery_tag, nack.multiple, Settlement::Nack(how))
    }

    pub(super) fn reject<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        reject: basic::Reject,
    ) -> Result<(), Failure> {
        let how = if reject.requeue { Nack::Requeue } else { Nack::Reject };
        self.settle(cx, number, reject.delivery_tag, false, Settlement::Nack(how))
    }

    fn settle<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        tag: u64,
        multiple: bool,
        settlement: Settlement,
    ) -> Result<(), Failure> {
        let unknown = || Failure::new(ReplyCode::PreconditionFailed, format!("unknown delivery tag {tag}"));
        let channel = self.channels.get_mut(&number).expect("the channel of a method is open");
        if let Mode::Tx(tx) = &mut channel.mode {
            let entries: Vec<Entry> = match multiple {
                true => channel.unacked.take_up_to(tag).ok_or_else(unknown)?.collect(),
                false => vec![channel.unacked.take(tag).ok_or_else(unknown)?],
            };
            let settled = entries.into_iter().try_for_each(|entry| tx.settle(entry, settlement));
            channel.books.acks_uncommitted.store(tx.settled(), std::sync::atomic::Ordering::Relaxed);
            channel.note_unacked();
            return settled;
        }
        let before = channel.unacked.len();
        let settles = &mut self.settles;
        let (mut refusing, is_nack) = (None, settlement != Settlement::Ack);
        let mut push = |entry: Entry| {
            if is_nack && entry.queue.queue_type() == "stream" {
                refusing = Some(entry.queue.clone());
            }
            settles.push(Settle { queue: entry.queue, consumer: entry.consumer, seq: entry.seq, settlement });
        };
        match multiple {
            true => channel.unacked.take_up_to(tag).ok_or_else(unknown)?.for_each(&mut push),
            false => push(channel.unacked.take(tag).ok_or_else(unknown)?),
        }
        if let Some(stream) = refusing {
            return Err(self.not_of_streams(&stream, "basic.nack and basic.reject"));
        }
        let settled = (before - channel.unacked.len()) as u64;
        add(&channel.books.acked_total, if settlement == Settlement::Ack { settled } else { 0 });
        channel.note_unacked();
        // There is room again for those that the channel's own bound held back.
        if !channel.holds_back() {
            self.ready.extend(channel.held.drain(..));
        }
        if self.settles.len() >= SETTLES_MAX {
            self.flush(cx);
        }
        Ok(())
    }

    /// Hands the acknowledgements of the turn to the core.
    pub(super) fn flush_settles<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        if self.settles.is_empty() {
            return;
        }
        // What is unknown was in a queue that is gone.
        let _ = cx.core.settle_many(cx.now, &self.settles);
        self.settles.clear();
        if self.settles.capacity() > SETTLES_MAX {
            self.settles = Vec::new();
        }
    }

    /// Everything unacknowledged goes back to its place.
    pub(super) fn recover<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        requeue: bool,
    ) -> Result<(), Failure> {
        if !requeue {
            return Err(Failure::new(ReplyCode::NotImplemented, "requeue=false"));
        }
        let channel = self.channels.get_mut(&number).expect("the channel of a method is open");
        let entries = channel.unacked.drain();
        channel.note_unacked();
        self.settles.extend(entries.into_iter().map(|entry| Settle {
            queue: entry.queue,
            consumer: entry.consumer,
            seq: entry.seq,
            settlement: Settlement::Nack(Nack::Requeue),
        }));
        self.ready.extend(channel.held.drain(..));
        self.flush_settles(cx);
        Ok(())
    }

    /// When the delivery that waits longest has waited too long.
    pub(super) fn oldest_delivery(&self, config: &Config) -> Option<Instant> {
        let timeout = config.delivery_ack_timeout?;
        let oldest = self.channels.values().filter_map(|channel| channel.unacked.oldest()).min()?;
        Some(oldest + timeout)
    }

    /// Ends the channels in which a delivery has waited too long.
    pub(super) fn check_ack_timeouts<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>) {
        let Some(timeout) = config.delivery_ack_timeout else { return };
        let late = |since: Instant| cx.now.instant.since(since) >= timeout;
        let mut numbers: Vec<u16> = self
            .channels
            .values()
            .filter(|channel| channel.unacked.oldest().is_some_and(late))
            .map(|channel| channel.number)
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            let text = format!(
                "delivery acknowledgement on channel {number} timed out. Timeout value used: {} ms. This timeout value \
                 can be configured, see consumers doc guide to learn more",
                timeout.as_millis()
            );
            tracing::warn!(peer = ?cx.peer, channel = number, "amqp consumer did not acknowledge in time");
            self.fail_channel(cx, number, &Failure::new(ReplyCode::PreconditionFailed, text));
        }
    }
}
