//! A running server as a world.

use super::run::{Face, World};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long "nothing" is watched.
const QUIET: Duration = Duration::from_millis(60);
/// What a server may need to take in what one client sent before another client's step.
const SETTLE: Duration = Duration::from_millis(15);

/// Connections to a server, at an address for what they speak.
#[derive(Debug)]
pub struct Remote {
    servers: BTreeMap<Face, SocketAddr>,
    streams: BTreeMap<String, TcpStream>,
    last: Option<String>,
}

impl Remote {
    /// Nobody is connected yet.
    pub fn new(servers: BTreeMap<Face, SocketAddr>) -> Self {
        Remote { servers, streams: BTreeMap::new(), last: None }
    }

    /// Steps of different clients are apart in time, as in the script.
    fn settle(&mut self, client: &str) {
        if self.last.as_deref().is_some_and(|last| last != client) {
            std::thread::sleep(SETTLE);
        }
        self.last = Some(client.to_owned());
    }
}

impl World for Remote {
    fn open(&mut self, client: &str, face: Face) {
        self.settle(client);
        let stream = TcpStream::connect_timeout(&self.servers[&face], PATIENCE).expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket has the option");
        self.streams.insert(client.to_owned(), stream);
    }

    fn send(&mut self, client: &str, bytes: &[u8]) {
        self.settle(client);
        if let Some(stream) = self.streams.get_mut(client) {
            // A server that has closed is for the next step to notice.
            let _ = stream.write_all(bytes);
        }
    }

    fn hang_up(&mut self, client: &str) {
        self.settle(client);
        if let Some(stream) = self.streams.remove(client) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn receive(&mut self, client: &str, expects: bool, into: &mut Vec<u8>) -> bool {
        let Some(stream) = self.streams.get_mut(client) else { return false };
        let patience = if expects { PATIENCE } else { QUIET };
        stream.set_read_timeout(Some(patience)).expect("the time is not zero");
        let mut buffer = [0; 16 * 1024];
        match stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(len) => {
                into.extend_from_slice(&buffer[..len]);
                true
            }
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        }
    }

    fn pass(&mut self, time: Duration) {
        std::thread::sleep(time);
    }
}
