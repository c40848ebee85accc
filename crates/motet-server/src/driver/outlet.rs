//! From the machine to the carrier.

use super::framing::Framing;
use super::{Carrier, Connection, End};
use crate::worker::Worker;
use motet_core::engine::Engine;
use motet_core::rope::Rope;
use motet_core::time::Now;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// Slices of one vectored write.
const SLICES_MAX: usize = 64;
/// Up to here an unwritten rest is copied, so that it does not pin the worker's buffer.
const COPY_REST_BELOW: usize = 16 << 10;

/// Writes until the carrier takes no more; how much it took.
pub(super) fn write_rope(carrier: &mut impl Carrier, cx: &mut Context<'_>, rope: &mut Rope) -> io::Result<usize> {
    let mut written = 0;
    while !rope.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(rope.pieces()) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        let carrier = Pin::new(&mut *carrier);
        let polled = match &slices[..used] {
            [one] => carrier.poll_write(cx, one),
            many => carrier.poll_write_vectored(cx, many),
        };
        match polled {
            Poll::Pending => break,
            Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => {
                rope.advance(count);
                written += count;
            }
            Poll::Ready(Err(error)) => return Err(error),
        }
    }
    Ok(written)
}

/// Moves what the carrier did not take behind what waits already.
fn keep(rest: &mut Rope, pending: &mut Rope) {
    if rest.len() > COPY_REST_BELOW {
        rest.append_to(pending);
        return;
    }
    for piece in rest.pieces() {
        pending.put_slice(piece);
    }
    rest.advance(rest.len());
}

impl<C: Carrier, E: Engine> Connection<C, E> {
    /// Writes what this turn has answered, behind what waits, and flushes the carrier once.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, worker: &mut Worker, now: Now) -> Result<(), End> {
        let Worker { out, framed, .. } = worker;
        let output = match &mut self.framing {
            Framing::Plain => out,
            Framing::WebSocket(frames) => {
                frames.encode(out, framed);
                framed
            }
        };
        if !self.pending.is_empty() {
            keep(output, &mut self.pending);
            return self.flush_pending(cx, now);
        }
        if output.is_empty() && !self.unflushed {
            return Ok(());
        }
        let written = write_rope(&mut self.carrier, cx, output);
        keep(output, &mut self.pending);
        self.settle(cx, now, written)
    }

    /// Writes what waits.
    pub(super) fn flush_pending(&mut self, cx: &mut Context<'_>, now: Now) -> Result<(), End> {
        let written = write_rope(&mut self.carrier, cx, &mut self.pending);
        if self.pending.is_empty() {
            self.pending = Rope::new();
        }
        self.settle(cx, now, written)
    }

    /// Counts, flushes the carrier, and sets the deadline by which the peer must take more.
    fn settle(&mut self, cx: &mut Context<'_>, now: Now, written: io::Result<usize>) -> Result<(), End> {
        self.share.set(&self.house.waiting, self.pending.len());
        let written = written.map_err(|error| self.carrier_failed(&error))?;
        self.figures().sent_bytes.fetch_add(written as u64, Ordering::Relaxed);
        self.handle.sent(written);
        self.written += written;
        if written > 0 {
            self.log_written(written);
        }
        if written > 0 || self.unflushed {
            self.unflushed = match Pin::new(&mut self.carrier).poll_flush(cx) {
                Poll::Pending => true,
                Poll::Ready(Ok(())) => false,
                Poll::Ready(Err(error)) => return Err(self.carrier_failed(&error)),
            };
        }
        if self.pending.is_empty() && !self.unflushed {
            self.write_by = None;
        } else if written > 0 || self.write_by.is_none() {
            self.write_by = Some(now.instant + self.limits.write_timeout);
        }
        Ok(())
    }
}
