//! The quick form: a keyed hash that dies with the process.

use super::PasswordError;
use crate::mac::{Digest, Keyed};
use std::fmt;
use subtle::ConstantTimeEq;

/// A password's HMAC under a key of its own.
#[derive(Clone)]
pub struct KeyedHash {
    key: Keyed,
    digest: Digest,
}

impl KeyedHash {
    pub(super) fn from_plain(password: &[u8]) -> Result<Self, PasswordError> {
        let key = Keyed::random().map_err(|_| PasswordError::NoRandomness)?;
        let digest = key.digest(&[password]);
        Ok(KeyedHash { key, digest })
    }

    /// Whether this is the password; takes the same time for every answer.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        self.key.digest(&[password]).ct_eq(&self.digest).into()
    }
}

/// The same hash, not the same password: under another key the digest differs.
impl PartialEq for KeyedHash {
    fn eq(&self, other: &Self) -> bool {
        self.digest.ct_eq(&other.digest).into()
    }
}

impl Eq for KeyedHash {}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_itself_verifies() {
        let hash = KeyedHash::from_plain(b"swordfish").unwrap();
        assert!(hash.verify(b"swordfish"));
        for wrong in [&b"swordfis"[..], b"swordfish\0", b"", b"Swordfish"] {
            assert!(!hash.verify(wrong));
        }
    }
}
