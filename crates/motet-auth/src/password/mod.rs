//! What an account keeps instead of its password.

mod argon2id;
mod keyed;

pub use argon2id::Argon2idHash;
#[cfg(test)]
pub(crate) use argon2id::quick_phc;
pub use keyed::KeyedHash;

use std::fmt;

/// The longest password that is looked at, in bytes: a waiting check keeps its password, so its size is bounded.
pub const PASSWORD_BYTES_MAX: usize = 4096;

/// An account's credential. More kinds will join (SCRAM keys).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredPassword {
    /// Slow on purpose: what may lie on a disk. Verified by the pool.
    Argon2id(Argon2idHash),
    /// Quick: what was configured in plain text anyway. Verified at once.
    Keyed(KeyedHash),
}

impl StoredPassword {
    /// From an Argon2id hash in PHC form, `$argon2id$v=19$m=...,t=...,p=...$salt$hash`.
    ///
    /// Refuses other algorithms and versions, and parameters that would let one login occupy the server.
    pub fn from_phc(phc: &str) -> Result<Self, PasswordError> {
        Argon2idHash::from_phc(phc).map(StoredPassword::Argon2id)
    }

    /// From a password in plain text, as configuration has it; costs microseconds, so that thousands of such accounts
    /// do not delay the start. The password itself is not kept.
    pub fn from_plain(password: &[u8]) -> Result<Self, PasswordError> {
        within_length(password)?;
        KeyedHash::from_plain(password).map(StoredPassword::Keyed)
    }
}

/// Never shows a hash: it is what a thief would guess against.
impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredPassword::Argon2id(hash) => hash.fmt(f),
            StoredPassword::Keyed(hash) => hash.fmt(f),
        }
    }
}

/// The Argon2id hash of a password in PHC form with the parameters OWASP recommends (19 MiB, 2 passes, 1 lane) and a
/// random salt: what to put into a configuration instead of the password. Takes some tens of milliseconds.
pub fn argon2id_phc(password: &[u8]) -> Result<String, PasswordError> {
    within_length(password)?;
    argon2id::to_phc(password)
}

fn within_length(password: &[u8]) -> Result<(), PasswordError> {
    if password.len() > PASSWORD_BYTES_MAX { Err(PasswordError::TooLong) } else { Ok(()) }
}

/// Why a stored password cannot be used. No text contains the password or the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The text is no PHC string, or lacks salt, hash or parameters.
    #[error("the text is no complete PHC hash; expected $argon2id$v=19$m=...,t=...,p=...$salt$hash")]
    Malformed,
    /// Another algorithm or an old version of it.
    #[error("the hash is not Argon2id version 19; hash the password anew")]
    Algorithm,
    /// One verification would take more memory or time than a login may.
    #[error(
        "the hash asks for m={memory_kib} KiB, t={passes}, p={lanes}; at most m=262144, t=16, p=16 and m*t=1048576 are accepted"
    )]
    Parameters {
        /// Memory, in KiB.
        memory_kib: u32,
        /// Passes over it.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// The password is longer than [`PASSWORD_BYTES_MAX`].
    #[error("the password is longer than 4096 bytes")]
    TooLong,
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
}
