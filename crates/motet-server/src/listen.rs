//! Sockets that listen, and the loop that accepts.

use crate::config::Listener;
use crate::error::ServerError;
use crate::house::House;
use crate::rates::Pace;
use crate::telemetry::{AcceptFailed, Event};
use motet_core::engine::Engine;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

/// Connections that wait in the system for being accepted: a reconnect storm fits.
const BACKLOG: i32 = 4096;
/// How long to wait when the system has no file or no memory for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// How long to wait when more come than may be accepted.
const PACE_PAUSE: Duration = Duration::from_millis(10);

/// Binds every socket of `listener`; `key` is its name in the configuration. Of two address families one may be
/// missing on this machine.
pub(crate) fn bind(listener: &Listener, key: &str) -> Result<Vec<TcpListener>, ServerError> {
    let mut bound: Vec<TcpListener> = Vec::new();
    let mut missing = None;
    for mut address in listener.address().sockets() {
        // Port 0 of `localhost` is one port in both families, so that one address can be told.
        if let (0, Some(Ok(first))) = (address.port(), bound.first().map(TcpListener::local_addr)) {
            address.set_port(first.port());
        }
        match bind_one(address) {
            Ok(socket) => bound.push(socket),
            Err(error) if is_family_missing(&error) => missing = Some((address, error)),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(ServerError::PortTaken { key: key.into(), address });
            }
            Err(source) => return Err(ServerError::Listen { key: key.into(), address, source }),
        }
    }
    match missing {
        Some((address, source)) if bound.is_empty() => Err(ServerError::Listen { key: key.into(), address, source }),
        _ => Ok(bound),
    }
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // The IPv4 socket beside it is its own.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_family_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        // EAFNOSUPPORT has no kind of its own.
        || error.raw_os_error() == Some(97)
}

/// Accepts for ever, as fast as connections log in and `accepts_per_second` allows: who is not accepted yet waits in the
/// system's queue.
pub(crate) async fn accept<E: Engine>(
    listener: TcpListener,
    house: &House<E>,
    mut serve: impl FnMut(TcpStream, SocketAddr, OwnedSemaphorePermit),
) {
    let (pace, counters) = (Pace::default(), &house.counters);
    loop {
        while !pace.take(house.limits().accepts_per_second, house.clock.now().instant) {
            tokio::time::sleep(PACE_PAUSE).await;
        }
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_the_peers_fault(&error) => continue,
            Err(error) => {
                AcceptFailed { error: &error }.emit(counters);
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
                continue;
            }
        };
        let Ok(turn) = house.turns.clone().acquire_owned().await else { return };
        // We write once per batch: waiting for more would only add latency.
        let _ = stream.set_nodelay(true);
        serve(stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()), turn);
    }
}

/// The connection was gone before it was accepted.
fn is_the_peers_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The address as a client on this machine would write it.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), v4.port()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, ListenAddress, Protocol};

    fn listener(port: u16) -> Listener {
        let address = Some(ListenAddress { host: Host::Localhost, port });
        Listener { address, protocol: Protocol::Mqtt, ..Listener::default() }
    }

    #[tokio::test]
    async fn port_zero_is_one_port_in_both_families() {
        let sockets = bind(&listener(0), "listener.0.address").unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(!ports.is_empty() && ports.iter().all(|port| *port == ports[0]));
    }

    #[tokio::test]
    async fn a_taken_port_names_the_key_and_a_remedy() {
        let taken = bind(&listener(0), "listener.0.address").unwrap();
        let port = taken[0].local_addr().unwrap().port();
        let error = bind(&listener(port), "listener.3.address").unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "listener.3.address: port {port} of 127.0.0.1 is taken: is another broker running? \
                 Stop it, or choose another port with listener.3.address"
            )
        );
    }
}
