//! The codec of permessage-deflate: raw DEFLATE whose empty last block is left out. [RFC7692-7.2]
//!
//! A compressor holds about 300 KiB and an inflater 20 to 50 KiB, so both are made when first needed and, without
//! context takeover, dropped when the connection is idle (`WebSocket::release_idle`).

use bytes::BytesMut;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use crate::error::WsError;

/// What every flushed message would end with, and so leaves out. [RFC7692-7.2.1]
pub(crate) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Output is made in pieces of this size at most, so that memory follows what was really produced.
const PIECE_BYTES: usize = 16 * 1024;

/// How many final blocks one message may have. One is legal and odd; thousands of two bytes each produce nothing that
/// another bound would count, and each makes us begin anew.
const FINAL_BLOCKS_MAX: u32 = 16;

/// What this server grants in the negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeflatePolicy {
    /// Keep our window from message to message: compresses small messages better, holds about 300 KiB for every
    /// connection. Off by default for that price.
    pub server_context_takeover: bool,
    /// Let the client keep its window: holds 20 to 50 KiB for every connection. Off by default.
    pub client_context_takeover: bool,
    /// The base-2 logarithm of our window, 9 to 15. Default 15.
    pub server_max_window_bits: u8,
    /// The base-2 logarithm of the client's window, 9 to 15, for clients that can be told. Default 15.
    pub client_max_window_bits: u8,
}

impl Default for DeflatePolicy {
    fn default() -> Self {
        Self {
            server_context_takeover: false,
            client_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}

/// What was negotiated. [RFC7692-7.1]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// Each of our messages is compressed on its own.
    pub server_no_context_takeover: bool,
    /// Each of the client's messages is compressed on its own.
    pub client_no_context_takeover: bool,
    /// Our window, 9 to 15.
    pub server_max_window_bits: u8,
    /// The client's window, 8 to 15.
    pub client_max_window_bits: u8,
}

/// What one step of inflating did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inflated {
    pub(crate) consumed: usize,
    pub(crate) produced: usize,
}

/// Inflates one connection's messages.
#[derive(Debug)]
pub(crate) struct Inflater {
    stream: Decompress,
    /// The last step filled its room: more output may wait inside.
    pending: bool,
    /// The stream ended with a final block and nothing followed yet. [RFC7692-7.2.3.4]
    ended: bool,
    /// Final blocks of this message so far.
    final_blocks: u32,
}

impl Inflater {
    pub(crate) fn new(deflate: &Deflate) -> Self {
        // zlib reads a stream made with a smaller window too.
        let window_bits = deflate.client_max_window_bits.max(9);
        Self {
            stream: Decompress::new_with_window_bits(false, window_bits),
            pending: false,
            ended: false,
            final_blocks: 0,
        }
    }

    /// Whether a step without new input could still produce output.
    pub(crate) fn pending(&self) -> bool {
        self.pending
    }

    /// Whether the message ended with a final block, so that no tail is missing.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// One step: appends at most `room` (above 0) bytes to `sink`. It makes progress or fails.
    pub(crate) fn step(&mut self, input: &[u8], sink: &mut BytesMut, room: usize) -> Result<Inflated, WsError> {
        let start = sink.len();
        let space = room.min(PIECE_BYTES).min(256.max(input.len().saturating_mul(4)));
        sink.resize(start + space, 0);
        let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
        let result = self.stream.decompress(input, &mut sink[start..], FlushDecompress::None);
        let consumed = (self.stream.total_in() - before_in) as usize;
        let produced = (self.stream.total_out() - before_out) as usize;
        sink.truncate(start + produced);

        let status = result.map_err(|_| WsError::Deflate)?;
        self.pending = produced == space;
        self.ended = status == Status::StreamEnd;
        if self.ended {
            // [RFC7692-7.2.3.4] a final block may be followed by more: begin anew. The window is lost with it, which
            // can only hurt a client that ends its stream and refers to it across messages.
            self.stream.reset(false);
            self.pending = false;
            self.final_blocks += 1;
            if self.final_blocks > FINAL_BLOCKS_MAX {
                return Err(WsError::Deflate);
            }
        } else if !input.is_empty() && consumed == 0 && produced == 0 {
            return Err(WsError::Deflate);
        }
        Ok(Inflated { consumed, produced })
    }

    /// A message is complete; the next one starts with an empty window if so agreed.
    pub(crate) fn end_message(&mut self, deflate: &Deflate) {
        self.pending = false;
        self.ended = false;
        self.final_blocks = 0;
        if deflate.client_no_context_takeover {
            self.stream.reset(false);
        }
    }
}

/// Compresses messages into the form permessage-deflate sends. Its output goes into one frame with RSV1 set.
///
/// With `server_no_context_takeover` the result depends on nothing but the message, so one compressor can serve many
/// connections with the same window, and one compressed frame can be shared by them.
#[derive(Debug)]
pub struct Compressor {
    stream: Compress,
    no_context_takeover: bool,
}

impl Compressor {
    /// `level` is zlib's, 0 to 9.
    pub fn new(deflate: &Deflate, level: u32) -> Self {
        let window_bits = deflate.server_max_window_bits.clamp(9, 15);
        Self {
            stream: Compress::new_with_window_bits(Compression::new(level.min(9)), false, window_bits),
            no_context_takeover: deflate.server_no_context_takeover,
        }
    }

    /// Appends the compressed form of one message to `sink`.
    pub fn compress(&mut self, message: &[u8], sink: &mut BytesMut) {
        if message.is_empty() {
            // [RFC7692-7.2.3.6] an empty message is one empty block
            sink.extend_from_slice(&[0x00]);
            return;
        }
        let start = sink.len();
        let mut rest = message;
        loop {
            let filled = sink.len();
            let space = PIECE_BYTES.min(rest.len() / 2 + 64);
            sink.resize(filled + space, 0);
            let (before_in, before_out) = (self.stream.total_in(), self.stream.total_out());
            self.stream
                .compress(rest, &mut sink[filled..], FlushCompress::Sync)
                .expect("our compressor is never in a finished state");
            rest = &rest[(self.stream.total_in() - before_in) as usize..];
            let produced = (self.stream.total_out() - before_out) as usize;
            sink.truncate(filled + produced);
            // Room left over means that the flush is complete.
            if rest.is_empty() && produced < space {
                break;
            }
        }
        // [RFC7692-7.2.1] the empty block at the end is not sent
        debug_assert!(sink[start..].ends_with(&TAIL), "a sync flush ends with an empty stored block");
        sink.truncate(sink.len() - TAIL.len());
        if self.no_context_takeover {
            self.stream.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(takeover: bool) -> Deflate {
        Deflate {
            server_no_context_takeover: !takeover,
            client_no_context_takeover: !takeover,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }

    fn inflate(inflater: &mut Inflater, deflate: &Deflate, message: &[u8], room: usize) -> Result<Vec<u8>, WsError> {
        let mut sink = BytesMut::new();
        let mut input = [message, &TAIL].concat();
        while !input.is_empty() || inflater.pending() {
            let done = inflater.step(&input, &mut sink, room)?;
            input.drain(..done.consumed);
            if inflater.ended() && input == TAIL {
                break;
            }
        }
        inflater.end_message(deflate);
        Ok(sink.to_vec())
    }

    #[test]
    fn the_examples_of_the_rfc_inflate_to_hello() {
        // [RFC7692-7.2.3]: plain, uncompressed block, final block, two blocks, no context from the first message
        let messages: [&[u8]; 4] = [
            b"\xf2\x48\xcd\xc9\xc9\x07\x00",
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ];
        for message in messages {
            for room in [1, 2, 100] {
                let mut inflater = Inflater::new(&agreed(false));
                assert_eq!(inflate(&mut inflater, &agreed(false), message, room).unwrap(), b"Hello", "{message:02x?}");
            }
        }
    }

    #[test]
    fn a_message_may_refer_to_the_one_before_only_with_context_takeover() {
        // [RFC7692-7.2.3.2] the second Hello points back into the first
        let (first, second): (&[u8], &[u8]) = (b"\xf2\x48\xcd\xc9\xc9\x07\x00", b"\xf2\x00\x11\x00\x00");
        let mut inflater = Inflater::new(&agreed(true));
        assert_eq!(inflate(&mut inflater, &agreed(true), first, 9).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &agreed(true), second, 9).unwrap(), b"Hello");

        let mut inflater = Inflater::new(&agreed(false));
        assert_eq!(inflate(&mut inflater, &agreed(false), first, 9).unwrap(), b"Hello");
        assert_eq!(inflate(&mut inflater, &agreed(false), second, 9), Err(WsError::Deflate));
    }

    #[test]
    fn a_flood_of_final_blocks_is_damage() {
        for (blocks, expected) in [(16, Ok(Vec::new())), (17, Err(WsError::Deflate))] {
            let mut inflater = Inflater::new(&agreed(false));
            for _ in 0..2 {
                let message = b"\x03\x00".repeat(blocks);
                assert_eq!(inflate(&mut inflater, &agreed(false), &message, 100), expected, "{blocks}");
                inflater.end_message(&agreed(false));
            }
        }
    }

    #[test]
    fn hello_compresses_to_the_bytes_of_the_rfc() {
        let mut compressor = Compressor::new(&agreed(false), 6);
        for _ in 0..2 {
            let mut sink = BytesMut::new();
            compressor.compress(b"Hello", &mut sink);
            assert_eq!(&sink[..], b"\xf2\x48\xcd\xc9\xc9\x07\x00");
        }
        let mut sink = BytesMut::new();
        compressor.compress(b"", &mut sink);
        assert_eq!(&sink[..], b"\x00");
    }

    #[test]
    fn context_takeover_makes_the_second_message_smaller() {
        let mut compressor = Compressor::new(&agreed(true), 6);
        let (mut first, mut second) = (BytesMut::new(), BytesMut::new());
        compressor.compress(b"Hello", &mut first);
        compressor.compress(b"Hello", &mut second);
        assert!(second.len() < first.len());
    }

    #[test]
    fn every_window_and_size_survives_the_round_trip() {
        let text: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
        for bits in 9..=15 {
            for takeover in [false, true] {
                let deflate =
                    Deflate { server_max_window_bits: bits, client_max_window_bits: bits, ..agreed(takeover) };
                let mut compressor = Compressor::new(&deflate, 6);
                let mut inflater = Inflater::new(&deflate);
                for len in [0, 1, 125, 16_384, 16_385, 200_000] {
                    let mut sink = BytesMut::new();
                    compressor.compress(&text[..len], &mut sink);
                    assert_eq!(inflate(&mut inflater, &deflate, &sink, usize::MAX).unwrap(), &text[..len]);
                }
            }
        }
    }
}
