//! An honest AMQP client between the MQTT clients: it publishes to their topics with confirms, or works a queue off
//! that hears everything they say, in acknowledgements of its own or in transactions.

use super::Dice;
use super::client::TOPICS;
use super::ledger::{Broken, Ledger};
use bytes::BytesMut;
use motet_amqp::v091::packet::{
    ContentHeader, FieldTable, FrameKind, LongString, Method, PROTOCOL_HEADER, Properties, Reserved, basic, channel,
    confirm, connection, frame, put_body, put_header, put_method, queue, tx,
};
use std::collections::{BTreeMap, HashMap, HashSet};

/// The queue that hears everything.
const HALL: &str = "hall";
/// Messages a publisher has open at a time.
const OPEN_MAX: usize = 8;

/// What a courier does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Publishes with confirms.
    Publisher,
    /// Consumes from the hall.
    Worker,
}

/// A task and the two messages that were published for it in one transaction.
#[derive(Debug, Clone)]
struct Unit {
    task: String,
    results: [String; 2],
}

/// A delivery whose body has not come yet.
#[derive(Debug)]
struct Coming {
    tag: u64,
    redelivered: bool,
    topic: String,
    persistent: bool,
    size: usize,
    body: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Courier {
    pub(super) name: String,
    pub(super) index: usize,
    role: Role,
    pub(super) link: Option<usize>,
    /// Its channel is as it wants it.
    pub(super) is_in: bool,
    received: Vec<u8>,
    sent: u64,
    /// Of this connection: the tag of its next message, and what has no confirm yet.
    next_tag: u64,
    open: BTreeMap<u64, String>,
    coming: Option<Coming>,
    /// Deliveries that it holds.
    owing: Vec<(u64, String)>,
    /// Its channel is transactional.
    in_units: bool,
    /// Waits for its commit.
    committing: Option<Unit>,
    is_bound: bool,
    /// Heard so far, less what a power cut may have taken back.
    heard: HashSet<String>,
    /// Committed as done.
    done: HashSet<String>,
    /// Units of which nobody knows, by their tasks.
    doubtful: HashMap<String, Unit>,
    /// Units that must have happened as a whole or not at all.
    units: Vec<Unit>,
    /// Results of units that did not happen.
    never: HashSet<String>,
}

impl Courier {
    pub(super) fn new(index: usize, role: Role) -> Self {
        Courier {
            name: format!("courier-{index}"),
            index,
            role,
            link: None,
            is_in: false,
            received: Vec::new(),
            sent: 0,
            next_tag: 1,
            open: BTreeMap::new(),
            coming: None,
            owing: Vec::new(),
            in_units: false,
            committing: None,
            is_bound: false,
            heard: HashSet::new(),
            done: HashSet::new(),
            doubtful: HashMap::new(),
            units: Vec::new(),
            never: HashSet::new(),
        }
    }

    /// Everything it began has been answered, and it has answered everything.
    pub(super) fn is_quiet(&self) -> bool {
        self.is_in && self.open.is_empty() && self.owing.is_empty() && self.committing.is_none()
    }

    /// Says everything up to a channel that is as it wants it.
    pub(super) fn connect(&mut self, link: usize, calm: bool, dice: &mut Dice, ledger: &mut Ledger) -> Vec<u8> {
        self.link = Some(link);
        self.received.clear();
        (self.next_tag, self.coming) = (1, None);
        self.in_units = !calm && dice.one_in(2);
        let mut out = BytesMut::from(&PROTOCOL_HEADER[..]);
        let (client_properties, response) = (FieldTable::EMPTY, LongString(b"\0guest\0guest"));
        let start = connection::StartOk { client_properties, mechanism: "PLAIN", response, locale: "en_US" };
        put_method(&mut out, 0, &start);
        put_method(&mut out, 0, &connection::TuneOk { channel_max: 10, frame_max: 8192, heartbeat: 0 });
        let open = connection::Open { virtual_host: "/", reserved_1: Reserved::NONE, reserved_2: Reserved::NONE };
        put_method(&mut out, 0, &open);
        put_method(&mut out, 1, &channel::Open { reserved_1: Reserved::NONE });
        if self.role == Role::Publisher {
            put_method(&mut out, 1, &confirm::Select { no_wait: false });
            return out.to_vec();
        }
        if !self.is_bound {
            ledger.asks(self.index, "t/#");
        }
        let reserved_1 = Reserved::NONE;
        let arguments = FieldTable::EMPTY;
        let declare = queue::Declare {
            reserved_1,
            queue: HALL,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments,
        };
        put_method(&mut out, 1, &declare);
        let (exchange, routing_key) = ("amq.topic", b"t.#" as &[u8]);
        let bind = queue::Bind { reserved_1, queue: HALL, exchange, routing_key, no_wait: false, arguments };
        put_method(&mut out, 1, &bind);
        let prefetch_count = 1 + dice.below(6) as u16;
        put_method(&mut out, 1, &basic::Qos { prefetch_size: 0, prefetch_count, global: false });
        if self.in_units {
            put_method(&mut out, 1, &tx::Select {});
        }
        let consume = basic::Consume {
            reserved_1,
            queue: HALL,
            consumer_tag: "c",
            no_local: false,
            no_ack: false,
            exclusive: false,
            no_wait: false,
            arguments,
        };
        put_method(&mut out, 1, &consume);
        out.to_vec()
    }

    /// The link is gone, and with it what it held and what was under way.
    pub(super) fn gone(&mut self) {
        (self.link, self.is_in) = (None, false);
        self.open.clear();
        self.owing.clear();
        if let Some(unit) = self.committing.take() {
            self.units.push(unit.clone());
            self.doubtful.insert(unit.task.clone(), unit);
        }
    }

    /// After a power cut: what was not durable may come again as if for the first time.
    pub(super) fn doubts(&mut self, ledger: &Ledger) {
        self.heard.retain(|name| ledger.is_confirmed(name));
        // Half of it may have been heard before it was durable: nothing can be said.
        self.units.retain(|unit| unit.results.iter().all(|result| ledger.is_confirmed(result)));
    }

    pub(super) fn acts(&mut self, dice: &mut Dice, ledger: &mut Ledger) -> Vec<u8> {
        let mut out = BytesMut::new();
        if self.role == Role::Publisher {
            if self.open.len() < OPEN_MAX {
                let transient = dice.one_in(4);
                let name = self.publish(TOPICS[dice.below(TOPICS.len())], transient, ledger, &mut out);
                self.open.insert(self.next_tag, name);
                self.next_tag += 1;
            }
            return out.to_vec();
        }
        if self.owing.is_empty() || self.committing.is_some() {
            return Vec::new();
        }
        let (delivery_tag, task) = self.owing.remove(dice.below(self.owing.len()));
        if !self.in_units {
            match dice.below(4) {
                0 => put_method(&mut out, 1, &basic::Nack { delivery_tag, multiple: false, requeue: true }),
                _ => put_method(&mut out, 1, &basic::Ack { delivery_tag, multiple: false }),
            }
            return out.to_vec();
        }
        // What may be in the queue twice says nothing about a unit when it comes again.
        let is_task = ledger.comes_once(&task) && dice.one_in(3);
        let results = if is_task {
            [TOPICS[0], TOPICS[1]].map(|topic| self.publish(topic, false, ledger, &mut out))
        } else {
            Default::default()
        };
        put_method(&mut out, 1, &basic::Ack { delivery_tag, multiple: false });
        put_method(&mut out, 1, &tx::Commit {});
        self.committing = Some(Unit { task: if is_task { task } else { String::new() }, results });
        out.to_vec()
    }

    /// Acknowledges whatever it holds.
    pub(super) fn answers(&mut self) -> Vec<u8> {
        let mut out = BytesMut::new();
        if self.committing.is_some() {
            return Vec::new();
        }
        let owing = std::mem::take(&mut self.owing);
        for (delivery_tag, _) in &owing {
            put_method(&mut out, 1, &basic::Ack { delivery_tag: *delivery_tag, multiple: false });
        }
        if self.in_units && !owing.is_empty() {
            put_method(&mut out, 1, &tx::Commit {});
            self.committing = Some(Unit { task: String::new(), results: Default::default() });
        }
        out.to_vec()
    }

    fn publish(&mut self, topic: &str, transient: bool, ledger: &mut Ledger, out: &mut BytesMut) -> String {
        self.sent += 1;
        let name = format!("<{}-{}>", self.index, self.sent);
        ledger.sends(self.index, &name, topic, if transient { 0 } else { 2 }, false);
        let key = topic.replace('/', ".");
        let publish = basic::Publish {
            reserved_1: Reserved::NONE,
            exchange: "amq.topic",
            routing_key: key.as_bytes(),
            mandatory: false,
            immediate: false,
        };
        put_method(out, 1, &publish);
        let mut properties = BytesMut::new();
        Properties { delivery_mode: Some(if transient { 1 } else { 2 }), ..Properties::default() }
            .encode(&mut properties);
        put_header(out, 1, name.len() as u64, &properties);
        put_body(out, 1, name.as_bytes());
        name
    }

    /// Bytes have come. True when it has to go: the server does not want it any more.
    pub(super) fn hear(
        &mut self,
        bytes: &[u8],
        ledger: &mut Ledger,
        tell: &mut dyn FnMut(String),
    ) -> Result<bool, String> {
        self.received.extend_from_slice(bytes);
        let received = std::mem::take(&mut self.received);
        let mut rest = &received[..];
        while let Some(found) = frame(rest, u32::MAX).map_err(|error| format!("not AMQP: {error}"))? {
            rest = &rest[found.len()..];
            match FrameKind::from_wire(found.kind) {
                Some(FrameKind::Method) => {
                    let method = Method::decode(found.payload).map_err(|error| format!("not AMQP: {error}"))?;
                    tell(format!("{} hears {method:?}", self.name));
                    if self.method(method, ledger)? {
                        return Ok(true);
                    }
                }
                Some(FrameKind::Header) => self.header(found.payload)?,
                Some(FrameKind::Body) => {
                    let coming = self.coming.as_mut().ok_or("a body without a method")?;
                    coming.body.extend_from_slice(found.payload);
                }
                _ => {}
            }
            if self.coming.as_ref().is_some_and(|coming| coming.size == coming.body.len()) {
                let coming = self.coming.take().expect("was looked at");
                tell(format!("{} has {} {}", self.name, coming.tag, String::from_utf8_lossy(&coming.body).trim()));
                self.take(&coming, ledger)?;
            }
        }
        self.received = rest.to_vec();
        Ok(false)
    }

    fn method(&mut self, method: Method<'_>, ledger: &mut Ledger) -> Result<bool, String> {
        match method {
            Method::Connection(connection::Method::Close(_)) | Method::Channel(channel::Method::Close(_)) => {
                if !ledger.refusing {
                    return Err(format!("{} was sent away: {method:?}", self.name));
                }
                return Ok(true);
            }
            Method::Confirm(confirm::Method::SelectOk(_)) | Method::Basic(basic::Method::ConsumeOk(_)) => {
                self.is_in = true;
            }
            Method::Queue(queue::Method::BindOk(_)) if !self.is_bound => {
                self.is_bound = true;
                ledger.subscribed(self.index, "t/#", 1);
            }
            Method::Basic(basic::Method::Deliver(deliver)) => {
                self.coming = Some(Coming {
                    tag: deliver.delivery_tag,
                    redelivered: deliver.redelivered,
                    topic: String::from_utf8_lossy(deliver.routing_key).replace('.', "/"),
                    persistent: false,
                    size: usize::MAX,
                    body: Vec::new(),
                });
            }
            Method::Basic(basic::Method::Ack(basic::Ack { delivery_tag, multiple })) => {
                for name in self.answered(delivery_tag, multiple)? {
                    ledger.confirmed(&name);
                }
            }
            Method::Basic(basic::Method::Nack(basic::Nack { delivery_tag, multiple, .. })) => {
                self.answered(delivery_tag, multiple)?;
            }
            Method::Tx(tx::Method::CommitOk(_)) => {
                let unit = self.committing.take().ok_or("a commit that nobody asked for")?;
                if !unit.task.is_empty() {
                    unit.results.iter().for_each(|result| ledger.confirmed(result));
                    self.done.insert(unit.task.clone());
                    self.units.push(unit);
                }
            }
            _ => {}
        }
        Ok(false)
    }

    fn answered(&mut self, tag: u64, multiple: bool) -> Result<Vec<String>, String> {
        let tags: Vec<u64> = match multiple {
            true => self.open.range(..=tag).map(|(tag, _)| *tag).collect(),
            false => vec![tag],
        };
        let answer = |tag| self.open.remove(&tag).ok_or(format!("an answer to {tag}, which is not open"));
        tags.into_iter().map(answer).collect()
    }

    fn header(&mut self, payload: &[u8]) -> Broken {
        let header = ContentHeader::decode(payload).map_err(|error| format!("not AMQP: {error}"))?;
        let properties = Properties::decode(header.raw).map_err(|error| format!("not AMQP: {error}"))?;
        let coming = self.coming.as_mut().ok_or("a header without a method")?;
        coming.size = header.body_size as usize;
        coming.persistent = properties.delivery_mode == Some(2);
        Ok(())
    }

    fn take(&mut self, coming: &Coming, ledger: &mut Ledger) -> Broken {
        let name = String::from_utf8_lossy(&coming.body).trim().to_owned();
        self.owing.push((coming.tag, name.clone()));
        // A last value was taken away; the queue hears of it as of any message.
        if name.is_empty() {
            return Ok(());
        }
        if self.done.contains(&name) {
            return Err(format!("{name} was done in a committed transaction, and comes back"));
        }
        if self.never.contains(&name) {
            return Err(format!("{name} arrives, and the task of its transaction came back"));
        }
        if let Some(unit) = self.doubtful.remove(&name) {
            self.never.extend(unit.results);
        }
        if !self.heard.insert(name.clone()) && !coming.redelivered && ledger.comes_once(&name) {
            return Err(format!("{name} comes again, and is not marked as redelivered"));
        }
        // What was held and came back may be behind what came meanwhile.
        let level = u8::from(coming.persistent && !coming.redelivered);
        ledger.receives(self.index, 0, &name, &coming.topic, level, false)
    }

    /// Everything is quiet: each transaction happened as a whole or not at all.
    pub(super) fn settle(&self) -> Broken {
        for unit in &self.units {
            let [one, other] = unit.results.each_ref().map(|result| self.heard.contains(result));
            if one != other && !unit.task.is_empty() {
                return Err(format!("half a transaction: {unit:?}, {one} and {other}"));
            }
        }
        Ok(())
    }
}
