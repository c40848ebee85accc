//! Message integrity: an address may ask that each message carry an HMAC-SHA256 over its address and payload.
//!
//! The header or user property `x-signature` is `<key id>:<64 hexadecimal digits>`. What is signed is the address in
//! MQTT's spelling, a zero byte, the payload; so a message cannot be moved to another address. It can be sent again.

use hmac::{Hmac, Mac as _};
use motet_core::access::SignatureCheck;
use motet_core::name::Name;
use motet_core::pattern::Pattern;
use motet_core::spelling::mqtt;
use sha2::Sha256;
use std::fmt;

/// Bytes of a signing key: as many as its hash has [RFC 2104-3].
pub const SIGNING_KEY_BYTES_MIN: usize = 32;
const DIGEST_BYTES: usize = 32;

/// A key by which messages may be signed.
#[derive(Clone)]
pub struct SigningKey {
    id: Box<str>,
    mac: Hmac<Sha256>,
}

impl SigningKey {
    /// A key of this id; `None` when it is shorter than [`SIGNING_KEY_BYTES_MIN`].
    pub fn new(id: &str, key: &[u8]) -> Option<Self> {
        let mac = Hmac::new_from_slice(key).ok().filter(|_| key.len() >= SIGNING_KEY_BYTES_MIN)?;
        Some(SigningKey { id: id.into(), mac })
    }
}

/// Only the id: a key never reaches a log.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SigningKey").field(&self.id).finish()
    }
}

/// Which addresses ask for a signature, by which keys.
#[derive(Debug, Clone, Default)]
pub struct Signatures {
    required: Vec<(Vec<Pattern>, Vec<SigningKey>)>,
}

impl Signatures {
    /// Messages to these addresses are signed by one of these keys. Where several such calls name an address, any of
    /// their keys is good.
    pub fn require(&mut self, addresses: Vec<Pattern>, keys: Vec<SigningKey>) {
        self.required.push((addresses, keys));
    }

    /// No address asks for one.
    pub fn is_empty(&self) -> bool {
        self.required.is_empty()
    }

    fn keys(&self, name: &Name) -> impl Iterator<Item = &SigningKey> {
        let of = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(name));
        self.required.iter().filter(move |(patterns, _)| of(patterns)).flat_map(|(_, keys)| keys)
    }
}

impl SignatureCheck for Signatures {
    fn is_required(&self, name: &Name) -> bool {
        self.keys(name).next().is_some()
    }

    fn verify(&self, name: &Name, payload: &[u8], signature: Option<&[u8]>) -> bool {
        let Some((id, digest)) = signature.and_then(parse) else { return false };
        let mut address = Vec::new();
        if mqtt::encode_name(name, &mut address).is_err() {
            return false;
        }
        self.keys(name).filter(|key| key.id.as_bytes() == id).any(|key| {
            let signed = key.mac.clone().chain_update(&address).chain_update([0]).chain_update(payload);
            // In constant time.
            signed.verify_slice(&digest).is_ok()
        })
    }
}

fn parse(signature: &[u8]) -> Option<(&[u8], [u8; DIGEST_BYTES])> {
    let colon = signature.iter().rposition(|&byte| byte == b':')?;
    let (id, hex) = (&signature[..colon], &signature[colon + 1..]);
    if hex.len() != 2 * DIGEST_BYTES {
        return None;
    }
    let mut digest = [0; DIGEST_BYTES];
    for (byte, pair) in digest.iter_mut().zip(hex.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some((id, digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with: printf 'a/b\0hello' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef
    const DIGEST: &str = "c481734d008569ad99472b8e0f67dd41e0efceb86003403fdefebc407f60f4bc";

    fn signatures() -> Signatures {
        let mut signatures = Signatures::default();
        let key = SigningKey::new("k1", b"0123456789abcdef0123456789abcdef").unwrap();
        signatures.require(vec![mqtt::decode_pattern("a/#").unwrap()], vec![key]);
        signatures
    }

    fn verify(topic: &str, payload: &[u8], signature: &str) -> bool {
        signatures().verify(&mqtt::decode_name(topic).unwrap(), payload, Some(signature.as_bytes()))
    }

    #[test]
    fn a_signature_is_good_for_one_address_and_payload() {
        assert!(verify("a/b", b"hello", &format!("k1:{DIGEST}")));
        assert!(verify("a/b", b"hello", &format!("k1:{}", DIGEST.to_uppercase())));
        assert!(!verify("a/c", b"hello", &format!("k1:{DIGEST}")));
        assert!(!verify("a/b", b"hallo", &format!("k1:{DIGEST}")));
        assert!(!verify("a/b", b"hello", &format!("k2:{DIGEST}")));
        for malformed in ["", "k1:", DIGEST, "k1:zz", &format!("k1:{DIGEST}0"), &format!("k1:{}g", &DIGEST[1..])] {
            assert!(!verify("a/b", b"hello", malformed), "{malformed}");
        }
        assert!(!signatures().verify(&mqtt::decode_name("a/b").unwrap(), b"hello", None));
    }

    #[test]
    fn only_the_addresses_named_ask_for_one() {
        assert!(signatures().is_required(&mqtt::decode_name("a").unwrap()));
        assert!(!signatures().is_required(&mqtt::decode_name("b").unwrap()));
        assert!(SigningKey::new("k", b"short").is_none());
    }
}
