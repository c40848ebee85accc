//! Carries requests to the authority: HTTPS alone, one connection each, with bounds on time and size.

use crate::config::Acme;
use crate::error::ServerError;
use crate::outcall::{connector, exchange};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::ServerName;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A chain is a few kilobytes; a hundred names in an order are some ten.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// For one request, with its connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// See the module's page.
#[derive(Clone)]
pub(super) struct Courier {
    tls: TlsConnector,
    /// Seconds to wait, if an answer has asked for that since [`Courier::told`]; else 0.
    retry_after: Arc<AtomicU64>,
}

impl Courier {
    /// # Errors
    /// There are no roots to trust the authority by.
    pub(super) fn new(acme: &Acme) -> Result<Self, ServerError> {
        let tls = connector("acme.directory_url", acme.ca_file.as_deref())?;
        Ok(Courier { tls, retry_after: Arc::default() })
    }

    /// How long the authority wants to be left alone, if it has said so since the last call.
    pub(super) fn told(&self) -> Option<Duration> {
        Some(self.retry_after.swap(0, Ordering::Relaxed)).filter(|secs| *secs > 0).map(Duration::from_secs)
    }

    async fn carry(self, request: Request<BodyWrapper<Bytes>>) -> io::Result<Response<Bytes>> {
        let (mut parts, body) = request.into_parts();
        let uri = std::mem::take(&mut parts.uri);
        let (Some("https"), Some(host), Some(authority)) = (uri.scheme_str(), uri.host(), uri.authority()) else {
            return Err(io::Error::other(format!("{uri} is no URL that begins https://")));
        };
        let host = host.trim_matches(['[', ']']);
        parts.uri = uri.path_and_query().cloned().map(Into::into).unwrap_or_default();
        parts.headers.insert(HOST, HeaderValue::from_str(authority.as_str()).map_err(io::Error::other)?);
        // It names the software and its version. [RFC8555-6.1]
        let agent = concat!("motet/", env!("CARGO_PKG_VERSION"), " instant-acme");
        parts.headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if !body.is_empty() {
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
        let stream = self.tls.connect(name, stream).await?;
        exchange(stream, Request::from_parts(parts, Full::new(body)), ANSWER_BYTES_MAX).await
    }

    /// Keeps what is asked of us, and gives words to what says nothing.
    fn heard(&self, answer: &Response<Bytes>) -> io::Result<()> {
        let status = answer.status();
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            // [RFC8555-6.6]; a date in place of seconds is left to our own patience.
            let secs = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
            self.retry_after.fetch_max(secs.unwrap_or(0), Ordering::Relaxed);
        }
        let is_problem = || serde_json::from_slice::<instant_acme::Problem>(answer.body()).is_ok();
        if (status.is_client_error() || status.is_server_error()) && !is_problem() {
            return Err(io::Error::other(format!("it answers {status} and does not say why")));
        }
        Ok(())
    }
}

impl HttpClient for Courier {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let this = self.clone();
        Box::pin(async move {
            let url = request.uri().clone();
            let answered = timeout(REQUEST_TIMEOUT, this.clone().carry(request)).await;
            let answered = answered.unwrap_or_else(|late| Err(late.into()));
            let heard = answered.and_then(|answer| this.heard(&answer).map(|()| answer));
            match heard {
                Ok(answer) => Ok(BytesResponse::from(answer.map(Full::new))),
                Err(error) => Err(Error::Other(format!("{url}: {error}").into())),
            }
        })
    }
}
