//! The accounts, as whoever keeps them shows them.

use std::fmt;

/// Whoever keeps the accounts. Calls may block for a moment: for a slow hash, and for the disk.
pub trait Roster: Send + Sync {
    /// All users by name.
    fn users(&self) -> Vec<UserSeen>;

    /// Makes a user or replaces what is known of it; true when it is new. `by` is who asks, empty for a command.
    ///
    /// # Errors
    /// See [`RosterError`]; nothing was changed.
    fn put(&self, name: &str, secret: &Secret<'_>, tags: &[String], by: &str) -> Result<bool, RosterError>;

    /// Removes a user with its permissions and limits, and ends its connections; false when there is none.
    ///
    /// # Errors
    /// See [`RosterError`]; nothing was changed.
    fn remove(&self, name: &str) -> Result<bool, RosterError>;
}

impl fmt::Debug for dyn Roster + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roster")
    }
}

/// A user for listings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserSeen {
    /// The name.
    pub name: String,
    /// What is kept instead of a password; empty where that is not told.
    pub password_hash: String,
    /// How it was made: a module of RabbitMQ's, or [`OWN_HASHING`].
    pub hashing_algorithm: String,
    /// Words: what it may do beyond its messages, and others that mean nothing here.
    pub tags: Vec<String>,
    /// It is the configuration's, and changes with it alone.
    pub is_configured: bool,
}

/// The algorithm of hashes that only this server reads.
pub const OWN_HASHING: &str = "motet";

/// What a user logs in with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Secret<'a> {
    /// A password in clear text.
    Password(&'a str),
    /// A hash and its algorithm, as definitions have them.
    Hash {
        /// Base64, or our own text.
        hash: &'a str,
        /// The algorithm's name.
        algorithm: &'a str,
    },
    /// Nothing: it comes by a certificate or a token.
    Nothing,
}

/// A password never reaches a log.
impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Why an account was not changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RosterError {
    /// The name, the password or the hash cannot be used; the text says why.
    Unusable(String),
    /// The account is the configuration's.
    Configured,
    /// The disk takes nothing.
    NotDurable,
}

impl fmt::Display for RosterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RosterError::Unusable(why) => f.write_str(why),
            RosterError::Configured => f.write_str("the user is in the configuration, which wins"),
            RosterError::NotDurable => f.write_str("the disk takes nothing; repeat it"),
        }
    }
}

impl std::error::Error for RosterError {}

/// No accounts, and none can be made.
pub(crate) struct NoRoster;

impl Roster for NoRoster {
    fn users(&self) -> Vec<UserSeen> {
        Vec::new()
    }

    fn put(&self, _: &str, _: &Secret<'_>, _: &[String], _: &str) -> Result<bool, RosterError> {
        Err(RosterError::Unusable("this server keeps no accounts".into()))
    }

    fn remove(&self, _: &str) -> Result<bool, RosterError> {
        Ok(false)
    }
}
