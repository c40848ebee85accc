//! TLS of a listener: certificates by the name a client asks for, client certificates, all of it replaced while running.
//!
//! ```text
//!   files ─▶ load ─▶ ServerConfig ─▶ new handshakes     a change of a file, SIGHUP ─▶ load again; not good: the old stays
//!   ACME stores another certificate ─▶ the same; its authority's handshakes are told apart by what they offer
//!   handshake ─▶ Secure: who the client's certificate says it is, and what binds a login to this connection
//!                └▶ kept as Shown while it lasts: on a new revocation list, its connection ends
//! ```

mod clients;
mod files;
mod secure;
mod self_signed;
mod served;
mod shown;
#[cfg(test)]
mod tests;
mod watch;

use crate::acme::{Board, Kept};
use crate::config::{Tls, TlsVersion};
use crate::error::ServerError;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::Acceptor;
use rustls::server::danger::ClientCertVerifier;
use served::Served;
use shown::Present;
pub(crate) use shown::Shown;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};
use watch::Fingerprint;

/// What may be spoken inside. A client that offers nothing gets what the listener speaks. [RFC7301]
const ALPN: [&[u8]; 2] = [b"mqtt", b"http/1.1"];

/// The certificates of one listener. New handshakes use what was loaded last, connections keep what they have.
#[derive(Debug)]
pub(crate) struct Certificates {
    data_dir: PathBuf,
    current: ArcSwap<Loaded>,
    source: Mutex<Source>,
    present: Present,
    /// The interval of looks may be another.
    interval_changed: Notify,
}

/// Where they come from.
#[derive(Debug)]
struct Source {
    tls: Tls,
    /// The table's name in the configuration.
    key: String,
    /// What is fetched where the table names no certificate.
    kept: Option<Kept>,
    /// How the files were when they were last read, good or not.
    seen: Fingerprint,
}

/// What a handshake needs, and what is asked after it.
#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    served: Arc<Served>,
    clients: secure::Clients,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Certificates {
    /// Reads them; `key` is their table's name in the configuration.
    pub(crate) fn open(tls: &Tls, data_dir: &Path, key: &str, kept: Option<Kept>) -> Result<Self, ServerError> {
        // The one provider of this process; whoever installed it before has installed the same.
        let _ = aws_lc_rs::default_provider().install_default();
        // Before the files are read: a change in between is seen the next time.
        let seen = Fingerprint::of(tls, data_dir, kept.as_ref());
        let current = ArcSwap::from_pointee(load(tls, data_dir, key, kept.as_ref())?);
        let source = Mutex::new(Source { tls: tls.clone(), key: key.into(), kept, seen });
        let (present, interval_changed) = (Present::default(), Notify::new());
        Ok(Certificates { data_dir: data_dir.into(), current, source, present, interval_changed })
    }

    /// Reads them again; when they are not good the old ones stay. Connections whose client's certificate is revoked now
    /// are ended: how many.
    pub(crate) fn reload(&self, tls: &Tls, key: &str, kept: Option<Kept>) -> Result<usize, ServerError> {
        let mut source = self.source.lock();
        let seen = Fingerprint::of(tls, &self.data_dir, kept.as_ref());
        *source = Source { tls: tls.clone(), key: key.into(), kept, seen };
        self.interval_changed.notify_one();
        let loaded = Arc::new(load(tls, &self.data_dir, key, source.kept.as_ref())?);
        self.current.store(loaded.clone());
        Ok(self.present.look(&*loaded.verifier))
    }

    /// Reads them again when a file has changed since the last time; none when there was nothing to do. A change that is
    /// no good is told once, and the old ones stay until the next change.
    pub(crate) fn look(&self) -> Option<Result<usize, ServerError>> {
        let source = self.source.lock();
        if source.seen == Fingerprint::of(&source.tls, &self.data_dir, source.kept.as_ref()) {
            return None;
        }
        let (tls, key, kept) = (source.tls.clone(), source.key.clone(), source.kept.clone());
        drop(source);
        Some(self.reload(&tls, &key, kept))
    }

    /// Waits until [`Certificates::look`] is wanted; as long as that is never, until a reload says otherwise.
    pub(crate) async fn wait_to_look(&self) {
        loop {
            let every = self.source.lock().tls.watch_interval;
            if every.is_zero() {
                self.interval_changed.notified().await;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(every) => return,
                () = self.interval_changed.notified() => {}
            }
        }
    }

    /// When the first of them ends, in seconds since 1970.
    pub(crate) fn expires(&self) -> u64 {
        self.current.load().served.expires()
    }

    /// For a new handshake.
    pub(crate) fn handshake(&self) -> Handshake<'_> {
        Handshake(self, self.current.load_full())
    }
}

/// One handshake, by the certificates that held when it began.
pub(crate) struct Handshake<'a>(&'a Certificates, Arc<Loaded>);

impl Handshake<'_> {
    /// Shakes hands. None: it was an authority that looked for its challenge, and it has seen it.
    ///
    /// # Errors
    /// The peer left, or what it sent is no TLS that is spoken here.
    pub(crate) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        acme: &Board,
    ) -> io::Result<Option<TlsStream<S>>> {
        if !acme.answers.awaits_handshake() {
            return TlsAcceptor::from(self.1.config.clone()).accept(stream).await.map(Some);
        }
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        match acme.answers.handshake(&begun.client_hello()) {
            None => begun.into_stream(self.1.config.clone()).await.map(Some),
            // Nothing is said after the handshake. [RFC8737-3]
            Some(config) => begun.into_stream(config).await?.shutdown().await.map(|()| None),
        }
    }

    /// What is known after it.
    pub(crate) fn secure(&self, connection: &rustls::ServerConnection) -> Result<Arc<Shown>, secure::NoUser> {
        let Handshake(certificates, loaded) = self;
        let secure = loaded.clients.secure(connection, &loaded.served)?;
        let chain = connection.peer_certificates().unwrap_or_default();
        let shown = Arc::new(Shown::new(secure, chain.iter().map(|one| one.clone().into_owned()).collect()));
        certificates.present.enter(&shown);
        let current = certificates.current.load();
        if !Arc::ptr_eq(&current, loaded) {
            // The lists were read again while the handshake went on.
            shown.look(&*current.verifier);
        }
        Ok(shown)
    }
}

/// What of a table a start would refuse; where it names no certificate none is made.
pub(crate) fn check(tls: &Tls, data_dir: &Path, key: &str) -> Result<(), ServerError> {
    let _ = aws_lc_rs::default_provider().install_default();
    if tls.certificate.is_some() {
        return load(tls, data_dir, key, None).map(drop);
    }
    clients::verifier(tls, key)?;
    secure::Clients::new(tls, key)?;
    served::check_further(tls, key)
}

fn load(tls: &Tls, data_dir: &Path, key: &str, kept: Option<&Kept>) -> Result<Loaded, ServerError> {
    let versions: &[_] = match tls.min_version {
        TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V1_3 => &[&rustls::version::TLS13],
    };
    let served = Arc::new(Served::read(tls, data_dir, key, kept)?);
    let verifier = clients::verifier(tls, key)?;
    let mut config = ServerConfig::builder_with_protocol_versions(versions)
        .with_client_cert_verifier(verifier.clone())
        .with_cert_resolver(served.clone());
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    // Tickets make a reconnect cheap without memory here. Each load has keys of its own, so that nobody resumes what
    // was verified by what held before: a revoked certificate is looked at again.
    config.ticketer = aws_lc_rs::Ticketer::new()
        .map_err(|error| ServerError::Tls { key: key.into(), what: format!("no tickets: {error}") })?;
    Ok(Loaded { config: Arc::new(config), served, clients: secure::Clients::new(tls, key)?, verifier })
}
