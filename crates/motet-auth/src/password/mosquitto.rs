//! Hashes of Mosquitto's password file, so that nobody needs a new password for moving here: `$7$iterations$salt$hash`
//! is PBKDF2 with HMAC-SHA-512 [RFC 8018 §5.2], `$6$salt$hash` one round of SHA-512 over password and salt.

use super::PasswordError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha512};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// Bytes of SHA-512, which is what both forms store.
const HASH_BYTES: usize = 64;
/// Mosquitto's own salts have 12 bytes.
const SALT_BYTES_MAX: usize = 64;
/// About a second; Mosquitto's own default is 101.
const ITERATIONS_MAX: u32 = 1_000_000;

/// A hash as Mosquitto keeps it.
#[derive(Clone, PartialEq, Eq)]
pub struct MosquittoHash {
    /// None: a single round of SHA-512, without PBKDF2.
    iterations: Option<u32>,
    salt: Vec<u8>,
    hash: [u8; HASH_BYTES],
}

impl MosquittoHash {
    /// Whether the text is meant to be one.
    pub(super) fn is_meant(text: &str) -> bool {
        text.starts_with("$6$") || text.starts_with("$7$")
    }

    pub(super) fn from_text(text: &str) -> Result<Self, PasswordError> {
        let fields: Vec<_> = text.split('$').collect();
        let (iterations, salt, hash) = match fields[..] {
            ["", "6", salt, hash] => (None, salt, hash),
            ["", "7", iterations, salt, hash] => {
                let iterations = iterations.parse().ok().filter(|count| (1..=ITERATIONS_MAX).contains(count));
                (Some(iterations.ok_or(PasswordError::MalformedMosquitto)?), salt, hash)
            }
            _ => return Err(PasswordError::MalformedMosquitto),
        };
        let decode = |text: &str| STANDARD.decode(text).map_err(|_| PasswordError::MalformedMosquitto);
        let (salt, hash) = (decode(salt)?, decode(hash)?);
        let hash = hash.try_into().map_err(|_| PasswordError::MalformedMosquitto)?;
        match (1..=SALT_BYTES_MAX).contains(&salt.len()) {
            true => Ok(MosquittoHash { iterations, salt, hash }),
            false => Err(PasswordError::MalformedMosquitto),
        }
    }

    pub(super) fn to_text(&self) -> String {
        let (salt, hash) = (STANDARD.encode(&self.salt), STANDARD.encode(self.hash));
        match self.iterations {
            None => format!("$6${salt}${hash}"),
            Some(iterations) => format!("$7${iterations}${salt}${hash}"),
        }
    }

    /// Stands in where there is no account: costs what `self` costs and, being of no password, matches none.
    pub(crate) fn decoy(&self) -> Self {
        MosquittoHash { hash: [0; HASH_BYTES], ..self.clone() }
    }

    /// Rounds of SHA-512.
    pub(crate) fn iterations(&self) -> u32 {
        self.iterations.unwrap_or(1)
    }

    /// Whether this is the password.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let computed: [u8; HASH_BYTES] = match self.iterations {
            None => Sha512::new().chain_update(password).chain_update(&self.salt).finalize().into(),
            Some(iterations) => stretched(password, &self.salt, iterations),
        };
        computed.ct_eq(&self.hash).into()
    }
}

/// The first block of PBKDF2, which is all that a hash of this length needs.
fn stretched(password: &[u8], salt: &[u8], iterations: u32) -> [u8; HASH_BYTES] {
    let keyed = Hmac::<Sha512>::new_from_slice(password).expect("HMAC takes a key of any length");
    let mut round: [u8; HASH_BYTES] =
        keyed.clone().chain_update(salt).chain_update(1_u32.to_be_bytes()).finalize().into_bytes().into();
    let mut sum = round;
    for _ in 1..iterations {
        round = keyed.clone().chain_update(round).finalize().into_bytes().into();
        sum.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

/// Never the hash.
impl fmt::Debug for MosquittoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MosquittoHash").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of the password `swordfish`, written by Debian's mosquitto_passwd 2.0.11, with -H sha512 and without.
    const SHA512: &str =
        "$6$RTxfoihQXBGFxo1m$W01FN/MRDuHaW+oRXPo1fagdFmZU+s4qLpApP4sC9vmO4nfNcCKiO3cJ/Nq8Wv3t510URBKcFHGTarDI6IMNTA==";
    const PBKDF2: &str = "$7$101$Tk6XKzZ2xFV35OtU$L8sRfKdMGHU8GzG+rmtzQ9s3h9yCpZaSseYBaXLHU/cDvyy/idzuzl8cCbz5ne/bg6uO4vLF6S5+eHGk2b0w6w==";

    #[test]
    fn hashes_of_mosquitto_passwd_are_verified_and_written_as_they_were() {
        for text in [SHA512, PBKDF2] {
            let hash = MosquittoHash::from_text(text).unwrap();
            assert!(MosquittoHash::is_meant(text) && hash.verify(b"swordfish"), "{text}");
            assert!(!hash.verify(b"Swordfish") && !hash.verify(b""), "{text}");
            assert_eq!(hash.to_text(), text);
            assert!(!format!("{hash:?}").contains(&text[12..20]));
        }
    }

    #[test]
    fn what_would_occupy_the_server_or_is_no_hash_is_refused() {
        let parts: Vec<_> = PBKDF2.split('$').collect();
        let (salt, hash) = (parts[3], parts[4]);
        for text in [
            "$7$".to_owned(),
            format!("$7$0${salt}${hash}"),
            format!("$7$1000001${salt}${hash}"),
            format!("$7$101$${hash}"),
            format!("$7$101${salt}$AAAA"),
            format!("$7$101${salt}${hash}$"),
            format!("$6${}${hash}", "A".repeat(4 * SALT_BYTES_MAX)),
        ] {
            assert_eq!(MosquittoHash::from_text(&text), Err(PasswordError::MalformedMosquitto), "{text}");
        }
    }
}
