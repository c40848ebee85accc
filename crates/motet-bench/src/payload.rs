//! What a payload says about itself: which run, whose, the how-many-eth, when it was due.

use bytes::{BufMut, BytesMut};

/// Tells our messages from those of others on the same topics.
const MAGIC: u32 = 0x6d74_6231;
/// A payload is never shorter.
pub(crate) const HEADER_BYTES: usize = 28;

/// The figures at the front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Of this start of the program.
    pub(crate) run: u32,
    pub(crate) publisher: u32,
    /// Counts from 0, without a gap.
    pub(crate) sequence: u64,
    /// When it was due, in nanoseconds of the run's clock.
    pub(crate) stamp: u64,
}

impl Header {
    /// Appends a payload of `size` bytes.
    pub(crate) fn write(&self, size: usize, out: &mut BytesMut) {
        out.put_u32(MAGIC);
        out.put_u32(self.run);
        out.put_u32(self.publisher);
        out.put_u64(self.sequence);
        out.put_u64(self.stamp);
        out.put_bytes(b'.', size.saturating_sub(HEADER_BYTES));
    }

    /// None when it is not ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let number = |at: usize| payload.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        let long = |at: usize| payload.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
        if number(0)? != MAGIC {
            return None;
        }
        Some(Header { run: number(4)?, publisher: number(8)?, sequence: long(12)?, stamp: long(20)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_others_are_not_ours() {
        let header = Header { run: 7, publisher: 3, sequence: u64::MAX, stamp: 12 };
        let mut out = BytesMut::new();
        header.write(64, &mut out);
        assert_eq!((out.len(), Header::read(&out)), (64, Some(header)));
        assert_eq!(Header::read(&out[..HEADER_BYTES - 1]), None);
        assert_eq!(Header::read(&[0; 64]), None);
        out.clear();
        header.write(1, &mut out);
        assert_eq!(out.len(), HEADER_BYTES);
    }
}
