//! One record: 32 bytes of header, then the head (or key), then the body (or value), padded to 16 bytes.
//!
//! ```text
//! crc u32 | length u32 | kind u8 | flags u8 | 0 u16 | head length u32 | object u64 | word u64 | head | body | padding
//! ```
//! The crc is crc32c from the segment's seed over everything behind it, padding included. It is filled in by the
//! committer: the staging call only copies.

use crate::locator::{GRANULE, Locator};

/// Length of the header before head and body.
pub(crate) const HEADER: usize = 32;
/// Head and body together stay below this: a record must fit the size code of its locator.
pub(crate) const CONTENT_MAX: usize = 1 << 30;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A message of an object: `word` is its sequence. With flag `SHARED` the body is the locator of a body record.
    Entry = 1,
    /// A body that several entries of the same batch refer to.
    Body = 2,
    /// The end of an entry: `word` is its locator.
    Settle = 3,
    /// A note about an entry: `word` is the entry's locator.
    Mark = 4,
    /// A keyed value: the head is the key, `word` the locator of the value it supersedes, or 0.
    Put = 5,
    /// The end of a keyed value: `word` is its locator.
    Delete = 6,
    /// The end of an object and of everything it held.
    Drop = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Entry,
            2 => Self::Body,
            3 => Self::Settle,
            4 => Self::Mark,
            5 => Self::Put,
            6 => Self::Delete,
            7 => Self::Drop,
            _ => return None,
        })
    }
}

/// Flag of an entry whose body lies in a record of its own.
pub(crate) const SHARED: u8 = 1;

/// A record as it lies in a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawRecord<'a> {
    pub kind: Kind,
    pub flags: u8,
    pub object: u64,
    pub word: u64,
    pub head: &'a [u8],
    pub body: &'a [u8],
    /// Bytes it takes, padding included.
    pub size: usize,
}

impl<'a> RawRecord<'a> {
    /// Reads the record at the start of `bytes`; `None` when it is not whole or its numbers make no sense.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let length = u32_at(header, 4) as usize;
        let head_len = u32_at(header, 12) as usize;
        if length > CONTENT_MAX || head_len > length {
            return None;
        }
        let content = bytes.get(HEADER..HEADER + length)?;
        let size = padded(HEADER + length);
        bytes.get(..size)?;
        Some(Self {
            kind: Kind::from_byte(header[8])?,
            flags: header[9],
            object: u64_at(header, 16),
            word: u64_at(header, 24),
            head: &content[..head_len],
            body: &content[head_len..],
            size,
        })
    }

    /// Reads it and compares its checksum.
    pub(crate) fn parse_checked(bytes: &'a [u8], seed: u64) -> Option<Self> {
        let record = Self::parse(bytes)?;
        (checksum(&bytes[..record.size], seed) == u32_at(bytes, 0)).then_some(record)
    }

    pub(crate) fn shared(&self) -> bool {
        self.flags & SHARED != 0
    }

    /// The locator it has at `address`.
    pub(crate) fn locator(&self, address: u64) -> Locator {
        Locator::new(address, self.size, self.shared())
    }

    /// The record it ends or supersedes.
    pub(crate) fn victim(&self) -> Option<Locator> {
        match self.kind {
            Kind::Settle | Kind::Put | Kind::Delete => Locator::from_bits(self.word),
            _ => None,
        }
    }

    /// The body record a sharing entry refers to.
    pub(crate) fn shared_body(&self) -> Option<Locator> {
        if self.kind != Kind::Entry || !self.shared() {
            return None;
        }
        Locator::from_bits(u64::from_le_bytes(self.body.try_into().ok()?))
    }
}

/// What a header says, for writing.
pub(crate) struct Header {
    pub kind: Kind,
    pub flags: u8,
    pub object: u64,
    pub word: u64,
}

/// Appends a record without its checksum and returns its size.
pub(crate) fn write(buffer: &mut Vec<u8>, header: &Header, head: &[u8], body: &[&[u8]]) -> usize {
    let body_len: usize = body.iter().map(|part| part.len()).sum();
    let length = head.len() + body_len;
    assert!(length <= CONTENT_MAX, "a record holds at most 1 GiB");
    let mut bytes = [0; HEADER];
    bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    bytes[8] = header.kind as u8;
    bytes[9] = header.flags;
    bytes[12..16].copy_from_slice(&(head.len() as u32).to_le_bytes());
    bytes[16..24].copy_from_slice(&header.object.to_le_bytes());
    bytes[24..32].copy_from_slice(&header.word.to_le_bytes());
    let size = padded(HEADER + length);
    buffer.reserve(size);
    buffer.extend_from_slice(&bytes);
    buffer.extend_from_slice(head);
    for part in body {
        buffer.extend_from_slice(part);
    }
    buffer.extend_from_slice(&[0; GRANULE as usize][..size - HEADER - length]);
    size
}

/// Turns everything from `from` on into bodies that nobody refers to: the room stays taken and nothing is said in it.
pub(crate) fn void(buffer: &mut Vec<u8>, from: usize) {
    let mut left = buffer.len() - from;
    if left == 0 {
        return;
    }
    // The last record may be half written.
    left = padded(left).max(HEADER);
    buffer.truncate(from);
    while left > 0 {
        let size = if left > HEADER + CONTENT_MAX { CONTENT_MAX } else { left };
        write(buffer, &Header { kind: Kind::Body, flags: 0, object: 0, word: 0 }, &[], &[&vec![0; size - HEADER]]);
        left -= size;
    }
}

/// Computes the checksum of the record in `bytes` and puts it in its place.
pub(crate) fn seal(bytes: &mut [u8], seed: u64) -> u32 {
    let crc = checksum(bytes, seed);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    crc
}

fn checksum(bytes: &[u8], seed: u64) -> u32 {
    crc32c::crc32c_append(fold(seed), &bytes[4..])
}

/// The 32 bits of a segment's seed that start its checksums.
pub(crate) fn fold(seed: u64) -> u32 {
    (seed ^ (seed >> 32)) as u32
}

pub(crate) fn padded(size: usize) -> usize {
    size.next_multiple_of(GRANULE as usize)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Vec<u8> {
        let mut buffer = Vec::new();
        let header = Header { kind: Kind::Entry, flags: 0, object: 7, word: 9 };
        let size = write(&mut buffer, &header, b"head", &[b"bo", b"dy"]);
        seal(&mut buffer[..size], 42);
        buffer
    }

    #[test]
    fn a_record_comes_back_as_written() {
        let buffer = entry();
        let record = RawRecord::parse_checked(&buffer, 42).unwrap();
        assert_eq!((record.kind, record.object, record.word), (Kind::Entry, 7, 9));
        assert_eq!((record.head, record.body, record.size), (&b"head"[..], &b"body"[..], 48));
    }

    #[test]
    fn every_flipped_bit_and_every_other_seed_is_noticed() {
        let buffer = entry();
        assert!(RawRecord::parse_checked(&buffer, 43).is_none());
        for bit in 0..buffer.len() * 8 {
            let mut damaged = buffer.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(RawRecord::parse_checked(&damaged, 42).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn what_is_void_takes_its_room_and_says_nothing() {
        let mut buffer = entry();
        let whole = buffer.len();
        buffer.extend([entry(), entry()].concat());
        for len in [buffer.len(), whole + 40, whole + 5] {
            let mut half = buffer[..len].to_vec();
            void(&mut half, whole);
            let record = RawRecord::parse(&half[whole..]).unwrap();
            assert_eq!((record.kind, record.object, record.size), (Kind::Body, 0, half.len() - whole));
            assert!(record.size >= len - whole && half[..whole] == entry());
        }
        void(&mut buffer, 3 * whole);
        assert_eq!(buffer.len(), 3 * whole);
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let buffer = entry();
        assert!((0..buffer.len()).all(|len| RawRecord::parse(&buffer[..len]).is_none()));
    }
}
