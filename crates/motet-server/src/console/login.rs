//! Who asks: by Basic with an account [RFC7617], by Bearer with a token of the configured issuer [RFC6750], or by the
//! token of the data directory.

use super::Caller;
use crate::endpoint::Endpoint;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use motet_auth::{Tag, Tags};
use motet_console::{Asker, Refusal};
use motet_core::access::{Actions, OwnRules, Places, Rule, Who};
use motet_core::engine::Engine;
use motet_core::machine::Attempt;
use motet_core::mailbox::{Mailbox, Notice, Overflow};
use motet_core::principal::{Denied, Details, Principal};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a slow hash may take, or somebody who is asked.
const CHECKED_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of credentials at most: a token of 16 KiB would not fit the head of the request.
const CREDENTIALS_BYTES_MAX: usize = 16 << 10;

/// What a request brings along.
pub(super) struct Credentials {
    /// None for a token alone.
    user: Option<String>,
    password: Vec<u8>,
}

/// None where there are none, or none of a form we know.
pub(super) fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let given = headers.get(AUTHORIZATION)?.to_str().ok().filter(|given| given.len() <= CREDENTIALS_BYTES_MAX)?;
    let (scheme, rest) = given.split_once(' ')?;
    // A scheme is compared without regard to case. [RFC9110-11.1]
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(Credentials { user: None, password: rest.trim().as_bytes().to_vec() });
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    basic(rest)
}

/// User and password with a colon between them, in base64.
pub(super) fn basic(given: &str) -> Option<Credentials> {
    let given = Some(given.trim()).filter(|given| given.len() <= CREDENTIALS_BYTES_MAX)?;
    let decoded = BASE64_STANDARD.decode(given).ok()?;
    // A user has no colon, a password may. [RFC7617-2]
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(decoded[..colon].to_vec()).ok()?;
    Some(Credentials { user: Some(user), password: decoded[colon + 1..].to_vec() })
}

/// Whoever can read the data directory may do everything.
pub(super) fn owner() -> Asker {
    let everything = Rule {
        number: 0,
        who: vec![Who::Everyone],
        actions: Actions::ALL,
        places: Places::default(),
        vhosts: Vec::new(),
        allow: true,
    };
    let rules = Some(Arc::new(OwnRules { rules: vec![everything], only: true }));
    let principal = Principal::anonymous().with(Details { rules, ..Details::default() });
    Asker { principal, tags: Tags::NONE.with(Tag::Administrator) }
}

/// # Errors
/// RabbitMQ's "Login failed"; or nobody has time to check.
pub(super) async fn check<E: Engine>(
    endpoint: &Endpoint<E>,
    credentials: Credentials,
    from: &Caller,
) -> Result<Asker, Refusal> {
    let house = &endpoint.house;
    let mailbox = Mailbox::new(0, Overflow::DropNewest);
    let attempt = Attempt {
        user: credentials.user.as_deref(),
        password: Some(&credentials.password),
        client: None,
        peer: from.peer,
        loopback: endpoint.loopback,
        // A certificate that was revoked since the handshake says nothing any more.
        secure: from.secure.as_deref().filter(|shown| !shown.is_revoked()).map(|shown| &shown.secure),
    };
    let answer = match house.auth.check(attempt, 1, &mailbox) {
        Some(answer) => answer,
        None => timeout(CHECKED_WITHIN, awaited(&mailbox)).await.unwrap_or(Err(Denied::Busy)),
    };
    let principal = match answer {
        Ok(principal) if !principal.is_anonymous() => principal,
        Err(Denied::Busy | Denied::Quota | Denied::RateExceeded) => {
            return Err(Refusal::unavailable("too many logins at the moment"));
        }
        Ok(_) | Err(_) => return Err(Refusal::login_failed()),
    };
    let known = house.accounts.tags(&principal.name, endpoint.loopback);
    let words = principal.tags().iter().filter_map(|word| Tag::ALL.into_iter().find(|tag| tag.word() == &**word));
    let tags = words.fold(known, Tags::with);
    Ok(Asker { principal, tags })
}

async fn awaited(mailbox: &Arc<Mailbox>) -> Result<Principal, Denied> {
    let mut notices = Vec::new();
    loop {
        poll_fn(|cx| mailbox.poll_notice(cx.waker())).await;
        mailbox.take_notices(&mut notices);
        for notice in notices.drain(..) {
            if let Notice::Authenticated(_, answer) = notice {
                return answer;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn read(given: &'static str) -> Option<(Option<String>, String)> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(given))]);
        let Credentials { user, password } = credentials(&headers)?;
        Some((user, String::from_utf8(password).unwrap()))
    }

    #[test]
    fn credentials_are_read_from_both_schemes() {
        assert_eq!(read("Basic Z3Vlc3Q6Z3U6ZXN0"), Some((Some("guest".into()), "gu:est".into())));
        assert_eq!(read("bEARER abc.def"), Some((None, "abc.def".into())));
        for other in ["Digest x", "Basic", "Basic !!", "Basic Z3Vlc3Q="] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
