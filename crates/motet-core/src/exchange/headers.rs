//! Headers bindings: a binding's arguments against a message's headers.

use super::{Arguments, BindError};
use crate::message::Value;

/// How many of a binding's fields a message must have, and which fields count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadersMatch {
    /// All of them; fields that begin with `x-` do not count.
    All,
    /// At least one; fields that begin with `x-` do not count.
    Any,
    /// All of them but `x-match` itself.
    AllWithX,
    /// At least one other than `x-match` itself.
    AnyWithX,
}

impl HeadersMatch {
    /// Reads `x-match`; without it, all.
    ///
    /// # Errors
    /// [`BindError::HeadersMatch`] for any other word.
    pub fn from_arguments(arguments: &Arguments) -> Result<Self, BindError> {
        match arguments.get("x-match") {
            None => Ok(Self::All),
            Some(Value::Text(word)) => match word.as_str() {
                "all" => Ok(Self::All),
                "any" => Ok(Self::Any),
                "all-with-x" => Ok(Self::AllWithX),
                "any-with-x" => Ok(Self::AnyWithX),
                _ => Err(BindError::HeadersMatch),
            },
            Some(_) => Err(BindError::HeadersMatch),
        }
    }

    /// Whether a message with `headers` is what a binding with `arguments` asks for. No field at all asks for everything in `all`
    /// and for nothing in `any`.
    pub fn matches(self, arguments: &Arguments, headers: &[(Box<str>, Value)]) -> bool {
        let with_x = matches!(self, Self::AllWithX | Self::AnyWithX);
        let counts = |name: &str| if with_x { name != "x-match" } else { !name.starts_with("x-") };
        let mut fields = arguments.fields().iter().filter(|(name, _)| counts(name));
        let has = |(name, wanted): &(Box<str>, Value)| {
            headers.iter().any(|(known, value)| known == name && is_wanted(wanted, value))
        };
        match self {
            Self::All | Self::AllWithX => fields.all(has),
            Self::Any | Self::AnyWithX => fields.any(has),
        }
    }
}

/// A field without a value asks for presence. Text and bytes of the same content are the same on the wire.
fn is_wanted(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::Null, _) => true,
        (Value::Text(text), Value::Bytes(bytes)) | (Value::Bytes(bytes), Value::Text(text)) => text.as_bytes() == bytes,
        _ => wanted == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytes_of_one_content_are_equal_and_other_types_are_not() {
        let wanted = Arguments::new([("a".into(), Value::Text("1".into()))]);
        for (value, expected) in
            [(Value::Bytes("1".into()), true), (Value::Int(1), false), (Value::Null, false), (Value::Bool(true), false)]
        {
            let headers = [("a".into(), value)];
            assert_eq!(HeadersMatch::All.matches(&wanted, &headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_header_that_repeats_matches_by_any_of_its_values() {
        let wanted = Arguments::new([("a".into(), Value::Int(2))]);
        let headers = [1, 2].map(|n| ("a".into(), Value::Int(n)));
        assert!(HeadersMatch::All.matches(&wanted, &headers));
    }
}
