//! Methods by their names, field by field: for scripts that people read.

use super::{FieldTable, LongString, Reserved};

/// A field as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<'a> {
    /// Integers, and bits as 0 and 1.
    Number(u64),
    /// Strings of either length.
    Bytes(&'a [u8]),
    /// A field table.
    Table(FieldTable<'a>),
}

/// A field that can be told, and made of what is told.
pub(crate) trait Tell<'a>: Sized {
    /// `None`: nobody needs to know.
    fn told(&self) -> Option<Told<'a>>;
    /// What was not said is zero, empty, false; `None` when what was said does not fit.
    fn from_told(told: Option<Told<'a>>) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl<'a> Tell<'a> for $type {
            fn told(&self) -> Option<Told<'a>> {
                Some(Told::Number(u64::from(*self)))
            }
            fn from_told(told: Option<Told<'a>>) -> Option<Self> {
                match told {
                    None => Some(0),
                    Some(Told::Number(number)) => Self::try_from(number).ok(),
                    Some(_) => None,
                }
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64);

impl<'a> Tell<'a> for bool {
    fn told(&self) -> Option<Told<'a>> {
        Some(Told::Number(u64::from(*self)))
    }
    fn from_told(told: Option<Told<'a>>) -> Option<Self> {
        u8::from_told(told).map(|number| number != 0)
    }
}

impl<'a> Tell<'a> for &'a [u8] {
    fn told(&self) -> Option<Told<'a>> {
        Some(Told::Bytes(self))
    }
    fn from_told(told: Option<Told<'a>>) -> Option<Self> {
        match told {
            None => Some(&[]),
            Some(Told::Bytes(bytes)) => Some(bytes),
            Some(_) => None,
        }
    }
}

impl<'a> Tell<'a> for &'a str {
    fn told(&self) -> Option<Told<'a>> {
        Some(Told::Bytes(self.as_bytes()))
    }
    fn from_told(told: Option<Told<'a>>) -> Option<Self> {
        <&[u8]>::from_told(told).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

impl<'a> Tell<'a> for LongString<'a> {
    fn told(&self) -> Option<Told<'a>> {
        Some(Told::Bytes(self.0))
    }
    fn from_told(told: Option<Told<'a>>) -> Option<Self> {
        <&[u8]>::from_told(told).map(LongString)
    }
}

impl<'a> Tell<'a> for FieldTable<'a> {
    fn told(&self) -> Option<Told<'a>> {
        Some(Told::Table(*self))
    }
    fn from_told(told: Option<Told<'a>>) -> Option<Self> {
        match told {
            None => Some(FieldTable::EMPTY),
            Some(Told::Table(table)) => Some(table),
            Some(_) => None,
        }
    }
}

impl<'a, T> Tell<'a> for Reserved<T> {
    fn told(&self) -> Option<Told<'a>> {
        None
    }
    fn from_told(_: Option<Told<'a>>) -> Option<Self> {
        Some(Reserved::NONE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Method, frame, round_trip_tests::frames};
    use super::*;

    #[test]
    fn a_method_is_made_again_of_what_it_tells() {
        for bytes in frames() {
            let found = frame(&bytes, u32::MAX).unwrap().unwrap();
            if found.kind != 1 {
                continue;
            }
            let method = Method::decode(found.payload).unwrap();
            let mut fields = Vec::new();
            let (class, name) = method.tell(&mut |field, told| fields.push((field, told)));
            let again = Method::from_told(class, name, &mut |field| {
                fields.iter().find(|(known, _)| *known == field).map(|(_, told)| *told)
            });
            assert_eq!(again, Some(method));
        }
        assert_eq!(Method::from_told("basic", "Sing", &mut |_| None), None);
        assert_eq!(
            Method::from_told("tx", "Select", &mut |_| Some(Told::Number(1))),
            Method::from_told("tx", "Select", &mut |_| None)
        );
    }
}
