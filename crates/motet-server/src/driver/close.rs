//! The end of a connection: last words, then silence, then the carrier goes.

use super::framing::Framing;
use super::intake::poll_read;
use super::{Carrier, Connection, End, Stage, Step};
use crate::worker::Worker;
use motet_core::engine::Engine;
use motet_core::machine::CloseCause;
use motet_core::rope::Rope;
use motet_core::time::{Instant, Now};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// For how long last words may take to leave.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// For how long we wait for the peer's own end after ours.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

impl<C: Carrier, E: Engine> Connection<C, E> {
    /// Releases the session at once, so that a takeover need not wait for a slow peer, and says goodbye.
    pub(super) fn begin_close(&mut self, cause: CloseCause, now: Now) {
        self.release(cause);
        self.partial = Default::default();
        if let Framing::WebSocket(frames) = &mut self.framing {
            frames.close(cause == CloseCause::Drain);
            frames.encode(&mut Rope::new(), &mut self.pending);
        }
        self.stage = Stage::Closing { by: now.instant + FLUSH_TIMEOUT };
    }

    pub(super) fn turn_closing(&mut self, cx: &mut Context<'_>, now: Now, by: Instant) -> Result<Step, End> {
        if by <= now.instant {
            return Err(End(CloseCause::Ours));
        }
        self.flush_pending(cx, now)?;
        if !self.pending.is_empty() || self.unflushed {
            return Ok(Step::Wait);
        }
        match Pin::new(&mut self.carrier).poll_shutdown(cx) {
            Poll::Pending => Ok(Step::Wait),
            Poll::Ready(Err(_)) => Err(End(CloseCause::Ours)),
            Poll::Ready(Ok(())) => {
                self.stage = Stage::Lingering { by: now.instant + LINGER_TIMEOUT };
                Ok(Step::Again)
            }
        }
    }

    /// Closing a socket with unread input resets it, and the reset may overtake our last packet.
    pub(super) fn turn_lingering(
        &mut self,
        cx: &mut Context<'_>,
        worker: &mut Worker,
        now: Now,
        by: Instant,
    ) -> Result<Step, End> {
        if by <= now.instant {
            return Err(End(CloseCause::Ours));
        }
        worker.prepare_read();
        match poll_read(&mut self.carrier, cx, &mut worker.read) {
            Poll::Pending => Ok(Step::Wait),
            Poll::Ready(Ok(0) | Err(_)) => Err(End(CloseCause::Ours)),
            Poll::Ready(Ok(_)) => Ok(Step::Again),
        }
    }
}
