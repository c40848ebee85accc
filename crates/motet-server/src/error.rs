//! Why a server does not start. Each names the key, says what was expected and what to do.

use std::net::SocketAddr;
use std::path::PathBuf;

/// See the module's documentation.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Another program listens there.
    #[error("{key}: port {} of {} is taken: is another broker running? Stop it, or choose another port with {key}", address.port(), address.ip())]
    PortTaken {
        /// The configuration's key.
        key: String,
        /// What could not be bound.
        address: SocketAddr,
    },
    /// The system refuses to listen there.
    #[error("{key}: cannot listen on {address}: {source}{}", remedy(source))]
    Listen {
        /// The configuration's key.
        key: String,
        /// What could not be bound.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("{key}: {}: {what}", file.display())]
    File {
        /// The configuration's key.
        key: String,
        /// Which file.
        file: PathBuf,
        /// What is wrong with it and what to do.
        what: String,
    },
    /// Certificates that do not fit together.
    #[error("{key}: {what}")]
    Tls {
        /// The configuration's key.
        key: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// An account that cannot be used.
    #[error("{key}: {what}")]
    User {
        /// The configuration's key.
        key: String,
        /// What is wrong; never the password.
        what: String,
    },
    /// A bridge that cannot be.
    #[error("{key}: {what}")]
    Bridge {
        /// The configuration's key.
        key: String,
        /// What is wrong and what to do.
        what: String,
    },
    /// The store cannot be opened.
    #[error("the store does not open: {0}")]
    Store(String),
    /// Another process has the store.
    #[error("the store does not open: {0}")]
    InUse(String),
    /// The system gives us no runtime or no signals.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
}

fn remedy(source: &std::io::Error) -> &'static str {
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            "; ports below 1024 are for privileged programs: choose a higher one or grant CAP_NET_BIND_SERVICE"
        }
        std::io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        _ => "",
    }
}
