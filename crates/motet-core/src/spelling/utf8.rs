//! Bytes that are no UTF-8, on faces that speak only UTF-8.
//!
//! Each byte of an ill-formed sequence crosses as `%80` to `%FF` under the quoted-percent rule. One thing more is needed
//! for every text to come back as it was: escapes that would join into a well-formed character (`%C3%A9`) are the
//! spelling of no bytes, since those bytes are spelled `é`. A segment with such escapes, however often quoted, is plain
//! text on both sides.

use std::borrow::Cow;

use super::escape::{Codes, decode, escape_at, push_escape};

/// The codes of all bytes that can be part of an ill-formed sequence.
static HIGH: Codes = {
    let mut codes = [false; 256];
    let mut byte = 0x80;
    while byte < 0x100 {
        codes[byte] = true;
        byte += 1;
    }
    Codes(codes)
};

/// Spells arbitrary bytes as UTF-8; one to one and onto, with [`from_text`] as its reverse.
pub(super) fn to_text(bytes: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(bytes) {
        Ok(_) if is_plain(bytes) => Cow::Borrowed(bytes),
        _ => Cow::Owned(quote(bytes)),
    }
}

/// The bytes that `text`, which is UTF-8, spells.
pub(super) fn from_text(text: &[u8]) -> Cow<'_, [u8]> {
    if is_plain(text) { Cow::Borrowed(text) } else { Cow::Owned(unquote(text)) }
}

/// True when `text` goes through unchanged: it holds no escapes, or only such as stand for no bytes.
fn is_plain(text: &[u8]) -> bool {
    let depths = escapes(text).map(|(_, depth)| depth);
    let Some(least) = depths.min() else { return true };
    let mut bare = Vec::with_capacity(text.len());
    let mut copied = 0;
    for (at, _) in escapes(text) {
        bare.extend_from_slice(&text[copied..=at]);
        copied = at + 1 + 2 * least;
    }
    bare.extend_from_slice(&text[copied..]);
    quote(&unquote(&bare)) != bare
}

/// Position and depth of each escape of a high byte.
fn escapes(text: &[u8]) -> impl Iterator<Item = (usize, usize)> {
    let percents = text.iter().enumerate().filter(|&(_, &byte)| byte == b'%');
    percents.filter_map(|(at, _)| escape_at(&text[at..], &HIGH).map(|escape| (at, escape.depth)))
}

/// Writes each ill-formed byte as an escape and quotes what looks like one.
fn quote(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        let mut valid = chunk.valid().as_bytes();
        while let Some((at, _)) = escapes(valid).next() {
            text.extend_from_slice(&valid[..at]);
            text.extend_from_slice(b"%25");
            valid = &valid[at + 1..];
        }
        text.extend_from_slice(valid);
        chunk.invalid().iter().for_each(|&byte| push_escape(byte, &mut text));
    }
    text
}

fn unquote(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    decode(text, &HIGH, &mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], text: &str) {
        assert_eq!(String::from_utf8_lossy(&to_text(bytes)), text, "to text");
        assert_eq!(from_text(text.as_bytes()), bytes, "from {text}");
    }

    #[test]
    fn well_formed_text_is_left_alone() {
        check("é%".as_bytes(), "é%");
        check(b"%41%2E", "%41%2E");
    }

    #[test]
    fn ill_formed_bytes_are_escaped_one_by_one() {
        check(b"a\xff", "a%FF");
        check(b"\xc3(", "%C3(");
        check(b"\xed\xa0\x80", "%ED%A0%80");
        check(b"\xc3\xa9\xc3", "é%C3");
    }

    #[test]
    fn text_that_looks_like_an_escaped_byte_is_quoted() {
        check(b"%FF", "%25FF");
        check(b"%25FF", "%2525FF");
        check(b"%FF\xff", "%25FF%FF");
    }

    #[test]
    fn escapes_that_would_join_into_a_character_are_plain_text() {
        check(b"%C3%A9", "%C3%A9");
        check(b"%25C3%25A9", "%25C3%25A9");
        check(b"%C3%A9%25FF", "%C3%A9%25FF");
    }
}
