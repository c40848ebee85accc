//! What a peer is told when something goes wrong: one table of reply codes, and which of them end what.

use super::packet::{FrameError, MethodId, PacketError, short_text};
use std::fmt;

/// The reply codes of section 1.1 that we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    /// All is well.
    Success = 200,
    /// A mandatory message reached no queue.
    NoRoute = 312,
    /// The operator or the server ends it.
    ConnectionForced = 320,
    /// The vhost is no name.
    InvalidPath = 402,
    /// For want of a right, or a reserved name.
    AccessRefused = 403,
    /// No such queue or exchange.
    NotFound = 404,
    /// It is another connection's.
    ResourceLocked = 405,
    /// It is not as the peer says, or the arguments make no sense.
    PreconditionFailed = 406,
    /// The frame is broken.
    FrameError = 501,
    /// A field holds what it may not.
    SyntaxError = 502,
    /// A method that cannot be.
    CommandInvalid = 503,
    /// The channel is not open, or is.
    ChannelError = 504,
    /// Another frame was to come.
    UnexpectedFrame = 505,
    /// A bound is reached.
    ResourceError = 506,
    /// Not here.
    NotAllowed = 530,
    /// Not spoken.
    NotImplemented = 540,
    /// Our mistake.
    InternalError = 541,
}

/// What an error ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The channel; the rest of the connection does not notice.
    Channel,
    /// The connection.
    Connection,
}

impl ReplyCode {
    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The word before the text, as clients look for it.
    pub const fn word(self) -> &'static str {
        match self {
            ReplyCode::Success => "OK",
            ReplyCode::NoRoute => "NO_ROUTE",
            ReplyCode::ConnectionForced => "CONNECTION_FORCED",
            ReplyCode::InvalidPath => "INVALID_PATH",
            ReplyCode::AccessRefused => "ACCESS_REFUSED",
            ReplyCode::NotFound => "NOT_FOUND",
            ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
            ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
            ReplyCode::FrameError => "FRAME_ERROR",
            ReplyCode::SyntaxError => "SYNTAX_ERROR",
            ReplyCode::CommandInvalid => "COMMAND_INVALID",
            ReplyCode::ChannelError => "CHANNEL_ERROR",
            ReplyCode::UnexpectedFrame => "UNEXPECTED_FRAME",
            ReplyCode::ResourceError => "RESOURCE_ERROR",
            ReplyCode::NotAllowed => "NOT_ALLOWED",
            ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
            ReplyCode::InternalError => "INTERNAL_ERROR",
        }
    }

    /// What it ends: section 1.1 calls them soft and hard errors.
    pub const fn scope(self) -> Scope {
        match self {
            ReplyCode::Success
            | ReplyCode::NoRoute
            | ReplyCode::AccessRefused
            | ReplyCode::NotFound
            | ReplyCode::ResourceLocked
            | ReplyCode::PreconditionFailed => Scope::Channel,
            _ => Scope::Connection,
        }
    }
}

/// An error on its way to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which.
    pub code: ReplyCode,
    /// For people, without the word.
    pub text: String,
    /// The method that failed.
    pub method: MethodId,
    /// What it ends; the code's own scope unless the state asks for more.
    pub scope: Scope,
}

impl Failure {
    /// An error of the code's own scope.
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        Failure { code, text: text.into(), method: MethodId::NONE, scope: code.scope() }
    }

    /// The same, caused by `method`.
    #[must_use]
    pub fn by(self, method: MethodId) -> Self {
        Failure { method, ..self }
    }

    /// The same, with the connection at its end.
    #[must_use]
    pub fn ending_connection(self) -> Self {
        Failure { scope: Scope::Connection, ..self }
    }

    /// The text as it goes out: the word first, cut to what a short string holds.
    pub fn reply_text(&self) -> String {
        let text = match self.code {
            ReplyCode::Success => self.text.clone(),
            code => format!("{} - {}", code.word(), self.text),
        };
        match text.len() <= super::packet::SHORT_STRING_MAX {
            true => text,
            false => {
                let mut cut = short_text(&text).len() - 3;
                while !text.is_char_boundary(cut) {
                    cut -= 1;
                }
                format!("{}...", &text[..cut])
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.number(), self.reply_text())
    }
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        Failure::new(ReplyCode::FrameError, error.to_string())
    }
}

impl From<PacketError> for Failure {
    /// What is wrong inside of a frame always ends the connection: the peer's encoder is broken.
    fn from(error: PacketError) -> Self {
        let code = match error {
            PacketError::Truncated | PacketError::Trailing | PacketError::Utf8 => ReplyCode::FrameError,
            PacketError::UnknownMethod { .. } => ReplyCode::CommandInvalid,
            PacketError::TableLength
            | PacketError::TableType(_)
            | PacketError::TableNesting
            | PacketError::PropertyFlags => ReplyCode::SyntaxError,
        };
        Failure::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_begin_with_their_word_and_fit_a_short_string() {
        let failure = Failure::new(ReplyCode::NotFound, "no queue 'x' in vhost '/'");
        assert_eq!(failure.reply_text(), "NOT_FOUND - no queue 'x' in vhost '/'");
        assert_eq!(failure.to_string(), "404 NOT_FOUND - no queue 'x' in vhost '/'");
        let long = Failure::new(ReplyCode::NotFound, "é".repeat(200)).reply_text();
        assert!(long.len() <= 255 && long.ends_with("é..."), "{long}");
    }

    #[test]
    fn soft_errors_end_the_channel_and_hard_ones_the_connection() {
        use ReplyCode::*;
        for soft in [AccessRefused, NotFound, ResourceLocked, PreconditionFailed] {
            assert_eq!(soft.scope(), Scope::Channel);
        }
        for hard in [FrameError, SyntaxError, CommandInvalid, ChannelError, UnexpectedFrame, NotAllowed, NotImplemented]
        {
            assert_eq!(hard.scope(), Scope::Connection);
        }
    }
}
