//! `[access]` and `[[user]]`

use super::listener::Listener;
use crate::config::section::Conflict;
use crate::config::units::Secret;

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

section! {
    /// Who is let in without a login.
    pub struct Access {
        /// Where clients need no login. What counts is the address the listener is bound to, not the client's,
        /// which behind a proxy is always the proxy's. `loopback` makes a first try easy and opens nothing.
        anonymous: Anonymous = Anonymous::Loopback;
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

section! {
    /// An account. Exactly one of `password` and `password_hash` is set.
    pub struct User {
        /// The name to log in with. It must be set: the empty default is refused.
        name: String = String::new(), example "\"alice\"";
        /// The password in plain text: for a first try and for tests, because whoever reads the file has it.
        password: Option<Secret> = None, example "\"correct horse battery staple\"";
        /// The password's argon2id hash, as a PHC text: it begins `$argon2id$`. Also SCRAM keys (`SCRAM-SHA-256$...`), and
        /// hashes of Mosquitto's password file (`$7$...`, `$6$...`), which are easier to guess from.
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
            (None, Some(hash)) if !HASHES.iter().any(|known| hash.reveal().starts_with(known)) => {
                conflict("password_hash", "is no argon2id hash", "a text that begins $argon2id$", remedy)
            }
            _ => Vec::new(),
        }
    }
}
