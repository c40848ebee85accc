//! OAUTHBEARER [RFC 7628]: the token as a SASL method, for MQTT's AUTH, AMQP and XMPP. Authenticating again by it is how
//! a connection outlives its first token.

use super::{Beside, Tokens};
use motet_core::machine::{Dialogue, Step};
use motet_core::mailbox::Mailbox;
use motet_core::principal::Denied;
use motet_core::time::WallMillis;
use std::fmt;
use std::sync::Arc;

/// The method's registered name.
pub const OAUTHBEARER: &str = "OAUTHBEARER";

/// One exchange: the token comes with the first message, or after an empty challenge.
pub(crate) struct Bearer {
    tokens: Arc<Tokens>,
    /// A name that the protocol carries beside the method.
    user: Option<Box<str>>,
    /// Whom the certificate names.
    holder: Option<Box<str>>,
    now: Arc<dyn Fn() -> WallMillis + Send + Sync>,
}

impl Bearer {
    pub(crate) fn new(
        tokens: Arc<Tokens>,
        user: Option<&str>,
        holder: Option<&str>,
        now: Arc<dyn Fn() -> WallMillis + Send + Sync>,
    ) -> Self {
        Bearer { tokens, user: user.map(Box::from), holder: holder.map(Box::from), now }
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

impl Dialogue for Bearer {
    fn step(&mut self, response: Option<&[u8]>, _: u64, _: &Arc<Mailbox>) -> Option<Step> {
        let Some(response) = response else { return Some(Step::Challenge(bytes::Bytes::new())) };
        let Some(token) = token_of(response) else { return Some(Step::Denied(Denied::Malformed)) };
        let beside = Beside { user: self.user.as_deref(), client: None, holder: self.holder.as_deref() };
        Some(match self.tokens.verify(token, beside, (self.now)()) {
            Ok(principal) => Step::Accepted { principal, data: None },
            Err(_) => Step::Denied(Denied::BadCredentials),
        })
    }
}

/// [RFC 7628-3.1] a GS2 header, then key=value pairs, each behind a 0x01, two of which end it. A bare token is taken as
/// well, as most MQTT clients have no library for this.
fn token_of(response: &[u8]) -> Option<&[u8]> {
    if Tokens::looks_like_one(response) {
        return Some(response);
    }
    let mut parts = response.split(|&byte| byte == 1);
    let header = parts.next()?;
    // No channel binding, since none is defined for bearer tokens.
    if !(header.starts_with(b"n,") || header.starts_with(b"y,")) || !response.ends_with(b"\x01\x01") {
        return None;
    }
    let auth = parts.find_map(|part| part.strip_prefix(b"auth="))?;
    let (scheme, token) = auth.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_in_its_wrapping() {
        let wrapped = b"n,a=ann,\x01host=h\x01auth=Bearer eyJ.a.b\x01\x01";
        assert_eq!(token_of(wrapped), Some(&b"eyJ.a.b"[..]));
        assert_eq!(token_of(b"eyJ.a.b"), Some(&b"eyJ.a.b"[..]));
        for wrong in [
            &b"n,,\x01auth=Basic x\x01\x01"[..],
            b"n,,\x01auth=Bearer x",
            b"p=tls,,\x01auth=Bearer x\x01\x01",
            b"",
            b"n,,\x01\x01",
        ] {
            assert_eq!(token_of(wrong), None, "{wrong:?}");
        }
    }
}
