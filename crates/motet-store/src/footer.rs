//! The footer of a sealed file: its summary, so that recovery need not walk the records.
//!
//! ```text
//! ... records | summary | magic "MOTETFT1" | summary offset u64 | summary length u64 | version u32 | crc u32
//! ```
//! Numbers in the summary are LEB128; locators of one list are differences from the one before.

use crate::disk::DiskFile;
use crate::locator::Locator;
use crate::record::{fold, u32_at, u64_at};
use crate::segment::VERSION;
use crate::summary::{EntryNote, KeyedNote, MarkNote, ObjectNote, Span, Summary};

const MAGIC: &[u8; 8] = b"MOTETFT1";
const TRAILER: usize = 32;

/// The bytes that go to `offset` of a file with this seed.
pub(crate) fn frame(summary: Vec<u8>, offset: u64, seed: u64) -> Vec<u8> {
    let mut bytes = summary;
    let len = bytes.len() as u64;
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&offset.to_le_bytes());
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    let crc = crc32c::crc32c_append(fold(seed), &bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// The summary bytes at the end of a file, when there is a sound footer.
pub(crate) fn read<F: DiskFile>(file: &F, seed: u64) -> std::io::Result<Option<Vec<u8>>> {
    let size = file.size()?;
    let mut trailer = [0; TRAILER];
    if size < TRAILER as u64 || file.read_at(&mut trailer, size - TRAILER as u64)? < TRAILER {
        return Ok(None);
    }
    let (offset, len) = (u64_at(&trailer, 8), u64_at(&trailer, 16));
    let fits = offset.checked_add(len).and_then(|end| end.checked_add(TRAILER as u64)) == Some(size);
    if &trailer[..8] != MAGIC || u32_at(&trailer, 24) != VERSION || !fits {
        return Ok(None);
    }
    let mut bytes = vec![0; len as usize + TRAILER - 4];
    let count = file.read_at(&mut bytes, offset)?;
    if count < bytes.len() || crc32c::crc32c_append(fold(seed), &bytes) != u32_at(&trailer, 28) {
        return Ok(None);
    }
    bytes.truncate(len as usize);
    Ok(Some(bytes))
}

/// Appends a number, seven bits a byte.
pub(crate) fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Reads what [`put`] and its friends wrote.
pub(crate) struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl Reader<'_> {
    pub(crate) fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            number |= u64::from(byte & 0x7F).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }

    fn span(&mut self) -> Option<Span> {
        let len = usize::try_from(self.number()?).ok()?;
        let start = self.at;
        self.at = start.checked_add(len).filter(|end| *end <= self.bytes.len())?;
        Some(Span { start, len })
    }

    /// A piece of text that may be absent.
    fn maybe_span(&mut self) -> Option<Option<Span>> {
        match self.number()? {
            0 => Some(None),
            _ => self.span().map(Some),
        }
    }

    fn locator(&mut self, last: &mut u64) -> Option<Locator> {
        *last = last.wrapping_add(self.number()?);
        Locator::from_bits(*last)
    }
}

fn put_text(bytes: &mut Vec<u8>, text: &[u8]) {
    put(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
}

fn put_maybe(bytes: &mut Vec<u8>, text: Option<&[u8]>) {
    put(bytes, u64::from(text.is_some()));
    if let Some(text) = text {
        put_text(bytes, text);
    }
}

fn put_locator(bytes: &mut Vec<u8>, at: Locator, last: &mut u64) {
    put(bytes, at.to_bits().wrapping_sub(*last));
    *last = at.to_bits();
}

impl Summary {
    /// Appends the encoding.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for number in [self.batches.0, self.batches.1, self.addresses.0, self.addresses.1] {
            put(out, number);
        }
        put(out, self.objects.len() as u64);
        for note in &self.objects {
            [note.object, note.born, note.last_seq].into_iter().for_each(|number| put(out, number));
        }
        put(out, self.drops.len() as u64);
        for (object, address) in &self.drops {
            put(out, *object);
            put(out, *address);
        }
        let mut last = 0;
        put(out, self.entries.len() as u64);
        for note in &self.entries {
            put(out, note.object);
            put(out, note.seq);
            put_locator(out, note.at, &mut last);
            put(out, note.body.map_or(0, Locator::to_bits));
            put(out, note.body_len);
            put_maybe(out, note.head.map(|span| self.text(span)));
        }
        last = 0;
        put(out, self.keyed.len() as u64);
        for note in &self.keyed {
            put(out, note.object);
            put_locator(out, note.at, &mut last);
            put_maybe(out, note.pair.map(|(key, _)| self.text(key)));
            put_maybe(out, note.pair.map(|(_, value)| self.text(value)));
        }
        last = 0;
        put(out, self.marks.len() as u64);
        for note in &self.marks {
            put(out, note.object);
            put_locator(out, note.at, &mut last);
            put(out, note.entry.to_bits());
            put_maybe(out, note.data.map(|span| self.text(span)));
        }
        last = 0;
        put(out, self.kills.len() as u64);
        for (object, at) in &self.kills {
            put(out, *object);
            put_locator(out, *at, &mut last);
        }
    }

    /// Reads an encoding that starts at `at`; its text stays in `bytes`. Also says where it ends.
    pub(crate) fn decode(bytes: Vec<u8>, at: usize) -> Option<(Self, usize)> {
        let mut summary = Self::default();
        let mut reader = Reader { bytes: &bytes, at };
        summary.batches = (reader.number()?, reader.number()?);
        summary.addresses = (reader.number()?, reader.number()?);
        for _ in 0..reader.number()? {
            let (object, born, last_seq) = (reader.number()?, reader.number()?, reader.number()?);
            summary.objects.push(ObjectNote { object, born, last_seq });
        }
        for _ in 0..reader.number()? {
            summary.drops.push((reader.number()?, reader.number()?));
        }
        let mut last = 0;
        for _ in 0..reader.number()? {
            let (object, seq, at) = (reader.number()?, reader.number()?, reader.locator(&mut last)?);
            let (body, body_len) = (Locator::from_bits(reader.number()?), reader.number()?);
            let head = reader.maybe_span()?;
            summary.entries.push(EntryNote { object, seq, at, body, body_len, head });
        }
        last = 0;
        for _ in 0..reader.number()? {
            let (object, at) = (reader.number()?, reader.locator(&mut last)?);
            let pair = reader.maybe_span()?.zip(reader.maybe_span()?);
            summary.keyed.push(KeyedNote { object, at, pair });
        }
        last = 0;
        for _ in 0..reader.number()? {
            let (object, at) = (reader.number()?, reader.locator(&mut last)?);
            let entry = Locator::from_bits(reader.number()?)?;
            summary.marks.push(MarkNote { object, at, entry, data: reader.maybe_span()? });
        }
        last = 0;
        for _ in 0..reader.number()? {
            summary.kills.push((reader.number()?, reader.locator(&mut last)?));
        }
        let end = reader.at;
        summary.text = bytes;
        Some((summary, end))
    }
}
