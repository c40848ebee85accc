//! The server over real sockets, on port 0 of loopback.

use crate::config::{Config, ListenAddress, Listener, Protocol, ProxyProtocol};
use crate::testing::{Seen, frame, parts};
use crate::{Server, ServerError};
use motet_core::machine::CloseCause;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) fn config(protocols: &[Protocol]) -> Config {
    let listener = |protocol: &Protocol| Listener {
        address: Some(ListenAddress::localhost(0)),
        protocol: *protocol,
        ..Listener::default()
    };
    Config { listener: protocols.iter().map(listener).collect(), ..Config::default() }
}

async fn echo(stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin), payload: &[u8]) {
    stream.write_all(&frame(payload)).await.unwrap();
    let mut back = vec![0; frame(payload).len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, frame(payload));
}

#[tokio::test]
async fn a_server_on_port_0_serves_and_drains() {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let server = Server::start_with(&config(&[Protocol::Mqtt]), parts(&seen)).unwrap();
    let address = server.addresses()[0].address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    echo(&mut stream, b"hello").await;
    assert_eq!(server.connections(), 1);
    let reader = tokio::spawn(async move {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        rest
    });
    assert!(server.shutdown().await, "everybody left in time");
    assert_eq!(reader.await.unwrap(), frame(b"bye"));
    assert_eq!(seen.lock().closed, [CloseCause::Drain]);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_connection_beyond_the_bound_is_told_so_in_its_own_protocol() {
    let mut config = config(&[Protocol::Mqtt]);
    config.limits.connections = 1;
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let address = server.addresses()[0].address;
    let mut first = TcpStream::connect(address).await.unwrap();
    login(&mut first, b"accepted").await;
    let mut second = TcpStream::connect(address).await.unwrap();
    login(&mut second, b"a bound of the server is reached").await;
    drop(second);
    echo(&mut first, b"still in").await;
}

/// Asks who may come in; the answer is what the house says.
async fn login(stream: &mut TcpStream, answer: &[u8]) {
    stream.write_all(&frame(b"login")).await.unwrap();
    let mut back = vec![0; frame(answer).len()];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back.escape_ascii().to_string(), frame(answer).escape_ascii().to_string());
}

#[tokio::test]
async fn too_many_logins_per_second_are_told_to_come_back() {
    let mut config = config(&[Protocol::Mqtt]);
    config.limits.logins_per_second = Some(1);
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let address = server.addresses()[0].address;
    let mut streams = Vec::new();
    for answer in [&b"accepted"[..], b"too many logins per second"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        login(&mut stream, answer).await;
        streams.push(stream);
    }
}

#[tokio::test]
async fn who_does_not_log_in_holds_up_others_only_for_a_while() {
    let mut config = config(&[Protocol::Mqtt]);
    config.limits.logins_in_progress = 1;
    config.limits.connect_timeout = Duration::from_secs(3600);
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let address = server.addresses()[0].address;
    let mut first = TcpStream::connect(address).await.unwrap();
    echo(&mut first, b"I have the only turn").await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(&frame(b"login")).await.unwrap();
    login(&mut first, b"accepted").await;
    let mut back = vec![0; frame(b"accepted").len()];
    second.read_exact(&mut back).await.unwrap();
    assert_eq!(back, frame(b"accepted"), "its turn came when the first was in");
}

#[tokio::test]
async fn behind_a_proxy_the_peer_is_who_it_says() {
    let mut config = config(&[Protocol::Mqtt]);
    config.listener[0].proxy_protocol = ProxyProtocol::Required;
    config.limits.connections_per_address = 1;
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let address = server.addresses()[0].address;
    let mut through = Vec::new();
    for (source, answer) in [
        ("192.0.2.1", &b"accepted"[..]),
        ("192.0.2.2", b"accepted"),
        ("192.0.2.1", b"a bound of the server is reached"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("PROXY TCP4 {source} 192.0.2.9 4000 1883\r\n").as_bytes()).await.unwrap();
        login(&mut stream, answer).await;
        through.push(stream);
    }
    let mut direct = TcpStream::connect(address).await.unwrap();
    direct.write_all(&frame(b"login")).await.unwrap();
    assert!(matches!(direct.read(&mut [0; 8]).await, Ok(0) | Err(_)), "without a header nobody comes in");
    let refused = || server.counters().proxy_refused.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(refused(), 1);
}

#[tokio::test]
async fn a_proxy_from_elsewhere_is_not_believed() {
    let mut config = config(&[Protocol::Mqtt]);
    config.listener[0].proxy_protocol = ProxyProtocol::Required;
    config.listener[0].proxy_networks = Vec::new();
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let mut stream = TcpStream::connect(server.addresses()[0].address).await.unwrap();
    stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.9 4000 1883\r\n").await.unwrap();
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn a_header_that_does_not_come_is_not_waited_for() {
    let mut config = config(&[Protocol::Mqtt]);
    config.listener[0].proxy_protocol = ProxyProtocol::Required;
    config.limits.proxy_header_timeout = Duration::from_millis(1);
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let mut stream = TcpStream::connect(server.addresses()[0].address).await.unwrap();
    assert!(matches!(stream.read(&mut [0; 8]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn the_wheel_closes_who_says_nothing() {
    let mut config = config(&[Protocol::Mqtt]);
    config.limits.first_byte_timeout = Duration::from_millis(1);
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let mut silent = TcpStream::connect(server.addresses()[0].address).await.unwrap();
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_a_remedy() {
    let server = Server::start_with(&config(&[Protocol::Mqtt]), parts(&Arc::default())).unwrap();
    let mut config = config(&[Protocol::Mqtt]);
    config.listener[0].address = Some(ListenAddress::localhost(server.addresses()[0].address.port()));
    let error = Server::start_with(&config, parts(&Arc::default())).unwrap_err();
    assert!(matches!(&error, ServerError::PortTaken { key, .. } if key == "listener.0.address"), "{error}");
}

/// A server whose data directory goes with it.
fn web_server(protocols: &[Protocol]) -> (Server<crate::testing::Instantly>, Config, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().into(), ..config(protocols) };
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    (server, config, dir)
}

async fn connect(server: &Server<crate::testing::Instantly>, at: Protocol) -> TcpStream {
    let bound = server.addresses().iter().find(|bound| bound.protocol == at).unwrap();
    TcpStream::connect(bound.address).await.unwrap()
}

/// Sends a request and reads the answer to its end.
async fn ask(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, head: &str) -> String {
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn pages_are_answered_and_strange_names_are_not() {
    let (server, ..) = web_server(&[Protocol::Http]);
    for (head, status, part) in [
        ("GET /healthz HTTP/1.1\r\nHost: localhost", 200, "alive"),
        ("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:8080", 200, "ready"),
        ("GET /metrics HTTP/1.1\r\nHost: localhost", 200, "motet_server_connections{protocol=\"http\"} 1\n"),
        ("GET / HTTP/1.1\r\nHost: localhost", 200, "MQTT over WebSocket"),
        ("GET /nowhere HTTP/1.1\r\nHost: localhost", 404, "no such page"),
        ("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0", 405, "only GET"),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example", 403, "web.allowed_hosts"),
        ("GET /mqtt HTTP/1.1\r\nHost: localhost", 426, "connect with a WebSocket client"),
        ("GET /healthz HTTP/1.1\r\nAccept: */*", 400, "has a Host header"),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: other", 400, "and one only"),
    ] {
        let answer = ask(connect(&server, Protocol::Http).await, head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert!(answer.contains(part), "{head}: {answer}");
    }
}

#[tokio::test]
async fn the_shared_port_speaks_plain_machines_too() {
    let (server, ..) = web_server(&[Protocol::Http]);
    let mut stream = connect(&server, Protocol::Http).await;
    // The beginning of an MQTT CONNECT; our echo takes it for the length of a frame, and waits.
    stream.write_all(b"\x10\x10\x00\x04MQTT").await.unwrap();
    while server.connections() == 0 {
        tokio::task::yield_now().await;
    }
    let mut stranger = connect(&server, Protocol::Http).await;
    stranger.write_all(b"SSH-2.0-OpenSSH\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = stranger.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

const UPGRADE: &str = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: mqtt";

/// One masked frame, the mask being zero.
fn masked(payload: &[u8]) -> Vec<u8> {
    [&[0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0][..], payload].concat()
}

async fn echo_over_websocket(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, path: &str) {
    let early = masked(&frame(b"early"));
    stream.write_all(format!("GET {path} HTTP/1.1\r\n{UPGRADE}\r\n\r\n").as_bytes()).await.unwrap();
    stream.write_all(&early).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("sec-websocket-protocol: mqtt\r\n"), "{head}");
    let mut back = vec![0; 2 + 9];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(back, [&[0x82, 9][..], &frame(b"early")].concat());
}

#[tokio::test]
async fn a_websocket_carries_the_machine() {
    let (server, ..) = web_server(&[Protocol::Http, Protocol::Ws]);
    echo_over_websocket(connect(&server, Protocol::Http).await, "/mqtt").await;
    echo_over_websocket(connect(&server, Protocol::Ws).await, "/any/path").await;
}

#[tokio::test]
async fn a_page_of_another_site_gets_no_websocket() {
    let (server, ..) = web_server(&[Protocol::Http]);
    let head = format!("GET /mqtt HTTP/1.1\r\n{}\r\nOrigin: https://evil.example", UPGRADE);
    let mut stream = connect(&server, Protocol::Http).await;
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 403");
}

fn trusting(certificate: &std::path::Path) -> tokio_rustls::TlsConnector {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Arc::new(config).into()
}

async fn encrypt(
    connector: &tokio_rustls::TlsConnector,
    stream: TcpStream,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    connector.connect("localhost".try_into().unwrap(), stream).await
}

#[tokio::test]
async fn tls_carries_everything_and_a_reload_changes_new_handshakes_only() {
    let (server, config, dir) = web_server(&[Protocol::Mqtts, Protocol::Http, Protocol::Https]);
    let certificate = dir.path().join("tls/self-signed.pem");
    let connector = trusting(&certificate);

    let mut old = encrypt(&connector, connect(&server, Protocol::Mqtts).await).await.unwrap();
    echo(&mut old, b"encrypted").await;
    echo(&mut old, &vec![b'x'; 300_000]).await;
    for web in [Protocol::Http, Protocol::Https] {
        let inside = encrypt(&connector, connect(&server, web).await).await.unwrap();
        echo_over_websocket(inside, "/mqtt").await;
        let inside = encrypt(&connector, connect(&server, web).await).await.unwrap();
        assert!(ask(inside, "GET /healthz HTTP/1.1\r\nHost: localhost").await.contains("alive"));
    }

    std::fs::remove_file(&certificate).unwrap();
    server.reload(&config);
    encrypt(&connector, connect(&server, Protocol::Mqtts).await).await.expect_err("another certificate, not trusted");
    let mut new = encrypt(&trusting(&certificate), connect(&server, Protocol::Mqtts).await).await.unwrap();
    echo(&mut new, b"new").await;
    echo(&mut old, b"still here").await;
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config { data_dir: dir.path().into(), ..config(&[Protocol::Mqtts]) };
    config.limits.connect_timeout = Duration::from_millis(1);
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let mut silent = connect(&server, Protocol::Mqtts).await;
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap(), 0);
}

/// MQTT 5, client identifier `a`, session expiry for ever.
const CONNECT: &[u8] = b"\x10\x13\x00\x04MQTT\x05\x00\x00\x3c\x05\x11\xff\xff\xff\xff\x00\x01a";
/// `t`, QoS 1, packet identifier 1.
const SUBSCRIBE: &[u8] = b"\x82\x07\x00\x01\x00\x00\x01t\x01";
/// `hi` to `t`, QoS 1, packet identifier 2.
pub(crate) const PUBLISH: &[u8] = b"\x32\x08\x00\x01t\x00\x02\x00hi";

pub(crate) async fn packet(stream: &mut TcpStream) -> Vec<u8> {
    let (first, len) = (stream.read_u8().await.unwrap(), stream.read_u8().await.unwrap());
    let mut packet = vec![first, len];
    packet.resize(2 + usize::from(len), 0);
    stream.read_exact(&mut packet[2..]).await.unwrap();
    packet
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_survives_a_drain_and_a_new_start() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().into(), ..config(&[Protocol::Mqtt]) };
    for session_present in [0, 1] {
        let server = Server::start(&config).unwrap();
        let mut stream = TcpStream::connect(server.addresses()[0].address).await.unwrap();
        stream.write_all(CONNECT).await.unwrap();
        let connack = packet(&mut stream).await;
        assert_eq!((connack[0], connack[2], connack[3]), (0x20, session_present, 0));
        if session_present == 0 {
            stream.write_all(SUBSCRIBE).await.unwrap();
            assert_eq!(packet(&mut stream).await, [0x90, 4, 0, 1, 0, 1]);
        }
        stream.write_all(PUBLISH).await.unwrap();
        let mut kinds = [packet(&mut stream).await[0] >> 4, packet(&mut stream).await[0] >> 4];
        kinds.sort_unstable();
        assert_eq!(kinds, [3, 4], "the message comes back and is confirmed");
        // Acknowledged, so that the second start finds nothing else.
        stream.write_all(b"\x40\x02\x00\x01").await.unwrap();
        stream.write_all(b"\xc0\x00").await.unwrap();
        assert_eq!(packet(&mut stream).await, b"\xd0\x00");
        let reader = tokio::spawn(async move {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.unwrap();
            rest
        });
        assert!(server.shutdown().await);
        let goodbye = reader.await.unwrap();
        assert_eq!((goodbye[0], goodbye[2]), (0xe0, 0x8b), "DISCONNECT, server shutting down");
    }
}
