//! The buffers of a worker thread, lent to whichever connection it serves: an idle connection holds none of them.

use bytes::BytesMut;
use motet_core::rope::Rope;
use std::cell::Cell;

/// Length of a read buffer: one read of it brings about a thousand small packets.
pub(crate) const READ_BYTES: usize = 64 << 10;
/// Room a read must find. Below it a fresh buffer is taken, because messages may still pin the used part of the old.
const READ_ROOM_MIN: usize = 16 << 10;
/// A buffer that one large turn has grown beyond this is given back to the allocator.
const KEEP_BYTES_MAX: usize = 1 << 20;

/// What one thread lends. Empty between two polls.
#[derive(Debug, Default)]
pub(crate) struct Worker {
    /// What was read from the carrier.
    pub(crate) read: BytesMut,
    /// The payload of WebSocket frames.
    pub(crate) payload: BytesMut,
    /// What a machine has encoded.
    pub(crate) out: Rope,
    /// The same with its WebSocket frames around it.
    pub(crate) framed: Rope,
}

thread_local! {
    static WORKER: Cell<Option<Box<Worker>>> = const { Cell::new(None) };
}

impl Worker {
    /// Takes this thread's buffers. If they are not given back (a panic), the next one to ask gets new ones.
    pub(crate) fn take() -> Box<Worker> {
        WORKER.take().unwrap_or_default()
    }

    /// Gives the buffers back for the next connection.
    pub(crate) fn give_back(mut self: Box<Self>) {
        debug_assert!(self.out.is_empty() && self.framed.is_empty(), "output was left in a worker's buffer");
        self.read.clear();
        for buffer in [&mut self.payload, self.out.tail(), self.framed.tail()] {
            buffer.clear();
            if buffer.capacity() > KEEP_BYTES_MAX {
                *buffer = BytesMut::new();
            }
        }
        WORKER.set(Some(self));
    }

    /// Forgets what was encoded for a carrier that is gone.
    pub(crate) fn discard_output(&mut self) {
        for rope in [&mut self.out, &mut self.framed] {
            rope.advance(rope.len());
        }
    }

    /// Makes the read buffer ready for a read: empty, with room.
    pub(crate) fn prepare_read(&mut self) {
        self.read.clear();
        if self.read.capacity() < READ_ROOM_MIN {
            self.read.reserve(READ_BYTES);
        }
    }
}
