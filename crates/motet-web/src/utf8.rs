//! UTF-8 that arrives in pieces: a character may be cut by a fragment, a frame or a read. [RFC6455-8.1]

use crate::error::WsError;

/// Remembers the beginning of a character whose end has not arrived.
#[derive(Debug, Default)]
pub(crate) struct Utf8 {
    cut: [u8; 4],
    len: usize,
}

impl Utf8 {
    /// Checks the next piece of a text.
    pub(crate) fn feed(&mut self, mut piece: &[u8]) -> Result<(), WsError> {
        // At most three bytes complete the character that was cut, so this loop is short.
        while self.len > 0 {
            let Some((&byte, rest)) = piece.split_first() else { return Ok(()) };
            self.cut[self.len] = byte;
            self.len += 1;
            piece = rest;
            match std::str::from_utf8(&self.cut[..self.len]) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(WsError::Utf8),
            }
        }
        if let Err(error) = simdutf8::compat::from_utf8(piece) {
            if error.error_len().is_some() {
                return Err(WsError::Utf8);
            }
            let cut = &piece[error.valid_up_to()..];
            self.cut[..cut.len()].copy_from_slice(cut);
            self.len = cut.len();
        }
        Ok(())
    }

    /// The text ends here: no character may be cut.
    pub(crate) fn finish(&self) -> Result<(), WsError> {
        if self.len == 0 { Ok(()) } else { Err(WsError::Utf8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&[u8]]) -> Result<(), WsError> {
        let mut utf8 = Utf8::default();
        pieces.iter().try_for_each(|piece| utf8.feed(piece))?;
        utf8.finish()
    }

    #[test]
    fn text_is_text_wherever_it_is_cut() {
        let text = "κόσμε \u{10ffff} ÿ\u{fffd} a".as_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                assert_eq!(check(&[&text[..first], &text[first..second], &text[second..]]), Ok(()));
            }
        }
    }

    #[test]
    fn what_is_not_text_is_refused_wherever_it_is_cut() {
        let cases: [&[u8]; 7] = [
            b"a\xed\xa0\x80b",
            b"\xf4\x90\x80\x80",
            b"\xc0\xaf",
            b"\xce",
            b"\xff",
            b"\xe2\x82",
            b"\xf8\x88\x80\x80\x80",
        ];
        for bytes in cases {
            for cut in 0..=bytes.len() {
                assert_eq!(check(&[&bytes[..cut], &bytes[cut..]]), Err(WsError::Utf8), "{bytes:02x?} at {cut}");
            }
        }
    }

    #[test]
    fn an_impossible_beginning_is_refused_before_its_end_arrives() {
        // A surrogate shows in its second byte, above U+10FFFF too.
        let mut utf8 = Utf8::default();
        utf8.feed(b"\xf4").unwrap();
        assert_eq!(utf8.feed(b"\x90"), Err(WsError::Utf8));
    }
}
