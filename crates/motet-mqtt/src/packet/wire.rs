//! Primitives of the wire: integers, strings, binary data. Everything borrows; nothing allocates.

use bytes::BufMut;

use super::PacketIdentifier;
use crate::error::DecodeError;

/// Largest value of a variable byte integer [1.5.5], and so of Remaining Length.
pub const VARIABLE_BYTE_INTEGER_MAX: u32 = 268_435_455;

/// Reads fields from the front of a byte slice; running out of bytes is `Truncated`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything not read yet.
    #[inline]
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The packet must end here.
    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(head)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A variable byte integer, which must be as short as its value allows [MQTT-1.5.5-1].
    #[inline]
    pub(crate) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let (value, len) = variable_byte_integer(self.rest)?.ok_or(DecodeError::Truncated)?;
        if len != variable_byte_integer_len(value) {
            return Err(DecodeError::IntegerNotMinimal);
        }
        self.rest = &self.rest[len..];
        Ok(value)
    }

    #[inline]
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.bytes(usize::from(len))
    }

    #[inline]
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let text = utf8(self.binary()?)?;
        check_no_nul(text)?;
        Ok(text)
    }

    #[inline]
    pub(crate) fn packet_identifier(&mut self) -> Result<PacketIdentifier, DecodeError> {
        // [MQTT-2.2.1-3] and its siblings: the identifier is non-zero
        PacketIdentifier::new(self.u16()?).ok_or(DecodeError::PacketIdentifierZero)
    }
}

#[inline]
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, DecodeError> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8) // [MQTT-1.5.4-1]
}

/// [MQTT-1.5.4-2] no U+0000.
#[inline]
pub(crate) fn check_no_nul(text: &str) -> Result<(), DecodeError> {
    match memchr::memchr(0, text.as_bytes()) {
        None => Ok(()),
        Some(_) => Err(DecodeError::NulInString),
    }
}

/// The integer at the front of `bytes` and its length; `None` while its last byte has not arrived.
#[inline]
pub(crate) fn variable_byte_integer(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= 4 { Err(DecodeError::IntegerTooLong) } else { Ok(None) }
}

/// Bytes the shortest encoding of `value` takes.
#[inline]
pub(crate) fn variable_byte_integer_len(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// Writes `value` in its shortest form.
///
/// # Panics
/// Above `VARIABLE_BYTE_INTEGER_MAX`: lengths are bounded where packets are made.
#[inline]
pub(crate) fn put_variable_byte_integer(out: &mut impl BufMut, mut value: u32) {
    assert!(value <= VARIABLE_BYTE_INTEGER_MAX, "lengths are bounded where packets are made");
    while value > 0x7f {
        out.put_u8(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// A length as the wire counts it.
///
/// # Panics
/// Above 4 GiB: lengths are bounded where packets are made.
#[inline]
pub(crate) fn length(len: usize) -> u32 {
    u32::try_from(len).expect("lengths are bounded where packets are made")
}

/// Writes a length-prefixed field.
///
/// # Panics
/// Above 65535 bytes: fields are checked where packets are made.
#[inline]
pub(crate) fn put_binary(out: &mut impl BufMut, bytes: &[u8]) {
    out.put_u16(u16::try_from(bytes.len()).expect("fields are checked where packets are made"));
    out.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_at_every_length() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, VARIABLE_BYTE_INTEGER_MAX] {
            let mut out = Vec::new();
            put_variable_byte_integer(&mut out, value);
            assert_eq!(out.len(), variable_byte_integer_len(value));
            assert_eq!(variable_byte_integer(&out), Ok(Some((value, out.len()))));
            for cut in 0..out.len() {
                assert_eq!(variable_byte_integer(&out[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn integers_of_five_bytes_or_with_padding_are_refused() {
        assert_eq!(variable_byte_integer(&[0x80; 4]), Err(DecodeError::IntegerTooLong));
        assert_eq!(Reader::new(&[0x81, 0x00]).variable_byte_integer(), Err(DecodeError::IntegerNotMinimal));
    }

    #[test]
    fn strings_are_utf8_without_nul() {
        let read = |bytes: &'static [u8]| Reader::new(bytes).string();
        assert_eq!(read(b"\0\x02\xc3\xa9"), Ok("é"));
        assert_eq!(read(b"\0\x03\xef\xbb\xbf"), Ok("\u{feff}")); // [MQTT-1.5.4-3] never stripped
        assert_eq!(read(b"\0\x03\xed\xa0\x80"), Err(DecodeError::InvalidUtf8)); // surrogate
        assert_eq!(read(b"\0\x01\0"), Err(DecodeError::NulInString));
        assert_eq!(read(b"\0\x02a"), Err(DecodeError::Truncated));
    }
}
