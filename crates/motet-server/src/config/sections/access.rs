//! `[access]`, `[[access.rule]]`, `[[access.signature]]` and `[[user]]`

use super::listener::Listener;
use crate::access::{place_of, rule_of};
use crate::config::section::Conflict;
use crate::config::setting::Setting as _;
use crate::config::units::Secret;
use motet_auth::sasl::scram::ScramHash;
use motet_auth::{Make, Tags};
use std::path::PathBuf;

choice! {
    /// Where clients are let in without a login.
    pub enum Anonymous {
        /// On listeners bound to loopback, because only this machine reaches them.
        Loopback = "loopback",
        /// Nowhere.
        Never = "never",
        /// Everywhere, other machines included.
        Always = "always",
    }
}

choice! {
    /// What holds where no rule decides.
    pub enum AccessDefault {
        /// Everything is allowed as long as every listener is bound to loopback, else nothing is.
        Loopback = "loopback",
        /// Everything is allowed, to other machines too.
        Allow = "allow",
        /// Nothing is allowed.
        Deny = "deny",
    }
}

section! {
    /// Who is let in without a login, and who may do what. Read again on reload, without dropping a connection;
    /// `motet acl explain` tells which rule decides. See docs/access-rules.md.
    pub struct Access {
        /// Where clients need no login. What counts is the address the listener is bound to, not the client's,
        /// which behind a proxy is always the proxy's. `loopback` makes a first try easy and opens nothing.
        anonymous: Anonymous = Anonymous::Loopback;
        /// What holds where no rule, no permission and no hook decides.
        default: AccessDefault = AccessDefault::Loopback;
        /// Who may do what; the first entry that decides is the answer.
        rule: Vec<AccessRule> = Vec::new();
        /// Topics that take only messages with a good signature.
        signature: Vec<Signature> = Vec::new();
    }
}

impl Access {
    /// Whether a client on this listener is let in without a login.
    pub fn admits_anonymous(&self, listener: &Listener) -> bool {
        match self.anonymous {
            Anonymous::Loopback => listener.is_loopback(),
            Anonymous::Never => false,
            Anonymous::Always => true,
        }
    }
}

/// How the texts begin that an account can have instead of its password.
const HASHES: [&str; 4] = ["$argon2id$", "SCRAM-", "$7$", "$6$"];

choice! {
    /// What is kept of a password.
    pub enum KeyKind {
        /// An Argon2id hash; it stands alone.
        Argon2id = "argon2id",
        /// Keys for SCRAM-SHA-1, which every XMPP client speaks.
        ScramSha1 = "scram-sha-1",
        /// Keys for SCRAM-SHA-256.
        ScramSha256 = "scram-sha-256",
        /// Keys for SCRAM-SHA-512.
        ScramSha512 = "scram-sha-512",
    }
}

/// Kinds by their words, as programs give them.
///
/// # Errors
/// A sentence: an unknown word, or kinds that do not go together.
pub fn key_kinds<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Vec<KeyKind>, String> {
    let all = [KeyKind::Argon2id, KeyKind::ScramSha1, KeyKind::ScramSha256, KeyKind::ScramSha512];
    let kind = |word: &str| {
        let found = all.into_iter().find(|kind| kind.word() == word);
        found.ok_or_else(|| format!("{word:?} is no kind of key; expected {}", KeyKind::expected()))
    };
    let kinds = words.into_iter().map(kind).collect::<Result<Vec<_>, _>>()?;
    match keys_conflict(&kinds) {
        Some(wrong) => Err(format!("the list of keys {wrong}: an account keeps either an Argon2id hash or SCRAM keys")),
        None => Ok(kinds),
    }
}

/// What is wrong with a list of them.
pub(super) fn keys_conflict(kinds: &[KeyKind]) -> Option<&'static str> {
    let twice = (0..kinds.len()).any(|at| kinds[..at].contains(&kinds[at]));
    match kinds {
        [] => Some("is empty"),
        _ if twice => Some("names one twice"),
        _ if kinds.len() > 1 && kinds.contains(&KeyKind::Argon2id) => Some("has argon2id beside SCRAM keys"),
        _ => None,
    }
}

pub(super) fn keys_refused(key: &'static str, wrong: &str) -> Conflict {
    Conflict {
        key,
        wrong: wrong.into(),
        expected: "[\"argon2id\"], or SCRAM kinds, each once".into(),
        // The quickest of them is what a thief would guess against.
        remedy: "an account keeps either an Argon2id hash or SCRAM keys: choose one".into(),
    }
}

/// What to make of a new password.
pub(crate) fn make(kinds: &[KeyKind], iterations: u32) -> Make {
    let hash = |kind: &KeyKind| match kind {
        KeyKind::Argon2id => None,
        KeyKind::ScramSha1 => Some(ScramHash::Sha1),
        KeyKind::ScramSha256 => Some(ScramHash::Sha256),
        KeyKind::ScramSha512 => Some(ScramHash::Sha512),
    };
    match kinds.iter().map(hash).collect::<Option<Vec<_>>>() {
        Some(hashes) => Make::Scram(hashes, iterations),
        None => Make::Argon2id,
    }
}

section! {
    /// One access rule. An allowing one decides when it covers all that is asked, a refusing one when it meets some of
    /// it. Without topics, routing keys, queues and exchanges it holds everywhere.
    pub struct AccessRule {
        /// Whom it speaks of: `everyone`, `anonymous`, `users` (whoever has logged in), `user:NAME`, `group:NAME` (of a
        /// token or a hook's answer), `tag:NAME`. Any of them.
        who: Vec<String> = vec!["everyone".into()];
        /// What it allows: `publish`, `subscribe`, `consume`, `configure`, or `all`.
        allow: Vec<String> = Vec::new();
        /// What it refuses: the same words.
        deny: Vec<String> = Vec::new();
        /// Topics in MQTT's spelling, with `+` and `#`. `%u` stands for the user, `%c` for the client identifier, each
        /// within one level whatever it contains.
        topics: Vec<String> = Vec::new();
        /// Topics in AMQP's spelling, with `*` and `#`; the same placeholders.
        routing_keys: Vec<String> = Vec::new();
        /// Queues: their names as words between dots, with `*` and `#`.
        queues: Vec<String> = Vec::new();
        /// Exchanges, likewise.
        exchanges: Vec<String> = Vec::new();
        /// Virtual hosts it holds in; none for all.
        vhosts: Vec<String> = Vec::new();
    }
    verified AccessRule::conflicts
}

impl AccessRule {
    fn conflicts(&self) -> Vec<Conflict> {
        match rule_of(self, 0) {
            Ok(_) => Vec::new(),
            Err((key, wrong)) => {
                let remedy = "mend it, or remove the rule; docs/access-rules.md has examples".into();
                vec![Conflict { key, wrong, expected: "a rule as the reference describes it".into(), remedy }]
            }
        }
    }
}

section! {
    /// Topics that take only messages signed by a key: the user property or header `x-signature` is
    /// `KEY_ID:HMAC-SHA256 in hexadecimal` over the topic, a zero byte and the payload. Several entries for one topic
    /// give it several keys.
    pub struct Signature {
        /// The topics, as MQTT filters.
        topics: Vec<String> = Vec::new();
        /// The name of the key in the signature.
        key_id: String = "1".into();
        /// File with the key: at least 32 bytes, taken as they are but for a line end at the end.
        key_file: Option<PathBuf> = None, example "\"/etc/motet/signing.key\"";
    }
    verified Signature::conflicts
}

impl Signature {
    fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |key, wrong: String, expected: &str, remedy: &str| {
            vec![Conflict { key, wrong, expected: expected.into(), remedy: remedy.into() }]
        };
        if self.topics.is_empty() {
            return conflict("topics", "is empty".into(), "one filter or more", "name the topics");
        }
        if let Some(wrong) = self.topics.iter().find(|filter| place_of(filter).is_none()) {
            return conflict(
                "topics",
                format!("has {wrong:?}"),
                "MQTT topic filters",
                "write a filter such as \"a/#\"",
            );
        }
        if self.key_file.is_none() {
            return conflict("key_file", "is not set".into(), "a file with the key", "set key_file = \"...\"");
        }
        Vec::new()
    }
}

section! {
    /// An account. Exactly one of `password` and `password_hash` is set.
    pub struct User {
        /// The name to log in with. It must be set: the empty default is refused.
        name: String = String::new(), example "\"alice\"";
        /// The password in plain text: for a first try and for tests, because whoever reads the file has it.
        password: Option<Secret> = None, example "\"correct horse battery staple\"";
        /// What `motet user hash` makes of the password: an argon2id hash as a PHC text, which begins `$argon2id$`, or
        /// SCRAM keys, which begin `SCRAM-` and are separated by spaces. Hashes of Mosquitto's password file (`$7$...`,
        /// `$6$...`) are taken too; they are easier to guess from.
        password_hash: Option<Secret> = None, example "\"$argon2id$v=19$m=19456,t=2,p=1$...\"";
        /// What the user may do beyond its messages, for the management API: `administrator`, `monitoring`,
        /// `policymaker`, `management`. None of them is an ordinary user.
        tags: Vec<String> = Vec::new();
    }
    verified User::conflicts
}

impl User {
    fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |key, wrong: &str, expected: &str, remedy: &str| {
            vec![Conflict { key, wrong: wrong.into(), expected: expected.into(), remedy: remedy.into() }]
        };
        if self.name.is_empty() {
            return conflict("name", "is not set", "the name to log in with", "add name = \"...\" to this [[user]]");
        }
        let remedy = "set `password_hash`, or `password` for a test";
        match (&self.password, &self.password_hash) {
            (None, None) => conflict("password", "is not set, nor is `password_hash`", "one of both", remedy),
            (Some(_), Some(_)) => {
                conflict("password", "is set, and so is `password_hash`", "one of both", "remove one of them")
            }
            (None, Some(hash)) if !HASHES.iter().any(|begin| hash.reveal().starts_with(begin)) => conflict(
                "password_hash",
                "is no argon2id hash, nor are it SCRAM keys",
                "a text that begins $argon2id$ or SCRAM-",
                "let `motet user hash` make it",
            ),
            _ if Tags::read(&self.tags.join(",")).is_err() => conflict(
                "tags",
                "has an unknown word",
                "administrator, monitoring, policymaker or management",
                "write such words, or remove `tags`",
            ),
            _ => Vec::new(),
        }
    }
}
