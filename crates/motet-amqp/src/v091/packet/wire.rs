//! Primitives of the wire: integers, bits, strings. Everything borrows; nothing allocates.

use super::{FieldTable, PacketError};
use bytes::{BufMut, BytesMut};

/// The longest short string, in bytes [4.2.5.3].
pub const SHORT_STRING_MAX: usize = 255;

/// Reads fields from the front of a byte slice. Consecutive bits share octets [4.2.5.2].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    bits: u8,
    bit: u8,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, bits: 0, bit: 0 }
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

    /// The fields must end here.
    #[inline]
    pub(crate) fn finish(self) -> Result<(), PacketError> {
        if self.rest.is_empty() { Ok(()) } else { Err(PacketError::Trailing) }
    }

    #[inline]
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], PacketError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(PacketError::Truncated)?;
        self.rest = rest;
        self.bit = 0;
        Ok(head)
    }

    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(PacketError::Truncated)?;
        self.rest = rest;
        self.bit = 0;
        Ok(*head)
    }

    #[inline]
    pub(crate) fn u8(&mut self) -> Result<u8, PacketError> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn u16(&mut self) -> Result<u16, PacketError> {
        self.array().map(u16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self) -> Result<u32, PacketError> {
        self.array().map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u64(&mut self) -> Result<u64, PacketError> {
        self.array().map(u64::from_be_bytes)
    }

    #[inline]
    pub(crate) fn bit(&mut self) -> Result<bool, PacketError> {
        if self.bit == 0 {
            self.bits = self.u8()?;
        }
        let value = self.bits >> self.bit & 1 == 1;
        self.bit = (self.bit + 1) % 8;
        Ok(value)
    }

    #[inline]
    pub(crate) fn short_bytes(&mut self) -> Result<&'a [u8], PacketError> {
        let len = self.u8()?;
        self.bytes(usize::from(len))
    }

    #[inline]
    pub(crate) fn short_text(&mut self) -> Result<&'a str, PacketError> {
        simdutf8::basic::from_utf8(self.short_bytes()?).map_err(|_| PacketError::Utf8)
    }

    #[inline]
    pub(crate) fn long_bytes(&mut self) -> Result<&'a [u8], PacketError> {
        let len = self.u32()?;
        self.bytes(len as usize)
    }
}

/// Writes fields to the end of a buffer. Consecutive bits share octets [4.2.5.2].
#[derive(Debug)]
pub(crate) struct Writer<'o> {
    pub(crate) out: &'o mut BytesMut,
    bit: u8,
}

impl<'o> Writer<'o> {
    pub(crate) fn new(out: &'o mut BytesMut) -> Self {
        Self { out, bit: 0 }
    }

    /// The buffer, for a field that is no bit.
    #[inline]
    pub(crate) fn octets(&mut self) -> &mut BytesMut {
        self.bit = 0;
        self.out
    }

    #[inline]
    pub(crate) fn bit(&mut self, value: bool) {
        if self.bit == 0 {
            self.out.put_u8(0);
        }
        let last = self.out.len() - 1;
        self.out[last] |= u8::from(value) << self.bit;
        self.bit = (self.bit + 1) % 8;
    }
}

/// Writes a short string.
///
/// # Panics
/// Above [`SHORT_STRING_MAX`] bytes: names are bounded where methods are made.
#[inline]
pub(crate) fn put_short(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u8(u8::try_from(bytes.len()).expect("short strings are bounded where methods are made"));
    out.put_slice(bytes);
}

#[inline]
pub(crate) fn put_long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).expect("long strings are bounded where methods are made"));
    out.put_slice(bytes);
}

/// As much of `text` as a short string holds, cut at a character.
pub fn short_text(text: &str) -> &str {
    let mut end = text.len().min(SHORT_STRING_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A field of a method.
pub(crate) trait Field<'a>: Sized {
    fn read(from: &mut Reader<'a>) -> Result<Self, PacketError>;
    fn write(&self, to: &mut Writer<'_>);
}

macro_rules! integers {
    ($($type:ty, $read:ident, $put:ident;)*) => {$(
        impl<'a> Field<'a> for $type {
            #[inline]
            fn read(from: &mut Reader<'a>) -> Result<Self, PacketError> {
                from.$read()
            }
            #[inline]
            fn write(&self, to: &mut Writer<'_>) {
                to.octets().$put(*self);
            }
        }
    )*};
}

integers! {
    u8, u8, put_u8;
    u16, u16, put_u16;
    u32, u32, put_u32;
    u64, u64, put_u64;
}

impl<'a> Field<'a> for bool {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<Self, PacketError> {
        from.bit()
    }
    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        to.bit(*self);
    }
}

/// A short string that is a name or a text for people: UTF-8.
impl<'a> Field<'a> for &'a str {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<Self, PacketError> {
        from.short_text()
    }
    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        put_short(to.octets(), self.as_bytes());
    }
}

/// A short string of any bytes: routing keys.
impl<'a> Field<'a> for &'a [u8] {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<Self, PacketError> {
        from.short_bytes()
    }
    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        put_short(to.octets(), self);
    }
}

/// A long string: any bytes, up to the frame's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LongString<'a>(pub &'a [u8]);

impl<'a> Field<'a> for LongString<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, PacketError> {
        from.long_bytes().map(LongString)
    }
    fn write(&self, to: &mut Writer<'_>) {
        put_long(to.octets(), self.0);
    }
}

impl<'a> Field<'a> for FieldTable<'a> {
    fn read(from: &mut Reader<'a>) -> Result<Self, PacketError> {
        FieldTable::check(from.long_bytes()?)
    }
    fn write(&self, to: &mut Writer<'_>) {
        put_long(to.octets(), self.as_bytes());
    }
}

/// A field that older versions used: what comes in it is not looked at, what goes out is its default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reserved<T>(std::marker::PhantomData<T>);

impl<T> Reserved<T> {
    /// The only value.
    pub const NONE: Self = Reserved(std::marker::PhantomData);
}

impl<T> PartialEq for Reserved<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Reserved<T> {}

impl<'a, T: Field<'a> + Default> Field<'a> for Reserved<T> {
    #[inline]
    fn read(from: &mut Reader<'a>) -> Result<Self, PacketError> {
        T::read(from).map(|_| Self::NONE)
    }
    #[inline]
    fn write(&self, to: &mut Writer<'_>) {
        T::default().write(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_share_an_octet_until_another_field_comes() {
        let mut out = BytesMut::new();
        let mut to = Writer::new(&mut out);
        for bit in [true, false, true] {
            to.bit(bit);
        }
        7u8.write(&mut to);
        (0..9).for_each(|_| to.bit(true));
        assert_eq!(&out[..], [0b101, 7, 0xff, 0b1]);
        let mut from = Reader::new(&out);
        assert_eq!([from.bit(), from.bit(), from.bit()], [Ok(true), Ok(false), Ok(true)]);
        assert_eq!(from.u8(), Ok(7));
        assert!((0..9).all(|_| from.bit() == Ok(true)));
        assert_eq!(from.finish(), Ok(()));
    }

    #[test]
    fn text_is_cut_at_a_character() {
        let long = format!("{}é", "x".repeat(254));
        assert_eq!(short_text(&long).len(), 254);
        assert_eq!(short_text("short"), "short");
    }

    #[test]
    fn strings_that_lie_about_their_length_are_truncated() {
        assert_eq!(Reader::new(&[3, b'a', b'b']).short_bytes(), Err(PacketError::Truncated));
        assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 1]).long_bytes(), Err(PacketError::Truncated));
        assert_eq!(Reader::new(&[1, 0xff]).short_text(), Err(PacketError::Utf8));
    }
}
