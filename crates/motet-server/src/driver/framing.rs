//! What lies between the carrier's bytes and the machine's: nothing, or WebSocket frames.

use bytes::BytesMut;
use motet_core::rope::Rope;
use motet_web::{CloseCode, Kind, Progress, WebSocket};

/// Output below this length is copied behind its frame header, so that both leave as one piece.
const COPY_BELOW: usize = 4 << 10;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) enum Framing {
    /// The carrier's bytes are the machine's.
    Plain,
    /// WebSocket over the carrier.
    WebSocket(Box<Frames>),
}

/// A WebSocket and what it has not used yet.
#[derive(Debug)]
pub(crate) struct Frames {
    websocket: WebSocket,
    /// Wire bytes that wait: the beginning of a frame header, or all that follows a pause of the machine.
    rest: BytesMut,
    /// Pongs and our Close, for the next flush.
    control: BytesMut,
}

/// What one [`Frames::decode`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// All of it is used.
    All,
    /// There is more for the machine in what was read.
    More,
    /// The peer has closed, or broke the rules: nothing more will come.
    Over,
}

impl Frames {
    pub(crate) fn new(websocket: WebSocket, rest: BytesMut) -> Self {
        Frames { websocket, rest, control: BytesMut::new() }
    }

    /// Wire bytes wait that have not been decoded.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Decodes `wire`, behind what waits; appends to `payload`.
    pub(crate) fn decode(&mut self, wire: &mut BytesMut, payload: &mut BytesMut) -> Decoded {
        let waiting = !self.rest.is_empty();
        let mut input = if waiting {
            self.rest.extend_from_slice(wire);
            wire.clear();
            std::mem::take(&mut self.rest)
        } else {
            std::mem::take(wire)
        };
        let before = payload.len();
        let decoded = match self.websocket.read(&mut input, payload, &mut self.control) {
            Ok(Progress::NeedInput) => Decoded::All,
            Ok(Progress::PayloadFull) => Decoded::More,
            // What came before the end is still the machine's: it learns of the end by the carrier's closing.
            Ok(Progress::PeerClosed | Progress::Closed) if payload.len() > before => Decoded::More,
            Ok(Progress::PeerClosed | Progress::Closed) | Err(_) => Decoded::Over,
        };
        if waiting {
            self.rest = if input.is_empty() { BytesMut::new() } else { input };
        } else {
            self.rest.extend_from_slice(&input);
            input.clear();
            *wire = input;
        }
        decoded
    }

    /// Moves `out` to the end of `framed`, as one binary message, behind the answers to control frames.
    pub(crate) fn encode(&mut self, out: &mut Rope, framed: &mut Rope) {
        framed.put_slice(&self.control);
        self.control.clear();
        let len = out.len();
        if len == 0 {
            return;
        }
        if self.websocket.compresses(len) {
            let whole = out.take_bytes();
            // After our own Close nothing can be said any more; the peer is not listening.
            let _ = self.websocket.write_message(Kind::Binary, &whole, framed.tail());
        } else if self.websocket.write_binary(framed.tail(), len).is_err() {
            out.advance(len);
        } else if len < COPY_BELOW {
            for piece in out.pieces() {
                framed.put_slice(piece);
            }
            out.advance(len);
        } else {
            out.append_to(framed);
        }
    }

    /// Says goodbye.
    pub(crate) fn close(&mut self, drain: bool) {
        let (code, text) =
            if drain { (CloseCode::GOING_AWAY, "the server is shutting down") } else { (CloseCode::NORMAL, "") };
        self.websocket.close(code, text, &mut self.control);
    }

    /// Gives back what an idle connection need not hold.
    pub(crate) fn release_idle(&mut self) {
        self.websocket.release_idle();
        if self.control.is_empty() {
            self.control = BytesMut::new();
        }
    }
}
