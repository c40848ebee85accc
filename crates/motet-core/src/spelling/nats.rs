//! NATS subjects: tokens between `.`, never empty, without white space, controls, `*` and `>`.
//!
//! An empty segment is spelled `%`; a segment `%`, `%25`, ... one `25` longer.

use super::escape::{self, Codes};
use super::{SpellingError, within};
use crate::name::{MAX_NAME_BYTES, Name, NameBuilder};
use crate::pattern::{Pattern, PatternBuilder, Token};

static CODES: Codes = {
    let mut codes = Codes::of(b".*> \x7f");
    let mut control = 0;
    while control < 0x20 {
        codes.0[control] = true;
        control += 1;
    }
    codes
};

/// Reads a subject to publish to: wildcards are refused.
pub fn decode_name(subject: &[u8]) -> Result<Name, SpellingError> {
    let mut name = NameBuilder::with_capacity(subject.len() + 1);
    let mut scratch = Vec::new();
    for token in subject.split(|&byte| byte == b'.') {
        name.push(decode_token(token, &mut scratch)?)?;
    }
    Ok(name.finish())
}

fn decode_token<'a>(token: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<&'a [u8], SpellingError> {
    if token.is_empty() {
        return Err(SpellingError::Empty);
    }
    if let Some(&byte) = token.iter().find(|&&byte| CODES.contains(byte)) {
        return Err(SpellingError::Forbidden(byte));
    }
    if !token.contains(&b'%') {
        return Ok(token);
    }
    if escape::is_marker(token) {
        return Ok(escape::decode_marker(token));
    }
    scratch.clear();
    escape::decode(token, &CODES, scratch);
    Ok(scratch)
}

/// Appends the subject. [`SpellingError::TooLong`] beyond 65,535 bytes; a server's own limit is for the caller.
pub fn encode_name(name: &Name, out: &mut Vec<u8>) -> Result<(), SpellingError> {
    within(out, MAX_NAME_BYTES, |out| {
        for (index, segment) in name.segments().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            encode_token(segment, out);
        }
        Ok(())
    })
}

fn encode_token(segment: &[u8], out: &mut Vec<u8>) {
    if segment.is_empty() || escape::is_marker(segment) {
        escape::encode_marker(segment, out);
    } else {
        escape::encode(segment, &CODES, out);
    }
}

/// Reads a subject to subscribe to: `*` is one; a last `>` is one or more, which is `One` and then `Rest`.
pub fn decode_pattern(subject: &[u8]) -> Result<Pattern, SpellingError> {
    let mut pattern = PatternBuilder::new();
    let mut scratch = Vec::new();
    for token in subject.split(|&byte| byte == b'.') {
        match token {
            b"*" => pattern.push(Token::One)?,
            b">" => {
                pattern.push(Token::One)?;
                pattern.push(Token::Rest)?;
            }
            token => pattern.push(Token::Literal(decode_token(token, &mut scratch)?))?,
        }
    }
    Ok(pattern.finish())
}

/// Appends the subject. `AnyMiddle`, and a `Rest` that includes its parent, are [`SpellingError::Inexpressible`]: the
/// latter takes two subscriptions.
pub fn encode_pattern(pattern: &Pattern, out: &mut Vec<u8>) -> Result<(), SpellingError> {
    within(out, MAX_NAME_BYTES, |out| {
        let mut tokens = pattern.tokens();
        let mut is_first = true;
        while let Some(token) = tokens.next() {
            if !std::mem::take(&mut is_first) {
                out.push(b'.');
            }
            match token {
                Token::One if tokens.clone().next() == Some(Token::Rest) => {
                    out.push(b'>');
                    return Ok(());
                }
                Token::One => out.push(b'*'),
                Token::Literal(segment) => encode_token(segment, out),
                Token::Rest | Token::AnyMiddle => return Err(SpellingError::Inexpressible),
            }
        }
        Ok(())
    })
}
