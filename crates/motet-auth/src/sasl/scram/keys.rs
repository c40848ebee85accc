//! What is stored instead of a password. [RFC 5802 §3, §5.1], in the text form of [RFC 5803].

use super::hash::{ScramHash, Tag};
use crate::password::PasswordError;
use crate::sasl::prepare;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The least number of iterations. [RFC 7677 §4]
pub const ITERATIONS_MIN: u32 = 4096;
/// The most: a second or so of a client's processor, and of ours where a password comes in clear text.
pub const ITERATIONS_MAX: u32 = 1_000_000;
/// A salt we read is at most this long; ours have 16 bytes.
const SALT_BYTES_MAX: usize = 64;

/// Salt, iterations, StoredKey and ServerKey for one hash.
#[derive(Clone)]
pub struct ScramKeys {
    hash: ScramHash,
    iterations: u32,
    salt: Arc<[u8]>,
    stored: Tag,
    server: Tag,
}

impl ScramKeys {
    /// The keys of this password; takes `iterations` times about 0.3 microseconds.
    ///
    /// # Errors
    /// A password that SASLprep refuses, iterations outside of [`ITERATIONS_MIN`] and [`ITERATIONS_MAX`], or a salt
    /// that is empty or longer than 64 bytes.
    pub fn derive(hash: ScramHash, password: &str, salt: &[u8], iterations: u32) -> Result<Self, PasswordError> {
        let password = prepare(password).map_err(PasswordError::Characters)?;
        check(iterations, salt)?;
        let (stored, server) = both(hash, &hash.stretch(password.as_bytes(), salt, iterations));
        Ok(ScramKeys { hash, iterations, salt: salt.into(), stored, server })
    }

    /// Keys that no password has, made of `noise`: they look like those of an account.
    pub(crate) fn decoy(hash: ScramHash, noise: &[u8], salt: &[u8], iterations: u32) -> Self {
        let (stored, server) = both(hash, &hash.hash(noise));
        ScramKeys { hash, iterations, salt: salt.into(), stored, server }
    }

    /// Whether this is the password, given in clear text. Takes as long as [`ScramKeys::derive`].
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        // What SASLprep refuses can't have been stored; the work is done all the same.
        let prepared = std::str::from_utf8(password).ok().and_then(|text| prepare(text).ok());
        let salted = match &prepared {
            Some(password) => self.hash.stretch(password.as_bytes(), &self.salt, self.iterations),
            None => self.hash.stretch(password, &self.salt, self.iterations),
        };
        both(self.hash, &salted).0.is(&self.stored) & prepared.is_some()
    }

    /// The hash they are for.
    pub fn hash(&self) -> ScramHash {
        self.hash
    }

    /// How often the password was hashed.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    pub(super) fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn stored(&self) -> &Tag {
        &self.stored
    }

    pub(super) fn server(&self) -> &Tag {
        &self.server
    }
}

/// StoredKey and ServerKey. [RFC 5802 §3]
fn both(hash: ScramHash, salted: &Tag) -> (Tag, Tag) {
    let client = hash.hmac(salted.as_slice(), b"Client Key");
    (hash.hash(client.as_slice()), hash.hmac(salted.as_slice(), b"Server Key"))
}

fn check(iterations: u32, salt: &[u8]) -> Result<(), PasswordError> {
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        return Err(PasswordError::Iterations { iterations });
    }
    if salt.is_empty() || salt.len() > SALT_BYTES_MAX { Err(PasswordError::MalformedScram) } else { Ok(()) }
}

/// `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`. [RFC 5803 §2]
impl fmt::Display for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&*self.salt, self.stored.as_slice(), self.server.as_slice()].map(|bytes| STANDARD.encode(bytes));
        write!(f, "{}${}:{salt}${stored}:{server}", self.hash.mechanism(), self.iterations)
    }
}

impl FromStr for ScramKeys {
    type Err = PasswordError;

    fn from_str(text: &str) -> Result<Self, PasswordError> {
        read(text).ok_or(PasswordError::MalformedScram).and_then(|keys| {
            check(keys.iterations, &keys.salt)?;
            Ok(keys)
        })
    }
}

fn read(text: &str) -> Option<ScramKeys> {
    let (mechanism, rest) = text.split_once('$')?;
    let (info, keys) = rest.split_once('$')?;
    let ((iterations, salt), (stored, server)) = (info.split_once(':')?, keys.split_once(':')?);
    let hash = ScramHash::named(mechanism)?;
    let tag = |text: &str| STANDARD.decode(text).ok().filter(|key| key.len() == hash.bytes()).map(|key| Tag::new(&key));
    let iterations = Some(iterations).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
    Some(ScramKeys {
        hash,
        iterations,
        salt: STANDARD.decode(salt).ok()?.into(),
        stored: tag(stored)?,
        server: tag(server)?,
    })
}

impl PartialEq for ScramKeys {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.iterations == other.iterations
            && self.salt == other.salt
            && self.stored.is(&other.stored) & self.server.is(&other.server)
    }
}

impl Eq for ScramKeys {}

/// Never shows a key: it is what a thief would guess against.
impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ScramKeys({},i={},..)", self.hash.mechanism(), self.iterations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_write_we_read_and_it_verifies() {
        for hash in ScramHash::ALL {
            let keys = ScramKeys::derive(hash, "swordfish", b"0123456789abcdef", ITERATIONS_MIN).unwrap();
            let text = keys.to_string();
            assert!(text.starts_with(&format!("{}$4096:", hash.mechanism())));
            let again: ScramKeys = text.parse().unwrap();
            assert_eq!(again, keys);
            assert!(again.verify(b"swordfish") && !again.verify(b"swordfisH") && !again.verify(b"\xff"));
            assert_eq!(format!("{keys:?}"), format!("ScramKeys({},i=4096,..)", hash.mechanism()));
        }
    }

    #[test]
    fn a_known_password_of_another_server_verifies() {
        // [RFC 7677 §3]: "pencil" with the example's salt; the keys as PostgreSQL would store them.
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let keys = ScramKeys::derive(ScramHash::Sha256, "pencil", &salt, 4096).unwrap();
        assert_eq!(
            keys.to_string(),
            "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        );
        assert!(keys.verify(b"pencil"));
    }

    #[test]
    fn passwords_that_look_the_same_are_the_same() {
        let keys = ScramKeys::derive(ScramHash::Sha256, "I\u{AD}X", b"salt", ITERATIONS_MIN).unwrap();
        assert!(keys.verify("IX".as_bytes()) && keys.verify("\u{2168}".as_bytes()));
        let refused = ScramKeys::derive(ScramHash::Sha256, "a\u{7}", b"salt", ITERATIONS_MIN).unwrap_err();
        assert!(refused.to_string().contains("control characters"), "{refused}");
    }

    #[test]
    fn what_is_no_stored_key_is_refused() {
        let good = ScramKeys::derive(ScramHash::Sha1, "a", b"salt", ITERATIONS_MIN).unwrap().to_string();
        for wrong in [
            "".into(),
            "SCRAM-SHA-1".into(),
            good.replace("SHA-1", "SHA-256"),
            good.replace("SHA-1", "MD5"),
            good.replace("$4096:", "$+4096:"),
            good.replace('=', ""),
            good.replace(":c2FsdA==$", ":$"),
        ] {
            assert_eq!(wrong.parse::<ScramKeys>(), Err(PasswordError::MalformedScram), "{wrong}");
        }
        for iterations in [0, 4095, 1_000_001] {
            let refused = good.replace("$4096:", &format!("${iterations}:")).parse::<ScramKeys>();
            assert_eq!(refused, Err(PasswordError::Iterations { iterations }));
        }
    }
}
