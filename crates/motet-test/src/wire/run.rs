//! Runs the steps of a script in a world.

use super::amqp;
use super::compose::{compose, version};
use super::fields::Fields;
use super::parse::{Script, Step};
use motet_mqtt::packet::{Connect, Packet, PacketKind, Version, frame};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum Face {
    /// MQTT, any version.
    #[default]
    Mqtt,
    /// AMQP 0-9-1.
    Amqp,
}

/// Where a conversation takes place.
pub trait World {
    /// Opens a connection for a client, in place of one it had.
    fn open(&mut self, client: &str, face: Face);
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
    face: Face,
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
    for (name, client) in &mut play(script, world)? {
        let unread = receive(client, name, false, world)?;
        if let Some(packet) = unread {
            return Err(format!("{}: at the end `{name}` has not read {packet}", script.name));
        }
    }
    Ok(())
}

/// Runs a script, then tells everything that a client has not read.
///
/// # Errors
/// The line that did not hold, and what happened instead.
pub fn listen(script: &Script, world: &mut dyn World, listener: &str) -> Result<Vec<String>, String> {
    let mut clients = play(script, world)?;
    let Some(client) = clients.get_mut(listener) else { return Err(format!("nobody is `{listener}`")) };
    std::iter::from_fn(|| receive(client, listener, false, world).transpose()).collect()
}

fn play(script: &Script, world: &mut dyn World) -> Result<BTreeMap<String, Client>, String> {
    let mut clients: BTreeMap<String, Client> = BTreeMap::new();
    for (line, step) in &script.steps {
        perform(step, &mut clients, world).map_err(|reason| format!("{}:{line}: {reason}", script.name))?;
    }
    Ok(clients)
}

fn perform(step: &Step, clients: &mut BTreeMap<String, Client>, world: &mut dyn World) -> Result<(), String> {
    match step {
        Step::Sends(name, line) => {
            let client = clients.entry(name.clone()).or_default();
            if amqp::speaks(line) {
                send(client, name, &amqp::compose(line)?, world);
                return amqp::answers(line).iter().try_for_each(|answer| expect_answer(client, name, answer, world));
            }
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
            decode(&bytes, client)?.check(line)
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
        let face = if amqp::begins(bytes) { Face::Amqp } else { Face::Mqtt };
        world.open(name, face);
        *client = Client { open: true, version: client.version, face, ..Client::default() };
    }
    if client.face == Face::Mqtt
        && let Ok(Some(found)) = frame(bytes, u32::MAX)
        && found.kind == PacketKind::Connect
    {
        client.version = Connect::peek_version(found).or(client.version);
    }
    world.send(name, bytes);
}

fn expect_answer(client: &mut Client, name: &str, answer: &str, world: &mut dyn World) -> Result<(), String> {
    let Some(bytes) = receive_bytes(client, name, true, world)? else { return Err(format!("expected {answer}")) };
    let fields = decode(&bytes, client)?;
    if fields.is(answer) { Ok(()) } else { Err(format!("expected {answer}, got {fields}")) }
}

fn receive(client: &mut Client, name: &str, expects: bool, world: &mut dyn World) -> Result<Option<String>, String> {
    let Some(bytes) = receive_bytes(client, name, expects, world)? else { return Ok(None) };
    decode(&bytes, client).map(|fields| Some(fields.to_string()))
}

/// The next whole packet, or `None` when nothing more comes.
fn receive_bytes(
    client: &mut Client,
    name: &str,
    expects: bool,
    world: &mut dyn World,
) -> Result<Option<Vec<u8>>, String> {
    loop {
        let len = match client.face {
            Face::Mqtt => frame(&client.unread, u32::MAX)
                .map(|found| found.map(|found| found.bytes.len()))
                .map_err(|error| error.to_string()),
            Face::Amqp => amqp::message_len(&client.unread),
        };
        if let Some(len) = len.map_err(|error| format!("the server sent: {error}"))? {
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

fn decode(bytes: &[u8], client: &Client) -> Result<Fields, String> {
    if client.face == Face::Amqp {
        return amqp::fields(bytes);
    }
    let found = frame(bytes, u32::MAX).ok().flatten().expect("a whole packet was taken");
    let packet = Packet::decode(found, client.version.unwrap_or(Version::V5));
    packet.map(|packet| Fields::of(&packet)).map_err(|error| format!("the server sent {bytes:02x?}: {error}"))
}
