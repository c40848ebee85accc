//! Sockets, TLS, timers, configuration, the endpoint table: all that touches the outside world.
//!
//! ```text
//!   listen ──▶ admission ──▶ endpoint (carrier × machine) ──▶ driver ──▶ machine ──▶ core ──▶ store
//!                                                              ▲  worker: buffers   registry: who is here
//!                                                              └─ wheel: timers     telemetry: what happened
//! ```
//! Only this crate asks a clock, opens a socket or knows a runtime.

pub mod config;

mod access;
mod acme;
mod admin;
mod admission;
mod alarm;
mod assemble;
mod audit;
mod backup;
mod bridge;
mod check;
mod client_tls;
mod clock;
mod console;
mod definitions;
mod doors;
mod driver;
mod endpoint;
mod error;
mod follow;
mod fuzz;
mod house;
mod http;
mod listen;
mod login;
mod metrics;
mod notify;
mod otlp;
mod outcall;
mod page;
mod passwords;
mod proxy;
mod quotas;
mod rates;
mod registry;
mod reload;
mod run;
mod server;
mod slow;
mod sniff;
mod sys;
mod telemetry;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timekeeper;
mod tls;
mod users;
mod wheel;
mod worker;

pub use access::{Wish, access_rules};
pub use admin::users::{as_json as users_as_json, read_change};
pub use admin::{
    ACL_PATH, BACKUP_PATH, BANS_PATH, CONNECTIONS_PATH, RELOAD_PATH, SESSIONS_PATH, TOKEN_FILE, TRACE_PATH, USERS_PATH,
};
pub use assemble::{Store, StoreControl};
pub use backup::{BackedUp, BackupError, JOURNAL_DIR, copy_unused};
pub use check::check;
pub use client_tls::ClientTls;
pub use definitions::{export_definitions, import_definitions};
pub use error::ServerError;
pub use fuzz::fuzz_beginning;
pub use house::{MachineMaker, Parts};
pub use passwords::accepts_password_hash;
pub use reload::{ReloadHook, Reloaded, Reread};
pub use run::{PORTS_FILE, run};
pub use server::{Bound, Server};
pub use users::{AccountControl, Change, OfflineUsers, UserError, hash_password};
