//! The Close frame: a status code and a reason. [RFC6455-5.5.1], [RFC6455-7.4]

use bytes::BytesMut;

use crate::error::WsError;
use crate::frame::{CONTROL_BYTES_MAX, OpCode, frame_header};

/// A status code as it travels in a Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The server goes down, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data this endpoint does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Data that does not fit its kind, such as text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A policy was violated and no better code exists.
    pub const POLICY: Self = Self(1008);
    /// A message is too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// Something unexpected on our side.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts: come back soon.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// Overload: come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);

    /// Whether the code may appear in a Close frame at all. 1004 has no meaning; 1005, 1006 and 1015 are for
    /// programs to tell each other and never travel; 1012 to 1014 are registered with IANA. [RFC6455-7.4.2]
    pub fn may_travel(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// What a peer said when it closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// None when the frame was empty (what an API shows as 1005).
    pub code: Option<CloseCode>,
    /// At most 123 bytes, often empty.
    pub reason: String,
}

impl Close {
    /// Reads the payload of a Close frame.
    pub(crate) fn from_payload(payload: &[u8]) -> Result<Self, WsError> {
        let Some((code, reason)) = payload.split_first_chunk::<2>() else {
            // [RFC6455-5.5.1] if there is a body, its first two bytes are the code
            return if payload.is_empty() {
                Ok(Self { code: None, reason: String::new() })
            } else {
                Err(WsError::CloseCode)
            };
        };
        let code = CloseCode(u16::from_be_bytes(*code));
        if !code.may_travel() {
            return Err(WsError::CloseCode);
        }
        let reason = simdutf8::basic::from_utf8(reason).map_err(|_| WsError::Utf8)?;
        Ok(Self { code: Some(code), reason: reason.to_owned() })
    }
}

/// Appends a Close frame. A code that may not travel, or None, gives an empty Close; a reason that is too long is
/// cut at a character.
pub(crate) fn write_close(code: Option<CloseCode>, reason: &str, out: &mut BytesMut) {
    let Some(code) = code.filter(|code| code.may_travel()) else {
        out.extend_from_slice(&frame_header(OpCode::Close, true, false, 0));
        return;
    };
    let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
    out.extend_from_slice(&frame_header(OpCode::Close, true, false, 2 + reason.len()));
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_close_has_no_code_and_a_single_byte_is_an_error() {
        assert_eq!(Close::from_payload(b""), Ok(Close { code: None, reason: String::new() }));
        assert_eq!(Close::from_payload(b"\x03"), Err(WsError::CloseCode));
    }

    #[test]
    fn only_codes_that_may_travel_are_read() {
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert!(Close::from_payload(&u16::to_be_bytes(code)).is_ok(), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(Close::from_payload(&u16::to_be_bytes(code)), Err(WsError::CloseCode), "{code}");
        }
    }

    #[test]
    fn a_reason_must_be_text() {
        assert_eq!(Close::from_payload(b"\x03\xe8bye").unwrap().reason, "bye");
        assert_eq!(Close::from_payload(b"\x03\xe8\xff"), Err(WsError::Utf8));
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let mut out = BytesMut::new();
        write_close(Some(CloseCode::NORMAL), &"é".repeat(100), &mut out);
        assert_eq!(out.len(), 2 + 2 + 122);
        assert_eq!(Close::from_payload(&out[2..]).unwrap().reason, "é".repeat(61));
    }

    #[test]
    fn a_code_that_may_not_travel_is_sent_as_an_empty_close() {
        let mut out = BytesMut::new();
        write_close(Some(CloseCode(1006)), "lost", &mut out);
        assert_eq!(&out[..], b"\x88\x00");
    }
}
