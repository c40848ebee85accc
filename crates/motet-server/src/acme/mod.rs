//! Certificates that the server fetches and renews itself. [RFC8555]
//!
//! ```text
//!   schedule ─▶ order ──(courier: HTTPS, bounded)──▶ authority ──▶ asks our listeners: answers
//!                 │ key and chain in one file                       HTTP-01 in `http`, TLS-ALPN-01 in `tls`
//!                 ▼
//!               shelf (data_dir/acme) ──▶ the listeners' certificates are read again ──▶ new handshakes
//! ```
//! One task, which sleeps until something is due. Whatever fails is told and tried again later; what was shown before
//! stays: the former certificate, or the self-signed one of the first run.

mod answers;
mod board;
mod courier;
mod fetcher;
mod order;
mod schedule;
mod settings;
mod shelf;
#[cfg(test)]
mod tests;

pub(crate) use answers::CHALLENGE_PATH;
pub(crate) use board::{Board, LastResult};
pub(crate) use fetcher::Fetcher;
pub(crate) use shelf::Kept;
