//! HTTP on the shared port: a start page, health, figures, the upgrade to WebSocket, and the way to `admin`.

use crate::acme::CHALLENGE_PATH;
use crate::admin;
use crate::config::{Config, Protocol};
use crate::console;
use crate::driver::framing::{Frames, Framing};
use crate::driver::{Admitted, Arrival, Carrier, Connection};
use crate::endpoint::{Endpoint, WS, WSS};
use crate::metrics;
use crate::sniff::Prefixed;
use crate::telemetry::{Event, HandshakeFailed, UpgradeRefused, count};
use bytes::{Bytes, BytesMut};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use motet_core::engine::Engine;
use motet_web::{AllowedOrigins, DeflatePolicy, Policy, UpgradeRequest};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

/// Bytes of a request's head; what we are asked needs a few hundred.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Header lines of a request.
const HEADERS_MAX: usize = 64;
/// Where MQTT over WebSocket is on a web listener.
const MQTT_PATH: &str = "/mqtt";

/// What an answer carries: usually a page, sometimes a stream that goes on.
pub(crate) type Body = BoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<Body>;

/// What a web listener was told.
#[derive(Debug)]
pub(crate) struct Web {
    policy: Policy,
    metrics_path: Option<String>,
}

impl Web {
    pub(crate) fn new(config: &Config, loopback: bool) -> Self {
        let bytes_max = config.limits.packet_bytes_max.bytes();
        let policy = Policy {
            allowed_hosts: config.web.allowed_hosts.clone(),
            allowed_hosts_key: "web.allowed_hosts".into(),
            allowed_origins: AllowedOrigins { same_origin: true, loopback, listed: config.web.allowed_origins.clone() },
            allowed_origins_key: "web.allowed_origins".into(),
            // [MQTT-6.0.0-3]; the second is what clients of MQTT 3.1 say.
            subprotocols: vec!["mqtt".into(), "mqttv3.1".into()],
            subprotocol_required: true,
            deflate: config.web.websocket_compression.then(DeflatePolicy::default),
            config: motet_web::Config {
                frame_bytes_max: bytes_max.max(1 << 20),
                message_bytes_max: bytes_max.max(1 << 20),
                ..motet_web::Config::default()
            },
        };
        Web { policy, metrics_path: config.metrics.enabled.then(|| config.metrics.path.clone()) }
    }

    /// Whether a page of this origin may change something at this host.
    pub(crate) fn welcomes(&self, origin: &str, host: &str) -> bool {
        self.policy.allowed_origins.allows_page(origin, host)
    }

    /// What a browser is told when a page of this origin wants to read what is here: that origin, `*` for any, or None
    /// when the configuration does not name it.
    pub(crate) fn shares_with(&self, origin: &str) -> Option<String> {
        let allowed = &self.policy.allowed_origins;
        if allowed.listed.iter().any(|entry| entry == "*") {
            return Some("*".into());
        }
        allowed.lists(origin).then(|| origin.to_owned())
    }

    /// Literals and localhost cannot be re-bound to us by somebody's DNS; other names are configured.
    fn serves(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<hyper::http::uri::Authority>() else { return false };
        let name = authority.host().trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let listed = |allowed: &String| allowed == "*" || allowed.split(':').next() == Some(&name);
        name == "localhost" || name.parse::<IpAddr>().is_ok() || self.policy.allowed_hosts.iter().any(listed)
    }
}

/// Serves requests until the peer goes, the server drains, or one of them becomes a WebSocket.
pub(crate) async fn serve<S: Carrier, E: Engine>(endpoint: Arc<Endpoint<E>>, io: Prefixed<S>, arrival: Arrival) {
    let house = endpoint.house.clone();
    let peer = arrival.peer;
    let from = console::Caller { peer, secure: arrival.secure.clone() };
    let refused = matches!(arrival.admitted, Admitted::ToBeRefused(_));
    // Whoever upgrades takes it along.
    let arrival = Arc::new(Mutex::new(Some(arrival)));
    let service = service_fn(|request| {
        count(&house.counters.http_requests);
        let (endpoint, arrival, from) = (endpoint.clone(), arrival.clone(), from.clone());
        async move {
            let answer = if !names_its_host(&request) {
                end_turn(&arrival);
                text(StatusCode::BAD_REQUEST, "a request of HTTP/1.1 has a Host header, and one only\n")
            } else if let Some(page) = challenge_asked(&endpoint, &request) {
                end_turn(&arrival);
                page
            } else if refused {
                come_back_later()
            } else if let Some(wish) = admin_asked(&endpoint, &request) {
                end_turn(&arrival);
                // Boxed: it is rare, and the others need not hold its room.
                Box::pin(admin::answer(wish, &endpoint, request, peer)).await
            } else if is_for_console(&endpoint, &request) {
                end_turn(&arrival);
                Box::pin(console::answer(&endpoint, request, from)).await
            } else {
                respond::<S, E>(&endpoint, request, &arrival)
            };
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(house.limits().first_byte_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service).with_upgrades());
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = house.drained() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        HandshakeFailed { peer, error: &error }.emit(&house.counters);
    }
}

/// Whoever asks for a page has no login to come.
fn end_turn(arrival: &Mutex<Option<Arrival>>) {
    if let Some(arrival) = &mut *arrival.lock() {
        arrival.turn = None;
    }
}

/// [RFC9110-15.6.4]
fn come_back_later() -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, "as many connections as may be are here; come back later\n");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn respond<S: Carrier, E: Engine>(
    endpoint: &Arc<Endpoint<E>>,
    request: Request<Incoming>,
    arrival: &Arc<Mutex<Option<Arrival>>>,
) -> Answer {
    let path = request.uri().path();
    let web_socket_only = endpoint.protocol == Protocol::Ws;
    let upgrades = path == MQTT_PATH || request.headers().contains_key(UPGRADE) && path == "/";
    if web_socket_only || upgrades && endpoint.protocol.is_web() {
        return upgrade::<S, E>(endpoint, request, arrival);
    }
    end_turn(arrival);
    if !named_rightly(endpoint, &request) {
        return text(StatusCode::FORBIDDEN, "this name is not served here; to allow it, add it to web.allowed_hosts\n");
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        answer.headers_mut().insert("allow", HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    page(endpoint, path)
}

/// For an authority that issues our certificate, under whichever of our names. [RFC8555-8.3]
fn challenge_asked<E: Engine>(endpoint: &Endpoint<E>, request: &Request<Incoming>) -> Option<Answer> {
    let path = request.uri().path();
    if !path.starts_with(CHALLENGE_PATH) || request.method() != Method::GET {
        return None;
    }
    let page = endpoint.house.acme.answers.page(path)?;
    Some(with_type(StatusCode::OK, "application/octet-stream", page))
}

/// For an operator: the path is right, the listener one for pages, the name one of ours.
fn admin_asked<E: Engine>(endpoint: &Endpoint<E>, request: &Request<Incoming>) -> Option<admin::Wish> {
    let wish = admin::Wish::of(request.uri().path())?;
    (endpoint.protocol != Protocol::Ws && named_rightly(endpoint, request)).then_some(wish)
}

/// For the management API: likewise.
fn is_for_console<E: Engine>(endpoint: &Endpoint<E>, request: &Request<Incoming>) -> bool {
    let asked = console::is_ours(request.uri().path()) && endpoint.protocol != Protocol::Ws;
    asked && named_rightly(endpoint, request)
}

/// [RFC9112-3.2]
fn names_its_host(request: &Request<Incoming>) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), another) => another.is_none(),
    }
}

fn named_rightly<E: Engine>(endpoint: &Endpoint<E>, request: &Request<Incoming>) -> bool {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    // HTTP/1.0 may come without one; a page always sends it. [RFC9112-3.2]
    host.is_empty() || endpoint.web.serves(host)
}

fn page<E: Engine>(endpoint: &Endpoint<E>, path: &str) -> Answer {
    let house = &endpoint.house;
    match path {
        "/" => with_type(StatusCode::OK, "text/html; charset=utf-8", html(endpoint)),
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" if house.is_draining() => text(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down\n"),
        "/readyz" if house.store.is_failing() => text(StatusCode::SERVICE_UNAVAILABLE, "the disk takes nothing\n"),
        "/readyz" if house.alarms.any() => text(StatusCode::SERVICE_UNAVAILABLE, "an alarm holds publishers back\n"),
        "/readyz" => text(StatusCode::OK, "ready\n"),
        _ if endpoint.web.metrics_path.as_deref() == Some(path) && endpoint.protocol.is_web() => {
            with_type(StatusCode::OK, metrics::CONTENT_TYPE, metrics::render(house))
        }
        _ => text(StatusCode::NOT_FOUND, "there is no such page; see /\n"),
    }
}

/// Decides about a WebSocket; when it is one, the connection's task starts as soon as the answer is out.
fn upgrade<S: Carrier, E: Engine>(
    endpoint: &Arc<Endpoint<E>>,
    mut request: Request<Incoming>,
    arrival: &Arc<Mutex<Option<Arrival>>>,
) -> Answer {
    let version = if request.version() == hyper::Version::HTTP_11 { (1, 1) } else { (1, 0) };
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let asked = UpgradeRequest::new(request.method().as_str(), version, request.uri().path(), headers);
    let accepted = match motet_web::accept(&asked, &endpoint.web.policy) {
        Ok(accepted) => accepted,
        Err(refusal) => {
            UpgradeRefused { reason: &refusal }.emit(&endpoint.house.counters);
            let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
            let mut answer = text(status, &format!("{refusal}\n"));
            for (name, value) in refusal.headers() {
                answer.headers_mut().insert(*name, HeaderValue::from_static(value));
            }
            return answer;
        }
    };
    let (endpoint, arrival) = (endpoint.clone(), arrival.clone());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<Prefixed<S>>>() else { return };
        let Some(mut arrival) = arrival.lock().take() else { return };
        arrival.protocol = if arrival.encrypted { WSS } else { WS };
        let (unread, carrier) = parts.io.into_inner().into_parts();
        debug_assert!(unread.is_empty(), "the request was read, so its beginning was");
        let framing = Framing::WebSocket(Box::new(Frames::new(accepted.websocket, BytesMut::from(parts.read_buf))));
        let machine = (endpoint.mqtt)();
        // Its own task, so that nothing of HTTP is left in memory.
        tokio::spawn(Connection::new(endpoint.house.clone(), carrier, framing, machine, arrival, &[]));
    });
    let mut answer = Response::new(Full::default().boxed());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in accepted.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    answer
}

pub(crate) fn text(status: StatusCode, body: &str) -> Answer {
    with_type(status, "text/plain; charset=utf-8", body.to_owned())
}

pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)).boxed());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    answer
}

/// A page for whoever opens the port in a browser.
fn html<E: Engine>(endpoint: &Endpoint<E>) -> String {
    let metrics = match &endpoint.web.metrics_path {
        Some(path) => format!("<li><a href=\"{0}\">{0}</a>: figures for Prometheus</li>", escape(path)),
        None => String::new(),
    };
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Motet</title>\
         <body style=\"font: 16px/1.5 sans-serif; max-width: 40em; margin: 3em auto\">\
         <h1>Motet {}</h1><p>A real-time messaging server. This port speaks HTTP, TLS and MQTT.</p><ul>\
         <li><code>/mqtt</code>: MQTT over WebSocket, sub-protocol <code>mqtt</code></li>\
         <li><a href=\"/healthz\">/healthz</a>, <a href=\"/readyz\">/readyz</a>: is it alive, is it ready</li>\
         <li><code>/api</code>: the management API, as RabbitMQ's tools speak it; also on port 15672</li>\
         {metrics}</ul></body></html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_could_be_rebound_is_served_only_when_it_is_listed() {
        let mut config = Config::default();
        config.web.allowed_hosts = vec!["mqtt.example.org".into()];
        let web = Web::new(&config, true);
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "mqtt.example.org", "192.0.2.1"] {
            assert!(web.serves(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "a b", "mqtt.example.org.evil"] {
            assert!(!web.serves(host), "{host}");
        }
    }
}
