//! Keys of several parts, and values that are tables.

use crate::message::{Value, take_value, write_value};

const VERSION: u8 = 1;
/// Bytes of one part of a key at most; a name that is longer is nobody's.
pub(super) const PART_BYTES_MAX: usize = 4_096;

/// Each part behind its length, so that no name can be taken for another's.
pub(super) fn key(parts: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend_from_slice(&(part.len() as u32).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// The parts of a key; `None` when it is not one of ours.
pub(super) fn parts(mut key: &[u8]) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    while !key.is_empty() {
        let (len, rest) = key.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        parts.push(std::str::from_utf8(part).ok()?.to_owned());
        key = rest;
    }
    Some(parts)
}

pub(super) type Fields = Vec<(String, Value)>;

pub(super) fn encode(fields: Fields) -> Vec<u8> {
    let mut out = vec![VERSION];
    write_value(&mut out, &Value::Table(fields));
    out
}

pub(super) fn decode(value: &[u8]) -> Option<Fields> {
    let (&VERSION, mut rest) = value.split_first()? else { return None };
    match take_value(&mut rest).ok()? {
        Value::Table(fields) => Some(fields),
        _ => None,
    }
}

pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(known, _)| known == name).and_then(|(_, value)| match value {
        Value::Text(text) => Some(&**text),
        _ => None,
    })
}

pub(super) fn number(fields: &Fields, name: &str) -> Option<i64> {
    fields.iter().find(|(known, _)| known == name).and_then(|(_, value)| match value {
        Value::Int(number) => Some(*number),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_in_its_parts_and_a_cut_one_is_nothing() {
        let whole = key(&["/", "", "p\0q"]);
        assert_eq!(parts(&whole), Some(vec!["/".into(), String::new(), "p\0q".into()]));
        assert_eq!(parts(&whole[..whole.len() - 1]), None);
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
    }

    #[test]
    fn a_table_comes_back_and_a_cut_one_is_nothing() {
        let fields = vec![("a".to_owned(), Value::Int(1)), ("b".to_owned(), Value::Text("x".into()))];
        let value = encode(fields.clone());
        assert_eq!(decode(&value), Some(fields));
        assert!((0..value.len()).all(|cut| decode(&value[..cut]).is_none()));
    }
}
