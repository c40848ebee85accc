//! Who asks. `motet-auth` decides that; the core only carries it to the checks.

use crate::access::OwnRules;
use crate::time::{Instant, Now, WallMillis};
use std::sync::Arc;
use std::time::Duration;

/// A validated identity. A clone shares everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account's name; empty for an anonymous peer.
    pub name: Arc<str>,
    /// What the peer calls itself, where its protocol has such a name (MQTT's client identifier).
    client: Option<Arc<str>>,
    /// None for most: a name says all there is.
    details: Option<Arc<Details>>,
}

/// What whoever validated the peer knows beyond its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Groups it belongs to: of its account, its certificate, its token.
    pub groups: Vec<Box<str>>,
    /// Tags of its account, which say what it may administer.
    pub tags: Vec<Box<str>>,
    /// When what it showed ends. Then it shows something new, or its connection ends.
    pub expires_at: Option<WallMillis>,
    /// Access rules that it brought along, in a token.
    pub rules: Option<Arc<OwnRules>>,
}

impl Principal {
    /// A peer that gave no credentials where none are needed.
    pub fn anonymous() -> Self {
        Principal::named("")
    }

    /// An account.
    pub fn named(name: &str) -> Self {
        Principal { name: Arc::from(name), client: None, details: None }
    }

    /// The same, with what else is known of it.
    #[must_use]
    pub fn with(self, details: Details) -> Self {
        Principal { details: Some(Arc::new(details)), ..self }
    }

    /// The same, on a connection whose peer calls itself `client`: what `%c` in access rules stands for.
    #[must_use]
    pub fn on(self, client: &str) -> Self {
        Principal { client: Some(Arc::from(client)), ..self }
    }

    /// The same, on the connection that `former` is on.
    #[must_use]
    pub fn in_place_of(self, former: &Principal) -> Self {
        Principal { client: former.client.clone(), ..self }
    }

    /// No credentials were given.
    pub fn is_anonymous(&self) -> bool {
        self.name.is_empty()
    }

    /// What the peer calls itself; empty where it has no such name.
    pub fn client(&self) -> &str {
        self.client.as_deref().unwrap_or_default()
    }

    /// The same, to be kept.
    pub fn client_name(&self) -> Option<&Arc<str>> {
        self.client.as_ref()
    }

    /// The groups it belongs to.
    pub fn groups(&self) -> &[Box<str>] {
        self.details.as_deref().map_or(&[], |details| &details.groups)
    }

    /// The tags of its account.
    pub fn tags(&self) -> &[Box<str>] {
        self.details.as_deref().map_or(&[], |details| &details.tags)
    }

    /// When what it showed ends; `None` for never.
    pub fn expires_at(&self) -> Option<WallMillis> {
        self.details.as_deref().and_then(|details| details.expires_at)
    }

    /// The rules it brought along.
    pub fn rules(&self) -> Option<&OwnRules> {
        self.details.as_deref().and_then(|details| details.rules.as_deref())
    }

    /// When to look whether it has expired: [`Principal::expires_at`] by the monotonic clock. Ask again after each look,
    /// because the wall clock may have been set meanwhile.
    pub fn expiry_deadline(&self, now: Now) -> Option<Instant> {
        let left = self.expires_at()?.0.saturating_sub(now.wall.0);
        Some(now.instant + Duration::from_millis(left))
    }

    /// What it showed has ended.
    pub fn has_expired(&self, now: Now) -> bool {
        self.expires_at().is_some_and(|at| at <= now.wall)
    }
}

/// Why a peer was not let in. The text of each is for the operator's log; peers learn only the protocol's own code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Unknown user or wrong password; which of both is not told.
    #[error("unknown user or wrong password")]
    BadCredentials,
    /// Credentials are needed here and none were given.
    #[error("anonymous access is not allowed here")]
    AnonymousForbidden,
    /// Too many checks are in progress, or this peer failed too often: later.
    #[error("too many credential checks in progress")]
    Busy,
    /// A bound of the server is reached: later.
    #[error("a bound of the server is reached")]
    Quota,
    /// More log in per time than the server takes: later.
    #[error("too many logins per second")]
    RateExceeded,
    /// The method of authentication is not offered here.
    #[error("the authentication method is not offered here")]
    UnknownMethod,
    /// The peer broke the rules of its method.
    #[error("the authentication broke the rules of its method")]
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_told_by_both_clocks() {
        let at = |instant, wall| Now { instant: Instant::from_nanos(instant), wall: WallMillis(wall) };
        let expires = Details { expires_at: Some(WallMillis(5_000)), ..Details::default() };
        let ann = Principal::named("ann").with(expires);
        assert_eq!(ann.expiry_deadline(at(7, 2_000)), Some(Instant::from_nanos(3_000_000_007)));
        assert!(!ann.has_expired(at(7, 4_999)));
        assert!(ann.has_expired(at(7, 5_000)));
        assert_eq!(Principal::named("bob").expiry_deadline(at(7, 2_000)), None);
    }
}
