//! One fuzz target for tokens: as they come, and with any claims under a good signature.

use crate::{Beside, TOKEN_BYTES_MAX, TokenConfig, TokenKeys, Tokens};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use motet_core::time::WallMillis;
use serde_json::Value;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: WallMillis = WallMillis(1_700_000_000_000);

/// Takes `data` as a token, and as the claims of one that is signed.
///
/// # Panics
/// If the token is believed without a signature, or a believed one names nobody.
#[doc(hidden)]
pub fn fuzz_token(data: &[u8]) {
    let mut keys = TokenKeys::default();
    keys.add_secret(SECRET).expect("the secret is long enough");
    let config = TokenConfig { needs_expiry: false, client_claim: None, ..TokenConfig::default() };
    let tokens = Tokens::new(config, keys);
    // A mutation of a signed one that is still right is beyond any fuzzer.
    assert!(tokens.verify(data, Beside::default(), NOW).is_err(), "nothing here is signed");
    let Ok(claims) = serde_json::from_slice::<Value>(data) else { return };
    let Ok(token) = encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET)) else { return };
    if let Ok(principal) = tokens.verify(token.as_bytes(), Beside::default(), NOW) {
        assert!(!principal.name.is_empty() && token.len() <= TOKEN_BYTES_MAX);
    }
}
