//! From the carrier to the machine.

use super::framing::{Decoded, Framing};
use super::{Carrier, Connection, End};
use crate::rates::RATED_READ_BYTES;
use crate::worker::{READ_BYTES, Worker};
use bytes::BufMut;
use motet_core::engine::Engine;
use motet_core::machine::CloseCause;
use motet_core::time::Now;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// From here on the beginning of a frame is not copied into the worker's buffer again for each read: what follows is
/// read straight behind it.
const STRAIGHT_BYTES_MIN: usize = 4 << 10;

/// Reads once into the spare room of `into`. The future that tokio makes of it keeps no state, so nothing is lost
/// when it is pending.
pub(super) fn poll_read(
    carrier: &mut (impl AsyncRead + Unpin),
    cx: &mut Context<'_>,
    into: &mut impl BufMut,
) -> Poll<std::io::Result<usize>> {
    pin!(carrier.read_buf(into)).poll(cx)
}

impl<C: Carrier, E: Engine> Connection<C, E> {
    /// Reads once and feeds the machine with all of it, or feeds what a pause had left. False: nothing came.
    pub(super) fn take_input(&mut self, cx: &mut Context<'_>, worker: &mut Worker, now: Now) -> Result<bool, End> {
        if std::mem::take(&mut self.unfed) {
            worker.prepare_read();
            match self.framing {
                Framing::Plain => self.feed_partial(worker, now),
                Framing::WebSocket(_) => self.feed_frames(worker, now),
            }
            return Ok(true);
        }
        let hint = self.machine.as_ref().and_then(|machine| machine.input_hint()).unwrap_or(0);
        let straight = self.partial.len() >= STRAIGHT_BYTES_MIN || (hint > READ_BYTES && !self.partial.is_empty());
        let plain = matches!(self.framing, Framing::Plain);
        let read = match plain && straight {
            true => self.read_straight(cx, hint),
            false => self.read_into_worker(cx, worker, plain),
        };
        let count = match read {
            Poll::Pending => return Ok(false),
            Poll::Ready(Err(error)) => return Err(self.carrier_failed(&error)),
            Poll::Ready(Ok(0)) => return Err(End(CloseCause::PeerClosed)),
            Poll::Ready(Ok(count)) => {
                self.figures().received_bytes.fetch_add(count as u64, Ordering::Relaxed);
                self.handle.received(count);
                self.log_read(count);
                self.first_byte_by = None;
                count
            }
        };
        match plain {
            true if straight => self.feed_partial(worker, now),
            true => self.feed_worker(worker, now),
            false => self.feed_frames(worker, now),
        }
        self.charge(count, now);
        Ok(true)
    }

    /// Behind the beginning of a large frame, in the connection's own buffer, sized for the frame.
    fn read_straight(&mut self, cx: &mut Context<'_>, hint: usize) -> Poll<std::io::Result<usize>> {
        let missing = hint.saturating_sub(self.partial.len());
        if self.partial.capacity() == self.partial.len() {
            self.partial.reserve(missing.max(STRAIGHT_BYTES_MIN));
        } else if missing > 0 {
            self.partial.reserve(missing);
        }
        poll_read(&mut self.carrier, cx, &mut self.partial)
    }

    /// Into the worker's buffer, behind the little that waits.
    fn read_into_worker(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut Worker,
        plain: bool,
    ) -> Poll<std::io::Result<usize>> {
        worker.prepare_read();
        if plain {
            worker.read.extend_from_slice(&self.partial);
        }
        let most = if self.rated.is_some() { RATED_READ_BYTES } else { usize::MAX };
        let read = ready!(poll_read(&mut self.carrier, cx, &mut (&mut worker.read).limit(most)));
        if plain {
            self.partial.clear();
        }
        Poll::Ready(read)
    }

    fn feed_worker(&mut self, worker: &mut Worker, now: Now) {
        let Worker { read, out, .. } = &mut *worker;
        self.call(now, out, |machine, cx| machine.handle_input(cx, read));
        self.partial.extend_from_slice(read);
        read.clear();
        self.note_unfed(worker, false);
    }

    fn feed_partial(&mut self, worker: &mut Worker, now: Now) {
        let mut input = std::mem::take(&mut self.partial);
        self.call(now, &mut worker.out, |machine, cx| machine.handle_input(cx, &mut input));
        if !input.is_empty() {
            self.partial = input;
        }
        self.note_unfed(worker, false);
    }

    /// Unwraps frames and feeds their payload, as long as there is some and the machine wants it.
    fn feed_frames(&mut self, worker: &mut Worker, now: Now) {
        loop {
            let Framing::WebSocket(frames) = &mut self.framing else { return };
            let borrowed = self.partial.is_empty();
            let mut payload = std::mem::take(if borrowed { &mut worker.payload } else { &mut self.partial });
            let decoded = frames.decode(&mut worker.read, &mut payload);
            self.call(now, &mut worker.out, |machine, cx| machine.handle_input(cx, &mut payload));
            if borrowed {
                self.partial.extend_from_slice(&payload);
                payload.clear();
                worker.payload = payload;
            } else if !payload.is_empty() {
                self.partial = payload;
            }
            let more = decoded == Decoded::More;
            if decoded == Decoded::Over && self.closing.is_none() {
                self.closing = Some(CloseCause::PeerClosed);
            }
            if !more || !self.may_read() {
                return self.note_unfed(worker, more);
            }
        }
    }

    /// Remembers to feed again, without a read, what the machine has left: because it wants no input for now, or
    /// because the output is full. `more`: frames wait as well.
    fn note_unfed(&mut self, worker: &Worker, more: bool) {
        let wants = self.machine.as_ref().is_some_and(|machine| machine.wants_input());
        let full = self.pending.len() + worker.out.len() >= self.high_water();
        self.unfed = more || ((full || !wants) && !self.partial.is_empty());
    }
}
