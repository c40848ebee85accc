//! What an account keeps instead of its password.

mod argon2id;
mod keyed;
mod mosquitto;
mod rabbit;
mod scram;

pub use argon2id::Argon2idHash;
#[cfg(test)]
pub(crate) use argon2id::quick_phc;
pub use keyed::KeyedHash;
pub use mosquitto::MosquittoHash;
pub use rabbit::{RabbitAlgorithm, RabbitHash};
pub use scram::ScramSet;

use crate::sasl::PrepareError;
use crate::sasl::scram::{ScramHash, ScramKeys};
use std::fmt;

/// The longest password that is looked at, in bytes: a waiting check keeps its password, so its size is bounded.
pub const PASSWORD_BYTES_MAX: usize = 4096;

/// An account's credential.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredPassword {
    /// Slow on purpose: what may lie on a disk. Verified by the pool. Useless to SCRAM.
    Argon2id(Argon2idHash),
    /// For SCRAM; a password in clear text is verified against it too, by the pool.
    Scram(ScramSet),
    /// Quick: what was configured in plain text anyway. Verified at once, and good for SCRAM.
    Keyed(KeyedHash),
    /// As Mosquitto's password file has it. Verified by the pool. Useless to SCRAM.
    Mosquitto(MosquittoHash),
    /// As RabbitMQ's definitions have it. Verified by the pool. Useless to SCRAM.
    Rabbit(RabbitHash),
}

/// What to make of a new password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Make {
    /// An Argon2id hash with the parameters OWASP recommends (19 MiB, 2 passes, 1 lane): the most work for who steals it.
    Argon2id,
    /// SCRAM keys for these hashes, each with so many iterations.
    Scram(Vec<ScramHash>, u32),
}

impl StoredPassword {
    /// From the text that [`StoredPassword::to_text`] and `motet user hash` write: an Argon2id hash in PHC form, or SCRAM
    /// keys with spaces between them; or a hash of Mosquitto's password file.
    ///
    /// # Errors
    /// Other algorithms and versions, and parameters that would let one login occupy the server.
    pub fn from_text(text: &str) -> Result<Self, PasswordError> {
        if MosquittoHash::is_meant(text) {
            return MosquittoHash::from_text(text).map(StoredPassword::Mosquitto);
        }
        if RabbitHash::is_meant(text) {
            return RabbitHash::from_text(text).map(StoredPassword::Rabbit);
        }
        if text.starts_with("SCRAM-") { ScramSet::read(text).map(StoredPassword::Scram) } else { Self::from_phc(text) }
    }

    /// From an Argon2id hash in PHC form, `$argon2id$v=19$m=...,t=...,p=...$salt$hash`.
    ///
    /// Refuses other algorithms and versions, and parameters that would let one login occupy the server.
    pub fn from_phc(phc: &str) -> Result<Self, PasswordError> {
        Argon2idHash::from_phc(phc).map(StoredPassword::Argon2id)
    }

    /// From a password in plain text, as configuration has it; costs microseconds, so that thousands of such accounts
    /// do not delay the start. The password is kept in memory, as the configuration is.
    pub fn from_plain(password: &[u8]) -> Result<Self, PasswordError> {
        within_length(password)?;
        KeyedHash::from_plain(password).map(StoredPassword::Keyed)
    }

    /// From a new password, with a random salt. Takes some milliseconds, Argon2id some tens of them.
    ///
    /// # Errors
    /// A password that is empty, too long, or that SCRAM cannot use.
    pub fn make(password: &str, how: &Make) -> Result<Self, PasswordError> {
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        match how {
            Make::Argon2id => Self::from_phc(&argon2id_phc(password.as_bytes())?),
            Make::Scram(hashes, iterations) => {
                within_length(password.as_bytes())?;
                ScramSet::make(password, hashes, *iterations).map(StoredPassword::Scram)
            }
        }
    }

    /// As a text for a disk or a configuration; none for a password in plain text.
    pub fn to_text(&self) -> Option<String> {
        match self {
            StoredPassword::Argon2id(hash) => Some(hash.to_phc()),
            StoredPassword::Scram(keys) => Some(keys.to_string()),
            StoredPassword::Mosquitto(hash) => Some(hash.to_text()),
            StoredPassword::Rabbit(hash) => Some(hash.to_text()),
            StoredPassword::Keyed(_) => None,
        }
    }

    /// What it is, for operators: `argon2id`, `plain`, or the SCRAM mechanisms in small letters.
    pub fn kind(&self) -> String {
        match self {
            StoredPassword::Argon2id(_) => "argon2id".into(),
            StoredPassword::Scram(keys) => keys.mechanisms().to_ascii_lowercase(),
            StoredPassword::Mosquitto(_) => "mosquitto".into(),
            StoredPassword::Rabbit(_) => "rabbitmq".into(),
            StoredPassword::Keyed(_) => "plain".into(),
        }
    }

    /// Another server's kind of hash: to be replaced by ours when the password is next seen.
    pub fn is_foreign(&self) -> bool {
        matches!(self, StoredPassword::Mosquitto(_) | StoredPassword::Rabbit(_))
    }

    /// The keys for `hash`, if there are any; salt and iterations are those of a plain password.
    pub(crate) fn scram(&self, hash: ScramHash, salt: &[u8], iterations: u32) -> Option<ScramKeys> {
        match self {
            StoredPassword::Argon2id(_) | StoredPassword::Mosquitto(_) | StoredPassword::Rabbit(_) => None,
            StoredPassword::Scram(keys) => keys.get(hash).cloned(),
            StoredPassword::Keyed(plain) => plain.scram(hash, salt, iterations),
        }
    }

    /// Whether it can serve SCRAM with this hash.
    pub(crate) fn offers(&self, hash: ScramHash) -> bool {
        match self {
            StoredPassword::Argon2id(_) | StoredPassword::Mosquitto(_) | StoredPassword::Rabbit(_) => false,
            StoredPassword::Scram(keys) => keys.get(hash).is_some(),
            StoredPassword::Keyed(_) => true,
        }
    }
}

/// Never shows a hash: it is what a thief would guess against.
impl fmt::Debug for StoredPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoredPassword::Argon2id(hash) => hash.fmt(f),
            StoredPassword::Scram(keys) => keys.fmt(f),
            StoredPassword::Keyed(hash) => hash.fmt(f),
            StoredPassword::Mosquitto(hash) => hash.fmt(f),
            StoredPassword::Rabbit(hash) => hash.fmt(f),
        }
    }
}

/// Stands in where there is no account: costs what an account of its kind costs, and matches nothing.
#[derive(Debug, Clone)]
pub(crate) enum Decoy {
    Argon2id(Argon2idHash),
    Scram(ScramKeys),
    Mosquitto(MosquittoHash),
    Rabbit(RabbitHash),
}

impl Decoy {
    /// None for what is verified at once.
    pub(crate) fn of(stored: &StoredPassword) -> Option<Self> {
        match stored {
            StoredPassword::Argon2id(hash) => Some(Decoy::Argon2id(hash.decoy())),
            StoredPassword::Scram(keys) => Some(Decoy::Scram(keys.quickest().clone())),
            StoredPassword::Mosquitto(hash) => Some(Decoy::Mosquitto(hash.decoy())),
            StoredPassword::Rabbit(hash) => Some(Decoy::Rabbit(hash.decoy())),
            StoredPassword::Keyed(_) => None,
        }
    }

    /// About how long a verification takes, in microseconds: a KiB of Argon2 about one, an iteration about a third.
    pub(crate) fn work(&self) -> u64 {
        match self {
            Decoy::Argon2id(hash) => hash.work_kib(),
            Decoy::Scram(keys) => u64::from(keys.iterations()) / 3,
            Decoy::Mosquitto(hash) => u64::from(hash.iterations()) / 3 + 1,
            Decoy::Rabbit(_) => 1,
        }
    }

    /// Does the work; always no.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        match self {
            Decoy::Argon2id(hash) => hash.verify(password),
            Decoy::Scram(keys) => keys.verify(password) & false,
            Decoy::Mosquitto(hash) => hash.verify(password) & false,
            Decoy::Rabbit(hash) => hash.verify(password) & false,
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
    /// The text is no SCRAM key, or two of one mechanism.
    #[error("the text is no SCRAM key; expected SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>")]
    MalformedScram,
    /// Too few iterations protect nothing, too many occupy client and server.
    #[error("the SCRAM key has {iterations} iterations; 4096 to 1000000 are accepted")]
    Iterations {
        /// How many.
        iterations: u32,
    },
    /// SCRAM compares texts, and this is none, or one that cannot be compared.
    #[error("the password cannot be used with SCRAM: {0}")]
    Characters(#[source] PrepareError),
    /// The empty password is that of nobody.
    #[error("the password is empty")]
    Empty,
    /// It begins like a hash of Mosquitto and is none.
    #[error("the text is no hash of Mosquitto's; expected $7$iterations$salt$hash or $6$salt$hash in base64")]
    MalformedMosquitto,
    /// No hash of RabbitMQ's, or one of MD5.
    #[error("the text is no hash of RabbitMQ's; expected base64 of salt and SHA-256 or SHA-512")]
    MalformedRabbit,
    /// The password is longer than [`PASSWORD_BYTES_MAX`].
    #[error("the password is longer than 4096 bytes")]
    TooLong,
    /// The operating system gave no random numbers.
    #[error("the operating system gives no random numbers")]
    NoRandomness,
}
