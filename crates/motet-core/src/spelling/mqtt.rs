//! MQTT topic names and filters: levels between `/`, at most 65,535 bytes of UTF-8.
//!
//! The empty name (an empty AMQP key) has no topic, because a topic has at least one character [MQTT-4.7.3-1]; it is
//! spelled `%`, and a topic that is just `%`, `%25`, ... one `25` longer. Nothing else in MQTT tells them apart from
//! ordinary topics, save that the filter `%/#` does not include the topic `%` as its parent.

use super::escape::{self, Codes};
use super::{SpellingError, utf8, within};
use crate::name::{MAX_NAME_BYTES, Name, NameBuilder};
use crate::pattern::{Pattern, PatternBuilder, Token};

static CODES: Codes = Codes::of(b"/+#\0");

/// A length below this is one byte in a name's flat form, just where the topic has its `/`.
const SHORT_SEGMENT_BYTES: usize = 0x80;

/// Reads a topic name. `+`, `#` and NUL are refused [MQTT-4.7.1-1] [MQTT-4.7.3-2].
pub fn decode_name(topic: &str) -> Result<Name, SpellingError> {
    let topic = topic.as_bytes();
    if topic.is_empty() {
        return Err(SpellingError::Empty);
    }
    if topic.len() > MAX_NAME_BYTES {
        return Err(SpellingError::TooLong);
    }
    // One look over all bytes, without branches, decides between the fast and the careful way.
    let is_special = |byte: u8| (byte == b'%') | (byte == b'+') | (byte == b'#') | (byte == 0);
    if !topic.iter().fold(false, |special, &byte| special | is_special(byte))
        && let Some(flat) = flat_from_plain(topic)
    {
        return Ok(Name::from_trusted_flat(flat));
    }
    if escape::is_marker(topic) {
        return Ok(Name::from_segments([escape::decode_marker(topic)])?);
    }
    let mut name = NameBuilder::with_capacity(topic.len() + 1);
    let mut scratch = Vec::new();
    for level in topic.split(|&byte| byte == b'/') {
        name.push(decode_level(level, &mut scratch)?)?;
    }
    Ok(name.finish())
}

/// The flat form of a topic without escapes: the topic itself, each `/` replaced by the length of the level behind it.
/// `None` when a level is too long for that.
fn flat_from_plain(topic: &[u8]) -> Option<Vec<u8>> {
    let mut flat = Vec::with_capacity(topic.len() + 1);
    flat.push(0);
    flat.extend_from_slice(topic);
    // `start` is where the length of the level at hand goes, right before its first byte.
    let mut start = 0;
    for (at, _) in topic.iter().enumerate().filter(|&(_, &byte)| byte == b'/') {
        flat[start] = short_length(at - start)?;
        start = at + 1;
    }
    flat[start] = short_length(topic.len() - start)?;
    Some(flat)
}

fn short_length(length: usize) -> Option<u8> {
    (length < SHORT_SEGMENT_BYTES).then_some(length as u8)
}

/// The segment `level` spells, built in `scratch` if it is not `level` itself.
fn decode_level<'a>(level: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], SpellingError> {
    if let Some(&byte) = level.iter().find(|&&byte| CODES.contains(byte)) {
        return Err(SpellingError::Forbidden(byte));
    }
    if !level.contains(&b'%') {
        return Ok(level);
    }
    scratch.clear();
    escape::decode(level, &CODES, scratch);
    // The two escapes have no code in common, so the order of their layers is free; text is checked on this one.
    if let std::borrow::Cow::Owned(bytes) = utf8::from_text(scratch) {
        *scratch = bytes;
    }
    Ok(scratch)
}

/// Appends the topic name. [`SpellingError::TooLong`] when escapes carry it beyond 65,535 bytes.
pub fn encode_name(name: &Name, out: &mut Vec<u8>) -> Result<(), SpellingError> {
    within(out, MAX_NAME_BYTES, |out| {
        let mut segments = name.segments();
        let first = segments.next().unwrap_or_default();
        let mut next = segments.next();
        encode_first(first, next.is_none(), out);
        while let Some(segment) = next {
            out.push(b'/');
            encode_level(segment, out);
            next = segments.next();
        }
        Ok(())
    })
}

fn encode_first(segment: &[u8], is_only: bool, out: &mut Vec<u8>) {
    if is_only && (segment.is_empty() || escape::is_marker(segment)) {
        escape::encode_marker(segment, out);
    } else {
        encode_level(segment, out);
    }
}

fn encode_level(segment: &[u8], out: &mut Vec<u8>) {
    let is_plain = |byte: u8| (byte < 0x80) & (byte != b'%') & !CODES.contains(byte);
    if segment.iter().all(|&byte| is_plain(byte)) {
        out.extend_from_slice(segment);
    } else {
        escape::encode(&utf8::to_text(segment), &CODES, out);
    }
}

/// Reads a topic filter: a level `+` is one, a last level `#` the rest [MQTT-4.7.1-1] [MQTT-4.7.1-2].
/// `$share/group/` is the session's business and must be gone.
pub fn decode_pattern(filter: &str) -> Result<Pattern, SpellingError> {
    let filter = filter.as_bytes();
    if filter.is_empty() {
        return Err(SpellingError::Empty);
    }
    if filter.len() > MAX_NAME_BYTES {
        return Err(SpellingError::TooLong);
    }
    if escape::is_marker(filter) {
        return Ok(Pattern::from_tokens([Token::Literal(escape::decode_marker(filter))])?);
    }
    let mut pattern = PatternBuilder::new();
    let mut scratch = Vec::new();
    for level in filter.split(|&byte| byte == b'/') {
        match level {
            b"+" => pattern.push(Token::One)?,
            b"#" => pattern.push(Token::Rest)?,
            level => pattern.push(Token::Literal(decode_level(level, &mut scratch)?))?,
        }
    }
    Ok(pattern.finish())
}

/// Appends the topic filter. A pattern with `AnyMiddle` is [`SpellingError::Inexpressible`].
pub fn encode_pattern(pattern: &Pattern, out: &mut Vec<u8>) -> Result<(), SpellingError> {
    within(out, MAX_NAME_BYTES, |out| {
        let is_only = pattern.tokens().nth(1).is_none();
        for (index, token) in pattern.tokens().enumerate() {
            if index > 0 {
                out.push(b'/');
            }
            match token {
                Token::Literal(segment) => encode_first(segment, is_only, out),
                Token::One => out.push(b'+'),
                Token::Rest => out.push(b'#'),
                Token::AnyMiddle => return Err(SpellingError::Inexpressible),
            }
        }
        Ok(())
    })
}
