//! Runs the steps of a script in a world.

use super::compose::{compose, version};
use super::fields::Fields;
use super::parse::{Script, Step};
use motet_mqtt::packet::{Connect, Packet, PacketKind, Version, frame};
use std::collections::BTreeMap;
use std::time::Duration;

/// Where a conversation takes place.
pub trait World {
    /// Opens a connection for a client, in place of one it had.
    fn open(&mut self, client: &str);
    /// The client sends.
    fn send(&mut self, client: &str, bytes: &[u8]);
    /// The client closes the carrier.
    fn hang_up(&mut self, client: &str);
    /// Appends what the server has sent since; false when it has closed and everything is read. With `expects` the
    /// world may wait a while for something to come.
    fn receive(&mut self, client: &str, expects: bool, into: &mut Vec<u8>) -> bool;
    /// Time passes.
    fn pass(&mut self, time: Duration);
}

/// What the script knows of a client.
#[derive(Default)]
struct Client {
    /// It has a connection, as far as it knows.
    open: bool,
    version: Option<Version>,
    /// Bytes read that are no whole packet yet.
    unread: Vec<u8>,
    /// The server has closed.
    closed: bool,
}

/// Runs a script to its end.
///
/// # Errors
/// The line that did not hold, and what happened instead.
pub fn run(script: &Script, world: &mut dyn World) -> Result<(), String> {
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    for (line, step) in &script.steps {
        perform(step, &mut clients, world).map_err(|reason| format!("{}:{line}: {reason}", script.name))?;
    }
    for (name, client) in &mut clients {
        let unread = receive(client, name, false, world)?;
        if let Some(packet) = unread {
            return Err(format!("{}: at the end `{name}` has not read {packet}", script.name));
        }
    }
    Ok(())
}

fn perform(step: &Step, clients: &mut BTreeMap<String, Client>, world: &mut dyn World) -> Result<(), String> {
    match step {
        Step::Sends(name, line) => {
            let client = clients.entry(name.clone()).or_default();
            let speaks = version(line).or(client.version).unwrap_or(Version::V5);
            let bytes = compose(line, speaks)?;
            send(client, name, &bytes, world);
            Ok(())
        }
        Step::SendsBytes(name, bytes) => {
            send(clients.entry(name.clone()).or_default(), name, bytes, world);
            Ok(())
        }
        Step::HangsUp(name) => {
            let client = clients.entry(name.clone()).or_default();
            world.hang_up(name);
            *client = Client { version: client.version, ..Client::default() };
            Ok(())
        }
        Step::Waits(time) => {
            world.pass(*time);
            Ok(())
        }
        Step::Answers(name, line) => {
            let client = clients.entry(name.clone()).or_default();
            let bytes = receive_bytes(client, name, true, world)?;
            let Some(bytes) = bytes else {
                let how = if client.closed { "closed" } else { "nothing" };
                return Err(format!("expected {}, got {how}", line.packet));
            };
            decode(&bytes, client.version)?.check(line)
        }
        Step::Nothing(name) | Step::Closed(name) => {
            let client = clients.entry(name.clone()).or_default();
            let closes = matches!(step, Step::Closed(_));
            if let Some(packet) = receive(client, name, closes, world)? {
                return Err(format!("expected {}, got {packet}", if closes { "the end" } else { "nothing" }));
            }
            match (closes, client.closed) {
                (true, false) => Err("the connection is still open".to_owned()),
                (false, true) => Err("the connection is closed".to_owned()),
                (true, true) => {
                    client.open = false;
                    Ok(())
                }
                (false, false) => Ok(()),
            }
        }
    }
}

fn send(client: &mut Client, name: &str, bytes: &[u8], world: &mut dyn World) {
    if !client.open {
        world.open(name);
        *client = Client { open: true, version: client.version, ..Client::default() };
    }
    if let Ok(Some(found)) = frame(bytes, u32::MAX)
        && found.kind == PacketKind::Connect
    {
        client.version = Connect::peek_version(found).or(client.version);
    }
    world.send(name, bytes);
}

fn receive(client: &mut Client, name: &str, expects: bool, world: &mut dyn World) -> Result<Option<String>, String> {
    let Some(bytes) = receive_bytes(client, name, expects, world)? else { return Ok(None) };
    decode(&bytes, client.version).map(|fields| Some(fields.to_string()))
}

/// The next whole packet, or `None` when nothing more comes.
fn receive_bytes(
    client: &mut Client,
    name: &str,
    expects: bool,
    world: &mut dyn World,
) -> Result<Option<Vec<u8>>, String> {
    loop {
        let found = frame(&client.unread, u32::MAX).map_err(|error| format!("the server sent: {error}"))?;
        if let Some(found) = found {
            let len = found.bytes.len();
            return Ok(Some(client.unread.drain(..len).collect()));
        }
        let before = client.unread.len();
        if client.open && !client.closed {
            client.closed = !world.receive(name, expects, &mut client.unread);
        }
        if client.unread.len() == before {
            return match client.unread.is_empty() {
                true => Ok(None),
                false => Err(format!("the server sent half a packet: {:02x?}", client.unread)),
            };
        }
    }
}

fn decode(bytes: &[u8], version: Option<Version>) -> Result<Fields, String> {
    let found = frame(bytes, u32::MAX).ok().flatten().expect("a whole packet was taken");
    let packet = Packet::decode(found, version.unwrap_or(Version::V5));
    packet.map(|packet| Fields::of(&packet)).map_err(|error| format!("the server sent {bytes:02x?}: {error}"))
}
