//! When a publisher goes on, in any protocol: until its messages are sent or the run stops, when the next one is due, and
//! while what it sent keeps arriving.

use crate::connection::ClientError;
use crate::flow::{Flow, Run};
use crate::histogram::Histogram;
use crate::options::Options;
use crate::payload::Header;
use crate::pipe::Pipe;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Nothing arrives for so long: what is under way without an acknowledgement is written off.
const STALL: Duration = Duration::from_millis(500);
/// Output beyond which the socket comes first.
const OUT_BYTES_MAX: usize = 64 << 10;

/// What one publisher is to do, whatever it speaks.
pub(crate) struct Plan {
    pub(crate) run: Arc<Run>,
    pub(crate) number: u32,
    /// Messages; `None` goes on until the run stops.
    pub(crate) count: Option<u64>,
    /// Messages that may be on their way to subscribers.
    pub(crate) in_flight: u64,
    /// When messages are due, where another thread keeps the time.
    pub(crate) pace: Option<Pace>,
    /// How long acknowledgements may take at the end.
    patience: Duration,
}

impl Plan {
    /// The usual one.
    pub(crate) fn new(run: Arc<Run>, number: u32, options: &Options, in_flight: u64) -> Self {
        Plan { run, number, count: options.count, in_flight, pace: None, patience: options.patience }
    }

    pub(crate) fn flow(&self) -> &Flow {
        &self.run.flows[self.number as usize]
    }

    /// To begin with it.
    pub(crate) fn course(&self) -> Course<'_> {
        Course { plan: self, flow: self.flow(), told: Published::default(), stalled_at: None }
    }
}

/// A fixed rate of one publisher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// When the first message is due, in nanoseconds of the run's clock.
    pub(crate) start: u64,
    /// Nanoseconds between two messages.
    pub(crate) interval: f64,
}

impl Pace {
    /// From now on: its share of the messages a second that all publishers of the run send together.
    pub(crate) fn from_now(run: &Run, rate: f64) -> Self {
        Pace { start: run.clock.nanos(), interval: 1e9 * run.flows.len() as f64 / rate.max(1e-3) }
    }

    /// When the message of this number is due.
    pub(crate) fn due_at(&self, sequence: u64) -> u64 {
        self.start + (sequence as f64 * self.interval) as u64
    }

    /// Messages that are due by now.
    pub(crate) fn due(&self, now: u64) -> u64 {
        now.checked_sub(self.start).map_or(0, |elapsed| (elapsed as f64 / self.interval) as u64 + 1)
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) sent: u64,
    pub(crate) refused: u64,
    /// Never acknowledged.
    pub(crate) unconfirmed: u64,
    /// Times that a stalled flow was written off.
    pub(crate) stalls: u64,
    /// How late messages left us, where they were due at a time.
    pub(crate) lateness: Histogram,
    /// The connection broke.
    pub(crate) error: Option<ClientError>,
}

/// A plan under way.
pub(crate) struct Course<'a> {
    plan: &'a Plan,
    flow: &'a Flow,
    pub(crate) told: Published,
    /// When a flow that does not move is written off, and its arrivals when that was decided.
    stalled_at: Option<(Instant, u64)>,
}

impl Course<'_> {
    /// Nothing new is to be sent.
    pub(crate) fn is_done(&self) -> bool {
        self.plan.run.is_stopping() || self.plan.count.is_some_and(|count| self.told.sent >= count)
    }

    /// As much is under way as may be.
    fn is_blocked(&self) -> bool {
        self.plan.run.room(self.flow, self.plan.in_flight) == 0
    }

    /// The next message may go, as far as the protocol's window has room for it.
    pub(crate) fn may_send(&self, output: usize) -> bool {
        let due = self.plan.pace.is_none() || self.flow.due.load(Ordering::Acquire) > self.told.sent;
        due && output < OUT_BYTES_MAX && !self.is_done() && !self.is_blocked()
    }

    /// What the next message says of itself; it counts as sent.
    pub(crate) fn next(&mut self) -> Header {
        let Plan { run, number, pace, .. } = self.plan;
        let (sequence, now) = (self.told.sent, run.clock.nanos());
        // A message that leaves late was due all the same: whoever waits for it waits from then on.
        let stamp = pace.map_or(now, |pace| pace.due_at(sequence));
        if pace.is_some() {
            self.told.lateness.add(now.saturating_sub(stamp));
        }
        self.told.sent += 1;
        // Before it leaves: a subscriber believes what has been sent.
        self.flow.sent.store(self.told.sent, Ordering::Release);
        Header { run: run.id, publisher: *number, sequence, stamp }
    }

    /// The server took so many not.
    pub(crate) fn refused(&mut self, count: u64) {
        self.told.refused += count;
        self.flow.refused.fetch_add(count, Ordering::AcqRel);
    }

    /// Waits until something has moved. Without acknowledgements, what does not arrive is written off after a while.
    pub(crate) async fn wait(&mut self, pipe: &mut Pipe, acknowledged: bool) -> io::Result<()> {
        if !pipe.out.is_empty() {
            self.stalled_at = None;
        }
        let (at, arrivals) =
            *self.stalled_at.get_or_insert_with(|| (Instant::now() + STALL, self.plan.run.arrivals(self.flow)));
        tokio::select! {
            pumped = pipe.pump() => pumped?,
            () = self.flow.changed.notified() => {}
            () = sleep_until(at), if !acknowledged && self.is_blocked() => {
                if self.plan.run.arrivals(self.flow) == arrivals {
                    self.plan.run.forgive(self.flow);
                    self.told.stalls += 1;
                }
                self.stalled_at = None;
            }
        }
        Ok(())
    }

    /// When whoever waits for the last acknowledgements has waited enough.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.plan.patience
    }
}

/// Reads and writes; false when the time is over.
pub(crate) async fn pump_until(by: Instant, pipe: &mut Pipe) -> io::Result<bool> {
    match timeout_at(by, pipe.pump()).await {
        Ok(pumped) => pumped.map(|()| true),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_exactly_when_its_pace_says() {
        let pace = Pace { start: 1000, interval: 250.0 };
        assert_eq!([999, 1000, 1249, 1250].map(|now| pace.due(now)), [0, 1, 1, 2]);
        assert_eq!(pace.due_at(4), 2000);
    }

    #[test]
    fn a_course_ends_with_its_messages_and_waits_for_room() {
        let options = Options { count: Some(3), ..Options::new("nowhere") };
        let plan = Plan::new(Arc::new(Run::new(1, 1)), 0, &options, 2);
        let mut course = plan.course();
        assert!(course.may_send(0) && !course.may_send(OUT_BYTES_MAX));
        assert_eq!([course.next().sequence, course.next().sequence], [0, 1]);
        assert!(!course.may_send(0) && !course.is_done(), "two are under way");
        course.refused(1);
        assert!(course.may_send(0));
        course.next();
        assert!(course.is_done());
    }
}
