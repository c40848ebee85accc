//! Hashes of RabbitMQ's users, so that nobody needs a new password for moving here: base64 of four bytes of salt and of
//! one round of SHA-256 or SHA-512 over salt and password. An empty one is of a user
//! without a password, who comes in by a certificate or a token.

use super::PasswordError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256, Sha512};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Bytes of RabbitMQ's salts.
const SALT_BYTES: usize = 4;

/// A hash as RabbitMQ keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct RabbitHash {
    algorithm: RabbitAlgorithm,
    /// Salt, then hash; empty where there is no password.
    salted: Vec<u8>,
}

/// How it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RabbitAlgorithm {
    /// `rabbit_password_hashing_sha256`, which is the default.
    Sha256,
    /// `rabbit_password_hashing_sha512`.
    Sha512,
}

impl RabbitAlgorithm {
    /// The module of RabbitMQ that makes such hashes.
    pub fn module(self) -> &'static str {
        match self {
            RabbitAlgorithm::Sha256 => "rabbit_password_hashing_sha256",
            RabbitAlgorithm::Sha512 => "rabbit_password_hashing_sha512",
        }
    }

    /// The algorithm of this module; MD5 is not taken.
    pub fn from_module(module: &str) -> Option<Self> {
        [RabbitAlgorithm::Sha256, RabbitAlgorithm::Sha512].into_iter().find(|known| known.module() == module)
    }

    fn hash_bytes(self) -> usize {
        match self {
            RabbitAlgorithm::Sha256 => 32,
            RabbitAlgorithm::Sha512 => 64,
        }
    }

    fn hash(self, salt: &[u8], password: &[u8]) -> Vec<u8> {
        match self {
            RabbitAlgorithm::Sha256 => Sha256::new().chain_update(salt).chain_update(password).finalize().to_vec(),
            RabbitAlgorithm::Sha512 => Sha512::new().chain_update(salt).chain_update(password).finalize().to_vec(),
        }
    }
}

impl RabbitHash {
    /// From what RabbitMQ's definitions have.
    ///
    /// # Errors
    /// [`PasswordError::MalformedRabbit`].
    pub fn new(algorithm: RabbitAlgorithm, base64: &str) -> Result<Self, PasswordError> {
        let salted = STANDARD.decode(base64).map_err(|_| PasswordError::MalformedRabbit)?;
        match salted.len() {
            0 => {}
            len if len == SALT_BYTES + algorithm.hash_bytes() => {}
            _ => return Err(PasswordError::MalformedRabbit),
        }
        Ok(RabbitHash { algorithm, salted })
    }

    /// Which algorithm, and base64 of salt and hash.
    pub fn parts(&self) -> (RabbitAlgorithm, String) {
        (self.algorithm, STANDARD.encode(&self.salted))
    }

    pub(super) fn is_meant(text: &str) -> bool {
        text.starts_with("rabbit_password_hashing_")
    }

    pub(super) fn from_text(text: &str) -> Result<Self, PasswordError> {
        let (module, base64) = text.split_once(':').ok_or(PasswordError::MalformedRabbit)?;
        RabbitHash::new(RabbitAlgorithm::from_module(module).ok_or(PasswordError::MalformedRabbit)?, base64)
    }

    pub(super) fn to_text(&self) -> String {
        format!("{}:{}", self.algorithm.module(), STANDARD.encode(&self.salted))
    }

    /// Stands in where there is no account: costs the same and matches nothing.
    pub(crate) fn decoy(&self) -> Self {
        RabbitHash { algorithm: self.algorithm, salted: vec![0; SALT_BYTES + self.algorithm.hash_bytes()] }
    }

    /// Whether this is the password.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let Some((salt, hash)) = self.salted.split_at_checked(SALT_BYTES) else { return false };
        self.algorithm.hash(salt, password).ct_eq(hash).into()
    }
}

impl fmt::Debug for RabbitHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitHash").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoredPassword;

    /// The example of RabbitMQ's documentation: the password is `test12`.
    const KNOWN: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

    #[test]
    fn a_hash_of_rabbitmq_verifies_its_password_alone() {
        let hash = RabbitHash::new(RabbitAlgorithm::Sha256, KNOWN).unwrap();
        assert!(hash.verify(b"test12") && !hash.verify(b"test13") && !hash.decoy().verify(b"test12"));
        let salted = [&[1, 2, 3, 4][..], &RabbitAlgorithm::Sha512.hash(&[1, 2, 3, 4], b"x")].concat();
        assert!(RabbitHash::new(RabbitAlgorithm::Sha512, &STANDARD.encode(salted)).unwrap().verify(b"x"));
    }

    #[test]
    fn without_a_password_nothing_is_right() {
        let hash = RabbitHash::new(RabbitAlgorithm::Sha256, "").unwrap();
        assert!(!hash.verify(b"") && !hash.verify(b"x"));
    }

    #[test]
    fn a_hash_is_read_as_it_was_written_and_others_are_refused() {
        let text = format!("rabbit_password_hashing_sha256:{KNOWN}");
        assert_eq!(StoredPassword::from_text(&text).unwrap().to_text(), Some(text));
        for wrong in [
            "rabbit_password_hashing_md5:AAAA",
            "rabbit_password_hashing_sha256:AAAA",
            "rabbit_password_hashing_sha512:!",
        ] {
            assert_eq!(StoredPassword::from_text(wrong), Err(PasswordError::MalformedRabbit));
        }
    }
}
