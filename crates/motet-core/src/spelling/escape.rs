//! The quoted-percent escape, one rule for every face.
//!
//! A byte the face cannot hold becomes `%XX`; text that already looks like such an escape gets one more `25`
//! (`%2E` becomes `%252E`); any other `%` is left alone. Decoding takes one `25` off, or gives the byte. So the map from
//! segments to spellings is one to one and onto: every spelling decodes, and comes back as it was.

/// The bytes that `%XX` (upper case) stands for on one face.
pub(super) struct Codes(pub(super) [bool; 256]);

impl Codes {
    /// The codes of `bytes` and nothing else.
    pub(super) const fn of(bytes: &[u8]) -> Self {
        let mut codes = [false; 256];
        let mut index = 0;
        while index < bytes.len() {
            codes[bytes[index] as usize] = true;
            index += 1;
        }
        Self(codes)
    }

    pub(super) const fn contains(&self, byte: u8) -> bool {
        self.0[byte as usize]
    }
}

/// Text that reads `%(25)*XX`.
pub(super) struct Escape {
    /// The byte `XX` names.
    pub(super) byte: u8,
    /// How many `25` stand before `XX`; 0 means the escape stands for `byte`, more that it stands for text.
    pub(super) depth: usize,
    /// Bytes from the `%` to the last digit.
    pub(super) length: usize,
}

/// The escape at the start of `text`, if one is there.
///
/// Escapes cannot overlap: `25` is no face's code, so how far the run of `25` goes is never in doubt.
pub(super) fn escape_at(text: &[u8], codes: &Codes) -> Option<Escape> {
    let rest = text.strip_prefix(b"%")?;
    let depth = rest.chunks_exact(2).take_while(|digits| digits == b"25").count();
    let digits = rest.get(2 * depth..2 * depth + 2)?;
    let byte = hex_value(digits[0])? << 4 | hex_value(digits[1])?;
    codes.contains(byte).then_some(Escape { byte, depth, length: 3 + 2 * depth })
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Appends `%XX` for `byte`.
pub(super) fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

/// Appends `segment` with a `25` more in every escape of `codes`, and `%XX` for each byte of `codes` itself.
pub(super) fn encode(segment: &[u8], codes: &Codes, out: &mut Vec<u8>) {
    let mut rest = segment;
    while let Some(&byte) = rest.first() {
        let mut taken = 1;
        if let Some(escape) = escape_at(rest, codes) {
            taken = escape.length;
            out.extend_from_slice(b"%25");
            out.extend_from_slice(&rest[1..taken]);
        } else if codes.contains(byte) {
            push_escape(byte, out);
        } else {
            out.push(byte);
        }
        rest = &rest[taken..];
    }
}

/// Appends what `spelled` stands for; the reverse of [`encode`].
pub(super) fn decode(spelled: &[u8], codes: &Codes, out: &mut Vec<u8>) {
    let mut rest = spelled;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match escape_at(rest, codes) {
            Some(Escape { byte, depth: 0, length }) => {
                out.push(byte);
                rest = &rest[length..];
            }
            Some(Escape { length, .. }) => {
                out.push(b'%');
                out.extend_from_slice(&rest[3..length]);
                rest = &rest[length..];
            }
            None => {
                out.push(b'%');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
}

/// True for `%`, `%25`, `%2525`, ...: the spellings among which `%` stands for an empty segment.
pub(super) fn is_marker(spelled: &[u8]) -> bool {
    match spelled.strip_prefix(b"%") {
        Some(rest) => rest.len().is_multiple_of(2) && rest.chunks_exact(2).all(|digits| digits == b"25"),
        None => false,
    }
}

/// Appends a segment that is empty or [`is_marker`] so that no two are alike: `` to `%`, `%` to `%25`, and so on.
pub(super) fn encode_marker(segment: &[u8], out: &mut Vec<u8>) {
    out.push(b'%');
    if !segment.is_empty() {
        out.extend_from_slice(b"25");
        out.extend_from_slice(&segment[1..]);
    }
}

/// The reverse of [`encode_marker`] on a spelling that [`is_marker`]: the segment's bytes.
pub(super) fn decode_marker(spelled: &[u8]) -> &[u8] {
    // `%25` stands for `%`: the same text less its last two bytes, since all behind the `%` repeats.
    &spelled[..spelled.len().saturating_sub(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segment: &str, spelled: &str) {
        let codes = Codes::of(b"./");
        let mut out = Vec::new();
        encode(segment.as_bytes(), &codes, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), spelled, "encode {segment}");
        out.clear();
        decode(spelled.as_bytes(), &codes, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), segment, "decode {spelled}");
    }

    #[test]
    fn only_what_must_be_escaped_is_escaped() {
        check("plain", "plain");
        check("v1.0", "v1%2E0");
        check("100%", "100%");
        check("%41%2b%", "%41%2b%");
        check("%25", "%25");
    }

    #[test]
    fn text_that_looks_like_an_escape_is_quoted_once_more() {
        check("%2E", "%252E");
        check("%252E", "%25252E");
        check("%25.", "%25%2E");
        check("%%2F", "%%252F");
    }

    #[test]
    fn markers_shift_by_one() {
        for (segment, spelled) in [("", "%"), ("%", "%25"), ("%25", "%2525")] {
            let mut out = Vec::new();
            encode_marker(segment.as_bytes(), &mut out);
            assert_eq!(out, spelled.as_bytes());
            assert!(is_marker(spelled.as_bytes()));
            assert_eq!(decode_marker(spelled.as_bytes()), segment.as_bytes());
        }
        assert!(!is_marker(b"") && !is_marker(b"%2") && !is_marker(b"%255") && !is_marker(b"a%"));
    }
}
