//! A small client for tests: it masks, fragments and compresses, and reads what a server may send.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part, and a test may unwrap

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use motet_web::{Deflate, Kind, Progress, State, WebSocket, WsError};

/// A masked frame; `first` is the byte of FIN, RSV and opcode.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, payload.len() as u8];
    let mut bytes = vec![first];
    match payload.len() {
        len @ 0..=125 => bytes.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A message in frames of at most `size` payload bytes. `first` is the first byte of the first frame, with FIN.
pub(crate) fn fragments(first: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let mut pieces: Vec<&[u8]> = payload.chunks(size.max(1)).collect();
    if pieces.is_empty() {
        pieces.push(b"");
    }
    let last = pieces.len() - 1;
    let first_of = |index| match (index == 0, index == last) {
        (true, true) => first,
        (true, false) => first & 0x7f,
        (false, true) => 0x80,
        (false, false) => 0x00,
    };
    pieces.iter().enumerate().flat_map(|(index, piece)| frame(first_of(index), piece)).collect()
}

/// Compresses as a client does.
pub(crate) struct Deflater(Compress, bool);

impl Deflater {
    pub(crate) fn new(deflate: &Deflate) -> Self {
        let bits = deflate.client_max_window_bits.max(9);
        Self(Compress::new_with_window_bits(Compression::new(6), false, bits), deflate.client_no_context_takeover)
    }

    pub(crate) fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return vec![0];
        }
        let mut bytes = Vec::with_capacity(payload.len() * 2 + 1000);
        self.0.compress_vec(payload, &mut bytes, FlushCompress::Sync).unwrap();
        assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
        bytes.truncate(bytes.len() - 4);
        if self.1 {
            self.0.reset();
        }
        bytes
    }
}

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>),
}

/// Reads everything a server sent, inflating as negotiated. Panics upon anything a server must not send.
pub(crate) fn replies(mut bytes: &[u8], deflate: Option<&Deflate>) -> Vec<Reply> {
    let mut inflater = deflate.map(|it| Decompress::new_with_window_bits(false, it.server_max_window_bits));
    let mut replies = Vec::new();
    while !bytes.is_empty() {
        assert!(bytes[1] & 0x80 == 0, "servers do not mask");
        let (len, at) = match bytes[1] {
            126 => (u64::from(u16::from_be_bytes(bytes[2..4].try_into().unwrap())), 4),
            127 => (u64::from_be_bytes(bytes[2..10].try_into().unwrap()), 10),
            len => (u64::from(len), 2),
        };
        let (first, mut payload) = (bytes[0], bytes[at..at + len as usize].to_vec());
        bytes = &bytes[at + len as usize..];
        if first & 0x40 != 0 {
            let inflater = inflater.as_mut().expect("RSV1 only with deflate");
            payload.extend([0, 0, 0xff, 0xff]);
            let mut plain = Vec::with_capacity(4 << 20);
            inflater.decompress_vec(&payload, &mut plain, FlushDecompress::Sync).unwrap();
            if deflate.unwrap().server_no_context_takeover {
                inflater.reset(false);
            }
            payload = plain;
        }
        replies.push(match first & !0x40 {
            0x81 => Reply::Text(payload),
            0x82 => Reply::Binary(payload),
            0x88 => Reply::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            0x89 => Reply::Ping(payload),
            0x8a => Reply::Pong(payload),
            other => panic!("frame {other:02x} from a server"),
        });
    }
    replies
}

/// Feeds `input` in pieces of `size` and echoes every message; gives what the server sent, and its error.
pub(crate) fn echo(websocket: &mut WebSocket, input: &[u8], size: usize) -> (Vec<u8>, Option<WsError>) {
    let (mut buffer, mut out) = (BytesMut::new(), BytesMut::new());
    for piece in input.chunks(size.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match websocket.read_message(&mut buffer, &mut out) {
                Ok(Some(message)) => {
                    assert!(message.kind == Kind::Binary || std::str::from_utf8(&message.payload).is_ok());
                    websocket.write_message(message.kind, &message.payload, &mut out).unwrap();
                }
                Ok(None) => break,
                Err(error) => return (out.to_vec(), Some(error)),
            }
        }
        if websocket.state() == State::CloseReceived {
            websocket.close(motet_web::CloseCode::NORMAL, "", &mut out);
        }
    }
    (out.to_vec(), None)
}

/// Feeds `input` in pieces of `size` as a stream; gives the payload and the last word.
pub(crate) fn stream(websocket: &mut WebSocket, input: &[u8], size: usize) -> (Bytes, Result<Progress, WsError>) {
    let (mut buffer, mut payload, mut out) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    let mut last = Ok(Progress::NeedInput);
    for piece in input.chunks(size.max(1)) {
        buffer.extend_from_slice(piece);
        last = websocket.read(&mut buffer, &mut payload, &mut out);
        while last == Ok(Progress::PayloadFull) {
            last = websocket.read(&mut buffer, &mut payload, &mut out);
        }
        if last.is_err() {
            break;
        }
    }
    (payload.freeze(), last)
}
