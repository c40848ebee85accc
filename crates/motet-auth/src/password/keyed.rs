//! The quick form: what was configured in plain text.

use super::PasswordError;
use crate::mac::{Digest, Keyed};
use crate::sasl::scram::{ScramHash, ScramKeys};
use std::fmt;
use std::sync::{Arc, OnceLock};
use subtle::ConstantTimeEq;

/// A password's HMAC under a key of its own; and the password, from which SCRAM keys are made when a client asks for
/// them. The configuration that is in memory anyway has it in the clear, too.
#[derive(Clone)]
pub struct KeyedHash(Arc<Plain>);

struct Plain {
    key: Keyed,
    digest: Digest,
    password: Box<[u8]>,
    /// One per hash of SCRAM, made when first asked for; None where SASLprep refuses the password.
    scram: [OnceLock<Option<ScramKeys>>; ScramHash::ALL.len()],
}

impl KeyedHash {
    pub(super) fn from_plain(password: &[u8]) -> Result<Self, PasswordError> {
        let key = Keyed::random().map_err(|_| PasswordError::NoRandomness)?;
        let digest = key.digest(&[password]);
        Ok(KeyedHash(Arc::new(Plain { key, digest, password: password.into(), scram: Default::default() })))
    }

    /// Whether this is the password; takes the same time for every answer.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        self.0.key.digest(&[password]).ct_eq(&self.0.digest).into()
    }

    /// The keys for `hash` with this salt, made at the first call. That takes some milliseconds, which a stranger can
    /// cause once per account, hash and start.
    pub(crate) fn scram(&self, hash: ScramHash, salt: &[u8], iterations: u32) -> Option<ScramKeys> {
        let made = self.0.scram[hash as usize].get_or_init(|| {
            let password = std::str::from_utf8(&self.0.password).ok()?;
            ScramKeys::derive(hash, password, salt, iterations).ok()
        });
        made.clone()
    }
}

/// The same password.
impl PartialEq for KeyedHash {
    fn eq(&self, other: &Self) -> bool {
        other.verify(&self.0.password)
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
        assert_eq!(hash, KeyedHash::from_plain(b"swordfish").unwrap());
        assert_ne!(hash, KeyedHash::from_plain(b"swordfisH").unwrap());
    }

    #[test]
    fn a_plain_password_has_scram_keys_unless_it_is_no_text() {
        let hash = KeyedHash::from_plain(b"swordfish").unwrap();
        let keys = hash.scram(ScramHash::Sha256, b"salt", 4096).unwrap();
        assert!(keys.verify(b"swordfish"));
        assert_eq!(hash.scram(ScramHash::Sha256, b"salt", 4096), Some(keys));
        assert_eq!(KeyedHash::from_plain(b"\xff").unwrap().scram(ScramHash::Sha1, b"salt", 4096), None);
    }
}
