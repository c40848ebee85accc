//! The output of a turn: small pieces are copied into one buffer, large shared pieces are linked.

use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Shared pieces below this many bytes are cheaper to copy than to carry as a slice of a vectored write.
const COPY_BELOW: usize = 2048;

/// Bytes waiting for the carrier, in order. A machine appends; the driver takes chunks from the front.
#[derive(Debug, Default)]
pub struct Rope {
    sealed: VecDeque<Bytes>,
    sealed_len: usize,
    tail: BytesMut,
}

impl Rope {
    /// An empty rope that owns no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes not yet taken.
    pub fn len(&self) -> usize {
        self.sealed_len + self.tail.len()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.sealed_len == 0 && self.tail.is_empty()
    }

    /// Copies `bytes` to the end.
    pub fn put_slice(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Appends a body or a prebuilt frame; links it when it is large, copies it when it is small.
    pub fn put_shared(&mut self, bytes: Bytes) {
        if bytes.len() < COPY_BELOW {
            self.tail.extend_from_slice(&bytes);
            return;
        }
        self.seal();
        self.sealed_len += bytes.len();
        self.sealed.push_back(bytes);
    }

    /// The buffer that small pieces go to, for encoders that write through `BufMut`.
    pub fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            let piece = self.tail.split().freeze();
            self.sealed_len += piece.len();
            self.sealed.push_back(piece);
        }
    }

    /// The pieces in order, for a vectored write. The last one may still be growing.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.sealed.iter().map(|b| &b[..]).chain((!self.tail.is_empty()).then_some(&self.tail[..]))
    }

    /// Forgets the first `count` bytes: they have been written.
    pub fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.len(), "more was written than there was");
        while count > 0 {
            let Some(front) = self.sealed.front_mut() else {
                bytes::Buf::advance(&mut self.tail, count);
                return;
            };
            let step = count.min(front.len());
            self.sealed_len -= step;
            count -= step;
            if step == front.len() {
                self.sealed.pop_front();
            } else {
                bytes::Buf::advance(front, step);
            }
        }
        if self.tail.is_empty() {
            // Keeps the allocation at its start, so that a reused rope does not creep through memory.
            self.tail.clear();
        }
    }

    /// Moves everything to the end of `other`.
    pub fn append_to(&mut self, other: &mut Rope) {
        self.seal();
        other.seal();
        other.sealed_len += std::mem::take(&mut self.sealed_len);
        other.sealed.append(&mut self.sealed);
    }

    /// All of it as one buffer. For tests and for carriers that must see everything at once.
    pub fn take_bytes(&mut self) -> Bytes {
        self.seal();
        self.sealed_len = 0;
        if self.sealed.len() == 1 {
            return self.sealed.pop_front().unwrap_or_default();
        }
        let mut all = BytesMut::with_capacity(self.sealed.iter().map(Bytes::len).sum());
        for piece in self.sealed.drain(..) {
            all.extend_from_slice(&piece);
        }
        all.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_across_copied_and_linked_pieces() {
        let mut rope = Rope::new();
        rope.put_slice(b"head");
        rope.put_shared(Bytes::from(vec![b'x'; COPY_BELOW]));
        rope.put_shared(Bytes::from_static(b"small"));
        assert_eq!(rope.len(), 4 + COPY_BELOW + 5);
        assert_eq!(rope.pieces().count(), 3);
        rope.advance(2);
        rope.advance(COPY_BELOW);
        let rest = rope.take_bytes();
        assert_eq!(&rest[..], b"xxsmall");
        assert!(rope.is_empty());
    }

    #[test]
    fn leftovers_move_behind_what_already_waits() {
        let (mut a, mut b) = (Rope::new(), Rope::new());
        a.put_slice(b"second");
        b.put_slice(b"first ");
        a.append_to(&mut b);
        assert!(a.is_empty());
        assert_eq!(&b.take_bytes()[..], b"first second");
    }
}
