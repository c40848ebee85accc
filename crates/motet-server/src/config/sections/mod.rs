//! The keys an operator sees. Each file is one table of `motet.toml`; the doc comments are the reference page.

mod access;
mod acme;
mod amqp;
mod audit;
mod bridge;
mod hook;
mod jwt;
mod limits;
mod listener;
mod log;
mod login;
mod mqtt;
mod otlp;
mod store;
mod tls;
mod web;

use std::path::PathBuf;

use super::section::Conflict;

pub(crate) use access::make;
pub use access::{Access, AccessDefault, AccessRule, Anonymous, KeyKind, Signature, User, key_kinds};
pub use acme::{Acme, AcmeChallenge};
pub use amqp::Amqp;
pub use audit::Audit;
pub use bridge::{Bridge, BridgeTls, BridgeTopic, BridgeVersion, Crossing};
pub use hook::{Hook, HookFailure};
pub use jwt::{Jwt, JwtRules};
pub use limits::{Limits, SlowSubscriber};
pub use listener::{Host, ListenAddress, Listener, Protocol, ProxyProtocol};
pub use log::{Log, LogFormat, LogLevel};
pub use login::Login;
pub use mqtt::Mqtt;
pub use otlp::Otlp;
pub use store::Store;
pub use tls::{AlsoCertificate, ClientCertificate, Tls, TlsVersion};
pub use web::{Metrics, Web};

section! {
    /// The configuration of one server.
    pub struct Config {
        /// Where everything durable lives: the journal, accounts, the self-signed certificate. A relative path
        /// starts at the working directory, so that a first run leaves its traces where it was started.
        data_dir: PathBuf = "./motet-data".into();
        /// A document of definitions, as RabbitMQ exports them: vhosts, users, permissions, policies, queues, exchanges,
        /// bindings. It is taken at each start, before anybody connects; what is not in it stays as it is.
        load_definitions: Option<PathBuf> = None, example "\"/etc/motet/definitions.json\"";
        /// What the server says about itself.
        log: Log = Log::default();
        /// Where the server listens. Naming one listener replaces all the default ones, which are loopback: nobody
        /// else can connect until the configuration says so.
        listener: Vec<Listener> = Listener::defaults();
        /// Certificates of every TLS listener that has no `tls` table of its own.
        tls: Tls = Tls::default();
        /// A certificate that the server fetches itself.
        acme: Acme = Acme::default();
        /// Who may log in with a password. None at first: on loopback nobody needs to.
        user: Vec<User> = Vec::new();
        /// Who is let in without a login, and who may do what.
        access: Access = Access::default();
        /// JSON Web Tokens in place of passwords.
        jwt: Jwt = Jwt::default();
        /// A service of yours that is asked over HTTP.
        hook: Hook = Hook::default();
        /// How passwords are stored and checked.
        login: Login = Login::default();
        /// Bounds on everything that can grow.
        limits: Limits = Limits::default();
        /// What MQTT clients are offered.
        mqtt: Mqtt = Mqtt::default();
        /// What AMQP clients are offered.
        amqp: Amqp = Amqp::default();
        /// Other MQTT servers with which messages are exchanged.
        bridge: Vec<Bridge> = Vec::new();
        /// The durable store.
        store: Store = Store::default();
        /// HTTP and WebSocket.
        web: Web = Web::default();
        /// Figures for Prometheus.
        metrics: Metrics = Metrics::default();
        /// Who logged in, who was refused and what operators did.
        audit: Audit = Audit::default();
        /// Spans of messages for an OpenTelemetry collector.
        otlp: Otlp = Otlp::default();
    }
    verified Config::conflicts
}

impl Config {
    /// What its tables contradict in one another.
    fn conflicts(&self) -> Vec<Conflict> {
        let mut conflicts = self.acme_conflicts();
        conflicts.extend(listener::taken_twice(&self.listener));
        conflicts
    }
}
