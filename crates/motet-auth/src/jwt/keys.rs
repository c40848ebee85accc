//! The keys that tokens are signed with: shared secrets, public keys in PEM, key sets [RFC 7517].

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use std::fmt;

/// Keys of all sources together; what a key set has beyond is not taken.
pub const KEYS_MAX: usize = 64;
/// Bytes of a key set.
pub const JWKS_BYTES_MAX: usize = 256 << 10;
/// Bytes of a shared secret: as many as its hash has [RFC 7518-3.2].
const SECRET_BYTES_MIN: usize = 32;

const RSA: &[Algorithm] =
    &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// One key and what it is good for.
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Keys for tokens.
#[derive(Default)]
pub struct TokenKeys {
    keys: Vec<Key>,
}

/// What is wrong with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A shared secret is shorter than 32 bytes, so it could be guessed [RFC 7518-3.2].
    #[error("the secret is shorter than 32 bytes")]
    SecretTooShort,
    /// Not a public RSA, EC (P-256, P-384) or Ed25519 key in PEM.
    #[error("no public key of RSA, P-256, P-384 or Ed25519 in PEM")]
    NotPem,
    /// Not a key set, or more than 256 KiB of it.
    #[error("not a JSON Web Key Set: {0}")]
    NotJwks(String),
    /// No key of the set can check a signature.
    #[error("no key in the set is one for signatures that is known here")]
    NoUsableKey,
}

/// Ids only: secrets never reach a log.
impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| (&key.id, &key.algorithms))).finish()
    }
}

impl TokenKeys {
    /// Adds a shared secret.
    ///
    /// # Errors
    /// It is too short.
    pub fn add_secret(&mut self, secret: &[u8]) -> Result<(), KeyError> {
        let algorithms = hmac_for(secret.len());
        if algorithms.is_empty() {
            return Err(KeyError::SecretTooShort);
        }
        self.push(Key { id: None, algorithms, key: DecodingKey::from_secret(secret) });
        Ok(())
    }

    /// Adds a public key.
    ///
    /// # Errors
    /// It is none that is known here.
    pub fn add_pem(&mut self, pem: &[u8]) -> Result<(), KeyError> {
        let key = if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            Key { id: None, algorithms: RSA.to_vec(), key }
        } else if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            // A point of another curve than the algorithm's fails when a signature is checked.
            Key { id: None, algorithms: vec![Algorithm::ES256, Algorithm::ES384], key }
        } else if let Ok(key) = DecodingKey::from_ed_pem(pem) {
            Key { id: None, algorithms: vec![Algorithm::EdDSA], key }
        } else {
            return Err(KeyError::NotPem);
        };
        self.push(key);
        Ok(())
    }

    /// Adds what a key set holds for signatures; answers how many keys that were. Shared secrets are taken only out of a
    /// set that is `private`: one that was fetched has been published.
    ///
    /// # Errors
    /// It is no key set, or holds nothing of use.
    pub fn add_jwks(&mut self, json: &[u8], private: bool) -> Result<usize, KeyError> {
        if json.len() > JWKS_BYTES_MAX {
            return Err(KeyError::NotJwks("more than 256 KiB".into()));
        }
        let set: JwkSet = serde_json::from_slice(json).map_err(|error| KeyError::NotJwks(error.to_string()))?;
        let usable: Vec<Key> = set.keys.iter().filter_map(|jwk| usable(jwk, private)).collect();
        if usable.is_empty() {
            return Err(KeyError::NoUsableKey);
        }
        let count = usable.len();
        usable.into_iter().for_each(|key| self.push(key));
        Ok(count)
    }

    /// There is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn push(&mut self, key: Key) {
        if self.keys.len() < KEYS_MAX {
            self.keys.push(key);
        }
    }

    /// The keys that a token of this header may be signed with. One that names its key is checked with no other that
    /// has a name.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &DecodingKey> {
        let named = move |key: &&Key| match (id, key.id.as_deref()) {
            (Some(asked), Some(id)) => asked == id,
            _ => true,
        };
        self.keys.iter().filter(move |key| key.algorithms.contains(&algorithm)).filter(named).map(|key| &key.key)
    }
}

/// A secret is good for the hashes that it is no shorter than.
fn hmac_for(bytes: usize) -> Vec<Algorithm> {
    let all = [(SECRET_BYTES_MIN, Algorithm::HS256), (48, Algorithm::HS384), (64, Algorithm::HS512)];
    all.into_iter().filter(|(least, _)| bytes >= *least).map(|(_, algorithm)| algorithm).collect()
}

fn usable(jwk: &Jwk, private: bool) -> Option<Key> {
    let common = &jwk.common;
    let signs = common.public_key_use.as_ref().is_none_or(|used| *used == PublicKeyUse::Signature);
    let verifies = common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
    if !signs || !verifies {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let mut algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => RSA.to_vec(),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        AlgorithmParameters::OctetKey(_) if private => hmac_for(key.try_get_as_bytes().ok()?.len()),
        _ => return None,
    };
    // [RFC 7517-4.4] what the key says it is for.
    if let Some(named) = common.key_algorithm {
        let named = Algorithm::try_from(named).ok()?;
        algorithms.retain(|algorithm| *algorithm == named);
    }
    (!algorithms.is_empty()).then(|| Key { id: common.key_id.clone(), algorithms, key })
}
