//! SCRAM, the server's side, as a value. [RFC 5802], [RFC 7677]
//!
//! ```text
//!   client-first ─▶ ClientFirst::read ─▶ who is it? (keys, or decoy keys) ─▶ challenge ─▶ server-first
//!   client-final ─▶ Exchange::finish ─▶ server-final, or an error of [RFC 5802 §7]
//! ```
//! The server never sees a password: what it stores verifies a client and cannot be used to log in elsewhere.
//!
//! ```
//! use motet_auth::sasl::scram::{ClientFirst, Mechanism, ScramHash, ScramKeys};
//!
//! let keys = ScramKeys::derive(ScramHash::Sha256, "pencil", b"a salt of any kind", 4096)?;
//! let first = ClientFirst::read(Mechanism::named("SCRAM-SHA-256").unwrap(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO", false)?;
//! let (server_first, exchange) = first.challenge(keys, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
//! assert!(server_first.starts_with("r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s="));
//! assert!(exchange.finish(b"c=biws,r=guessed,p=AAAA", None).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod exchange;
mod hash;
mod keys;
#[cfg(test)]
pub(crate) mod tests;

pub use error::ScramError;
pub use exchange::{Binding, ClientFirst, Exchange, Mechanism};
pub use hash::ScramHash;
pub use keys::{ITERATIONS_MAX, ITERATIONS_MIN, ScramKeys};
