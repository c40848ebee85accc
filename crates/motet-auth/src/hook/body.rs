//! What is asked and answered, in JSON. The page for operators is `docs/http-hook.md`.

use super::HookReply;
use crate::jwt::rules_of_claim;
use motet_core::access::{OwnRules, Question, Resource};
use motet_core::machine::Attempt;
use motet_core::principal::{Denied, Details, Principal};
use motet_core::time::WallMillis;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// The longest that the service may ask us to remember something.
const TTL_MAX_SECS: u64 = 24 * 3600;
/// Groups taken from an answer.
const GROUPS_MAX: usize = 256;

pub(super) fn login(attempt: &Attempt<'_>) -> Vec<u8> {
    let mut body = json!({
        "action": "authenticate",
        "user": attempt.user,
        "client": attempt.client,
        "address": attempt.peer.map(|peer| peer.ip().to_string()),
        "encrypted": attempt.secure.is_some(),
    });
    match attempt.password.map(std::str::from_utf8) {
        Some(Ok(text)) => body["password"] = text.into(),
        Some(Err(_)) => body["password_hex"] = hex(attempt.password.unwrap_or_default()).into(),
        None => {}
    }
    body.to_string().into_bytes()
}

pub(super) fn question(question: &Question<'_>) -> Vec<u8> {
    let (kind, what) = match question.resource {
        Resource::Name(_) => ("topic", question.resource.spelled()),
        Resource::Pattern(_) => ("filter", question.resource.spelled()),
        Resource::Queue(_) => ("queue", question.resource.spelled()),
        Resource::Exchange(_) => ("exchange", question.resource.spelled()),
    };
    let mut body = json!({
        "action": question.action.word(),
        "user": &*question.who.name,
        "client": question.who.client(),
        "groups": question.who.groups(),
    });
    body[kind] = String::from_utf8_lossy(&what).into();
    body.to_string().into_bytes()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// An answer as it is documented.
pub(super) struct Answer {
    pub(super) allow: bool,
    pub(super) ttl: Option<Duration>,
    says: Value,
}

impl Answer {
    /// None when it is none.
    pub(super) fn read(reply: &HookReply) -> Option<Self> {
        // What many frameworks say for no.
        if matches!(reply.status, 401 | 403) {
            return Some(Answer { allow: false, ttl: None, says: Value::Null });
        }
        let says: Value = (reply.status == 200).then(|| serde_json::from_slice(&reply.body).ok())??;
        let allow = match says["result"].as_str()? {
            "allow" => true,
            "deny" => false,
            _ => return None,
        };
        let ttl = says["ttl"].as_u64().map(|secs| Duration::from_secs(secs.min(TTL_MAX_SECS)));
        Some(Answer { allow, ttl, says })
    }

    /// Who the service says the peer is that calls itself `user`.
    pub(super) fn principal(self, user: &str, now: WallMillis) -> Result<Principal, Denied> {
        if !self.allow {
            return Err(Denied::BadCredentials);
        }
        let texts = |key: &str| {
            let list = self.says[key].as_array().map_or(&[][..], Vec::as_slice);
            list.iter().filter_map(Value::as_str).take(GROUPS_MAX).map(Box::from).collect()
        };
        let rules = match &self.says["acl"] {
            Value::Null => None,
            // Half of the rules may be the half that allows.
            claim => Some(rules_of_claim(claim).map_err(|_| Denied::BadCredentials)?),
        };
        let expires_at = self.says["expires_at"].as_u64().map(|secs| WallMillis(secs.saturating_mul(1000)));
        if expires_at.is_some_and(|at| at <= now) {
            return Err(Denied::BadCredentials);
        }
        let details = Details {
            groups: texts("groups"),
            tags: texts("tags"),
            expires_at,
            rules: rules.map(|rules| Arc::new(OwnRules { rules, only: false })),
        };
        Ok(Principal::named(self.says["user"].as_str().unwrap_or(user)).with(details))
    }
}
