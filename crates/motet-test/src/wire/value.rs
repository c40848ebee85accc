//! A value as scripts write it and as packets hold it.

use std::fmt;

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Numbers, flags (0 and 1), reason codes.
    Number(u64),
    /// Strings and binary data.
    Text(Vec<u8>),
    /// Reason codes of SUBACK and UNSUBACK, two or more.
    List(Vec<u64>),
}

impl Value {
    /// One number is a number, several are a list.
    pub(super) fn list(numbers: Vec<u64>) -> Self {
        match numbers[..] {
            [one] => Value::Number(one),
            _ => Value::List(numbers),
        }
    }

    /// A value that stands alone: `7`, `0x87`, `1,2,0x80`, `"text\x00"`, `"ab"*3`.
    pub(super) fn parse(written: &str) -> Result<Self, String> {
        if written.starts_with('"') {
            return parse_text(written).map(Value::Text);
        }
        written.split(',').map(parse_number).collect::<Result<Vec<_>, _>>().map(Value::list)
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Number(flag.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Value::Text(bytes.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => write!(f, "{number}"),
            Value::Text(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Value::List(numbers) => {
                let written: Vec<_> = numbers.iter().map(u64::to_string).collect();
                f.write_str(&written.join(","))
            }
        }
    }
}

pub(super) fn parse_number(written: &str) -> Result<u64, String> {
    let parsed = match written.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => written.parse(),
    };
    parsed.map_err(|_| format!("`{written}` is not a number"))
}

fn parse_text(written: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut chars = written[1..].chars();
    loop {
        match chars.next().ok_or("a quote is not closed")? {
            '"' => break,
            '\\' => match chars.next() {
                Some('x') => {
                    let hex: String = chars.by_ref().take(2).collect();
                    bytes.push(u8::from_str_radix(&hex, 16).map_err(|_| format!("`\\x{hex}` is not a byte"))?);
                }
                Some(other @ ('"' | '\\')) => bytes.push(other as u8),
                other => return Err(format!("`\\{}` is not an escape", other.unwrap_or(' '))),
            },
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    match chars.as_str() {
        "" => Ok(bytes),
        rest => {
            let times = rest.strip_prefix('*').ok_or_else(|| format!("`{rest}` after a string"))?;
            Ok(bytes.repeat(usize::try_from(parse_number(times)?).map_err(|_| "too often")?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_people_write_them() {
        assert_eq!(Value::parse("0x87"), Ok(Value::Number(0x87)));
        assert_eq!(Value::parse("1,0x80"), Ok(Value::List(vec![1, 0x80])));
        assert_eq!(Value::parse(r#""a\x00\"""#), Ok(Value::Text(b"a\0\"".to_vec())));
        assert_eq!(Value::parse(r#""ab"*3"#), Ok(Value::Text(b"ababab".to_vec())));
        assert!(Value::parse("abc").is_err() && Value::parse("\"abc").is_err());
    }
}
