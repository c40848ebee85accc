//! The three hashes of SCRAM: H, HMAC and Hi. [RFC 5802 §2.2]

use hmac::digest::{KeyInit, Output};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Which hash a mechanism uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScramHash {
    /// SCRAM-SHA-1: what every XMPP client speaks; SHA-1's collisions do not concern HMAC. [RFC 5802]
    Sha1,
    /// SCRAM-SHA-256. [RFC 7677]
    Sha256,
    /// SCRAM-SHA-512.
    Sha512,
}

impl ScramHash {
    /// All of them, the strongest first.
    pub const ALL: [ScramHash; 3] = [ScramHash::Sha512, ScramHash::Sha256, ScramHash::Sha1];

    /// The mechanism's name without `-PLUS`.
    pub fn mechanism(self) -> &'static str {
        match self {
            ScramHash::Sha1 => "SCRAM-SHA-1",
            ScramHash::Sha256 => "SCRAM-SHA-256",
            ScramHash::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// The hash of this mechanism, named without `-PLUS`.
    pub fn named(mechanism: &str) -> Option<Self> {
        ScramHash::ALL.into_iter().find(|hash| hash.mechanism() == mechanism)
    }

    /// Length of its output in bytes.
    pub fn bytes(self) -> usize {
        match self {
            ScramHash::Sha1 => 20,
            ScramHash::Sha256 => 32,
            ScramHash::Sha512 => 64,
        }
    }

    /// H(data)
    pub(super) fn hash(self, data: &[u8]) -> Tag {
        match self {
            ScramHash::Sha1 => Tag::new(&Sha1::digest(data)),
            ScramHash::Sha256 => Tag::new(&Sha256::digest(data)),
            ScramHash::Sha512 => Tag::new(&Sha512::digest(data)),
        }
    }

    /// HMAC(key, data)
    pub(super) fn hmac(self, key: &[u8], data: &[u8]) -> Tag {
        match self {
            ScramHash::Sha1 => Tag::new(&once(keyed::<Hmac<Sha1>>(key), data)),
            ScramHash::Sha256 => Tag::new(&once(keyed::<Hmac<Sha256>>(key), data)),
            ScramHash::Sha512 => Tag::new(&once(keyed::<Hmac<Sha512>>(key), data)),
        }
    }

    /// Hi(password, salt, iterations): PBKDF2 with one block of output. Takes two hash steps per iteration.
    pub(super) fn stretch(self, password: &[u8], salt: &[u8], iterations: u32) -> Tag {
        match self {
            ScramHash::Sha1 => Tag::new(&stretch(&keyed::<Hmac<Sha1>>(password), salt, iterations)),
            ScramHash::Sha256 => Tag::new(&stretch(&keyed::<Hmac<Sha256>>(password), salt, iterations)),
            ScramHash::Sha512 => Tag::new(&stretch(&keyed::<Hmac<Sha512>>(password), salt, iterations)),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as Mac>::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn once<M: Mac>(mut mac: M, data: &[u8]) -> Output<M> {
    mac.update(data);
    mac.finalize().into_bytes()
}

fn stretch<M: Mac + Clone>(keyed: &M, salt: &[u8], iterations: u32) -> Output<M> {
    let mut first = keyed.clone();
    first.update(salt);
    // INT(1): the number of the block. [RFC 5802 §2.2]
    let mut last = once(first, &1u32.to_be_bytes());
    let mut sum = last.clone();
    for _ in 1..iterations {
        last = once(keyed.clone(), &last);
        sum.iter_mut().zip(&last).for_each(|(sum, last)| *sum ^= last);
    }
    sum
}

/// An output of one of the hashes.
#[derive(Clone, Copy)]
pub(super) struct Tag {
    bytes: [u8; 64],
    len: usize,
}

impl Tag {
    /// `from` is at most 64 bytes.
    pub(super) fn new(from: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes[..from.len()].copy_from_slice(from);
        Tag { bytes, len: from.len() }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Byte by byte; both are as long as one hash's output.
    pub(super) fn xor(mut self, other: &[u8]) -> Self {
        debug_assert_eq!(self.len, other.len(), "only outputs of one hash are combined");
        self.bytes.iter_mut().zip(other).for_each(|(byte, other)| *byte ^= other);
        self
    }

    /// In a time that does not depend on where they differ.
    pub(super) fn is(&self, other: &Tag) -> bool {
        self.as_slice().ct_eq(other.as_slice()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(tag: &Tag) -> String {
        tag.as_slice().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn stretching_is_pbkdf2() {
        // [RFC 6070 §2], PBKDF2-HMAC-SHA1.
        for (iterations, expected) in [
            (1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            (2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            (4096, "4b007901b765489abead49d926f721d065a429c1"),
        ] {
            let found = hex(&ScramHash::Sha1.stretch(b"password", b"salt", iterations));
            assert!(found.starts_with(expected), "{iterations}: {found}");
        }
        // [RFC 7914 §11], PBKDF2-HMAC-SHA256, the first 32 of 64 bytes.
        assert_eq!(
            hex(&ScramHash::Sha256.stretch(b"passwd", b"salt", 1)),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
        );
    }

    #[test]
    fn every_hash_is_found_by_its_mechanism() {
        for hash in ScramHash::ALL {
            assert_eq!(ScramHash::named(hash.mechanism()), Some(hash));
            assert_eq!(hash.hash(b"").as_slice().len(), hash.bytes());
        }
        assert_eq!(ScramHash::named("SCRAM-MD5"), None);
    }
}
