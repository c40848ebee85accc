//! A keyed hash whose key never leaves the process.
//!
//! A message authentication code and not a hash-table hash: whoever reads the memory of a table of digests without the
//! key cannot guess passwords against it, and nobody outside can steer two logins to one digest.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// 32 bytes that only the holder of the key can compute. Safe as a key of a hash table: comparing two of them leaks
/// nothing, because an outsider can neither choose nor predict them.
pub(crate) type Digest = [u8; 32];

/// HMAC-SHA256 under a random key, the key already absorbed.
#[derive(Clone)]
pub(crate) struct Keyed(Hmac<Sha256>);

impl Keyed {
    /// A key nobody knows.
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Keyed::from_key(&key))
    }

    pub(crate) fn from_key(key: &[u8; 32]) -> Self {
        Keyed(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// The digest of a list of parts; where one part ends and the next begins counts.
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_a_byte_from_user_to_password_changes_the_digest() {
        let keyed = Keyed::random().unwrap();
        assert_ne!(keyed.digest(&[b"ab", b"c"]), keyed.digest(&[b"a", b"bc"]));
        assert_eq!(keyed.digest(&[b"ab", b"c"]), keyed.digest(&[b"ab", b"c"]));
    }

    #[test]
    fn two_keys_give_two_digests() {
        assert_ne!(Keyed::random().unwrap().digest(&[b"a"]), Keyed::random().unwrap().digest(&[b"a"]));
    }
}
