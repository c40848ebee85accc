//! What only the running process knows: its connections, its ports, its figures. Implemented by the server.

use motet_auth::Tags;
use motet_core::conversation::Conversation;
use motet_core::time::{Now, WallMillis};
use std::net::SocketAddr;
use std::sync::Arc;

/// The process.
pub trait Node: Send + Sync {
    /// The time.
    fn now(&self) -> Now;
    /// Blocks for a few milliseconds: an answer is waited for.
    fn pause(&self);
    /// How the process is.
    fn figures(&self) -> NodeFigures;
    /// What it listens on.
    fn listeners(&self) -> Vec<ListenerSeen>;
    /// Shows every live connection.
    fn connections(&self, visit: &mut dyn FnMut(ConnectionSeen));
    /// Ends a connection and tells its peer why; false when it is not there any more.
    fn close(&self, id: u64, reason: &str) -> bool;
    /// What a user may do beyond its messages.
    fn tags(&self, user: &str) -> Tags;
}

/// How the process is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFigures {
    /// The node's name: `motet@host`.
    pub name: String,
    /// The version of the server.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Milliseconds since the start.
    pub uptime_ms: u64,
    /// Open files, and how many there may be.
    pub files: (u64, u64),
    /// Connections, and how many there may be.
    pub sockets: (u64, u64),
    /// Bytes of memory in use, and from where on publishers are held back (0: never).
    pub memory: (u64, u64),
    /// Bytes of the disk that are free, and below which publishers are held back (0: never).
    pub disk_free: (u64, u64),
    /// Publishers are held back because memory is short.
    pub memory_alarm: bool,
    /// Publishers are held back because the disk is short.
    pub disk_alarm: bool,
    /// The disk takes nothing, or another alarm holds.
    pub other_alarm: bool,
    /// Tasks that run at the same time.
    pub processors: u32,
    /// The folder of everything durable.
    pub data_dir: String,
    /// The files the configuration was read from.
    pub config_files: Vec<String>,
    /// When the first certificate of a listener ends, in seconds since 1970; None where there is no TLS.
    pub certificate_expires_secs: Option<u64>,
    /// Connections since the start.
    pub connections_total: u64,
    /// The server is going down.
    pub draining: bool,
    /// Logins since the start by the carrier's word: how many were accepted, how many refused.
    pub logins: Vec<(&'static str, [u64; 2])>,
}

/// A port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerSeen {
    /// Its word in RabbitMQ's lists: `amqp`, `amqp/ssl`, `mqtt`, `mqtt/ssl`, `http`, `https`, `http/web-mqtt`.
    pub protocol: &'static str,
    /// Where.
    pub address: SocketAddr,
}

/// A live connection.
#[derive(Debug, Clone)]
pub struct ConnectionSeen {
    /// Its number, not used twice while the process lives.
    pub id: u64,
    /// The carrier's word: `mqtt`, `mqtts`, `ws`, `wss`, `http`, `amqp`, `amqps`.
    pub carrier: &'static str,
    /// It is encrypted.
    pub encrypted: bool,
    /// Where from.
    pub peer: Option<SocketAddr>,
    /// Where to.
    pub local: Option<SocketAddr>,
    /// Since when.
    pub since: WallMillis,
    /// Bytes received and sent.
    pub bytes: (u64, u64),
    /// What its machine tells; None until the peer is let in.
    pub conversation: Option<Arc<Conversation>>,
}

impl ConnectionSeen {
    /// As RabbitMQ names a connection: `127.0.0.1:40000 -> 127.0.0.1:5672`.
    pub fn name(&self) -> String {
        let spelled = |address: Option<SocketAddr>| address.map_or_else(|| "undefined".into(), |at| at.to_string());
        format!("{} -> {}", spelled(self.peer), spelled(self.local))
    }
}
