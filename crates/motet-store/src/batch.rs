//! A batch: what one commit writes, all of it or nothing. A 48-byte header, then its records.
//!
//! ```text
//! magic u32 | header crc u32 | number u64 | address u64 | record bytes u64 | record count u32 | records crc u32 | seed u64
//! ```
//! The records crc runs over the checksums of the records, and each of those over its record: every byte is covered
//! and read only once. Batch numbers are counted without a gap through all segments.

use crate::record::{self, RawRecord, u32_at, u64_at};

/// Length of a batch header.
pub(crate) const HEADER: usize = 48;
const MAGIC: u32 = u32::from_le_bytes(*b"MJb1");

/// The header of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BatchHeader {
    pub number: u64,
    /// The address of the header itself.
    pub address: u64,
    /// The bytes of all records behind the header.
    pub bytes: u64,
    pub count: u32,
    pub records_crc: u32,
    pub seed: u64,
}

impl BatchHeader {
    /// Reads a header whose own checksum holds.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..HEADER)?;
        let seed = u64_at(bytes, 40);
        if u32_at(bytes, 0) != MAGIC || crc32c::crc32c_append(record::fold(seed), &bytes[8..]) != u32_at(bytes, 4) {
            return None;
        }
        Some(Self {
            number: u64_at(bytes, 8),
            address: u64_at(bytes, 16),
            bytes: u64_at(bytes, 24),
            count: u32_at(bytes, 32),
            records_crc: u32_at(bytes, 36),
            seed,
        })
    }

    /// The address behind the batch.
    pub(crate) fn end(&self) -> u64 {
        self.address + HEADER as u64 + self.bytes
    }
}

/// Fills in all checksums of a buffer that holds room for the header and then the records. Done again with another
/// seed when the batch moves to another segment.
pub(crate) fn seal(buffer: &mut [u8], number: u64, address: u64, seed: u64) {
    let (header, records) = buffer.split_at_mut(HEADER);
    let (mut at, mut count, mut crc) = (0, 0u32, 0);
    while at < records.len() {
        let length = u32_at(records, at + 4) as usize;
        let size = record::padded(record::HEADER + length);
        let record_crc = record::seal(&mut records[at..at + size], seed);
        crc = crc32c::crc32c_append(crc, &record_crc.to_le_bytes());
        at += size;
        count += 1;
    }
    header[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    header[8..16].copy_from_slice(&number.to_le_bytes());
    header[16..24].copy_from_slice(&address.to_le_bytes());
    header[24..32].copy_from_slice(&(records.len() as u64).to_le_bytes());
    header[32..36].copy_from_slice(&count.to_le_bytes());
    header[36..40].copy_from_slice(&crc.to_le_bytes());
    header[40..48].copy_from_slice(&seed.to_le_bytes());
    let header_crc = crc32c::crc32c_append(record::fold(seed), &header[8..]);
    header[4..8].copy_from_slice(&header_crc.to_le_bytes());
}

/// The batch at the start of `bytes`, when all of it is there and every checksum holds.
pub(crate) fn verify(bytes: &[u8]) -> Option<BatchHeader> {
    let header = BatchHeader::parse(bytes)?;
    let len = usize::try_from(header.bytes).ok()?;
    let records = bytes.get(HEADER..HEADER.checked_add(len)?)?;
    let (mut at, mut count, mut crc) = (0, 0u32, 0);
    while at < records.len() {
        let record = RawRecord::parse_checked(&records[at..], header.seed)?;
        crc = crc32c::crc32c_append(crc, &records[at..at + 4]);
        at += record.size;
        count += 1;
    }
    (count == header.count && crc == header.records_crc).then_some(header)
}

/// Walks the records of a batch known to be sound: the buffer starts with its header, which lies at `address`.
pub(crate) fn records(batch: &[u8], address: u64) -> impl Iterator<Item = (u64, RawRecord<'_>)> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        let record = RawRecord::parse(batch.get(at..).filter(|rest| !rest.is_empty())?)?;
        let place = address + at as u64;
        at += record.size;
        Some((place, record))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Header, Kind, write};

    fn batch() -> Vec<u8> {
        let mut buffer = vec![0; HEADER];
        for seq in 0..3 {
            let header = Header { kind: Kind::Entry, flags: 0, object: 1, word: seq };
            write(&mut buffer, &header, b"h", &[b"some body"]);
        }
        seal(&mut buffer, 5, 4096, 77);
        buffer
    }

    #[test]
    fn a_sealed_batch_verifies_and_yields_its_records() {
        let buffer = batch();
        let header = verify(&buffer).unwrap();
        assert_eq!((header.number, header.address, header.count, header.seed), (5, 4096, 3, 77));
        assert_eq!(header.end(), 4096 + buffer.len() as u64);
        let seqs: Vec<u64> = records(&buffer, 4096).map(|(_, record)| record.word).collect();
        assert_eq!(seqs, [0, 1, 2]);
    }

    #[test]
    fn damage_anywhere_spoils_the_whole_batch() {
        let buffer = batch();
        for at in 0..buffer.len() {
            let mut damaged = buffer.clone();
            damaged[at] ^= 0x10;
            assert!(verify(&damaged).is_none(), "byte {at}");
            assert!(verify(&buffer[..at]).is_none(), "cut at {at}");
        }
    }
}
