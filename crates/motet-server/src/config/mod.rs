//! The configuration of a server: what may be set, what it is when nobody sets it, and why.
//!
//! ```text
//! motet.toml ──▶ tree ◀── MOTET_SECTION__KEY, --set section.key=value
//!                 │ every node remembers where it was written
//!                 ▼
//!              sections (doc comment, default and bounds, once per key) ──▶ Config
//!                 │                                                    └─▶ every problem at once, with its place
//!                 └──▶ reference: docs/configuration.md and a commented motet.toml
//! ```
//! - [`Sources`] says where to look, [`load`] looks; [`ConfigError`] tells an operator what to do.
//! - `macros` writes the table of keys, `section` reads it; `setting` and `units` are the values a key can have.
//! - `sections` is what an operator sees: one file per table of `motet.toml`.
//! - `exposure` tells what is refused as soon as a listener is not loopback.
//!
//! ```
//! use motet_server::config::{Sources, load};
//! let mut sources = Sources::default();
//! sources.set("log.level=debug").unwrap();
//! let config = load(&sources).unwrap().config;
//! assert!(config.is_loopback_only());
//! ```

#[macro_use]
mod macros;
mod error;
mod exposure;
mod load;
mod nearest;
mod network;
pub mod reference;
mod section;
mod sections;
mod setting;
mod tree;
mod units;

pub use error::{ConfigError, Origin, Problem};
pub use exposure::Exposure;
pub use load::{Loaded, Sources, load};
pub use network::Network;
pub use section::{Key, Shape};
pub(crate) use sections::make;
pub use sections::{
    Access, AccessDefault, AccessRule, Acme, AcmeChallenge, AlsoCertificate, Amqp, Anonymous, Audit, Bridge, BridgeTls,
    BridgeTopic, BridgeVersion, ClientCertificate, Config, Crossing, Hook, HookFailure, Host, Jwt, JwtRules, KeyKind,
    Limits, ListenAddress, Listener, Log, LogFormat, LogLevel, Login, Metrics, Mqtt, Otlp, Protocol, ProxyProtocol,
    Signature, SlowSubscriber, Store, Tls, TlsVersion, User, Web, key_kinds,
};
pub use setting::Setting;
pub use units::{ByteSize, Secret};
