//! `[access]`, `[[access.rule]]`, `[[access.signature]]` and `[[user]]`

use super::listener::Listener;
use crate::access::{place_of, rule_of};
use crate::config::section::Conflict;
use crate::config::units::Secret;
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
        /// The password's argon2id hash, as a PHC text: it begins `$argon2id$`.
        password_hash: Option<Secret> = None, example "\"$argon2id$v=19$m=19456,t=2,p=1$...\"";
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
            (None, Some(hash)) if !hash.reveal().starts_with("$argon2id$") => {
                conflict("password_hash", "is no argon2id hash", "a text that begins $argon2id$", remedy)
            }
            _ => Vec::new(),
        }
    }
}
