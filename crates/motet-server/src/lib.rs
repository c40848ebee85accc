//! Sockets, TLS, timers, configuration, the endpoint table: all that touches the outside world.
//!
//! ```text
//!   listen ──▶ admission ──▶ endpoint (carrier × machine) ──▶ driver ──▶ machine ──▶ core ──▶ store
//!                                                              ▲  worker: buffers   registry: who is here
//!                                                              └─ wheel: timers     telemetry: what happened
//! ```
//! Only this crate asks a clock, opens a socket or knows a runtime.

pub mod config;

mod admin;
mod admission;
mod alarm;
mod assemble;
mod audit;
mod backup;
mod client_tls;
mod clock;
mod driver;
mod endpoint;
mod error;
mod follow;
mod house;
mod http;
mod listen;
mod login;
mod metrics;
mod notify;
mod otlp;
mod page;
mod passwords;
mod proxy;
mod rates;
mod registry;
mod reload;
mod run;
mod server;
mod sniff;
mod sys;
mod telemetry;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod wheel;
mod worker;

pub use admin::{BACKUP_PATH, CONNECTIONS_PATH, RELOAD_PATH, SESSIONS_PATH, TOKEN_FILE, TRACE_PATH};
pub use assemble::{Store, StoreControl};
pub use backup::{BackedUp, BackupError, JOURNAL_DIR, copy_unused};
pub use client_tls::ClientTls;
pub use error::ServerError;
pub use house::{MachineMaker, Parts};
pub use passwords::accepts_password_hash;
pub use reload::{ReloadHook, Reloaded, Reread};
pub use run::{PORTS_FILE, run};
pub use server::{Bound, Server};
