//! An honest MQTT client. It remembers what MQTT asks it to remember, sends again after a resumed connection what was
//! not answered, acknowledges late and in any order, and counts on nothing else.

use super::Dice;
use super::ledger::{Broken, Ledger};
use motet_mqtt::packet::{
    Connect, Disconnect, Encode, Packet, PacketIdentifier, Place, Properties, PropertiesBuf, Property, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, QoS, ReasonCode, Subscribe, Subscription, SubscriptionOptions, Unsubscribe, Version, Will,
    frame,
};
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

pub(super) const TOPICS: [&str; 3] = ["t/0", "t/1", "t/2"];
/// Exchanges a client has open at a time.
const OPEN_MAX: usize = 8;

/// A message on its way out.
#[derive(Debug, Clone)]
struct Outgoing {
    identifier: u16,
    /// What the ledger calls it.
    name: String,
    payload: String,
    topic: &'static str,
    qos: u8,
    retain: bool,
    /// It is worth delivering for a second only.
    expires: bool,
    /// PUBREC has come: PUBREL is what is sent again.
    released: bool,
}

/// An answer not given yet.
#[derive(Debug, Clone, Copy)]
enum Owing {
    Puback(u16),
    Pubrec(u16),
    Pubcomp(u16),
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    pub(super) index: usize,
    pub(super) version: Version,
    /// Its session outlives its connections.
    pub(super) persistent: bool,
    /// Which link of the world it talks through.
    pub(super) link: Option<usize>,
    /// CONNACK has come.
    pub(super) is_in: bool,
    received: Vec<u8>,
    /// Counts the sessions it has had.
    session: u64,
    clean_start: bool,
    /// CONNACK has come on the last link.
    was_in: bool,
    outgoing: Vec<Outgoing>,
    incoming: BTreeSet<u16>,
    owing: Vec<Owing>,
    asking: BTreeMap<u16, (&'static str, Option<u8>)>,
    sent: u64,
    will: Option<String>,
    /// Last values seen, for the newcomer at the end.
    pub(super) retained: std::collections::HashMap<String, String>,
}

fn id(number: u16) -> PacketIdentifier {
    PacketIdentifier::new(number).expect("counts from one")
}

fn qos(level: u8) -> QoS {
    QoS::from_bits(level).expect("0, 1 or 2")
}

impl Client {
    pub(super) fn new(index: usize, version: Version, persistent: bool) -> Self {
        Client {
            name: format!("client-{index}"),
            index,
            version,
            persistent,
            link: None,
            is_in: false,
            received: Vec::new(),
            session: 0,
            clean_start: false,
            was_in: true,
            outgoing: Vec::new(),
            incoming: BTreeSet::new(),
            owing: Vec::new(),
            asking: BTreeMap::new(),
            sent: 0,
            will: None,
            retained: Default::default(),
        }
    }

    /// Everything it began has been answered, and it has answered everything.
    pub(super) fn is_quiet(&self) -> bool {
        self.outgoing.is_empty() && self.owing.is_empty() && self.asking.is_empty()
    }

    fn say(&self, packet: &impl Encode, out: &mut Vec<u8>) {
        packet.encode(self.version, out);
    }

    /// Says CONNECT on a new link.
    pub(super) fn connect(
        &mut self,
        link: usize,
        clean: bool,
        calm: bool,
        dice: &mut Dice,
        ledger: &mut Ledger,
    ) -> Vec<u8> {
        self.link = Some(link);
        self.is_in = false;
        self.received.clear();
        self.owing.clear();
        // SUBSCRIBE is not sent again by a resumed session; what was asked is unknown and asked anew some time.
        self.asking.clear();
        // A clean session of 3.1.1 has ended with its connection.
        let ended = self.clean_start && self.version != Version::V5;
        // Who has forgotten everything and was not answered asks to start clean again.
        self.clean_start = clean || !self.persistent || self.clean_start && !self.was_in;
        self.was_in = false;
        if self.clean_start || ended {
            self.forget(ledger);
        }
        let mut properties = PropertiesBuf::new();
        if self.version == Version::V5 {
            if self.persistent {
                properties.push(Place::Connect, Property::SessionExpiryInterval(u32::MAX)).expect("allowed here");
            }
            let maximum = NonZeroU16::new(1 + dice.below(6) as u16).expect("at least one");
            properties.push(Place::Connect, Property::ReceiveMaximum(maximum)).expect("allowed here");
        }
        let left = (!calm && dice.one_in(3)).then(|| {
            self.sent += 1;
            format!("<will-{}-{}>", self.index, self.sent)
        });
        let mut will_properties = PropertiesBuf::new();
        let delayed = self.version == Version::V5 && dice.one_in(3);
        if delayed {
            let delay = 1 + dice.below(3) as u32;
            will_properties.push(Place::Will, Property::WillDelayInterval(delay)).expect("allowed here");
        }
        // Whether a delayed one is published depends on who comes back in time; nobody is owed it.
        self.will = left.clone().filter(|_| !delayed);
        let will = left.as_deref().map(|payload| {
            ledger.leaves_will(self.index, payload, TOPICS[0], 1);
            Will {
                qos: QoS::AtLeastOnce,
                retain: false,
                topic: TOPICS[0],
                properties: will_properties.as_properties(),
                payload: payload.as_bytes(),
            }
        });
        let connect = Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive_secs: 0,
            properties: properties.as_properties(),
            client_identifier: &self.name,
            will,
            user_name: None,
            password: None,
        };
        let mut out = Vec::new();
        self.say(&connect, &mut out);
        out
    }

    /// Its session is over: nothing of it is remembered.
    fn forget(&mut self, ledger: &mut Ledger) {
        self.session += 1;
        self.outgoing.clear();
        self.incoming.clear();
        ledger.leaves(self.index, None);
    }

    /// The link is gone; returns the will that was left there.
    pub(super) fn gone(&mut self) -> Option<String> {
        self.link = None;
        self.is_in = false;
        self.will.take()
    }

    /// This will was its own, on this or an earlier link.
    pub(super) fn left(&self, will: &str) -> bool {
        will.starts_with(&format!("<will-{}-", self.index))
    }

    /// Publishes something.
    pub(super) fn publish(&mut self, dice: &mut Dice, ledger: &mut Ledger) -> Vec<u8> {
        let mut out = Vec::new();
        let level = dice.below(3) as u8;
        if level > 0 && self.outgoing.len() >= OPEN_MAX {
            return out;
        }
        self.sent += 1;
        let topic = TOPICS[dice.below(TOPICS.len())];
        let filler = if dice.one_in(20) { 3000 } else { 0 };
        let name = format!("<{}-{}>", self.index, self.sent);
        let retain = dice.one_in(4);
        // A message without a body takes the last value away.
        let clears = retain && dice.one_in(4);
        let payload = if clears { String::new() } else { format!("{name:>filler$}") };
        let expires = !clears && self.version == Version::V5 && dice.one_in(6);
        match (clears, expires) {
            (true, _) => ledger.clears(&name, topic),
            (false, true) => ledger.sends_for_a_while(self.index, &name, topic, level, retain),
            (false, false) => ledger.sends(self.index, &name, topic, level, retain),
        }
        let mut outgoing =
            Outgoing { identifier: 0, name, payload, topic, qos: level, retain, expires, released: false };
        if level > 0 {
            // The smallest that is free, so that identifiers are used again soon.
            outgoing.identifier =
                (1..).find(|n| self.outgoing.iter().all(|o| o.identifier != *n)).expect("few are open");
            self.outgoing.push(outgoing.clone());
        }
        self.send(&outgoing, false, &mut out);
        out
    }

    fn send(&self, message: &Outgoing, dup: bool, out: &mut Vec<u8>) {
        let mut properties = PropertiesBuf::new();
        if message.expires {
            properties.push(Place::Publish, Property::MessageExpiryInterval(1)).expect("allowed here");
        }
        let publish = Publish {
            dup,
            qos: qos(message.qos),
            retain: message.retain,
            topic: message.topic,
            packet_identifier: PacketIdentifier::new(message.identifier),
            properties: properties.as_properties(),
            payload: message.payload.as_bytes(),
        };
        self.say(&publish, out);
    }

    pub(super) fn subscribe(&mut self, level: u8, filter: &'static str, ledger: &mut Ledger) -> Vec<u8> {
        let mut out = Vec::new();
        if self.asking.values().any(|(asked, _)| *asked == filter) {
            return out;
        }
        let number = self.ask(filter, Some(level));
        ledger.asks(self.index, filter);
        let options = SubscriptionOptions { maximum_qos: qos(level), ..Default::default() };
        let subscriptions = [Subscription { topic_filter: filter, options }].into_iter().collect();
        self.say(&Subscribe { packet_identifier: id(number), properties: Properties::EMPTY, subscriptions }, &mut out);
        out
    }

    pub(super) fn unsubscribe(&mut self, filter: &'static str, ledger: &mut Ledger) -> Vec<u8> {
        let mut out = Vec::new();
        if self.asking.values().any(|(asked, _)| *asked == filter) {
            return out;
        }
        let number = self.ask(filter, None);
        ledger.leaves(self.index, Some(filter));
        let topic_filters = [filter].into_iter().collect();
        self.say(
            &Unsubscribe { packet_identifier: id(number), properties: Properties::EMPTY, topic_filters },
            &mut out,
        );
        out
    }

    fn ask(&mut self, filter: &'static str, level: Option<u8>) -> u16 {
        let number = (1000..).find(|n| !self.asking.contains_key(n)).expect("few are open");
        self.asking.insert(number, (filter, level));
        number
    }

    /// Gives one answer it owes, any.
    pub(super) fn answer(&mut self, dice: &mut Dice) -> Vec<u8> {
        let mut out = Vec::new();
        if self.owing.is_empty() {
            return out;
        }
        let which = dice.below(self.owing.len());
        match self.owing.remove(which) {
            Owing::Puback(n) => self.say(&Puback::new(id(n), ReasonCode::Success), &mut out),
            Owing::Pubrec(n) => self.say(&Pubrec::new(id(n), ReasonCode::Success), &mut out),
            Owing::Pubcomp(n) => self.say(&Pubcomp::new(id(n), ReasonCode::Success), &mut out),
        }
        out
    }

    pub(super) fn goodbye(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.say(&Disconnect::new(ReasonCode::Success), &mut out);
        out
    }

    /// Bytes have come; returns what it says at once.
    pub(super) fn hear(
        &mut self,
        bytes: &[u8],
        ledger: &mut Ledger,
        tell: &mut dyn FnMut(String),
    ) -> Result<Vec<u8>, String> {
        self.received.extend_from_slice(bytes);
        let received = std::mem::take(&mut self.received);
        let (mut at, mut out) = (0, Vec::new());
        while let Some(frame) = frame(&received[at..], u32::MAX).map_err(|e| format!("not MQTT: {e}"))? {
            at += frame.bytes.len();
            let packet = Packet::decode(frame, self.version)
                .map_err(|e| format!("{} hears no MQTT: {e} in {:?}", self.name, frame.bytes))?;
            tell(format!("{} hears {}", self.name, brief(&packet)));
            self.packet(packet, ledger, &mut out)?;
        }
        self.received = received[at..].to_vec();
        Ok(out)
    }

    fn packet(&mut self, packet: Packet<'_>, ledger: &mut Ledger, out: &mut Vec<u8>) -> Broken {
        match packet {
            Packet::Connack(p) => return self.connack(p.session_present, p.reason_code, ledger, out),
            Packet::Publish(p) => return self.take(&p, ledger),
            Packet::Puback(p) => self.answered(p.packet_identifier.get(), p.reason_code, 1, ledger),
            Packet::Pubrec(p) => {
                let number = p.packet_identifier.get();
                self.answered(number, p.reason_code, 2, ledger);
                if !p.reason_code.is_error() {
                    self.say(&Pubrel::new(id(number), ReasonCode::Success), out);
                }
            }
            Packet::Pubcomp(p) => {
                self.outgoing.retain(|o| o.identifier != p.packet_identifier.get() || !o.released);
            }
            Packet::Pubrel(p) => {
                self.incoming.remove(&p.packet_identifier.get());
                self.owing.push(Owing::Pubcomp(p.packet_identifier.get()));
            }
            Packet::Suback(p) => {
                if let Some((filter, Some(level))) = self.asking.remove(&p.packet_identifier.get())
                    && !p.reason_codes[0].is_error()
                    // Nothing is owed to a session that ends when its connection breaks.
                    && self.persistent
                    && !(self.clean_start && self.version != Version::V5)
                {
                    ledger.subscribed(self.index, filter, level);
                }
            }
            Packet::Unsuback(p) => {
                self.asking.remove(&p.packet_identifier.get());
            }
            Packet::Disconnect(p) if p.reason_code == ReasonCode::SessionTakenOver => {}
            other => return Err(format!("{} did not expect {other:?}", self.name)),
        }
        Ok(())
    }

    fn connack(&mut self, present: bool, code: ReasonCode, ledger: &mut Ledger, out: &mut Vec<u8>) -> Broken {
        // The store did not say in time that it took the session.
        if code == ReasonCode::ServerUnavailable {
            return Ok(());
        }
        if code != ReasonCode::Success {
            return Err(format!("{} was refused: {code:?}", self.name));
        }
        self.is_in = true;
        self.was_in = true;
        if present && self.clean_start {
            return Err(format!("{} wanted to start clean, and has a session", self.name));
        }
        if !present && !self.clean_start {
            if ledger.has_confirmed(self.index) {
                return Err(format!("the session of {} is lost", self.name));
            }
            self.forget(ledger);
        }
        // [MQTT-4.4.0-1] what was not answered is sent again, in its order.
        for message in self.outgoing.clone() {
            match message.released {
                true => self.say(&Pubrel::new(id(message.identifier), ReasonCode::Success), out),
                false => self.send(&message, true, out),
            }
        }
        Ok(())
    }

    /// PUBACK or PUBREC has come for a message.
    fn answered(&mut self, number: u16, code: ReasonCode, level: u8, ledger: &mut Ledger) {
        let Some(at) = self.outgoing.iter().position(|o| o.identifier == number && o.qos == level) else { return };
        if code.is_error() {
            self.outgoing.remove(at);
            return;
        }
        ledger.confirmed(&self.outgoing[at].name);
        match level {
            1 => {
                self.outgoing.remove(at);
            }
            _ => self.outgoing[at].released = true,
        }
    }

    fn take(&mut self, p: &Publish<'_>, ledger: &mut Ledger) -> Broken {
        let number = p.packet_identifier.map_or(0, |id| id.get());
        match p.qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => self.owing.push(Owing::Puback(number)),
            QoS::ExactlyOnce => {
                self.owing.push(Owing::Pubrec(number));
                if !self.incoming.insert(number) {
                    return Ok(()); // Seen already [MQTT-4.3.3-10].
                }
            }
        }
        let payload = std::str::from_utf8(p.payload).map_err(|_| "a payload nobody published".to_owned())?.trim();
        // A last value was taken away; who is there hears of it as of any message.
        if payload.is_empty() {
            return Ok(());
        }
        if p.retain {
            self.retained.insert(p.topic.to_owned(), payload.to_owned());
        }
        ledger.receives(self.index, self.session, payload, p.topic, p.qos as u8, p.retain)
    }
}

/// A packet in one line of a trace.
pub(super) fn brief(packet: &Packet<'_>) -> String {
    match packet {
        Packet::Publish(p) => {
            let number = p.packet_identifier.map_or(0, |id| id.get());
            let payload = String::from_utf8_lossy(p.payload);
            let flags = [if p.dup { " dup" } else { "" }, if p.retain { " retain" } else { "" }].concat();
            format!("PUBLISH q{} #{number}{flags} {}={}", p.qos as u8, p.topic, payload.trim())
        }
        Packet::Connect(p) => format!("CONNECT clean={} will={}", p.clean_start, p.will.is_some()),
        Packet::Connack(p) => format!("CONNACK present={} {:?}", p.session_present, p.reason_code),
        Packet::Puback(p) => format!("PUBACK {} {:?}", p.packet_identifier.get(), p.reason_code),
        Packet::Pubrec(p) => format!("PUBREC {} {:?}", p.packet_identifier.get(), p.reason_code),
        Packet::Pubrel(p) => format!("PUBREL {}", p.packet_identifier.get()),
        Packet::Pubcomp(p) => format!("PUBCOMP {}", p.packet_identifier.get()),
        Packet::Subscribe(p) => format!("SUBSCRIBE {} {}", p.packet_identifier.get(), p.subscriptions[0].topic_filter),
        other => format!("{other:?}"),
    }
}
