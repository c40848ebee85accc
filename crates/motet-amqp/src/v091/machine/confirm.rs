//! What publishers are told, and when: everything up to here, as soon as it is durable; what overtakes, one by one.

use super::channel::Mode;
use super::running::Running;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::{basic, confirm, put_method};
use bytes::BytesMut;
use motet_core::engine::{Engine, Position};
use motet_core::machine::Context;
use std::collections::VecDeque;
use std::sync::atomic::Ordering;

/// Consecutive publications, from the first to the last of their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u64,
    last: u64,
    /// Refused otherwise.
    accepted: bool,
}

/// The confirms of a channel. Publications are numbered from 1.
#[derive(Debug)]
pub(super) struct Confirms {
    /// The number of the next publication.
    next: u64,
    /// All below are confirmed.
    low: u64,
    /// Accepted, and to be told when their position is durable; in the order of publishing, and so of positions.
    pending: VecDeque<(Position, Span)>,
    /// To be told now.
    settled: Vec<Span>,
    /// Told already, above `low`; by their first number.
    early: VecDeque<Span>,
}

impl Confirms {
    fn new() -> Self {
        Confirms { next: 1, low: 1, pending: VecDeque::new(), settled: Vec::new(), early: VecDeque::new() }
    }

    /// The number of a publication that has just come.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// What became of `count` publications from `first` on. They are confirmed when `position` is durable.
    pub(super) fn settle(&mut self, first: u64, count: u64, accepted: bool, position: Option<Position>) {
        let span = Span { first, last: first + count - 1, accepted };
        match position {
            Some(position) if accepted => self.pending.push_back((position, span)),
            _ => self.settled.push(span),
        }
    }

    /// What the oldest that waits waits for.
    pub(super) fn next_position(&self) -> Option<Position> {
        self.pending.front().map(|(position, _)| *position)
    }

    /// How many have been told, one way or the other, those aside that overtook.
    pub(super) fn told(&self) -> u64 {
        self.low - 1
    }

    /// How many wait to be told, with those that overtook one that waits.
    pub(super) fn untold(&self) -> u64 {
        self.next - self.low
    }

    /// Spans of publications that are not told yet.
    pub(super) fn backlog(&self) -> usize {
        self.pending.len() + self.settled.len()
    }

    /// Writes what can be told.
    pub(super) fn release(&mut self, durable: Position, channel: u16, out: &mut BytesMut) {
        while let Some((position, span)) = self.pending.front().copied()
            && position <= durable
        {
            self.pending.pop_front();
            self.settled.push(span);
        }
        if self.settled.is_empty() {
            return;
        }
        self.settled.sort_unstable_by_key(|span| span.first);
        let mut together: Option<Span> = None;
        for span in std::mem::take(&mut self.settled) {
            if span.first != self.low {
                self.tell_early(span, channel, out);
                continue;
            }
            match &mut together {
                Some(before) if before.accepted == span.accepted => before.last = span.last,
                before => {
                    if let Some(before) = before.replace(span) {
                        tell(before, channel, out);
                    }
                }
            }
            self.low = span.last + 1;
            self.pass_early(&mut together, channel, out);
        }
        if let Some(span) = together {
            tell(span, channel, out);
        }
    }

    /// What was told early is behind us now. A cumulated answer must not span it with the other word.
    fn pass_early(&mut self, together: &mut Option<Span>, channel: u16, out: &mut BytesMut) {
        while let Some(span) = self.early.front().copied()
            && span.first == self.low
        {
            self.early.pop_front();
            self.low = span.last + 1;
            if let Some(before) = together.take() {
                tell(before, channel, out);
            }
        }
    }

    /// Something before it waits: it is told by its own numbers.
    fn tell_early(&mut self, span: Span, channel: u16, out: &mut BytesMut) {
        for number in span.first..=span.last {
            tell(Span { first: number, last: number, ..span }, channel, out);
        }
        let at = self.early.partition_point(|known| known.first < span.first);
        self.early.insert(at, span);
    }
}

fn tell(span: Span, channel: u16, out: &mut BytesMut) {
    let (delivery_tag, multiple) = (span.last, span.last > span.first);
    match span.accepted {
        true => put_method(out, channel, &basic::Ack { delivery_tag, multiple }),
        false => put_method(out, channel, &basic::Nack { delivery_tag, multiple, requeue: false }),
    }
}

impl Running {
    pub(super) fn confirm_select<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        select: confirm::Select,
    ) -> Result<(), Failure> {
        let channel = self.channel(number);
        match channel.mode {
            Mode::Tx(_) => {
                return Err(Failure::new(ReplyCode::PreconditionFailed, "cannot switch from tx to confirm mode"));
            }
            Mode::Plain => {
                channel.mode = Mode::Confirm(Confirms::new());
                channel.books.confirm.store(true, Ordering::Relaxed);
            }
            Mode::Confirm(_) => {}
        }
        if !select.no_wait {
            self.reply(cx, number, None, &confirm::SelectOk {});
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v091::packet::{Method, frame};
    use std::num::NonZeroU64;

    fn at(number: u64) -> Position {
        Position(NonZeroU64::new(number).map_or(0, NonZeroU64::get))
    }

    fn told(confirms: &mut Confirms, durable: u64) -> Vec<String> {
        let mut out = BytesMut::new();
        confirms.release(at(durable), 1, &mut out);
        let (mut rest, mut lines) = (&out[..], Vec::new());
        while let Some(found) = frame(rest, u32::MAX).unwrap() {
            rest = &rest[found.len()..];
            lines.push(match Method::decode(found.payload).unwrap() {
                Method::Basic(basic::Method::Ack(ack)) => format!("ack {}{}", ack.delivery_tag, plus(ack.multiple)),
                Method::Basic(basic::Method::Nack(nack)) => {
                    format!("nack {}{}", nack.delivery_tag, plus(nack.multiple))
                }
                other => panic!("{other:?}"),
            });
        }
        lines
    }

    fn plus(multiple: bool) -> &'static str {
        if multiple { "+" } else { "" }
    }

    #[test]
    fn what_is_durable_is_told_in_one_word() {
        let mut confirms = Confirms::new();
        confirms.settle(1, 3, true, Some(at(10)));
        confirms.settle(4, 1, true, Some(at(20)));
        confirms.settle(5, 2, true, Some(at(30)));
        assert_eq!(told(&mut confirms, 9), [""; 0]);
        assert_eq!(told(&mut confirms, 20), ["ack 4+"]);
        assert_eq!(confirms.next_position(), Some(at(30)));
        assert_eq!(told(&mut confirms, 30), ["ack 6+"]);
    }

    #[test]
    fn what_needs_no_disk_overtakes_what_waits_for_it_one_by_one() {
        let mut confirms = Confirms::new();
        confirms.settle(1, 1, true, Some(at(10)));
        confirms.settle(2, 2, true, None);
        assert_eq!(told(&mut confirms, 0), ["ack 2", "ack 3"]);
        confirms.settle(4, 1, true, None);
        assert_eq!(told(&mut confirms, 10), ["ack 1", "ack 4"]);
        confirms.settle(5, 2, true, None);
        assert_eq!(told(&mut confirms, 10), ["ack 6+"]);
    }

    #[test]
    fn refusals_are_told_apart_from_acceptances() {
        let mut confirms = Confirms::new();
        confirms.settle(1, 2, true, None);
        confirms.settle(3, 2, false, None);
        confirms.settle(5, 1, true, None);
        assert_eq!(told(&mut confirms, 0), ["ack 2+", "nack 4+", "ack 5"]);
    }
}
