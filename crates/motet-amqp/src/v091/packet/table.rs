//! Field tables and arrays [4.2.5.5], with the value types that RabbitMQ and its clients agree on.
//!
//! A table is checked once, where it is read, and stays bytes; whoever wants a field walks it.
//!
//! | tag | value | tag | value |
//! |---|---|---|---|
//! | `t` | boolean | `f` `d` | float of 32, 64 bits |
//! | `b` `B` | signed, unsigned 8 bits | `D` | decimal |
//! | `s` `u` | signed, unsigned 16 bits | `S` `x` | long string, bytes |
//! | `I` `i` | signed, unsigned 32 bits | `A` `F` | array, table |
//! | `l` `L` | signed 64 bits, both | `T` `V` | seconds since the epoch, nothing |

use super::PacketError;
use super::wire::{Reader, put_long, put_short};
use bytes::{BufMut, BytesMut};

/// Tables and arrays within a table nest at most this deep. RabbitMQ has no bound; what it writes itself nests twice.
pub const TABLE_NESTING_MAX: u8 = 14;

/// A checked table; its bytes are those behind the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldTable<'a>(&'a [u8]);

/// A checked array; its bytes are those behind the length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FieldArray<'a>(&'a [u8]);

/// A value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FieldValue<'a> {
    /// `t`
    Bool(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l`, and `L` on the way in
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: the value is the number divided by ten to the power of the scale.
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// All digits.
        value: i32,
    },
    /// `S`
    Text(&'a [u8]),
    /// `x`
    Bytes(&'a [u8]),
    /// `A`
    Array(FieldArray<'a>),
    /// `T`, seconds
    Timestamp(u64),
    /// `F`
    Table(FieldTable<'a>),
    /// `V`
    Void,
}

impl<'a> FieldTable<'a> {
    /// A table of nothing.
    pub const EMPTY: Self = FieldTable(&[]);

    /// Takes bytes that are a table: every length, every type, no deeper than [`TABLE_NESTING_MAX`].
    ///
    /// # Errors
    /// [`PacketError`] for anything else.
    pub fn check(bytes: &'a [u8]) -> Result<Self, PacketError> {
        check_fields(bytes, true, 0)?;
        Ok(Self(bytes))
    }

    /// Its bytes without the length before them.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// No field.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The fields in order; names may repeat.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], FieldValue<'a>)> {
        let mut from = Reader::new(self.0);
        std::iter::from_fn(move || {
            let name = from.short_bytes().ok()?;
            Some((name, read_value(&mut from).ok()?))
        })
    }

    /// The first field of this name.
    pub fn get(self, name: &str) -> Option<FieldValue<'a>> {
        self.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| value)
    }
}

impl<'a> FieldArray<'a> {
    /// Its bytes without the length before them.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The values in order.
    pub fn iter(self) -> impl Iterator<Item = FieldValue<'a>> {
        let mut from = Reader::new(self.0);
        std::iter::from_fn(move || read_value(&mut from).ok())
    }
}

impl FieldValue<'_> {
    /// An integer of whatever size.
    pub fn integer(self) -> Option<i64> {
        Some(match self {
            FieldValue::I8(v) => v.into(),
            FieldValue::U8(v) => v.into(),
            FieldValue::I16(v) => v.into(),
            FieldValue::U16(v) => v.into(),
            FieldValue::I32(v) => v.into(),
            FieldValue::U32(v) => v.into(),
            FieldValue::I64(v) => v,
            _ => return None,
        })
    }
}

/// Walks the fields of a table (named) or an array, and what is inside of them.
fn check_fields(bytes: &[u8], named: bool, depth: u8) -> Result<(), PacketError> {
    if depth > TABLE_NESTING_MAX {
        return Err(PacketError::TableNesting);
    }
    let mut from = Reader::new(bytes);
    while !from.is_empty() {
        if named {
            from.short_bytes().map_err(|_| PacketError::TableLength)?;
        }
        match read_value(&mut from)? {
            FieldValue::Table(inner) => check_fields(inner.0, true, depth + 1)?,
            FieldValue::Array(inner) => check_fields(inner.0, false, depth + 1)?,
            _ => {}
        }
    }
    Ok(())
}

/// A value; what is inside of a table or an array is not looked at.
fn read_value<'a>(from: &mut Reader<'a>) -> Result<FieldValue<'a>, PacketError> {
    let value = match from.u8().map_err(|_| PacketError::TableLength)? {
        b't' => from.u8().map(|byte| FieldValue::Bool(byte != 0)),
        b'b' => from.u8().map(|byte| FieldValue::I8(byte.cast_signed())),
        b'B' => from.u8().map(FieldValue::U8),
        b's' => from.array().map(|bytes| FieldValue::I16(i16::from_be_bytes(bytes))),
        b'u' => from.array().map(|bytes| FieldValue::U16(u16::from_be_bytes(bytes))),
        b'I' => from.array().map(|bytes| FieldValue::I32(i32::from_be_bytes(bytes))),
        b'i' => from.array().map(|bytes| FieldValue::U32(u32::from_be_bytes(bytes))),
        b'l' | b'L' => from.array().map(|bytes| FieldValue::I64(i64::from_be_bytes(bytes))),
        b'f' => from.array().map(|bytes| FieldValue::F32(f32::from_be_bytes(bytes))),
        b'd' => from.array().map(|bytes| FieldValue::F64(f64::from_be_bytes(bytes))),
        b'D' => from
            .array()
            .map(|[scale, a, b, c, d]| FieldValue::Decimal { scale, value: i32::from_be_bytes([a, b, c, d]) }),
        b'S' => from.long_bytes().map(FieldValue::Text),
        b'x' => from.long_bytes().map(FieldValue::Bytes),
        b'A' => from.long_bytes().map(|bytes| FieldValue::Array(FieldArray(bytes))),
        b'T' => from.u64().map(FieldValue::Timestamp),
        b'F' => from.long_bytes().map(|bytes| FieldValue::Table(FieldTable(bytes))),
        b'V' => Ok(FieldValue::Void),
        tag => return Err(PacketError::TableType(tag)),
    };
    value.map_err(|_| PacketError::TableLength)
}

/// Builds a table; nested ones are built first and put in whole.
#[derive(Debug, Default, Clone)]
pub struct TableBuf(BytesMut);

/// Builds an array.
#[derive(Debug, Default, Clone)]
pub struct ArrayBuf(BytesMut);

impl TableBuf {
    /// A table of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a field. A name longer than a short string is cut.
    pub fn push(&mut self, name: &str, value: FieldValue<'_>) {
        put_short(&mut self.0, super::wire::short_text(name).as_bytes());
        put_value(&mut self.0, value);
    }

    /// What has been built.
    pub fn as_table(&self) -> FieldTable<'_> {
        FieldTable(&self.0)
    }
}

impl ArrayBuf {
    /// An array of nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a value.
    pub fn push(&mut self, value: FieldValue<'_>) {
        put_value(&mut self.0, value);
    }

    /// What has been built.
    pub fn as_array(&self) -> FieldArray<'_> {
        FieldArray(&self.0)
    }
}

fn put_value(out: &mut BytesMut, value: FieldValue<'_>) {
    match value {
        FieldValue::Bool(v) => out.put_slice(&[b't', u8::from(v)]),
        FieldValue::I8(v) => out.put_slice(&[b'b', v.cast_unsigned()]),
        FieldValue::U8(v) => out.put_slice(&[b'B', v]),
        FieldValue::I16(v) => tagged(out, b's', &v.to_be_bytes()),
        FieldValue::U16(v) => tagged(out, b'u', &v.to_be_bytes()),
        FieldValue::I32(v) => tagged(out, b'I', &v.to_be_bytes()),
        FieldValue::U32(v) => tagged(out, b'i', &v.to_be_bytes()),
        FieldValue::I64(v) => tagged(out, b'l', &v.to_be_bytes()),
        FieldValue::F32(v) => tagged(out, b'f', &v.to_be_bytes()),
        FieldValue::F64(v) => tagged(out, b'd', &v.to_be_bytes()),
        FieldValue::Decimal { scale, value } => {
            out.put_slice(&[b'D', scale]);
            out.put_i32(value);
        }
        FieldValue::Text(v) => long(out, b'S', v),
        FieldValue::Bytes(v) => long(out, b'x', v),
        FieldValue::Array(v) => long(out, b'A', v.0),
        FieldValue::Timestamp(v) => tagged(out, b'T', &v.to_be_bytes()),
        FieldValue::Table(v) => long(out, b'F', v.0),
        FieldValue::Void => out.put_u8(b'V'),
    }
}

fn tagged(out: &mut BytesMut, tag: u8, bytes: &[u8]) {
    out.put_u8(tag);
    out.put_slice(bytes);
}

fn long(out: &mut BytesMut, tag: u8, bytes: &[u8]) {
    out.put_u8(tag);
    put_long(out, bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_type() -> TableBuf {
        let mut inner = TableBuf::new();
        inner.push("deep", FieldValue::Text(b"down"));
        let mut array = ArrayBuf::new();
        array.push(FieldValue::I32(-1));
        array.push(FieldValue::Table(inner.as_table()));
        array.push(FieldValue::Void);
        let mut table = TableBuf::new();
        for (name, value) in [
            ("t", FieldValue::Bool(true)),
            ("b", FieldValue::I8(-8)),
            ("B", FieldValue::U8(200)),
            ("s", FieldValue::I16(-300)),
            ("u", FieldValue::U16(60_000)),
            ("I", FieldValue::I32(-70_000)),
            ("i", FieldValue::U32(4_000_000_000)),
            ("l", FieldValue::I64(i64::MIN)),
            ("f", FieldValue::F32(1.5)),
            ("d", FieldValue::F64(-2.25)),
            ("D", FieldValue::Decimal { scale: 2, value: 314 }),
            ("S", FieldValue::Text("é".as_bytes())),
            ("x", FieldValue::Bytes(&[0, 255])),
            ("A", FieldValue::Array(array.as_array())),
            ("T", FieldValue::Timestamp(1_700_000_000)),
            ("F", FieldValue::Table(inner.as_table())),
            ("V", FieldValue::Void),
        ] {
            table.push(name, value);
        }
        table
    }

    #[test]
    fn every_type_comes_back_as_written() {
        let table = every_type();
        let again = FieldTable::check(table.as_table().as_bytes()).unwrap();
        assert_eq!(again.iter().count(), 17);
        assert_eq!(again.get("D"), Some(FieldValue::Decimal { scale: 2, value: 314 }));
        assert_eq!(again.get("i").and_then(FieldValue::integer), Some(4_000_000_000));
        let Some(FieldValue::Array(array)) = again.get("A") else { panic!("an array") };
        assert_eq!(array.iter().count(), 3);
        let mut copy = TableBuf::new();
        again.iter().for_each(|(name, value)| copy.push(std::str::from_utf8(name).unwrap(), value));
        assert_eq!(copy.as_table(), again);
    }

    #[test]
    fn a_table_cut_anywhere_between_its_fields_is_refused() {
        let table = every_type();
        let bytes = table.as_table().as_bytes();
        let mut whole = vec![0];
        let mut from = Reader::new(bytes);
        while from.short_bytes().is_ok() {
            read_value(&mut from).unwrap();
            whole.push(bytes.len() - from.rest().len());
        }
        for cut in 0..=bytes.len() {
            assert_eq!(FieldTable::check(&bytes[..cut]).is_ok(), whole.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn tables_nest_to_a_depth_and_no_deeper() {
        let nested = |levels: u8| {
            let mut table = TableBuf::new();
            for _ in 0..levels {
                let mut outer = TableBuf::new();
                outer.push("n", FieldValue::Table(table.as_table()));
                table = outer;
            }
            table
        };
        assert!(FieldTable::check(nested(TABLE_NESTING_MAX).as_table().as_bytes()).is_ok());
        let deep = nested(TABLE_NESTING_MAX + 1);
        assert_eq!(FieldTable::check(deep.as_table().as_bytes()), Err(PacketError::TableNesting));
    }

    #[test]
    fn tables_that_lie_are_refused() {
        for (bytes, error) in [
            (&b"\x01aS\0\0\0\x05abc"[..], PacketError::TableLength),
            (b"\x05aS", PacketError::TableLength),
            (b"\x01a", PacketError::TableLength),
            (b"\x01aF\0\0\0\x03\x01bS", PacketError::TableLength),
            (b"\x01a?", PacketError::TableType(b'?')),
            (b"\x01aA\xff\xff\xff\xff", PacketError::TableLength),
        ] {
            assert_eq!(FieldTable::check(bytes), Err(error), "{}", bytes.escape_ascii());
        }
    }
}
