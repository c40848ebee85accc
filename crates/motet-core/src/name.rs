//! Names: lists of byte segments in one flat buffer.
//!
//! ```text
//! MQTT  cities/london ─┐                       ┌─▶ cities.london  AMQP
//! AMQP  cities.london ─┼─▶ ["cities","london"] ┤
//! NATS  cities.london ─┘   6 cities 6 london   └─▶ cities/london  MQTT
//! ```
//! The flat form is each segment behind its length, so no byte needs escaping and comparing two names is one `memcmp`.

use std::fmt;

use bytes::Bytes;

/// The longest name, in bytes, counting each segment and one separator between neighbours. It is the longest topic an
/// MQTT packet can hold; a segment's escapes are not counted here but by the face that writes them.
pub const MAX_NAME_BYTES: usize = 65_535;

/// What is wrong with a name that cannot exist on any face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The segments and their separators exceed [`MAX_NAME_BYTES`].
    #[error("the name is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// A stored flat form does not read as a list of segments: truncated, or a length not in its shortest form.
    #[error("the flat form of the name is malformed")]
    Malformed,
    /// A pattern goes on after its `Rest` token, which stands for everything that could follow.
    #[error("the pattern continues after its rest token")]
    AfterRest,
}

/// Where a message goes: a list of one or more segments of arbitrary bytes, each of which may be empty.
///
/// A clone shares the buffer. Equality, hash and order are those of the flat form; the order is total and stable but not
/// alphabetical, because lengths come first. A name of no segments and a name of one empty segment are spelled alike on
/// every face, so they are the same name: the empty name.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    flat: Bytes,
}

impl Name {
    /// The name of one empty segment, which is an empty AMQP routing key.
    pub fn empty() -> Self {
        Self { flat: Bytes::from_static(&[0]) }
    }

    /// Collects `segments`; none at all is the empty name.
    pub fn from_segments<I>(segments: I) -> Result<Self, NameError>
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut builder = NameBuilder::new();
        for segment in segments {
            builder.push(segment.as_ref())?;
        }
        Ok(builder.finish())
    }

    /// Takes back what [`Name::as_flat`] gave, checking every length and the bound.
    pub fn from_flat(flat: Bytes) -> Result<Self, NameError> {
        let mut rest: &[u8] = &flat;
        let mut spelled = 0;
        let mut segments = 0_usize;
        while !rest.is_empty() {
            let (length, after) = read_varint(rest).ok_or(NameError::Malformed)?;
            rest = after.get(length..).ok_or(NameError::Malformed)?;
            spelled += length;
            segments += 1;
        }
        match segments {
            0 => Err(NameError::Malformed),
            _ if spelled + segments - 1 > MAX_NAME_BYTES => Err(NameError::TooLong),
            _ => Ok(Self { flat }),
        }
    }

    /// Wraps a flat form made by this crate.
    pub(crate) fn from_trusted_flat(flat: Vec<u8>) -> Self {
        debug_assert!(Self::from_flat(Bytes::copy_from_slice(&flat)).is_ok(), "flat form is well-formed");
        Self { flat: Bytes::from(flat) }
    }

    /// The flat form: each segment behind its length as a varint (LEB128, shortest form).
    pub fn as_flat(&self) -> &Bytes {
        &self.flat
    }

    /// The segments from the first to the last.
    pub fn segments(&self) -> Segments<'_> {
        Segments { rest: &self.flat }
    }

    /// How many segments there are; at least one. Counts by walking.
    pub fn segment_count(&self) -> usize {
        self.segments().count()
    }

    /// The first segment.
    pub fn first(&self) -> &[u8] {
        self.segments().next().expect("a name has a segment")
    }

    /// True for the name of one empty segment.
    pub fn is_empty(&self) -> bool {
        self.flat.as_ref() == [0]
    }

    /// True when the first segment begins with `$`: the name lies in a reserved tree, which only a pattern that names
    /// the tree reaches.
    pub fn is_reserved(&self) -> bool {
        self.first().first() == Some(&b'$')
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name")?;
        f.debug_list().entries(self.segments().map(Readable)).finish()
    }
}

/// Prints bytes as quoted text, with what is no printable ASCII escaped.
pub(crate) struct Readable<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(self.0) {
            Ok(text) => fmt::Debug::fmt(text, f),
            Err(_) => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// Iterates over the segments of a [`Name`]; a clone is a bookmark.
#[derive(Clone)]
pub struct Segments<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Segments<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let (length, after) = read_varint(self.rest).expect("a name's flat form is well-formed");
        let (segment, rest) = after.split_at(length);
        self.rest = rest;
        Some(segment)
    }
}

impl fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone().map(Readable)).finish()
    }
}

/// Builds a [`Name`] segment by segment.
#[derive(Debug, Default, Clone)]
pub struct NameBuilder {
    flat: Vec<u8>,
    /// Segment bytes and separators so far; bounded by [`MAX_NAME_BYTES`].
    spelled: usize,
}

impl NameBuilder {
    /// Starts with no segments.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with no segments and room for `bytes` of flat form.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { flat: Vec::with_capacity(bytes.min(MAX_NAME_BYTES + 1)), spelled: 0 }
    }

    /// Appends `segment`; when the name would grow beyond [`MAX_NAME_BYTES`] it stays as it was.
    pub fn push(&mut self, segment: &[u8]) -> Result<(), NameError> {
        self.spelled = spelled_after(self.spelled, self.flat.is_empty(), segment.len())?;
        write_varint(segment.len(), &mut self.flat);
        self.flat.extend_from_slice(segment);
        Ok(())
    }

    /// The name built; with no segment pushed it is the empty name.
    pub fn finish(self) -> Name {
        match self.flat.is_empty() {
            true => Name::empty(),
            false => Name::from_trusted_flat(self.flat),
        }
    }
}

/// The spelled length after one more piece of `length` bytes, separator included.
pub(crate) fn spelled_after(spelled: usize, is_first: bool, length: usize) -> Result<usize, NameError> {
    let total = spelled.saturating_add(length).saturating_add(usize::from(!is_first));
    if total > MAX_NAME_BYTES { Err(NameError::TooLong) } else { Ok(total) }
}

/// Lengths fit 17 bits (a pattern adds 3 to a length), so a varint has at most three bytes.
const VARINT_BYTES_MAX: usize = 3;

/// Appends `value` as LEB128 in its shortest form.
#[inline]
pub(crate) fn write_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value as u8) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads one varint; `None` when it is truncated, too long or not in its shortest form.
#[inline]
pub(crate) fn read_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let mut value = usize::from(first & 0x7f);
    for index in 1..VARINT_BYTES_MAX {
        let byte = *bytes.get(index)?;
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return (byte != 0).then(|| (value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(segments: &[&str]) -> Name {
        Name::from_segments(segments).unwrap()
    }

    #[test]
    fn segments_come_back_as_pushed() {
        let long = "x".repeat(300);
        let segments = ["", "a", &long, "", "b.c/d"];
        let name = name(&segments);
        assert!(name.segments().eq(segments.iter().map(|s| s.as_bytes())));
        assert_eq!(name.segment_count(), 5);
        assert_eq!(name.first(), b"");
        assert_eq!(Name::from_flat(name.as_flat().clone()), Ok(name));
    }

    #[test]
    fn no_segments_and_one_empty_segment_are_the_empty_name() {
        assert_eq!(name(&[]), name(&[""]));
        assert_eq!(name(&[]), Name::empty());
        assert!(Name::empty().is_empty());
        assert!(!name(&["", ""]).is_empty());
        assert_eq!(Name::empty().segment_count(), 1);
    }

    #[test]
    fn separators_count_toward_the_bound() {
        let largest = vec![""; MAX_NAME_BYTES + 1];
        assert_eq!(name(&largest).segment_count(), MAX_NAME_BYTES + 1);
        assert_eq!(Name::from_segments(vec![""; MAX_NAME_BYTES + 2]), Err(NameError::TooLong));
        assert!(Name::from_segments([vec![b'a'; MAX_NAME_BYTES]]).is_ok());
        assert_eq!(Name::from_segments([vec![b'a'; MAX_NAME_BYTES + 1]]), Err(NameError::TooLong));
    }

    #[test]
    fn malformed_flat_forms_are_refused() {
        for flat in [&b""[..], b"\x02a", b"\x80", b"\x81\x00a", b"\xff\xff\xff\x01", b"\x01a\x05"] {
            assert_eq!(Name::from_flat(Bytes::copy_from_slice(flat)), Err(NameError::Malformed), "{flat:?}");
        }
        let beyond = Bytes::from(vec![0; MAX_NAME_BYTES + 2]);
        assert_eq!(Name::from_flat(beyond), Err(NameError::TooLong));
    }

    #[test]
    fn only_a_dollar_at_the_very_start_is_reserved() {
        assert!(name(&["$SYS", "a"]).is_reserved());
        assert!(name(&["$"]).is_reserved());
        assert!(!name(&["a", "$SYS"]).is_reserved());
        assert!(!name(&["", "$SYS"]).is_reserved());
    }

    #[test]
    fn debug_shows_readable_segments() {
        let name = Name::from_segments([&b"a/b"[..], b"\xff."]).unwrap();
        assert_eq!(format!("{name:?}"), r#"Name["a/b", "\xff."]"#);
    }
}
