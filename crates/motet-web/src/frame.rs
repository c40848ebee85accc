//! A frame's header, both ways, and the mask. [RFC6455-5.2], [RFC6455-5.3]

use std::ops::Deref;

use crate::error::WsError;

/// The longest payload of a control frame. [RFC6455-5.5]
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// More of the message that began earlier.
    Continuation = 0x0,
    /// The beginning of a text message.
    Text = 0x1,
    /// The beginning of a binary message.
    Binary = 0x2,
    /// The last frame of its sender.
    Close = 0x8,
    /// Asks for a pong with the same payload.
    Ping = 0x9,
    /// Answers a ping, or just says "still here".
    Pong = 0xa,
}

impl OpCode {
    fn from_bits(bits: u8) -> Result<Self, WsError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            other => return Err(WsError::ReservedOpcode(other)),
        })
    }

    /// Whether frames of this kind may stand between the fragments of a message.
    pub fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// A header as a client sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    /// With permessage-deflate: this message is compressed. [RFC7692-6]
    pub(crate) rsv1: bool,
    pub(crate) opcode: OpCode,
    pub(crate) mask: [u8; 4],
    /// Of the payload, in bytes.
    pub(crate) len: u64,
}

impl Header {
    /// Reads the header at the start of `input` and says how many bytes it takes; None while it is incomplete.
    /// What is wrong is refused at the first byte that shows it. `rsv1_defined` says that an extension uses RSV1.
    pub(crate) fn from_client(input: &[u8], rsv1_defined: bool) -> Result<Option<(Self, usize)>, WsError> {
        let Some(&first) = input.first() else { return Ok(None) };
        let (fin, rsv1) = (first & 0x80 != 0, first & 0x40 != 0);
        if first & 0x30 != 0 || (rsv1 && !rsv1_defined) {
            return Err(WsError::ReservedBits);
        }
        let opcode = OpCode::from_bits(first & 0x0f)?;
        // [RFC7692-6.1] only the first frame of a message carries RSV1, control frames never
        if rsv1 && (opcode.is_control() || opcode == OpCode::Continuation) {
            return Err(WsError::ReservedBits);
        }
        if opcode.is_control() && !fin {
            return Err(WsError::ControlFrame);
        }

        let Some(&second) = input.get(1) else { return Ok(None) };
        // [RFC6455-5.1] a server closes upon a frame that is not masked
        if second & 0x80 == 0 {
            return Err(WsError::Unmasked);
        }
        let short = second & 0x7f;
        if opcode.is_control() && usize::from(short) > CONTROL_BYTES_MAX {
            return Err(WsError::ControlFrame);
        }
        let Some((len, rest)) = length(short, &input[2..])? else { return Ok(None) };
        let Some(&mask) = rest.first_chunk::<4>() else { return Ok(None) };
        Ok(Some((Self { fin, rsv1, opcode, mask, len }, input.len() - rest.len() + 4)))
    }
}

/// The payload length and what follows it.
fn length(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, WsError> {
    let (len, least, rest) = match short {
        126 => match rest.split_first_chunk::<2>() {
            Some((long, rest)) => (u64::from(u16::from_be_bytes(*long)), 126, rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((long, rest)) => (u64::from_be_bytes(*long), 1 << 16, rest),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, rest),
    };
    // [RFC6455-5.2] the minimal number of bytes encodes the length, and the top bit of 64 is zero
    if len < least || len >> 63 != 0 { Err(WsError::LengthForm) } else { Ok(Some((len, rest))) }
}

/// An encoded header: 2, 4 or 10 bytes, readable as a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    bytes: [u8; 10],
    len: u8,
}

impl Deref for FrameHeader {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The header of a frame from a server. Servers do not mask, so a header followed by a payload is a frame that any
/// number of connections can share. `len` is the payload's length in bytes.
pub fn frame_header(opcode: OpCode, fin: bool, rsv1: bool, len: usize) -> FrameHeader {
    let mut bytes = [0; 10];
    bytes[0] = u8::from(fin) << 7 | u8::from(rsv1) << 6 | opcode as u8;
    let header_len = match len {
        0..=125 => {
            bytes[1] = len as u8;
            2
        }
        126..=0xffff => {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            4
        }
        _ => {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(len as u64).to_be_bytes());
            10
        }
    };
    FrameHeader { bytes, len: header_len }
}

/// Applies `mask` to `data` and turns it, so that the next call can continue with the bytes that follow.
/// Eight bytes at a time: the compiler makes vectors of it.
pub(crate) fn unmask(data: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let turn = data.len() % 4;
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let chunk: &mut [u8; 8] = chunk.try_into().expect("chunks_exact gives eight bytes");
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
    mask.rotate_left(turn);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(input: &[u8]) -> Result<Option<(Header, usize)>, WsError> {
        for cut in 0..input.len() {
            // Each prefix asks for more or fails in the way the whole does.
            match Header::from_client(&input[..cut], true) {
                Ok(Some((_, taken))) => assert!(taken <= cut),
                Ok(None) => {}
                Err(error) => assert_eq!(Header::from_client(input, true), Err(error)),
            }
        }
        Header::from_client(input, true)
    }

    #[test]
    fn the_masked_hello_of_the_rfc_is_read() {
        // [RFC6455-5.7] a single-frame masked text message
        let mut frame = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        let (mut header, taken) = parsed(&frame).unwrap().unwrap();
        assert_eq!((header.fin, header.rsv1, header.opcode, header.len), (true, false, OpCode::Text, 5));
        unmask(&mut frame[taken..], &mut header.mask);
        assert_eq!(&frame[taken..], b"Hello");
    }

    #[test]
    fn server_headers_of_the_rfc_are_written() {
        // [RFC6455-5.7] unmasked examples: Hello, fragments, ping, 256 bytes, 64 KiB
        assert_eq!(&*frame_header(OpCode::Text, true, false, 5), b"\x81\x05");
        assert_eq!(&*frame_header(OpCode::Text, false, false, 3), b"\x01\x03");
        assert_eq!(&*frame_header(OpCode::Continuation, true, false, 2), b"\x80\x02");
        assert_eq!(&*frame_header(OpCode::Ping, true, false, 5), b"\x89\x05");
        assert_eq!(&*frame_header(OpCode::Binary, true, false, 256), b"\x82\x7e\x01\x00");
        assert_eq!(&*frame_header(OpCode::Binary, true, false, 65536), b"\x82\x7f\0\0\0\0\0\x01\0\0");
        assert_eq!(&*frame_header(OpCode::Text, true, true, 7), b"\xc1\x07");
        assert_eq!(&*frame_header(OpCode::Binary, true, false, 125), b"\x82\x7d");
        assert_eq!(&*frame_header(OpCode::Binary, true, false, 126), b"\x82\x7e\x00\x7e");
        assert_eq!(&*frame_header(OpCode::Binary, true, false, 65535), b"\x82\x7e\xff\xff");
    }

    #[test]
    fn malformed_headers_are_refused_at_the_first_byte_that_shows_it() {
        let cases: &[(&[u8], WsError)] = &[
            (b"\xa1", WsError::ReservedBits),
            (b"\x91", WsError::ReservedBits),
            (b"\xc9", WsError::ReservedBits),
            (b"\xc0", WsError::ReservedBits),
            (b"\x83", WsError::ReservedOpcode(3)),
            (b"\x87", WsError::ReservedOpcode(7)),
            (b"\x8b", WsError::ReservedOpcode(11)),
            (b"\x8f", WsError::ReservedOpcode(15)),
            (b"\x09", WsError::ControlFrame),
            (b"\x89\xfe", WsError::ControlFrame),
            (b"\x88\xff", WsError::ControlFrame),
            (b"\x82\x05", WsError::Unmasked),
            (b"\x82\xfe\x00\x7d", WsError::LengthForm),
            (b"\x82\xff\0\0\0\0\0\0\xff\xff", WsError::LengthForm),
            (b"\x82\xff\x80\0\0\0\0\x01\0\0", WsError::LengthForm),
        ];
        for (input, error) in cases {
            assert_eq!(parsed(input), Err(error.clone()), "{input:02x?}");
        }
        assert_eq!(Header::from_client(b"\xc1", false), Err(WsError::ReservedBits));
    }

    #[test]
    fn long_lengths_are_read() {
        assert_eq!(parsed(b"\x82\xfe\x00\x7emask").unwrap().unwrap().0.len, 126);
        let (header, taken) = parsed(b"\x82\xff\0\0\0\0\0\x01\0\0maskdata").unwrap().unwrap();
        assert_eq!((header.len, taken, header.mask), (65536, 14, *b"mask"));
    }

    #[test]
    fn unmasking_in_pieces_equals_unmasking_at_once() {
        let plain: Vec<u8> = (0..100).collect();
        let mut whole = plain.clone();
        for (index, byte) in whole.iter_mut().enumerate() {
            *byte ^= b"\x12\x34\x56\x78"[index % 4];
        }
        for cut in 0..=plain.len() {
            let (mut data, mut mask) = (whole.clone(), *b"\x12\x34\x56\x78");
            unmask(&mut data[..cut], &mut mask);
            unmask(&mut data[cut..], &mut mask);
            assert_eq!(data, plain, "cut at {cut}");
        }
    }
}
