//! AMQP 0-9-1 routing keys and topic binding keys: words between `.`, arbitrary bytes.
//!
//! A key is a shortstr of at most 255 bytes. A longer name travels with its key cut at a word and the whole key in the
//! header [`LONG_KEY_HEADER`], in both directions: see [`short_key`].
//!
//! The empty key is one empty word, so a binding `*` takes it. Elsewhere it counts as no word at all; here it is also the
//! MQTT topic `%`, which the filter `+` must take.

use super::SpellingError;
use super::escape::{self, Codes};
use crate::name::{Name, NameBuilder};
use crate::pattern::{Pattern, PatternBuilder, Token};

static CODES: Codes = Codes::of(b".");

/// The longest shortstr, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// The header that holds the whole key, as a longstr, of a name whose key does not fit [`MAX_KEY_BYTES`].
pub const LONG_KEY_HEADER: &str = "x-topic";

/// Reads a routing key, or what the header [`LONG_KEY_HEADER`] holds. The empty key is the empty name.
pub fn decode_name(key: &[u8]) -> Result<Name, SpellingError> {
    let mut name = NameBuilder::with_capacity(key.len() + 1);
    let mut scratch = Vec::new();
    for word in key.split(|&byte| byte == b'.') {
        name.push(decode_word(word, &mut scratch))?;
    }
    Ok(name.finish())
}

fn decode_word<'a>(word: &'a [u8], scratch: &'a mut Vec<u8>) -> &'a [u8] {
    if !word.contains(&b'%') {
        return word;
    }
    scratch.clear();
    escape::decode(word, &CODES, scratch);
    scratch
}

/// Appends the whole key, however long: at most three times [`MAX_NAME_BYTES`](crate::name::MAX_NAME_BYTES).
pub fn encode_name(name: &Name, out: &mut Vec<u8>) {
    for (index, segment) in name.segments().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        encode_word(segment, out);
    }
}

fn encode_word(segment: &[u8], out: &mut Vec<u8>) {
    if segment.iter().all(|&byte| (byte != b'%') & (byte != b'.')) {
        out.extend_from_slice(segment);
    } else {
        escape::encode(segment, &CODES, out);
    }
}

/// The key to put in the shortstr: all of `key` if it fits, else as many whole words as do. When it is shorter than
/// `key`, the message carries `key` in [`LONG_KEY_HEADER`]. A first word that does not fit leaves the empty key.
pub fn short_key(key: &[u8]) -> &[u8] {
    match key.get(..=MAX_KEY_BYTES) {
        None => key,
        Some(head) => &key[..head.iter().rposition(|&byte| byte == b'.').unwrap_or(0)],
    }
}

/// Reads a topic binding key: a word `*` is one, a word `#` any number, everywhere.
pub fn decode_pattern(key: &[u8]) -> Result<Pattern, SpellingError> {
    let mut pattern = PatternBuilder::new();
    let mut scratch = Vec::new();
    for word in key.split(|&byte| byte == b'.') {
        pattern.push(match word {
            b"*" => Token::One,
            b"#" => Token::AnyMiddle,
            word => Token::Literal(decode_word(word, &mut scratch)),
        })?;
    }
    Ok(pattern.finish())
}

/// Appends the binding key. A literal word `*` or `#` is [`SpellingError::Inexpressible`]: a binding key has no way to
/// mean it. The key may exceed [`MAX_KEY_BYTES`], which is for the caller to refuse.
pub fn encode_pattern(pattern: &Pattern, out: &mut Vec<u8>) -> Result<(), SpellingError> {
    super::within(out, usize::MAX, |out| {
        for (index, token) in pattern.tokens().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            match token {
                Token::Literal(b"*" | b"#") => return Err(SpellingError::Inexpressible),
                Token::Literal(segment) => encode_word(segment, out),
                Token::One => out.push(b'*'),
                Token::Rest | Token::AnyMiddle => out.push(b'#'),
            }
        }
        Ok(())
    })
}
