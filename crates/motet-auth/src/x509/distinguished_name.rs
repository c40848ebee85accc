//! A distinguished name as one text that no other name has. [RFC 4514]

use std::fmt::Write as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// The words for types of attributes: those of [RFC 4514 §3], and three that OpenSSL writes, too.
const WORDS: [(&str, &str); 12] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.42", "GN"),
];

/// The most specific part first: `CN=device-7,OU=plant,O=Example`. None when a value is no text.
pub(super) fn written(name: &X509Name<'_>) -> Option<String> {
    let mut parts = Vec::new();
    for part in name.iter_rdn() {
        let attributes: Option<Vec<_>> = part.iter().map(attribute).collect();
        parts.push(attributes?.join("+"));
    }
    parts.reverse();
    Some(parts.join(","))
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let oid = attribute.attr_type().to_id_string();
    let word = WORDS.iter().find(|(known, _)| *known == oid).map_or(&*oid, |(_, word)| word);
    Some(format!("{word}={}", escaped(attribute.as_str().ok()?)))
}

/// [RFC 4514 §2.4]
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, character) in value.chars().enumerate() {
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', character]),
            '#' | ' ' if at == 0 => text.extend(['\\', character]),
            ' ' if at == last => text.extend(['\\', character]),
            control if control.is_control() => {
                for byte in control.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            plain => text.push(plain),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_look_like_another_name_is_escaped() {
        for (value, expected) in [
            ("device-7", "device-7"),
            ("a,O=b", "a\\,O=b"),
            ("a+b\\c", "a\\+b\\\\c"),
            ("#a ", "\\#a\\ "),
            (" ", "\\ "),
            ("a\0b", "a\\00b"),
            ("Lučić", "Lučić"),
        ] {
            assert_eq!(escaped(value), expected);
        }
    }
}
