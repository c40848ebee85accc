//! HTTP requests that the server itself makes: to a hook, for a key set. One connection per request.

use crate::error::ServerError;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where systems keep the roots they trust.
const SYSTEM_ROOTS: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A URL that can be asked.
pub(crate) fn is_url(text: &str) -> bool {
    text.parse::<Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
}

/// Somewhere to ask.
#[derive(Clone)]
pub(crate) struct Outcall {
    uri: Uri,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Outcall {
    /// `key` is that of the URL in the configuration; `ca_file` holds the roots to trust in place of the system's.
    pub(crate) fn new(key: &str, url: &str, ca_file: Option<&Path>) -> Result<Self, ServerError> {
        let wrong = |what: String| ServerError::Tls { key: key.into(), what };
        let uri: Uri = url.parse().map_err(|error| wrong(format!("is no URL: {error}")))?;
        let host = uri.host().ok_or_else(|| wrong("names no host".into()))?.trim_matches(['[', ']']).to_owned();
        let tls = match uri.scheme_str() {
            Some("https") => {
                let name =
                    ServerName::try_from(host).map_err(|error| wrong(format!("has a host that is none: {error}")))?;
                Some((connector(key, ca_file)?, name))
            }
            _ => None,
        };
        Ok(Outcall { uri, tls })
    }

    /// Asks; the answer's status and its body of at most `bytes_max`.
    pub(crate) async fn ask(&self, json: Option<Vec<u8>>, bytes_max: usize) -> io::Result<(u16, Bytes)> {
        let host = self.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let stream = TcpStream::connect((host, port)).await?;
        match &self.tls {
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await?;
                self.exchange(stream, json, bytes_max).await
            }
            None => self.exchange(stream, json, bytes_max).await,
        }
    }

    async fn exchange<S>(&self, stream: S, json: Option<Vec<u8>>, bytes_max: usize) -> io::Result<(u16, Bytes)>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let authority = self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let mut request =
            Request::builder().uri(self.uri.path_and_query().map_or("/", |path| path.as_str())).header(HOST, authority);
        if json.is_some() {
            request = request.method(Method::POST).header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(json.unwrap_or_default()))).map_err(io::Error::other)?;
        let answer = exchange(stream, request, bytes_max).await?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }
}

/// One request on a connection of its own; the answer's body is at most `bytes_max`.
pub(crate) async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    bytes_max: usize,
) -> io::Result<Response<Bytes>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let asked = async move {
        let (parts, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, bytes_max).collect().await.map_err(io::Error::other)?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    let mut asked = std::pin::pin!(asked);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = &mut asked => answer,
        // The connection may end as soon as the last byte has come.
        _ = &mut connection => asked.await,
    }
}

/// TLS towards whoever is asked; `key` is that of the URL in the configuration.
pub(crate) fn connector(key: &str, ca_file: Option<&Path>) -> Result<TlsConnector, ServerError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| ServerError::Tls { key: key.into(), what: error.to_string() })?
        .with_root_certificates(roots(key, ca_file)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(key: &str, ca_file: Option<&Path>) -> Result<RootCertStore, ServerError> {
    let file: PathBuf = match ca_file {
        Some(file) => file.into(),
        None => SYSTEM_ROOTS.into_iter().find(|file| Path::new(file).exists()).unwrap_or(SYSTEM_ROOTS[0]).into(),
    };
    let wrong = |what: String| ServerError::File { key: format!("ca_file for {key}"), file: file.clone(), what };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&file).and_then(Iterator::collect);
    let certificates =
        certificates.map_err(|error| wrong(format!("is not readable as certificates in PEM: {error}")))?;
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(certificates);
    if taken == 0 { Err(wrong("holds no certificate".into())) } else { Ok(roots) }
}
