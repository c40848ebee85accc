//! The table carrier × machine: what is spoken on which listener, and over what.
//!
//! | listener | carriers | machine |
//! |---|---|---|
//! | `mqtt` | TCP | MQTT |
//! | `mqtts` | TLS | MQTT |
//! | `amqp` | TCP | AMQP 0-9-1 |
//! | `amqps` | TLS | AMQP 0-9-1 |
//! | `http` | by the first bytes: TCP; HTTP and its WebSocket; TLS, and inside it the same again | MQTT, AMQP, pages |
//! | `https` | TLS, and inside it by the first bytes: HTTP and its WebSocket, or nothing between | MQTT, AMQP, pages |
//! | `ws` | WebSocket on any path | MQTT |
//! | `management` | HTTP | the management API |
//! | `management-tls` | TLS | the same |

use crate::admin::Admin;
use crate::admission::{Admission, Door};
use crate::config::{Network, Protocol};
use crate::console::Console;
use crate::driver::framing::Framing;
use crate::driver::{Admitted, Arrival, Carrier, Connection};
use crate::house::{House, MachineMaker};
use crate::http::{self, Web};
use crate::proxy::take_header;
use crate::reload::Reloader;
use crate::sniff::{Prefixed, Spoken, listen_to};
use crate::telemetry::{Bound, ClientRefused, Event, HandshakeFailed, Present, ProxyRefused, Refused, UnknownProtocol};
use crate::tls::{self, Certificates, Shown};
use bytes::Bytes;
use motet_core::engine::Engine;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

// Indexes of a protocol's figures in [`crate::telemetry::PROTOCOLS`].
pub(crate) const MQTT: usize = 0;
pub(crate) const MQTTS: usize = 1;
pub(crate) const WS: usize = 2;
pub(crate) const WSS: usize = 3;
pub(crate) const HTTP: usize = 4;
pub(crate) const AMQP: usize = 5;
pub(crate) const AMQPS: usize = 6;

/// TLS, behind bytes that may have been read to find out that it is TLS. Boxed: a session is a kilobyte.
type Encrypted = Box<TlsStream<Prefixed<TcpStream>>>;

/// One listener's line of the table.
pub(crate) struct Endpoint<E: Engine> {
    pub(crate) house: Arc<House<E>>,
    pub(crate) protocol: Protocol,
    /// Bound to loopback.
    pub(crate) loopback: bool,
    pub(crate) mqtt: MachineMaker<E>,
    pub(crate) amqp: MachineMaker<E>,
    /// None where no TLS is spoken.
    pub(crate) certificates: Option<Arc<Certificates>>,
    pub(crate) web: Web,
    /// From where a PROXY header is believed; None where peers connect themselves.
    pub(crate) proxies: Option<Vec<Network>>,
    /// Shared by all listeners.
    pub(crate) door: Arc<Door>,
    /// None where nobody speaks HTTP.
    pub(crate) admin: Option<Arc<Admin>>,
    pub(crate) console: Arc<Console<E>>,
    pub(crate) reloader: Arc<Reloader>,
}

impl<E: Engine> Endpoint<E> {
    /// Takes a fresh connection.
    pub(crate) fn serve(self: &Arc<Self>, mut stream: TcpStream, peer: SocketAddr, turn: OwnedSemaphorePermit) {
        let Some(proxies) = &self.proxies else {
            return self.admit(stream, peer, self.door.admit(), turn);
        };
        if !proxies.iter().any(|network| network.contains(peer.ip())) {
            let why = "it comes from outside listener.proxy_networks";
            return ProxyRefused { peer, why: &why }.emit(&self.house.counters);
        }
        // Counted before anything is read; whose it is, is not known yet.
        let admission = match self.door.admit() {
            Ok(admission) => admission,
            Err(bound) => return self.admit(stream, peer, Err(bound), turn),
        };
        let this = self.clone();
        tokio::spawn(async move {
            let within = this.house.limits().proxy_header_timeout;
            let told = timeout(within, take_header(&mut stream)).await.unwrap_or_else(|late| Err(late.into()));
            match told {
                // Who speaks for itself is itself the peer.
                Ok(source) => this.admit(stream, source.unwrap_or(peer), Ok(admission), turn),
                Err(error) => ProxyRefused { peer, why: &error }.emit(&this.house.counters),
            }
        });
    }

    /// The peer is known: counts it, or serves it only to say that it is one too many.
    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        admission: Result<Admission, Bound>,
        turn: OwnedSemaphorePermit,
    ) {
        let admitted = match admission.and_then(|admission| admission.at(peer.ip())) {
            Ok(admission) => Admitted::In(admission),
            Err(bound) => {
                Refused { peer, bound }.emit(&self.house.counters);
                match self.house.refusals.clone().try_acquire_owned() {
                    Ok(one) => Admitted::ToBeRefused(one),
                    Err(_) => return,
                }
            }
        };
        let (peer, local, loopback) = (Some(peer), stream.local_addr().ok(), self.loopback);
        let (encrypted, secure, turn) = (false, None, Some(turn));
        self.talk_to(stream, Arrival { protocol: MQTT, encrypted, secure, peer, local, loopback, admitted, turn });
    }

    fn talk_to(self: &Arc<Self>, stream: TcpStream, arrival: Arrival) {
        let this = self.clone();
        match self.protocol {
            // No wrapping future: this one is all that an idle connection holds.
            Protocol::Mqtt => self.talk(stream, arrival, &[]),
            Protocol::Amqp => self.talk(stream, Arrival { protocol: AMQP, ..arrival }, &[]),
            Protocol::Mqtts | Protocol::Amqps | Protocol::Https | Protocol::ManagementTls => {
                tokio::spawn(async move { this.serve_tls(Prefixed::new(Bytes::new(), stream), arrival).await });
            }
            Protocol::Http => {
                tokio::spawn(async move { this.serve_shared(stream, arrival).await });
            }
            Protocol::Ws | Protocol::Management => {
                tokio::spawn(async move { this.serve_http(Prefixed::new(Bytes::new(), stream), arrival).await });
            }
        }
    }

    /// The port where everything is: listens first.
    async fn serve_shared(self: Arc<Self>, mut stream: TcpStream, arrival: Arrival) {
        let Some((spoken, heard)) = self.listen(&mut stream, &arrival).await else { return };
        match spoken {
            Spoken::Mqtt => self.talk(stream, arrival, &heard),
            Spoken::Amqp => self.talk(stream, Arrival { protocol: AMQP, ..arrival }, &heard),
            Spoken::Http => Box::pin(self.serve_http(Prefixed::new(heard, stream), arrival)).await,
            Spoken::Tls => Box::pin(self.serve_tls(Prefixed::new(heard, stream), arrival)).await,
        }
    }

    /// The handshake, then what is inside.
    async fn serve_tls(self: Arc<Self>, stream: Prefixed<TcpStream>, mut arrival: Arrival) {
        let Some((mut stream, secure)) = self.shake_hands(stream, &arrival).await else { return };
        (arrival.encrypted, arrival.secure, arrival.protocol) = (true, Some(secure), MQTTS);
        match self.protocol {
            Protocol::Mqtts => return self.talk(stream, arrival, &[]),
            Protocol::Amqps => return self.talk(stream, Arrival { protocol: AMQPS, ..arrival }, &[]),
            Protocol::ManagementTls => {
                return Box::pin(self.serve_http(Prefixed::new(Bytes::new(), stream), arrival)).await;
            }
            _ => {}
        }
        let Some((spoken, heard)) = self.listen(&mut stream, &arrival).await else { return };
        match spoken {
            Spoken::Mqtt => self.talk(stream, arrival, &heard),
            Spoken::Amqp => self.talk(stream, Arrival { protocol: AMQPS, ..arrival }, &heard),
            Spoken::Http => Box::pin(self.serve_http(Prefixed::new(heard, stream), arrival)).await,
            // TLS inside TLS is nothing we know.
            Spoken::Tls => self.unknown(&arrival),
        }
    }

    async fn serve_http<S: Carrier>(self: Arc<Self>, stream: Prefixed<S>, mut arrival: Arrival) {
        arrival.protocol = HTTP;
        let house = self.house.clone();
        let _present = Present::enter(&house.counters.protocols[HTTP]);
        http::serve(self, stream, arrival).await;
    }

    /// MQTT or AMQP, in a task of its own that holds nothing of what led to it.
    fn talk<S: Carrier>(&self, carrier: S, arrival: Arrival, heard: &[u8]) {
        let machine = match arrival.protocol {
            AMQP | AMQPS => (self.amqp)(),
            _ => (self.mqtt)(),
        };
        tokio::spawn(Connection::new(self.house.clone(), carrier, Framing::Plain, machine, arrival, heard));
    }

    /// TLS, one of a bounded number at a time, within the time to log in.
    async fn shake_hands(&self, stream: Prefixed<TcpStream>, arrival: &Arrival) -> Option<(Encrypted, Arc<Shown>)> {
        let handshake = self.certificates.as_ref()?.handshake();
        let shaken = timeout(self.house.limits().connect_timeout, async {
            let _turn = self.house.handshakes.acquire().await.map_err(io::Error::other)?;
            handshake.shake(stream, &self.house.acme).await
        });
        match shaken.await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(stream))) => match handshake.secure(stream.get_ref().1) {
                Ok(secure) => return Some((Box::new(stream), secure)),
                Err(error) => self.stranger(arrival, &error),
            },
            Ok(Err(error)) => match about_the_client(&error) {
                Some(why) => self.stranger(arrival, &tls::in_words(why).unwrap_or_else(|| why.to_string())),
                None => self.failed(arrival, &error),
            },
            Err(late) => self.failed(arrival, &late),
        }
        None
    }

    /// What is spoken, within the time to the first byte.
    async fn listen<S: Carrier>(&self, carrier: &mut S, arrival: &Arrival) -> Option<(Spoken, Bytes)> {
        match timeout(self.house.limits().first_byte_timeout, listen_to(carrier)).await {
            Ok(Ok((Some(spoken), heard))) => return Some((spoken, heard)),
            Ok(Ok((None, heard))) if heard.is_empty() => {}
            Ok(Ok((None, _))) => self.unknown(arrival),
            Ok(Err(error)) => self.failed(arrival, &error),
            Err(late) => self.failed(arrival, &late),
        }
        None
    }

    fn failed(&self, arrival: &Arrival, error: &dyn std::fmt::Display) {
        HandshakeFailed { peer: arrival.peer, error }.emit(&self.house.counters);
    }

    fn stranger(&self, arrival: &Arrival, error: &dyn std::fmt::Display) {
        ClientRefused { peer: arrival.peer, error }.emit(&self.house.counters);
    }

    fn unknown(&self, arrival: &Arrival) {
        UnknownProtocol { peer: arrival.peer }.emit(&self.house.counters);
    }
}

/// The handshake failed because of the client's certificate: expired, revoked, of a foreign issuer, or missing.
fn about_the_client(error: &io::Error) -> Option<&rustls::Error> {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    error.filter(|error| matches!(error, rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented))
}
