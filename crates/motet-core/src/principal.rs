//! Who asks. `motet-auth` decides that; the core only carries it to the checks.

use std::sync::Arc;

/// A validated identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account's name; empty for an anonymous peer.
    pub name: Arc<str>,
}

impl Principal {
    /// A peer that gave no credentials where none are needed.
    pub fn anonymous() -> Self {
        Principal { name: Arc::from("") }
    }

    /// An account.
    pub fn named(name: &str) -> Self {
        Principal { name: Arc::from(name) }
    }

    /// No credentials were given.
    pub fn is_anonymous(&self) -> bool {
        self.name.is_empty()
    }
}

/// Why a peer was not let in. The text of each is for the operator's log; peers learn only the protocol's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Unknown user or wrong password; which of both is not told.
    #[error("unknown user or wrong password")]
    BadCredentials,
    /// Credentials are needed here and none were given.
    #[error("anonymous access is not allowed here")]
    AnonymousForbidden,
    /// Too many checks are in progress, or this peer failed too often: later.
    #[error("too many credential checks in progress")]
    Busy,
    /// A bound of the server is reached: later.
    #[error("a bound of the server is reached")]
    Quota,
    /// More log in per time than the server takes: later.
    #[error("too many logins per second")]
    RateExceeded,
    /// The method of authentication is not offered here.
    #[error("the authentication method is not offered here")]
    UnknownMethod,
    /// The peer broke the rules of its method.
    #[error("the authentication broke the rules of its method")]
    Malformed,
}
