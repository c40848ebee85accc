//! Who is this peer.
//!
//! ```text
//!  machine ── check(attempt, ticket) ─▶ Directory ─┬─ anonymous: by policy ──────────────▶ at once
//!                                                  ├─ waits after failures ── Busy ──────▶ at once
//!                                                  ├─ remembered, right or wrong ────────▶ at once
//!                                                  ├─ configured in plain text, right ───▶ at once
//!                                                  └─ Argon2id, or a wrong login ─┐
//!  machine ◀─ Notice::Authenticated(ticket, answer) ─ mailbox ◀─ a few threads ◀──┴─ bounded queue ─ full: Busy
//! ```
//! | where | what |
//! |---|---|
//! | [`Accounts`], [`StoredPassword`] | the users and what is kept instead of their passwords |
//! | [`Directory`] | the [`Authenticator`](motet_core::machine::Authenticator) that machines ask |
//! | [`AuthConfig`] | what an operator can decide, and every bound |
//! | [`Front`] | who is asked first: tokens, the directory, the hook |
//! | [`Tokens`], [`TokenKeys`] | JSON Web Tokens |
//! | [`Hook`] | somebody else's service, for logins and for rights |
//! | [`Signatures`] | addresses that take signed messages only |
//! | [`sasl`] | SCRAM and its simpler siblings as values; [`Directory`] speaks them as dialogues |
//! | [`x509`] | who a certificate says its holder is |
//! | [`record`] | an account as bytes, for a store |
//! | `cache` | logins whose answer is known |
//! | `guard` | back-off and ban |
//! | `present` | whose connections are whose |
//! | `pool` | the threads and the queue in front of them |
//!
//! Why passwords are kept the way they are: `docs/decisions/0003-passwords.md`.
//!
//! ```
//! use motet_auth::{Accounts, AuthConfig, Directory, StoredPassword};
//! use motet_core::machine::{Attempt, Authenticator};
//! use motet_core::mailbox::{Mailbox, Overflow};
//! use motet_core::time::Instant;
//!
//! let mut accounts = Accounts::new();
//! accounts.add("alice", StoredPassword::from_plain(b"swordfish")?)?;
//! let directory = Directory::new(AuthConfig::default(), accounts, || Instant::START)?;
//!
//! let mailbox = Mailbox::new(1024, Overflow::DropNewest);
//! let attempt = Attempt { user: Some("alice"), password: Some(b"swordfish"), client: None, peer: None, loopback: true, secure: None };
//! let answer = directory.check(attempt, 1, &mailbox).expect("plain accounts answer at once");
//! assert_eq!(&*answer?.name, "alice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod accounts;
mod cache;
mod config;
mod directory;
mod front;
mod fuzz;
mod generations;
mod guard;
mod hook;
mod jwt;
mod mac;
mod password;
mod pool;
mod present;
pub mod record;
pub mod sasl;
mod signatures;
mod tags;
pub mod x509;

pub use accounts::{AccountError, Accounts, Listed, Origin, USER_BYTES_MAX};
pub use config::{Anonymous, AuthConfig, SaltKey};
pub use directory::{Counters, Directory, Outdated, StartError};
pub use front::Front;
pub use fuzz::fuzz_token;
pub use guard::Ban;
pub use hook::{Clocks, Courier, HOOK_ANSWER_BYTES_MAX, Hook, HookConfig, HookCounters, HookPurpose, HookReply};
pub use jwt::{
    Beside, ClaimError, JWKS_BYTES_MAX, KEYS_MAX, KeyError, OAUTHBEARER, TOKEN_BYTES_MAX, TokenConfig, TokenError,
    TokenKeys, TokenRules, Tokens, rules_of_claim,
};
pub use password::{
    Argon2idHash, KeyedHash, Make, MosquittoHash, PASSWORD_BYTES_MAX, PasswordError, RabbitAlgorithm, RabbitHash,
    ScramSet, StoredPassword, argon2id_phc,
};
pub use signatures::{SIGNING_KEY_BYTES_MIN, Signatures, SigningKey};
pub use tags::{Tag, Tags, UnknownTag};
