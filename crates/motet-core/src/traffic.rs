//! What has gone through an exchange and through a vhost, counted for operators.
//!
//! A batch is counted once, whatever its length, in a place that its publisher shares with few others. What lives
//! tells its own figures; here is what is left of what is gone, so that sums over a vhost never shrink.

use crate::message::PublisherId;
use crate::queue::{Departures, QueueStats};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Places that publishers are spread over: as many as workers meet at one exchange on a small machine.
const STRIPES: usize = 4;

/// Messages of one exchange.
#[derive(Debug, Default)]
pub struct ExchangeBooks {
    stripes: [Stripe; STRIPES],
}

/// Alone in its cache line, so that those who write into the next one are not disturbed.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Stripe {
    published_in: AtomicU64,
    published_out: AtomicU64,
    unroutable: AtomicU64,
}

/// What [`ExchangeBooks`] have come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExchangeFigures {
    /// Messages that publishers sent to it.
    pub published_in: u64,
    /// Copies of them that went on to a queue or a subscriber.
    pub published_out: u64,
    /// Messages that reached nobody.
    pub unroutable: u64,
}

impl ExchangeBooks {
    /// A batch of `messages` went to `targets` queues and subscribers each.
    pub(crate) fn count(&self, by: PublisherId, messages: u64, targets: usize) {
        let stripe = &self.stripes[by.0 as usize % STRIPES];
        stripe.published_in.fetch_add(messages, Relaxed);
        match targets {
            0 => stripe.unroutable.fetch_add(messages, Relaxed),
            _ => stripe.published_out.fetch_add(messages * targets as u64, Relaxed),
        };
    }

    /// The sums.
    pub fn figures(&self) -> ExchangeFigures {
        self.stripes.iter().fold(ExchangeFigures::default(), |sum, stripe| ExchangeFigures {
            published_in: sum.published_in + stripe.published_in.load(Relaxed),
            published_out: sum.published_out + stripe.published_out.load(Relaxed),
            unroutable: sum.unroutable + stripe.unroutable.load(Relaxed),
        })
    }
}

/// Messages of one channel, or of all that are closed.
#[derive(Debug, Default)]
pub struct ChannelTotals {
    /// Messages published.
    pub published: AtomicU64,
    /// Messages confirmed.
    pub confirmed: AtomicU64,
    /// Messages returned because nobody receives them.
    pub returned: AtomicU64,
    /// Messages nobody receives, of which nobody wanted to know.
    pub dropped: AtomicU64,
    /// Where this goes when the channel is closed.
    into: Option<Arc<VhostBooks>>,
}

impl ChannelTotals {
    /// Of a channel that is opened now.
    pub fn of_channel(vhost: &Arc<VhostBooks>) -> Self {
        vhost.channels_opened.fetch_add(1, Relaxed);
        let mut totals = ChannelTotals::default();
        totals.into = Some(vhost.clone());
        totals
    }
}

/// What it published stays in the sums of its vhost.
impl Drop for ChannelTotals {
    fn drop(&mut self) {
        let Some(vhost) = &self.into else { return };
        let past = &vhost.channels_past;
        for (past, own) in [
            (&past.published, &self.published),
            (&past.confirmed, &self.confirmed),
            (&past.returned, &self.returned),
            (&past.dropped, &self.dropped),
        ] {
            past.fetch_add(own.load(Relaxed), Relaxed);
        }
        vhost.channels_closed.fetch_add(1, Relaxed);
    }
}

/// What is over in a vhost, and what was done in it.
#[derive(Debug, Default)]
pub struct VhostBooks {
    /// Of channels that are closed.
    pub channels_past: ChannelTotals,
    /// Channels opened.
    pub channels_opened: AtomicU64,
    /// Channels closed.
    pub channels_closed: AtomicU64,
    /// Declarations of queues that were there already, and of new ones.
    pub queues_declared: AtomicU64,
    /// Queues made.
    pub queues_created: AtomicU64,
    /// Queues deleted, by whomever.
    pub queues_deleted: AtomicU64,
    past: Mutex<Past>,
}

/// Of exchanges and queues that are gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    /// Sums over exchanges.
    pub exchanges: ExchangeFigures,
    /// Messages accepted by queues.
    pub enqueued: u64,
    /// Deliveries, repeated ones included.
    pub delivered: u64,
    /// Deliveries marked as redelivered.
    pub redelivered: u64,
    /// Messages settled by their consumer, or by taking them.
    pub acked: u64,
    /// How the deliveries were made.
    pub departures: Departures,
}

impl VhostBooks {
    /// What is left of what is gone.
    pub fn past(&self) -> Past {
        *self.past.lock()
    }

    /// An exchange is deleted.
    pub(crate) fn bury_exchange(&self, figures: ExchangeFigures) {
        let mut past = self.past.lock();
        past.exchanges.published_in += figures.published_in;
        past.exchanges.published_out += figures.published_out;
        past.exchanges.unroutable += figures.unroutable;
    }

    /// A queue is deleted.
    pub(crate) fn bury_queue(&self, stats: &QueueStats, departures: Departures) {
        self.queues_deleted.fetch_add(1, Relaxed);
        let mut past = self.past.lock();
        past.enqueued += stats.enqueued_total;
        past.delivered += stats.delivered_total;
        past.redelivered += stats.redelivered_total;
        past.acked += stats.acked_total;
        past.departures = past.departures.and(departures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_counts_what_comes_and_what_goes_on() {
        let books = ExchangeBooks::default();
        books.count(PublisherId(1), 10, 2);
        books.count(PublisherId(6), 5, 0);
        let figures = books.figures();
        assert_eq!((figures.published_in, figures.published_out, figures.unroutable), (15, 20, 5));
    }
}
