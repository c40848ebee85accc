//! TLS towards another server: whom we trust, and the certificate that we show.

use crate::error::ServerError;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where systems keep the roots they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    /// PEM file with the roots that are trusted; the system's when not given.
    pub ca: Option<PathBuf>,
    /// PEM files with a certificate to show and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Any certificate is good: against eavesdroppers only, and not against whoever pretends to be the server.
    pub insecure: bool,
}

impl ClientTls {
    /// Reads the files; `key` names their section in errors.
    ///
    /// # Errors
    /// A file is missing or not what it should be.
    pub fn load(&self, key: &str) -> Result<Arc<ClientConfig>, ServerError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| ServerError::Tls { key: key.into(), what: error.to_string() })?;
        let verifier: Arc<dyn ServerCertVerifier> = if self.insecure {
            Arc::new(Anybody(provider.signature_verification_algorithms))
        } else {
            let roots = self.roots(key)?;
            let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider);
            verifier.build().map_err(|error| ServerError::Tls { key: key.into(), what: error.to_string() })?
        };
        // Not dangerous at all, unless insecure was asked for.
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let Some((chain_file, key_file)) = &self.certificate else {
            return Ok(Arc::new(builder.with_no_client_auth()));
        };
        let chain = certificates(chain_file, &format!("{key}.certificate"))?;
        let private = PrivateKeyDer::from_pem_file(key_file).map_err(|error| ServerError::File {
            key: format!("{key}.key"),
            file: key_file.clone(),
            what: format!("is not readable as a private key in PEM: {error}"),
        })?;
        let config = builder
            .with_client_auth_cert(chain, private)
            .map_err(|error| ServerError::Tls { key: format!("{key}.certificate"), what: error.to_string() })?;
        Ok(Arc::new(config))
    }

    fn roots(&self, key: &str) -> Result<RootCertStore, ServerError> {
        let key = format!("{key}.ca");
        let system = || SYSTEM_ROOTS.into_iter().map(PathBuf::from).find(|file| file.exists());
        let file = self.ca.clone().or_else(system).ok_or_else(|| ServerError::Tls {
            key: key.clone(),
            what: "this system has no roots that we know of; name a PEM file with those to trust".into(),
        })?;
        let mut roots = RootCertStore::empty();
        let (added, _) = roots.add_parsable_certificates(certificates(&file, &key)?);
        match added {
            0 => Err(ServerError::File { key, file, what: "holds no root that is good".into() }),
            _ => Ok(roots),
        }
    }
}

fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let wrong = |what: String| ServerError::File { key: key.into(), file: file.into(), what };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    match chain {
        Ok(chain) if chain.is_empty() => Err(wrong("holds no certificate in PEM".into())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(format!("is not readable as certificates in PEM: {error}"))),
    }
}

/// Believes every certificate, but still checks that the peer holds its key.
#[derive(Debug)]
struct Anybody(rustls::crypto::WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_when_they_are_not_good() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, "hello").unwrap();
        let tls = ClientTls { ca: Some(file.clone()), ..ClientTls::default() };
        let error = tls.load("bridge.0.tls").unwrap_err().to_string();
        assert!(error.starts_with("bridge.0.tls.ca: ") && error.contains("ca.pem"), "{error}");
        let tls = ClientTls { certificate: Some((file.clone(), file)), insecure: true, ..ClientTls::default() };
        assert!(tls.load("x").unwrap_err().to_string().starts_with("x.certificate: "));
        assert!(ClientTls { insecure: true, ..ClientTls::default() }.load("x").is_ok());
    }
}
