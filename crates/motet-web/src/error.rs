//! What can go wrong, sorted by fault, and the one table from faults to wire codes.

use crate::close::CloseCode;

/// Why a connection fails after the handshake. [`WsError::close_code`] is what the peer is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WsError {
    // The bytes are malformed.
    /// RSV bits that no negotiated extension defines.
    #[error("reserved bits are set that no negotiated extension defines")]
    ReservedBits,
    /// An opcode RFC 6455 reserves.
    #[error("opcode 0x{0:x} is reserved")]
    ReservedOpcode(u8),
    /// A client frame without a mask.
    #[error("frame from a client is not masked")]
    Unmasked,
    /// A length in more bytes than it needs, or with the top bit set.
    #[error("payload length is not in its shortest form")]
    LengthForm,
    /// A Close frame with one byte, or with a code nobody may send.
    #[error("close frame with an invalid status code")]
    CloseCode,
    /// The compressed data cannot be inflated.
    #[error("compressed message is damaged")]
    Deflate,
    /// Text, or the reason of a Close, that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,

    // The peer broke the rules.
    /// A fragmented control frame, or one longer than 125 bytes.
    #[error("control frame is fragmented or longer than 125 bytes")]
    ControlFrame,
    /// A continuation without a beginning.
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A new message inside a fragmented one.
    #[error("a new message began before the last one ended")]
    InterleavedMessage,

    // The peer asks for what we do not take here.
    /// A text message where bytes are spoken, or the reverse.
    #[error("{0} messages are not accepted on this connection")]
    UnacceptableKind(&'static str),
    /// A frame above `frame_bytes_max`.
    #[error("frame of {len} bytes is above the limit of {max}")]
    FrameTooBig {
        /// What the header announced.
        len: u64,
        /// The configured bound.
        max: u64,
    },
    /// A message, counted after inflating, above `message_bytes_max`.
    #[error("message is above the limit of {max} bytes")]
    MessageTooBig {
        /// The configured bound.
        max: u64,
    },

    // Our user misused the API.
    /// Something was to be sent after our Close frame.
    #[error("the connection is closing: nothing more can be sent")]
    NotOpen,
}

impl WsError {
    /// The status code of the Close frame that tells the peer. [RFC6455-7.4.1]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::Unmasked
            | Self::LengthForm
            | Self::CloseCode
            | Self::ControlFrame
            | Self::UnexpectedContinuation
            | Self::InterleavedMessage => CloseCode::PROTOCOL_ERROR,
            Self::Utf8 | Self::Deflate => CloseCode::INVALID_PAYLOAD,
            Self::UnacceptableKind(_) => CloseCode::UNSUPPORTED_DATA,
            Self::FrameTooBig { .. } | Self::MessageTooBig { .. } => CloseCode::TOO_BIG,
            Self::NotOpen => CloseCode::INTERNAL_ERROR,
        }
    }
}

/// Why a handshake is refused. The sentence is meant for the body of the answer: it is read by the person who
/// wrote the client, so it says what was found and what would help. Peer text in it is escaped and shortened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    // The request is malformed.
    /// A header that must occur exactly once does not.
    #[error("the request needs exactly one {0} header")]
    ExactlyOne(&'static str),
    /// A header that does not follow its grammar.
    #[error("the {0} header is malformed")]
    Malformed(&'static str),

    // This is not a WebSocket handshake of the version spoken here.
    /// Not GET.
    #[error("a WebSocket handshake is a GET request")]
    Method,
    /// Not HTTP/1.1.
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpVersion,
    /// `Connection: upgrade` or `Upgrade: websocket` is missing.
    #[error("this address speaks WebSocket: connect with a WebSocket client")]
    NotAnUpgrade,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("only WebSocket version 13 is spoken here")]
    Version,

    // The peer asks for what we do not give.
    /// The Host header names a host this server does not answer for.
    #[error("host \"{host}\" is not served here (a protection against DNS rebinding); to allow it, add it to {key}")]
    Host {
        /// The host as the peer wrote it, escaped.
        host: String,
        /// The configuration key that allows it.
        key: String,
    },
    /// A page of this origin may not connect.
    #[error("origin \"{origin}\" may not connect; to allow pages of this origin, add it to {key}")]
    Origin {
        /// The origin as the peer wrote it, escaped.
        origin: String,
        /// The configuration key that allows it.
        key: String,
    },
    /// None of the offered sub-protocols is spoken here, and one is required.
    #[error("offer one of these sub-protocols in Sec-WebSocket-Protocol: {0}")]
    Subprotocol(String),
}

impl Refusal {
    /// The HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::ExactlyOne(_) | Self::Malformed(_) | Self::Subprotocol(_) => 400,
            Self::Host { .. } | Self::Origin { .. } => 403,
            Self::Method => 405,
            Self::NotAnUpgrade | Self::Version => 426,
            Self::HttpVersion => 505,
        }
    }

    /// The headers the status demands, beside `Content-Type: text/plain`.
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("allow", "GET")],
            // [RFC9110-15.5.22] a 426 says which protocol; [RFC6455-4.2.2] and which version.
            Self::NotAnUpgrade | Self::Version => {
                &[("upgrade", "websocket"), ("connection", "upgrade"), ("sec-websocket-version", "13")]
            }
            _ => &[],
        }
    }
}

/// Peer text fit for a sentence of ours: escaped, and cut after 120 characters.
pub(crate) fn quoted(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_debug).collect()
}
