//! SCRAM keys of one account: one per hash.

use super::PasswordError;
use crate::sasl::scram::{ScramHash, ScramKeys};
use std::fmt;
use std::sync::Arc;

/// Bytes of a new salt.
const SALT_BYTES: usize = 16;

/// At least one key, at most one per hash.
#[derive(Clone, PartialEq, Eq)]
pub struct ScramSet(Arc<[ScramKeys]>);

impl ScramSet {
    pub(super) fn make(password: &str, hashes: &[ScramHash], iterations: u32) -> Result<Self, PasswordError> {
        let keys = hashes.iter().map(|hash| {
            let mut salt = [0; SALT_BYTES];
            getrandom::fill(&mut salt).map_err(|_| PasswordError::NoRandomness)?;
            ScramKeys::derive(*hash, password, &salt, iterations)
        });
        Self::of(keys.collect::<Result<_, _>>()?)
    }

    pub(super) fn read(text: &str) -> Result<Self, PasswordError> {
        Self::of(text.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>()?)
    }

    fn of(keys: Vec<ScramKeys>) -> Result<Self, PasswordError> {
        let twice = |at: usize| keys[..at].iter().any(|other| other.hash() == keys[at].hash());
        let wrong = keys.is_empty() || (0..keys.len()).any(twice);
        if wrong { Err(PasswordError::MalformedScram) } else { Ok(ScramSet(keys.into())) }
    }

    pub(crate) fn get(&self, hash: ScramHash) -> Option<&ScramKeys> {
        self.0.iter().find(|keys| keys.hash() == hash)
    }

    /// The key that a password in clear text is verified against.
    pub(crate) fn quickest(&self) -> &ScramKeys {
        self.0.iter().min_by_key(|keys| keys.iterations()).expect("there is at least one key")
    }

    pub(super) fn mechanisms(&self) -> String {
        self.0.iter().map(|keys| keys.hash().mechanism()).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for ScramSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ScramKeys::to_string).collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Debug for ScramSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_written_as_it_was_read_and_has_one_key_per_hash() {
        let set = ScramSet::make("swordfish", &ScramHash::ALL, 4096).unwrap();
        let again = ScramSet::read(&set.to_string()).unwrap();
        assert_eq!(again, set);
        assert!(ScramHash::ALL.iter().all(|hash| again.get(*hash).is_some()));
        assert_eq!(again.mechanisms(), "SCRAM-SHA-512 SCRAM-SHA-256 SCRAM-SHA-1");
        assert!(again.quickest().verify(b"swordfish"));
        let key = again.get(ScramHash::Sha1).unwrap();
        for wrong in [String::new(), format!("{key} {key}")] {
            assert_eq!(ScramSet::read(&wrong), Err(PasswordError::MalformedScram));
        }
    }
}
