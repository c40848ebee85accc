//! The slow form: Argon2id [RFC 9106], read from and written as a PHC string.

use super::PasswordError;
use argon2::password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use std::fmt;
use subtle::ConstantTimeEq;

/// 256 MiB: with the memory of all threads of the pool a server stays within reason.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;
/// Memory times passes is what one verification costs; 1 GiB of filling is about a second.
const WORK_KIB_MAX: u64 = 1024 * 1024;
/// A shorter hash would be hit by chance. [RFC 9106 §4] recommends 32 bytes and allows 16.
const HASH_BYTES_MIN: usize = 16;
/// [RFC 9106 §3.1] a salt has at least 8 bytes.
const SALT_BYTES_MIN: usize = 8;

/// An Argon2id hash with its salt and its parameters.
#[derive(Clone)]
pub struct Argon2idHash {
    params: Params,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Argon2idHash {
    pub(super) fn from_phc(phc: &str) -> Result<Self, PasswordError> {
        let parsed = PasswordHash::new(phc).map_err(|_| PasswordError::Malformed)?;
        if parsed.algorithm != argon2::ARGON2ID_IDENT || parsed.version != Some(Version::V0x13.into()) {
            return Err(PasswordError::Algorithm);
        }
        let (Some(salt), Some(hash)) = (parsed.salt, parsed.hash) else { return Err(PasswordError::Malformed) };
        let mut salt_bytes = [0; 64];
        let salt = salt.decode_b64(&mut salt_bytes).map_err(|_| PasswordError::Malformed)?.to_vec();
        if salt.len() < SALT_BYTES_MIN || hash.len() < HASH_BYTES_MIN {
            return Err(PasswordError::Malformed);
        }
        Ok(Argon2idHash { params: bounded(&parsed.params)?, salt, hash: hash.as_bytes().to_vec() })
    }

    /// Stands in where there is no account: costs what `self` costs and matches no password.
    pub(crate) fn decoy(&self) -> Self {
        // An empty hash matches nothing; it is not compared, see `verify`.
        Argon2idHash { params: self.params.clone(), salt: vec![0; self.salt.len()], hash: Vec::new() }
    }

    /// In PHC form, as it was read.
    pub(super) fn to_phc(&self) -> String {
        phc(&self.params, &self.salt, &self.hash)
    }

    /// Memory times passes, in KiB: what a verification costs.
    pub(crate) fn work_kib(&self) -> u64 {
        u64::from(self.params.m_cost()) * u64::from(self.params.t_cost())
    }

    /// Whether this is the password. Takes tens of milliseconds and the memory the parameters say.
    pub(crate) fn verify(&self, password: &[u8]) -> bool {
        let mut computed = [0; Output::MAX_LENGTH];
        let computed = &mut computed[..self.hash.len().max(HASH_BYTES_MIN)];
        let done = argon2(self.params.clone()).hash_password_into(password, &self.salt, computed).is_ok();
        // Slices of different length are unequal, which is how a decoy never matches.
        done & bool::from(computed[..].ct_eq(&self.hash))
    }
}

impl PartialEq for Argon2idHash {
    fn eq(&self, other: &Self) -> bool {
        self.salt == other.salt && self.params == other.params && self.hash.ct_eq(&other.hash).into()
    }
}

impl Eq for Argon2idHash {}

impl fmt::Debug for Argon2idHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (m, t, p) = (self.params.m_cost(), self.params.t_cost(), self.params.p_cost());
        write!(f, "Argon2idHash(m={m},t={t},p={p},..)")
    }
}

pub(super) fn to_phc(password: &[u8]) -> Result<String, PasswordError> {
    to_phc_with(password, owasp())
}

/// With the least parameters, for tests that must be quick.
#[cfg(test)]
pub(crate) fn quick_phc(password: &[u8]) -> String {
    to_phc_with(password, Params::new(8, 1, 1, None).unwrap()).unwrap()
}

fn to_phc_with(password: &[u8], params: Params) -> Result<String, PasswordError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| PasswordError::NoRandomness)?;
    let mut hash = [0; 32];
    argon2(params.clone())
        .hash_password_into(password, &salt, &mut hash)
        .expect("valid parameters, our own salt and a bounded password are within Argon2's limits");
    Ok(phc(&params, &salt, &hash))
}

/// Of a hash that was made or read here.
fn phc(params: &Params, salt: &[u8], hash: &[u8]) -> String {
    let salt = SaltString::encode_b64(salt).expect("a salt that was made or read can be written");
    let salt: Salt<'_> = salt.as_salt();
    PasswordHash {
        algorithm: argon2::ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).expect("valid parameters can be written"),
        salt: Some(salt),
        hash: Some(Output::new(hash).expect("a hash that was made or read can be written")),
    }
    .to_string()
}

/// OWASP Password Storage Cheat Sheet: Argon2id with 19 MiB, 2 passes, 1 lane.
fn owasp() -> Params {
    Params::new(19 * 1024, 2, 1, None).expect("OWASP's parameters are within Argon2's limits")
}

fn argon2(params: Params) -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Reads m, t and p, all of which must be there, and holds them against our limits.
fn bounded(given: &ParamsString) -> Result<Params, PasswordError> {
    let number = |name| given.get_decimal(name).ok_or(PasswordError::Malformed);
    let (memory_kib, passes, lanes) = (number("m")?, number("t")?, number("p")?);
    let absurd = memory_kib > MEMORY_KIB_MAX
        || passes > PASSES_MAX
        || lanes > LANES_MAX
        || u64::from(memory_kib) * u64::from(passes) > WORK_KIB_MAX;
    let refused = PasswordError::Parameters { memory_kib, passes, lanes };
    if absurd {
        return Err(refused);
    }
    Params::new(memory_kib, passes, lanes, None).map_err(|_| refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A well-formed hash, of no known password, with these parameters.
    fn with(parameters: &str) -> Result<Argon2idHash, PasswordError> {
        Argon2idHash::from_phc(&format!(
            "$argon2id$v=19${parameters}$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        ))
    }

    #[test]
    fn the_known_vector_verifies() {
        // From the reference implementation's test.c: version 0x13, t=2, m=2^8, p=1, "password", "somesalt".
        let known = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        let hash = Argon2idHash::from_phc(known).unwrap();
        assert!(hash.verify(b"password"));
        assert_eq!(hash.to_phc(), known);
        assert!(!hash.verify(b"passwore"));
        assert!(!hash.verify(b""));
    }

    #[test]
    fn what_we_write_we_read_and_its_salt_is_new_each_time() {
        let phc = to_phc(b"swordfish").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let hash = Argon2idHash::from_phc(&phc).unwrap();
        assert!(hash.verify(b"swordfish"));
        assert!(!hash.verify(b"swordfisH"));
        assert_ne!(phc, to_phc(b"swordfish").unwrap());
    }

    #[test]
    fn parameters_that_would_occupy_the_server_are_refused() {
        for absurd in
            ["m=262145,t=1,p=1", "m=4294967295,t=1,p=1", "m=64,t=17,p=1", "m=65536,t=16,p=17", "m=262144,t=5,p=1"]
        {
            assert!(matches!(with(absurd), Err(PasswordError::Parameters { .. })), "{absurd}");
        }
        assert!(with("m=262144,t=4,p=1").is_ok());
        // [RFC 9106 §3.1] memory is at least 8 KiB per lane.
        assert!(matches!(with("m=8,t=1,p=2"), Err(PasswordError::Parameters { .. })));
        assert!(matches!(with("m=8,t=0,p=1"), Err(PasswordError::Parameters { .. })));
    }

    #[test]
    fn what_is_not_a_complete_argon2id_hash_is_refused() {
        for (text, expected) in [
            ("", PasswordError::Malformed),
            ("swordfish", PasswordError::Malformed),
            ("$argon2id$v=19$m=8,t=1,p=1", PasswordError::Malformed),
            ("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ", PasswordError::Malformed),
            ("$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA", PasswordError::Malformed),
            ("$argon2id$v=19$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", PasswordError::Malformed),
            (
                "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                PasswordError::Algorithm,
            ),
            (
                "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
                PasswordError::Algorithm,
            ),
        ] {
            assert_eq!(Argon2idHash::from_phc(text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_decoy_costs_the_same_and_matches_nothing() {
        let hash = with("m=8,t=1,p=1").unwrap();
        let decoy = hash.decoy();
        assert_eq!(decoy.work_kib(), hash.work_kib());
        assert!(!decoy.verify(b""));
        assert!(!decoy.verify(b"swordfish"));
    }
}
