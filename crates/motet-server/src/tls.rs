//! TLS of a listener: certificates from files, or a self-signed one made at the first run; replaced while running.

use crate::config::{ClientCertificate, Tls};
use crate::error::ServerError;
use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What may be spoken inside. A client that offers nothing gets what the listener speaks. [RFC7301]
const ALPN: [&[u8]; 2] = [b"mqtt", b"http/1.1"];

/// The certificates of one listener. New handshakes use what was loaded last, connections keep what they have.
#[derive(Debug)]
pub(crate) struct Certificates {
    data_dir: PathBuf,
    current: ArcSwap<ServerConfig>,
}

impl Certificates {
    /// Reads them; `key` is their table's name in the configuration.
    pub(crate) fn open(tls: &Tls, data_dir: &Path, key: &str) -> Result<Self, ServerError> {
        // The one provider of this process; whoever installed it before has installed the same.
        let _ = aws_lc_rs::default_provider().install_default();
        Ok(Certificates { data_dir: data_dir.into(), current: ArcSwap::new(load(tls, data_dir, key)?) })
    }

    /// Reads them again; when they are not good the old ones stay.
    pub(crate) fn reload(&self, tls: &Tls, key: &str) -> Result<(), ServerError> {
        self.current.store(load(tls, &self.data_dir, key)?);
        Ok(())
    }

    /// For a new handshake.
    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.current.load_full().into()
    }
}

fn load(tls: &Tls, data_dir: &Path, key: &str) -> Result<Arc<ServerConfig>, ServerError> {
    let (chain_file, key_file) = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
        _ => self_signed(data_dir)?,
    };
    let chain = read_chain(&chain_file, &format!("{key}.certificate"))?;
    let private = PrivateKeyDer::from_pem_file(&key_file).map_err(|error| ServerError::File {
        key: format!("{key}.key"),
        file: key_file,
        what: format!("is not readable as a private key in PEM: {error}"),
    })?;
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(client_verifier(tls, key)?)
        .with_single_cert(chain, private)
        .map_err(|error| ServerError::Tls {
            key: format!("{key}.certificate"),
            what: format!("does not fit its key: {error}; name a certificate and the key it was made for"),
        })?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).into();
    // Tickets make a reconnect cheap without memory here.
    config.ticketer = aws_lc_rs::Ticketer::new()
        .map_err(|error| ServerError::Tls { key: key.into(), what: format!("no tickets: {error}") })?;
    Ok(Arc::new(config))
}

fn read_chain(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let wrong = |what: String| ServerError::File { key: key.into(), file: file.into(), what };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(wrong("holds no certificate in PEM".into())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(format!("is not readable as certificates in PEM: {error}"))),
    }
}

fn client_verifier(tls: &Tls, key: &str) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    let file = match (&tls.client_ca, tls.client_certificate) {
        (Some(file), ClientCertificate::Optional | ClientCertificate::Required) => file,
        _ => return Ok(WebPkiClientVerifier::no_client_auth()),
    };
    let key = format!("{key}.client_ca");
    let wrong = |what: String| ServerError::File { key: key.clone(), file: file.clone(), what };
    let mut roots = RootCertStore::empty();
    for root in read_chain(file, &key)? {
        roots.add(root).map_err(|error| wrong(format!("holds a root that is not good: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder(roots.into());
    let builder = match tls.client_certificate {
        ClientCertificate::Required => builder,
        _ => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// The certificate of the first run: enough to try, and nobody trusts it unless told to.
fn self_signed(data_dir: &Path) -> Result<(PathBuf, PathBuf), ServerError> {
    let dir = data_dir.join("tls");
    let (certificate, key) = (dir.join("self-signed.pem"), dir.join("self-signed.key"));
    if certificate.exists() && key.exists() {
        return Ok((certificate, key));
    }
    let failed = |what: String| ServerError::File { key: "data_dir".into(), file: dir.clone(), what };
    let (certificate_pem, key_pem) = make_certificate().map_err(|error| failed(error.to_string()))?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .and_then(|()| write(&key, &key_pem, 0o600))
        .and_then(|()| write(&certificate, &certificate_pem, 0o644))
        .map_err(|error| failed(format!("cannot be written: {error}")))?;
    Ok((certificate, key))
}

fn make_certificate() -> Result<(String, String), rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
    let mut params = rcgen::CertificateParams::new(names)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "motet, self-signed");
    let key = rcgen::KeyPair::generate()?;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn write(file: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_first_run_makes_a_certificate_that_later_runs_keep() {
        let dir = tempfile::tempdir().unwrap();
        Certificates::open(&Tls::default(), dir.path(), "tls").unwrap();
        let key = dir.path().join("tls/self-signed.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let before = std::fs::read(&key).unwrap();
        Certificates::open(&Tls::default(), dir.path(), "tls").unwrap();
        assert_eq!(std::fs::read(&key).unwrap(), before);
    }

    #[test]
    fn a_file_that_is_no_certificate_is_named_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("server.pem");
        std::fs::write(&file, "hello").unwrap();
        let tls = Tls { certificate: Some(file.clone()), key: Some(file), ..Tls::default() };
        let error = Certificates::open(&tls, dir.path(), "listener.2.tls").unwrap_err().to_string();
        assert!(error.starts_with("listener.2.tls.certificate: ") && error.contains("server.pem"), "{error}");
        assert!(error.ends_with("holds no certificate in PEM"), "{error}");
    }

    #[test]
    fn a_certificate_that_went_bad_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let certificates = Certificates::open(&Tls::default(), dir.path(), "tls").unwrap();
        let before = certificates.current.load_full();
        std::fs::write(dir.path().join("tls/self-signed.pem"), "").unwrap();
        assert!(certificates.reload(&Tls::default(), "tls").is_err());
        assert!(Arc::ptr_eq(&before, &certificates.current.load_full()));
    }
}
