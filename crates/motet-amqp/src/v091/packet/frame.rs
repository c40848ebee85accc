//! Frames: where one ends and the next begins [4.2.3].
//!
//! ```text
//! type u8 │ channel u16 │ size u32 │ payload: size bytes │ 0xCE
//! ```

use bytes::{BufMut, BytesMut};

/// Bytes of a frame besides its payload.
pub const FRAME_OVERHEAD: usize = 8;

/// The octet behind every payload.
pub const FRAME_END: u8 = 0xCE;

/// The smallest frame-max a peer may ask for [4.2.3], in bytes.
pub const FRAME_MIN_SIZE: u32 = 4096;

/// What a frame carries; others are the peer's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A method.
    Method,
    /// The header of a content.
    Header,
    /// A part of a content's body.
    Body,
    /// A sign of life.
    Heartbeat,
}

impl FrameKind {
    /// The kind of the wire's number.
    #[inline]
    pub fn from_wire(number: u8) -> Option<Self> {
        Some(match number {
            1 => FrameKind::Method,
            2 => FrameKind::Header,
            3 => FrameKind::Body,
            8 => FrameKind::Heartbeat,
            _ => return None,
        })
    }

    /// The wire's number.
    pub const fn number(self) -> u8 {
        match self {
            FrameKind::Method => 1,
            FrameKind::Header => 2,
            FrameKind::Body => 3,
            FrameKind::Heartbeat => 8,
        }
    }
}

/// A frame, borrowed from the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The wire's number of its kind; not checked here, because the answer to an unknown one depends on the state.
    pub kind: u8,
    /// For which channel.
    pub channel: u16,
    /// What it carries.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes of the whole frame.
    #[inline]
    pub fn len(&self) -> usize {
        self.payload.len() + FRAME_OVERHEAD
    }

    /// A frame is never empty.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// A frame after which nothing more can be understood: where the next one begins is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Longer than was agreed.
    #[error("type {kind}, all octets = <<>>: {{frame_too_large,{size},{max}}}")]
    TooLarge {
        /// The wire's number of its kind.
        kind: u8,
        /// For which channel.
        channel: u16,
        /// Bytes of its payload.
        size: u32,
        /// Bytes its payload may have.
        max: u32,
    },
    /// What follows the payload is not [`FRAME_END`].
    #[error("type {kind}, invalid frame end marker {marker}")]
    EndMarker {
        /// The wire's number of its kind.
        kind: u8,
        /// For which channel.
        channel: u16,
        /// What stands there instead.
        marker: u8,
    },
}

/// Finds the frame at the front of `buf`; `None` until all of it has arrived.
///
/// `frame_max` bounds the whole frame in bytes. Eight more are forgiven, as RabbitMQ does: clients confuse the size of a
/// frame with that of its payload.
#[inline]
pub fn frame(buf: &[u8], frame_max: u32) -> Result<Option<Frame<'_>>, FrameError> {
    let Some(([kind, c1, c0, s3, s2, s1, s0], rest)) = buf.split_first_chunk::<7>() else { return Ok(None) };
    let (kind, channel) = (*kind, u16::from_be_bytes([*c1, *c0]));
    let size = u32::from_be_bytes([*s3, *s2, *s1, *s0]);
    if size > frame_max {
        let max = frame_max.saturating_sub(FRAME_OVERHEAD as u32);
        return Err(FrameError::TooLarge { kind, channel, size, max });
    }
    let Some(&marker) = rest.get(size as usize) else { return Ok(None) };
    if marker != FRAME_END {
        return Err(FrameError::EndMarker { kind, channel, marker });
    }
    Ok(Some(Frame { kind, channel, payload: &rest[..size as usize] }))
}

/// How many bytes the frame at the front of `buf` has in all, once its first seven bytes are there.
pub fn frame_len(buf: &[u8]) -> Option<usize> {
    let size = buf.get(3..7)?.first_chunk::<4>()?;
    Some(u32::from_be_bytes(*size) as usize + FRAME_OVERHEAD)
}

/// Writes a frame whose payload `write` appends.
#[inline]
pub(crate) fn put_frame(out: &mut BytesMut, kind: FrameKind, channel: u16, write: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind.number());
    out.put_u16(channel);
    let at = out.len();
    out.put_u32(0);
    write(out);
    let size = u32::try_from(out.len() - at - 4).expect("frames are bounded where they are made");
    out[at..at + 4].copy_from_slice(&size.to_be_bytes());
    out.put_u8(FRAME_END);
}

/// Writes a frame with a part of a body.
pub fn put_body(out: &mut BytesMut, channel: u16, part: &[u8]) {
    put_frame(out, FrameKind::Body, channel, |out| out.put_slice(part));
}

/// Writes a heartbeat [4.2.7].
pub fn put_heartbeat(out: &mut BytesMut) {
    put_frame(out, FrameKind::Heartbeat, 0, |_| {});
}

/// Octets for a sentence, as RabbitMQ shows them: the first sixteen.
pub fn snippet(payload: &[u8]) -> String {
    let (which, shown) = if payload.len() <= 16 { ("all", payload) } else { ("first 16", &payload[..16]) };
    let printable = !shown.is_empty() && shown.iter().all(|byte| (0x20..0x7f).contains(byte));
    if printable {
        return format!("{which} octets = <<\"{}\">>", String::from_utf8_lossy(shown));
    }
    let numbers: Vec<_> = shown.iter().map(u8::to_string).collect();
    format!("{which} octets = <<{}>>", numbers.join(","))
}

/// The header with which a client begins [4.2.2].
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\x00\x00\x09\x01";

/// What the first eight bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolHeader {
    /// Not all have come, and so far they are right.
    Partial,
    /// AMQP 0-9-1.
    Ours,
    /// Another version, or no AMQP.
    Foreign,
}

impl ProtocolHeader {
    /// Judges the beginning of a connection.
    pub fn of(buf: &[u8]) -> Self {
        let head = &buf[..buf.len().min(8)];
        match PROTOCOL_HEADER.starts_with(head) {
            true if head.len() == 8 => ProtocolHeader::Ours,
            true => ProtocolHeader::Partial,
            false => ProtocolHeader::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_once_its_last_byte_arrived() {
        let mut out = BytesMut::new();
        put_frame(&mut out, FrameKind::Body, 7, |out| out.put_slice(b"hello"));
        put_heartbeat(&mut out);
        for cut in 0..13 {
            assert_eq!(frame(&out[..cut], 4096), Ok(None), "{cut}");
            assert_eq!(frame_len(&out[..cut]), (cut >= 7).then_some(13));
        }
        let found = frame(&out, 4096).unwrap().unwrap();
        assert_eq!((found.kind, found.channel, found.payload, found.len()), (3, 7, &b"hello"[..], 13));
        let next = frame(&out[13..], 4096).unwrap().unwrap();
        assert_eq!((next.kind, next.channel, next.payload), (8, 0, &b""[..]));
    }

    #[test]
    fn a_frame_that_is_too_large_is_refused_before_it_arrives() {
        let fits = [3, 0, 1, 0, 0, 0x10, 0];
        assert_eq!(frame(&fits, 4096), Ok(None), "eight bytes more are forgiven");
        let large = [3, 0, 1, 0, 0, 0x10, 1];
        let error = frame(&large, 4096).unwrap_err();
        assert_eq!(error, FrameError::TooLarge { kind: 3, channel: 1, size: 4097, max: 4088 });
    }

    #[test]
    fn what_does_not_end_a_frame_is_refused() {
        let bytes = [8, 0, 0, 0, 0, 0, 0, 0xCD];
        assert_eq!(frame(&bytes, 4096), Err(FrameError::EndMarker { kind: 8, channel: 0, marker: 0xCD }));
    }

    #[test]
    fn headers_are_judged_from_their_first_byte() {
        for cut in 0..8 {
            assert_eq!(ProtocolHeader::of(&PROTOCOL_HEADER[..cut]), ProtocolHeader::Partial);
        }
        assert_eq!(ProtocolHeader::of(b"AMQP\x00\x00\x09\x01more"), ProtocolHeader::Ours);
        for foreign in [&b"AMQP\x00\x01\x00\x00"[..], b"AMQP\x03\x01\x00\x00", b"GET / HT", b"X"] {
            assert_eq!(ProtocolHeader::of(foreign), ProtocolHeader::Foreign);
        }
    }

    #[test]
    fn octets_are_shown_as_text_where_they_are_text() {
        assert_eq!(snippet(b"abc"), "all octets = <<\"abc\">>");
        assert_eq!(snippet(&[0; 17]), format!("first 16 octets = <<{}>>", ["0"; 16].join(",")));
        assert_eq!(snippet(b""), "all octets = <<>>");
    }
}
