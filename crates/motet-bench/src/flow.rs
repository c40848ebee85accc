//! What publishers and subscribers of a run share. A publisher goes on only while what it sent keeps arriving: a server
//! that drops is not faster.

use crate::clock::Clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::Notify;

/// One run of a workload.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) clock: Clock,
    /// In every payload.
    pub(crate) id: u32,
    /// Subscribers that get each message.
    pub(crate) fan_out: u64,
    /// One per publisher.
    pub(crate) flows: Vec<Flow>,
    /// Arrivals of all subscribers.
    pub(crate) delivered: AtomicU64,
    /// Latency counts for messages due from here on, in nanoseconds of the clock.
    pub(crate) measured_from: AtomicU64,
    /// Publishers say nothing new.
    stopping: AtomicBool,
    /// Since then, in nanoseconds of the clock.
    stopped_at: AtomicU64,
}

/// One publisher's account.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    pub(crate) sent: AtomicU64,
    /// Refused by the server.
    pub(crate) refused: AtomicU64,
    /// Arrivals, counted once per subscriber.
    arrived: AtomicU64,
    /// Arrivals that nobody waits for any more.
    forgiven: AtomicU64,
    /// Messages that are due, where somebody else keeps the time.
    pub(crate) due: AtomicU64,
    /// Something of the above has changed.
    pub(crate) changed: Notify,
}

impl Run {
    pub(crate) fn new(publishers: usize, fan_out: usize) -> Self {
        let clock = Clock::start();
        Run {
            clock,
            // Two runs in the same nanosecond of the same process id do not meet on one server.
            id: std::process::id().rotate_left(16) ^ run_number(),
            fan_out: fan_out as u64,
            flows: (0..publishers).map(|_| Flow::default()).collect(),
            delivered: AtomicU64::new(0),
            measured_from: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            stopped_at: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Up to when messages were due, in nanoseconds of the clock.
    pub(crate) fn last_due(&self) -> u64 {
        if self.is_stopping() { self.stopped_at.load(Ordering::Relaxed) } else { self.clock.nanos() }
    }

    /// Publishers finish what they have begun.
    pub(crate) fn stop(&self) {
        self.stopped_at.store(self.clock.nanos(), Ordering::Relaxed);
        self.stopping.store(true, Ordering::Release);
        self.flows.iter().for_each(|flow| flow.changed.notify_one());
    }

    /// Messages that the publisher may send beyond those already sent, when `in_flight` may be under way.
    pub(crate) fn room(&self, flow: &Flow, in_flight: u64) -> u64 {
        in_flight.saturating_sub(self.under_way(flow))
    }

    fn under_way(&self, flow: &Flow) -> u64 {
        let owed = (flow.sent.load(Ordering::Acquire) - flow.refused.load(Ordering::Relaxed)) * self.fan_out;
        let settled = flow.arrived.load(Ordering::Acquire) + flow.forgiven.load(Ordering::Acquire);
        owed.saturating_sub(settled).div_ceil(self.fan_out.max(1))
    }

    /// `count` messages of the publisher reached a subscriber.
    pub(crate) fn arrived(&self, publisher: u32, count: u64) {
        self.delivered.fetch_add(count, Ordering::AcqRel);
        if let Some(flow) = self.flows.get(publisher as usize) {
            flow.arrived.fetch_add(count, Ordering::AcqRel);
            flow.changed.notify_one();
        }
    }

    /// Arrivals of one publisher's messages.
    pub(crate) fn arrivals(&self, flow: &Flow) -> u64 {
        flow.arrived.load(Ordering::Acquire)
    }

    /// Nobody waits any longer for what is under way. Whatever of it does arrive is counted all the same.
    pub(crate) fn forgive(&self, flow: &Flow) {
        flow.forgiven.fetch_add(self.under_way(flow) * self.fan_out, Ordering::AcqRel);
    }

    /// Arrivals to be had: what was sent and not refused, at every subscriber.
    pub(crate) fn expected(&self) -> u64 {
        let taken = |flow: &Flow| flow.sent.load(Ordering::Acquire) - flow.refused.load(Ordering::Acquire);
        self.flows.iter().map(taken).sum::<u64>() * self.fan_out
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }
}

/// Differs between the runs of a process.
fn run_number() -> u32 {
    static RUNS: AtomicU64 = AtomicU64::new(1);
    RUNS.fetch_add(1, Ordering::Relaxed) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_has_room_as_its_messages_reach_every_subscriber() {
        let run = Run::new(1, 2);
        let flow = &run.flows[0];
        assert_eq!(run.room(flow, 10), 10);
        flow.sent.fetch_add(10, Ordering::Relaxed);
        assert_eq!(run.room(flow, 10), 0);
        run.arrived(0, 10);
        assert_eq!(run.room(flow, 10), 5);
        flow.refused.fetch_add(5, Ordering::Relaxed);
        assert_eq!((run.room(flow, 10), run.expected()), (10, 10));
    }

    #[test]
    fn what_was_lost_is_forgiven_once() {
        let run = Run::new(1, 3);
        let flow = &run.flows[0];
        flow.sent.fetch_add(7, Ordering::Relaxed);
        run.forgive(flow);
        run.forgive(flow);
        assert_eq!(run.room(flow, 7), 7);
        flow.sent.fetch_add(2, Ordering::Relaxed);
        assert_eq!(run.room(flow, 7), 5);
    }
}
