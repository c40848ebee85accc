//! One WebSocket connection after its handshake: what to read, what may be written, and how it ends.

use bytes::{Bytes, BytesMut};

use crate::close::{Close, CloseCode, write_close};
use crate::deflate::{Compressor, Deflate};
use crate::error::WsError;
use crate::frame::{OpCode, frame_header};
use crate::receive::{Event, Receiver, Sink};

/// The kind of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
}

impl Kind {
    fn opcode(self) -> OpCode {
        match self {
            Self::Text => OpCode::Text,
            Self::Binary => OpCode::Binary,
        }
    }
}

/// Which kinds of messages are taken; another one closes the connection with 1003.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepts {
    /// MQTT and AMQP: [MQTT-6.0.0-1] a text frame closes the connection.
    Binary,
    /// XMPP: [RFC7395-3.2].
    Text,
    /// STOMP, whose frames are text with bodies of bytes.
    Either,
}

impl Accepts {
    pub(crate) fn check(self, kind: Kind) -> Result<(), WsError> {
        match (self, kind) {
            (Self::Binary, Kind::Text) => Err(WsError::UnacceptableKind("text")),
            (Self::Text, Kind::Binary) => Err(WsError::UnacceptableKind("binary")),
            _ => Ok(()),
        }
    }
}

/// What a connection takes, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Default: binary only.
    pub accepts: Accepts,
    /// The longest frame, in bytes as it travels; above it the connection closes with 1009. Default 16 MiB.
    pub frame_bytes_max: u64,
    /// The longest message, in bytes after inflating; above it the connection closes with 1009. Default 16 MiB:
    /// `read_message` may hold that much of an unfinished message for each connection.
    pub message_bytes_max: u64,
    /// How much payload one `read` appends at most: 64 KiB of compressed input can hold 64 MiB. Default 256 KiB.
    pub read_bytes_max: usize,
    /// How many pings of one read get a pong each. Of those beyond, only the last is answered, which
    /// [RFC6455-5.5.3] allows, so a flood of pings costs us no flood of pongs. Default 64.
    pub pongs_per_read_max: u32,
    /// From which length on our messages are compressed. Default 1400 bytes: what fits into one TCP segment saves no
    /// packet, and without context takeover small messages hardly shrink.
    pub compress_bytes_min: usize,
    /// zlib's level, 0 to 9. Default 2: on 4 KiB of JSON as small as level 6 in three quarters of its time; level 1
    /// takes half of that time and gives 40 % more bytes.
    pub compress_level: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            accepts: Accepts::Binary,
            frame_bytes_max: 16 << 20,
            message_bytes_max: 16 << 20,
            read_bytes_max: 256 << 10,
            pongs_per_read_max: 64,
            compress_bytes_min: 1400,
            compress_level: 2,
        }
    }
}

/// Where a connection stands. [RFC6455-7.1]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Both sides may send.
    Open,
    /// We sent Close and wait for the peer's; what arrives until then is discarded. The driver sets a deadline.
    CloseSent,
    /// The peer sent Close. The machine above may still answer what came before it; then call `close`.
    CloseReceived,
    /// Nothing is read or written any more: flush, then close the transport. [RFC6455-7.1.1] the server goes first.
    Closed,
}

/// What `read` asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Every byte that could be used was taken: hand the payload on, then read more.
    NeedInput,
    /// `read_bytes_max` was appended: hand the payload on, then call `read` again before reading more.
    PayloadFull,
    /// The peer has closed, see `peer_close`: hand the payload on, let it be answered, then call `close`.
    PeerClosed,
    /// The connection is over: flush and close the transport.
    Closed,
}

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// Valid UTF-8 when the kind is Text.
    pub payload: Bytes,
}

/// The machine. See the crate's page for the law of its use.
#[derive(Debug)]
pub struct WebSocket {
    config: Config,
    state: State,
    receiver: Receiver,
    /// The message that `read_message` is collecting; empty when bytes are streamed.
    collecting: BytesMut,
    compressor: Option<Box<Compressor>>,
    peer_close: Option<Close>,
    /// Pings answered since the input was last used up.
    pongs: u32,
    /// The last ping beyond the bound: answered when the input is used up.
    late_ping: Option<BytesMut>,
}

impl WebSocket {
    /// A connection whose handshake is complete.
    pub fn new(config: Config, deflate: Option<Deflate>) -> Self {
        Self {
            config,
            state: State::Open,
            receiver: Receiver::new(deflate),
            collecting: BytesMut::new(),
            compressor: None,
            peer_close: None,
            pongs: 0,
            late_ping: None,
        }
    }

    /// Where the connection stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What was negotiated about compression.
    pub fn deflate(&self) -> Option<&Deflate> {
        self.receiver.deflate()
    }

    /// What the peer said when it closed; None until then.
    pub fn peer_close(&self) -> Option<&Close> {
        self.peer_close.as_ref()
    }

    /// Reads `input` as a stream: data of all messages is appended to `payload`, wherever frames and messages begin
    /// and end [MQTT-6.0.0-4], and pongs to `out`. An error has already put its Close frame into `out` and closed
    /// the connection; what was appended before it is sound.
    ///
    /// Use either this or `read_message` on one connection.
    pub fn read(
        &mut self,
        input: &mut BytesMut,
        payload: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Progress, WsError> {
        let start = payload.len();
        loop {
            let budget = self.config.read_bytes_max.max(1).saturating_sub(payload.len() - start);
            match self.poll(input, payload, budget, out)? {
                Some(Event::NeedInput) => return Ok(Progress::NeedInput),
                Some(Event::Full) => return Ok(Progress::PayloadFull),
                Some(_) => {}
                None if self.state == State::CloseReceived => return Ok(Progress::PeerClosed),
                None => return Ok(Progress::Closed),
            }
        }
    }

    /// Reads the next whole message from `input`; call it until it says None, then look at `state` before reading
    /// more. Errors are as in `read`.
    pub fn read_message(&mut self, input: &mut BytesMut, out: &mut BytesMut) -> Result<Option<Message>, WsError> {
        let mut collecting = std::mem::take(&mut self.collecting);
        loop {
            match self.poll(input, &mut collecting, usize::MAX, out)? {
                Some(Event::MessageEnd(kind)) => return Ok(Some(Message { kind, payload: collecting.freeze() })),
                Some(Event::NeedInput | Event::Full) => {
                    self.collecting = collecting;
                    return Ok(None);
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// One event, its answers written and failures closed; None when nothing is read any more.
    fn poll(
        &mut self,
        input: &mut BytesMut,
        payload: &mut BytesMut,
        budget: usize,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, WsError> {
        let sink = match self.state {
            State::Open => Sink::Append(payload, budget),
            State::CloseSent => Sink::Discard,
            State::CloseReceived | State::Closed => {
                input.clear(); // [RFC6455-1.4] what follows a Close is discarded
                return Ok(None);
            }
        };
        match self.receiver.poll(&self.config, input, sink) {
            Ok(Event::Close(close)) => {
                self.answer_late_ping(out);
                self.peer_close = Some(close);
                self.state = if self.state == State::CloseSent { State::Closed } else { State::CloseReceived };
                input.clear();
                Ok(None)
            }
            Ok(Event::Ping(data)) => {
                self.answer_ping(data, out);
                Ok(Some(Event::Pong))
            }
            Ok(Event::NeedInput) => {
                self.answer_late_ping(out);
                self.pongs = 0;
                Ok(Some(Event::NeedInput))
            }
            Ok(event) => Ok(Some(event)),
            Err(error) => {
                // [RFC6455-7.1.7] fail the connection, saying why if we have not closed already
                if self.state == State::Open {
                    self.answer_late_ping(out);
                    write_close(Some(error.close_code()), &error.to_string(), out);
                }
                self.state = State::Closed;
                input.clear();
                Err(error)
            }
        }
    }

    fn answer_ping(&mut self, data: BytesMut, out: &mut BytesMut) {
        if self.state != State::Open {
            return;
        }
        if self.pongs < self.config.pongs_per_read_max {
            self.pongs += 1;
            out.extend_from_slice(&frame_header(OpCode::Pong, true, false, data.len()));
            out.extend_from_slice(&data);
        } else {
            self.late_ping = Some(data);
        }
    }

    fn answer_late_ping(&mut self, out: &mut BytesMut) {
        if let Some(data) = self.late_ping.take() {
            out.extend_from_slice(&frame_header(OpCode::Pong, true, false, data.len()));
            out.extend_from_slice(&data);
        }
    }

    fn check_writable(&self) -> Result<(), WsError> {
        match self.state {
            State::Open | State::CloseReceived => Ok(()),
            // [RFC6455-5.5.1] no data after our Close
            State::CloseSent | State::Closed => Err(WsError::NotOpen),
        }
    }

    /// Appends the header of a binary message of `len` bytes to `head`. Exactly so many payload bytes must follow on
    /// the wire, from wherever they are: nothing is copied or compressed here.
    pub fn write_binary(&mut self, head: &mut BytesMut, len: usize) -> Result<(), WsError> {
        self.check_writable()?;
        head.extend_from_slice(&frame_header(OpCode::Binary, true, false, len));
        Ok(())
    }

    /// As `write_binary`, for a message of text; the payload that follows must be UTF-8.
    pub fn write_text(&mut self, head: &mut BytesMut, len: usize) -> Result<(), WsError> {
        self.check_writable()?;
        head.extend_from_slice(&frame_header(OpCode::Text, true, false, len));
        Ok(())
    }

    /// Whether a message of `len` bytes would be compressed, and so is worth gathering for `write_message`.
    pub fn compresses(&self, len: usize) -> bool {
        self.receiver.deflate().is_some() && len >= self.config.compress_bytes_min
    }

    /// Appends a whole message, compressed where that was negotiated and pays. Text must be UTF-8.
    pub fn write_message(&mut self, kind: Kind, payload: &[u8], out: &mut BytesMut) -> Result<(), WsError> {
        self.check_writable()?;
        let deflate = self.receiver.deflate().copied().filter(|_| payload.len() >= self.config.compress_bytes_min);
        if let Some(deflate) = deflate {
            let level = self.config.compress_level;
            let compressor = self.compressor.get_or_insert_with(|| Box::new(Compressor::new(&deflate, level)));
            let mut compressed = BytesMut::new();
            compressor.compress(payload, &mut compressed);
            // What did not shrink goes out as it is, but not if the peer's window must see it.
            if compressed.len() < payload.len() || !deflate.server_no_context_takeover {
                out.extend_from_slice(&frame_header(kind.opcode(), true, true, compressed.len()));
                out.extend_from_slice(&compressed);
                return Ok(());
            }
        }
        out.extend_from_slice(&frame_header(kind.opcode(), true, false, payload.len()));
        out.extend_from_slice(payload);
        Ok(())
    }

    /// Appends a ping with `data`, cut after 125 bytes. It stays silent once the connection is closing.
    pub fn ping(&mut self, data: &[u8], out: &mut BytesMut) {
        if self.state == State::Open {
            let data = &data[..data.len().min(crate::frame::CONTROL_BYTES_MAX)];
            out.extend_from_slice(&frame_header(OpCode::Ping, true, false, data.len()));
            out.extend_from_slice(data);
        }
    }

    /// Closes: appends our Close frame, once. When the peer closed first its own code is the answer
    /// [RFC6455-5.5.1] and the connection is over; otherwise its Close is awaited.
    pub fn close(&mut self, code: CloseCode, reason: &str, out: &mut BytesMut) {
        match self.state {
            State::Open => {
                write_close(Some(code), reason, out);
                self.state = State::CloseSent;
                self.collecting = BytesMut::new();
            }
            State::CloseReceived => {
                write_close(self.peer_close.as_ref().and_then(|close| close.code), "", out);
                self.state = State::Closed;
            }
            State::CloseSent | State::Closed => {}
        }
    }

    /// Gives back what an idle connection need not hold: without context takeover the compressor and the inflater.
    /// Called when the read buffer is given back.
    pub fn release_idle(&mut self) {
        self.receiver.release_idle();
        if self.receiver.deflate().is_some_and(|deflate| deflate.server_no_context_takeover) {
            self.compressor = None;
        }
    }
}
