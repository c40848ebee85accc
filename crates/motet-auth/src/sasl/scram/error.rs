//! What can go wrong in an exchange, and the word the client is told. [RFC 5802 §7]

use crate::sasl::PrepareError;

/// Why an exchange failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScramError {
    /// The message breaks the grammar.
    #[error("the message is not what SCRAM says")]
    Malformed,
    /// The client asks for an extension that must be understood.
    #[error("the client asks for an extension that is not known")]
    Extension,
    /// The user name is not UTF-8, badly escaped, or refused by SASLprep.
    #[error("the user name cannot be read")]
    UserName,
    /// The client wants to act as somebody else.
    #[error("the client wants to act as another user")]
    OtherUser,
    /// The client binds to its channel with a mechanism without `-PLUS`, or the other way round.
    #[error("the mechanism and the channel binding do not belong together")]
    BindingNotSupported,
    /// The client names a binding that this channel does not have.
    #[error("the client binds to its channel in a way that is not known here")]
    BindingType,
    /// The client thinks that we cannot bind to the channel, but we have offered it: somebody between took it away.
    #[error("the client was not told that channel binding is offered: somebody may be between")]
    Downgrade,
    /// The client is bound to another channel than ours: somebody is between.
    #[error("the client is bound to another channel")]
    OtherChannel,
    /// Unknown user or wrong password; which of both is not told.
    #[error("unknown user or wrong password")]
    Proof,
}

impl ScramError {
    /// The server-final message that tells it.
    pub fn server_final(self) -> &'static str {
        match self {
            ScramError::Malformed => "e=invalid-encoding",
            ScramError::Extension => "e=extensions-not-supported",
            ScramError::UserName => "e=invalid-username-encoding",
            ScramError::OtherUser => "e=other-error",
            ScramError::BindingNotSupported => "e=channel-binding-not-supported",
            ScramError::BindingType => "e=unsupported-channel-binding-type",
            ScramError::Downgrade => "e=server-does-support-channel-binding",
            ScramError::OtherChannel => "e=channel-bindings-dont-match",
            ScramError::Proof => "e=invalid-proof",
        }
    }
}

impl From<PrepareError> for ScramError {
    fn from(_: PrepareError) -> Self {
        ScramError::UserName
    }
}
