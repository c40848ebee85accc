//! JSON Web Tokens [RFC 7519] instead of passwords: signed by somebody we trust, good for a while.
//!
//! ```text
//!  password that looks like a token ─▶ header: key id, algorithm ─▶ a key that is for this algorithm ─▶ signature
//!        ─▶ exp, nbf, iat, iss, aud ─▶ user, groups, rules, expiry ─▶ Principal
//! ```
//! The key decides which algorithms it is good for, never the token: a token "signed" by a public key taken as a shared
//! secret is refused, and so is one without a signature [RFC 8725-3.1]. The time is an argument.

mod bearer;
mod claims;
mod keys;

pub(crate) use bearer::Bearer;
pub use bearer::OAUTHBEARER;
pub use claims::{ClaimError, rules_of_claim};
pub use keys::{JWKS_BYTES_MAX, KEYS_MAX, KeyError, TokenKeys};

use claims::Claims;
use jsonwebtoken::{Validation, decode, decode_header};
use motet_core::access::OwnRules;
use motet_core::principal::{Details, Principal};
use motet_core::time::WallMillis;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a token; those of large companies with many groups have a few thousand.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Keys tried for a token that does not name its key.
const TRIES_MAX: usize = 4;

/// What the rules in a token count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TokenRules {
    /// They are asked first, then the server's.
    #[default]
    First,
    /// They alone are asked; a token without rules allows nothing.
    Only,
    /// They are not looked at.
    Ignored,
}

/// What a token must say, and where it says what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenConfig {
    /// One of these must be its `iss`; empty for any.
    pub issuers: Vec<String>,
    /// One of these must be among its `aud`; empty for any.
    pub audiences: Vec<String>,
    /// Seconds by which the clocks may differ.
    pub leeway: Duration,
    /// A token without `exp` is refused.
    pub needs_expiry: bool,
    /// Where the user's name is; a dot steps into an object.
    pub user_claim: String,
    /// A user name that the peer gives beside the token must be the token's.
    pub user_must_match: bool,
    /// Where the client's name is, which must be the peer's; none for any.
    pub client_claim: Option<String>,
    /// Where the groups are: a list, or one text with spaces between them.
    pub groups_claim: String,
    /// Where the access rules are.
    pub rules_claim: String,
    /// What they count for.
    pub rules: TokenRules,
}

impl Default for TokenConfig {
    fn default() -> Self {
        TokenConfig {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            needs_expiry: true,
            user_claim: "sub".into(),
            user_must_match: false,
            client_claim: None,
            groups_claim: "groups".into(),
            rules_claim: "acl".into(),
            rules: TokenRules::First,
        }
    }
}

/// Why a token is not accepted. For the operator's log; the peer learns only that it was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Not three parts of base64 with JSON in them, of an algorithm we know.
    #[error("not a token of a known algorithm")]
    Malformed,
    /// No key of this id is for this algorithm.
    #[error("no key of ours is for it")]
    NoKey,
    /// The signature is wrong.
    #[error("the signature is wrong")]
    Signature,
    /// `exp` has passed, or is missing where it is needed.
    #[error("it has expired, or does not say when it does")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("it is not valid yet")]
    TooEarly,
    /// `iss` or `aud` is none of those configured.
    #[error("it is of another issuer, or for somebody else")]
    NotForUs,
    /// It names no user, or another one than the peer, or another client.
    #[error("it names no user, or another user or client than the peer")]
    OtherPeer,
    /// Its rules cannot be read.
    #[error(transparent)]
    Rules(#[from] ClaimError),
}

/// Who else the peer says it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// The user name beside the token.
    pub user: Option<&'a str>,
    /// What the client calls itself, where its protocol has such a name.
    pub client: Option<&'a str>,
    /// Whom the peer's certificate names: a token of anybody else is not theirs, whatever else is configured.
    pub holder: Option<&'a str>,
}

/// Checks tokens. Keys may be replaced while it does.
#[derive(Debug)]
pub struct Tokens {
    config: TokenConfig,
    keys: RwLock<Arc<TokenKeys>>,
}

impl Tokens {
    /// Checks by `config`, with these keys to begin with.
    pub fn new(config: TokenConfig, keys: TokenKeys) -> Self {
        Tokens { config, keys: RwLock::new(Arc::new(keys)) }
    }

    /// Replaces the keys. Connections that are in stay.
    pub fn set_keys(&self, keys: TokenKeys) {
        *self.keys.write() = Arc::new(keys);
    }

    /// The text is meant as a token, right or wrong.
    pub fn looks_like_one(text: &[u8]) -> bool {
        // "eyJ" is how `{"` begins in base64.
        text.starts_with(b"eyJ") && text.iter().filter(|&&byte| byte == b'.').count() == 2
    }

    /// Who this token says the peer is.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn verify(&self, token: &[u8], beside: Beside<'_>, now: WallMillis) -> Result<Principal, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let claims = self.signed(token)?;
        self.in_time(&claims, now)?;
        self.for_us(&claims)?;
        let user = claims.text(&self.config.user_claim).filter(|user| !user.is_empty()).ok_or(TokenError::OtherPeer)?;
        if self.config.user_must_match && beside.user.is_some_and(|given| given != user) {
            return Err(TokenError::OtherPeer);
        }
        if beside.holder.is_some_and(|holder| holder != user) {
            return Err(TokenError::OtherPeer);
        }
        if let Some(claim) = &self.config.client_claim
            && (beside.client.is_none() || claims.text(claim) != beside.client)
        {
            return Err(TokenError::OtherPeer);
        }
        let details = Details {
            groups: claims.words(&self.config.groups_claim),
            tags: Vec::new(),
            expires_at: claims
                .seconds("exp")
                .map(|secs| WallMillis(secs.saturating_mul(1000)).after(self.config.leeway)),
            rules: self.rules(&claims)?.map(Arc::new),
        };
        Ok(Principal::named(user).with(details))
    }

    fn signed(&self, token: &[u8]) -> Result<Claims, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        // [RFC 7515-4.1.11] what is critical and unknown to us makes it invalid.
        if header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let keys = self.keys.read().clone();
        let mut wrong = TokenError::NoKey;
        for key in keys.candidates(header.kid.as_deref(), header.alg).take(TRIES_MAX) {
            let mut validation = Validation::new(header.alg);
            // Times, issuer and audience are looked at below, by the clock that is given to us.
            validation.validate_exp = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            match decode::<serde_json::Map<String, serde_json::Value>>(token, key, &validation) {
                Ok(decoded) => return Ok(Claims(decoded.claims)),
                Err(_) => wrong = TokenError::Signature,
            }
        }
        Err(wrong)
    }

    fn in_time(&self, claims: &Claims, now: WallMillis) -> Result<(), TokenError> {
        let (now, leeway) = (now.0 / 1000, self.config.leeway.as_secs());
        match claims.seconds("exp") {
            Some(exp) if now >= exp.saturating_add(leeway) => return Err(TokenError::Expired),
            None if self.config.needs_expiry || claims.has("exp") => return Err(TokenError::Expired),
            _ => {}
        }
        let early = |claim| match claims.seconds(claim) {
            Some(from) => from > now.saturating_add(leeway),
            None => claims.has(claim),
        };
        if early("nbf") || early("iat") { Err(TokenError::TooEarly) } else { Ok(()) }
    }

    fn for_us(&self, claims: &Claims) -> Result<(), TokenError> {
        let TokenConfig { issuers, audiences, .. } = &self.config;
        let issuer = issuers.is_empty() || claims.text("iss").is_some_and(|iss| issuers.iter().any(|one| one == iss));
        let audience =
            audiences.is_empty() || claims.list("aud").iter().any(|aud| audiences.iter().any(|one| one == aud));
        if issuer && audience { Ok(()) } else { Err(TokenError::NotForUs) }
    }

    fn rules(&self, claims: &Claims) -> Result<Option<OwnRules>, TokenError> {
        let only = match self.config.rules {
            TokenRules::Ignored => return Ok(None),
            TokenRules::First => false,
            TokenRules::Only => true,
        };
        match claims.get(&self.config.rules_claim) {
            Some(claim) => Ok(Some(OwnRules { rules: rules_of_claim(claim)?, only })),
            None => Ok(only.then(|| OwnRules { rules: Vec::new(), only })),
        }
    }
}

#[cfg(test)]
mod tests;
