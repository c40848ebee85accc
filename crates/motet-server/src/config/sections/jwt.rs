//! `[jwt]`

use std::path::PathBuf;
use std::time::Duration;

use crate::config::section::Conflict;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

choice! {
    /// What the access rules in a token count for.
    pub enum JwtRules {
        /// They are asked first, then those of the configuration.
        First = "first",
        /// They alone are asked; a token without rules allows nothing.
        Only = "only",
        /// They are not looked at.
        Ignored = "ignored",
    }
}

section! {
    /// JSON Web Tokens in place of passwords, and by the method OAUTHBEARER. On as soon as one key is named. A connection
    /// ends when its token does, unless the client has authenticated again. See docs/jwt.md.
    pub struct Jwt {
        /// File with a secret shared with the issuer, for HS256 (at least 32 bytes), HS384 (48) and HS512 (64); taken as
        /// it is but for a line end at the end.
        secret_file: Option<PathBuf> = None, example "\"/etc/motet/jwt.secret\"";
        /// PEM files with public keys of the issuer: RSA (RS256, RS384, RS512, PS256, PS384, PS512), P-256 (ES256), P-384
        /// (ES384), Ed25519 (EdDSA).
        key_files: Vec<PathBuf> = Vec::new();
        /// File with a JSON Web Key Set.
        jwks_file: Option<PathBuf> = None, example "\"/etc/motet/jwks.json\"";
        /// Where the issuer publishes its key set. Until it was fetched for the first time its tokens are refused; when
        /// it cannot be fetched again the keys stay.
        jwks_url: Option<String> = None, example "\"https://login.example.org/.well-known/jwks.json\"";
        /// How often the key set is fetched again. Issuers announce a new key hours before they use it.
        jwks_refresh: Duration = 10 * Duration::from_secs(60), within SECOND..=24 * HOUR;
        /// PEM file with the roots that the URL's certificate must lead to, in place of the system's.
        ca_file: Option<PathBuf> = None, example "\"/etc/motet/issuer-ca.pem\"";
        /// The issuers (`iss`) whose tokens are taken; none for any.
        issuers: Vec<String> = Vec::new();
        /// The audiences (`aud`) of which a token must name one; none for any.
        audiences: Vec<String> = Vec::new();
        /// By how much the clocks of issuer and server may differ.
        leeway: Duration = 30 * SECOND, within Duration::ZERO..=HOUR;
        /// Whether a token without `exp` is refused: one that is lost would be good for ever.
        needs_expiry: bool = true;
        /// The claim with the user's name; a dot steps into an object.
        user_claim: String = "sub".into();
        /// Whether a user name given beside the token must be the token's. The token's name counts in any case.
        user_must_match: bool = false;
        /// The claim that must be the MQTT client identifier; not asked for when it is not set.
        client_claim: Option<String> = None, example "\"client_id\"";
        /// The claim with the groups for `group:` in access rules: a list, or a text with spaces between them.
        groups_claim: String = "groups".into();
        /// The claim with access rules.
        rules_claim: String = "acl".into();
        /// What these count for.
        rules: JwtRules = JwtRules::First;
    }
    verified Jwt::conflicts
}

impl Jwt {
    /// Some key is named.
    pub fn is_on(&self) -> bool {
        self.secret_file.is_some() || !self.key_files.is_empty() || self.jwks_file.is_some() || self.jwks_url.is_some()
    }

    fn conflicts(&self) -> Vec<Conflict> {
        let url = self.jwks_url.as_deref().filter(|url| !crate::outcall::is_url(url));
        url.map(|url| Conflict {
            key: "jwks_url",
            wrong: format!("is {url:?}"),
            expected: "a URL that begins http:// or https://".into(),
            remedy: "write the whole URL of the key set".into(),
        })
        .into_iter()
        .collect()
    }
}
