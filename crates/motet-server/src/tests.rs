//! The server over real sockets, on port 0 of loopback.

use crate::config::{Config, ListenAddress, Listener, Protocol};
use crate::testing::{Seen, frame, parts};
use crate::{Server, ServerError};
use motet_core::machine::CloseCause;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(crate) fn config(protocols: &[Protocol]) -> Config {
    let listener =
        |protocol: &Protocol| Listener { address: Some(ListenAddress::localhost(0)), protocol: *protocol, tls: None };
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
async fn a_connection_beyond_the_bound_is_closed_at_once() {
    let mut config = config(&[Protocol::Mqtt]);
    config.limits.connections = 1;
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let address = server.addresses()[0].address;
    let mut first = TcpStream::connect(address).await.unwrap();
    echo(&mut first, b"in").await;
    let mut second = TcpStream::connect(address).await.unwrap();
    assert_eq!(second.read(&mut [0; 8]).await.unwrap(), 0);
    echo(&mut first, b"still in").await;
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
