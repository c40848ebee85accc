//! What was promised. Clients report what they send, what is confirmed and what they receive; the ledger says when a
//! promise is broken, at once where that is possible and otherwise at the end.
//!
//! A message confirmed to its publisher is owed to every subscriber whose subscription was confirmed before the message
//! was first sent, and has not been touched since. Nothing is owed where a body was damaged on purpose.

use std::collections::{HashMap, HashSet};

/// A message, known by its payload.
#[derive(Debug)]
pub(super) struct Sent {
    publisher: usize,
    /// Counts the publisher's messages.
    number: u64,
    topic: String,
    qos: u8,
    retain: bool,
    /// When it was first sent, and when it was confirmed; in events of the ledger.
    from: u64,
    until: Option<u64>,
    /// Subscribers it will be owed to, each with the state of its subscriptions.
    audience: Vec<(usize, u64)>,
    /// It may be published without being sent: a will.
    will: Will,
    /// It takes the last value of its topic away, and is delivered as something that nobody recognises.
    clears: bool,
    /// It expires.
    fleeting: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Will {
    No,
    /// The connection that left it is still there, or nobody can tell.
    Possible,
    /// The client said goodbye and the server heard it.
    Withdrawn,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    messages: HashMap<String, Sent>,
    /// Subscriptions confirmed, by subscriber.
    confirmed: HashMap<usize, HashMap<String, u8>>,
    /// Filters ever asked for.
    asked: HashSet<(usize, String)>,
    /// Bumped whenever a subscriber gives up something.
    versions: HashMap<usize, u64>,
    /// Live deliveries, by subscriber and the session it believes in.
    received: HashMap<(usize, u64), HashMap<String, u32>>,
    /// The number of the last first delivery, by subscriber, session, publisher and topic.
    order: HashMap<(usize, u64, usize, String), u64>,
    owed: HashSet<(String, usize, u64)>,
    got: HashSet<(String, usize)>,
    damaged: HashSet<String>,
    clock: u64,
    /// The store has refused records: MQTT 5 messages are refused one by one, and come again behind later ones.
    pub(super) refusing: bool,
    pub(super) published: u64,
    pub(super) confirmations: u64,
    pub(super) delivered: u64,
    pub(super) owed_total: u64,
}

pub(super) type Broken = Result<(), String>;

/// Does an MQTT filter of the few kinds used here match?
fn matches(filter: &str, topic: &str) -> bool {
    filter == "t/#" || filter == topic
}

impl Ledger {
    /// Empty; `refusing` when the store will refuse records now and then.
    pub(super) fn new(refusing: bool) -> Self {
        Ledger { refusing, ..Ledger::default() }
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn version(&self, subscriber: usize) -> u64 {
        self.versions.get(&subscriber).copied().unwrap_or(0)
    }

    pub(super) fn asks(&mut self, subscriber: usize, filter: &str) {
        self.asked.insert((subscriber, filter.to_owned()));
        // A subscription that is replaced may change its level on the way.
        if let Some(filters) = self.confirmed.get_mut(&subscriber)
            && filters.remove(filter).is_some()
        {
            *self.versions.entry(subscriber).or_default() += 1;
        }
    }

    pub(super) fn subscribed(&mut self, subscriber: usize, filter: &str, qos: u8) {
        self.confirmed.entry(subscriber).or_default().insert(filter.to_owned(), qos);
    }

    /// The subscriber gives up a filter, or everything.
    pub(super) fn leaves(&mut self, subscriber: usize, filter: Option<&str>) {
        *self.versions.entry(subscriber).or_default() += 1;
        match filter {
            Some(filter) => {
                self.confirmed.entry(subscriber).or_default().remove(filter);
            }
            None => {
                self.confirmed.remove(&subscriber);
            }
        }
    }

    pub(super) fn has_confirmed(&self, subscriber: usize) -> bool {
        self.confirmed.get(&subscriber).is_some_and(|filters| !filters.is_empty())
    }

    /// A message is sent for the first time.
    pub(super) fn sends(&mut self, publisher: usize, payload: &str, topic: &str, qos: u8, retain: bool) {
        self.published += 1;
        self.note(publisher, payload, topic, qos, retain, Will::No);
    }

    /// A will is left with the server.
    pub(super) fn leaves_will(&mut self, publisher: usize, payload: &str, topic: &str, qos: u8) {
        self.note(publisher, payload, topic, qos, false, Will::Possible);
    }

    /// A message that takes a last value away is sent for the first time.
    pub(super) fn clears(&mut self, name: &str, topic: &str) {
        self.note(usize::MAX, name, topic, 0, true, Will::No);
        let sent = self.messages.get_mut(name).expect("was noted just now");
        (sent.clears, sent.audience) = (true, Vec::new());
    }

    /// A message that may expire before it arrives: nobody is owed it.
    pub(super) fn sends_for_a_while(&mut self, publisher: usize, payload: &str, topic: &str, qos: u8, retain: bool) {
        self.sends(publisher, payload, topic, qos, retain);
        let sent = self.messages.get_mut(payload).expect("was noted just now");
        (sent.fleeting, sent.audience) = (true, Vec::new());
    }

    fn note(&mut self, publisher: usize, payload: &str, topic: &str, qos: u8, retain: bool, will: Will) {
        let from = self.tick();
        let mut audience: Vec<_> = self
            .confirmed
            .iter()
            .filter(|(_, filters)| filters.iter().any(|(filter, level)| *level > 0 && matches(filter, topic)))
            .map(|(&subscriber, _)| (subscriber, self.version(subscriber)))
            .collect();
        audience.sort_unstable();
        let number = self.messages.len() as u64;
        let (topic, until) = (topic.to_owned(), None);
        let sent =
            Sent { publisher, number, topic, qos, retain, from, until, audience, will, clears: false, fleeting: false };
        self.messages.insert(payload.to_owned(), sent);
    }

    /// The server has answered for it with PUBACK or PUBREC; or a will's connection broke and nothing else did.
    pub(super) fn confirmed(&mut self, payload: &str) {
        let now = self.tick();
        self.confirmations += 1;
        let Some(sent) = self.messages.get_mut(payload) else { return };
        if sent.until.is_some() {
            return;
        }
        sent.until = Some(now);
        if sent.qos == 0 {
            return;
        }
        for &(subscriber, version) in &sent.audience {
            self.owed_total += 1;
            self.owed.insert((payload.to_owned(), subscriber, version));
        }
    }

    /// Its publisher knows that it was taken.
    pub(super) fn is_confirmed(&self, payload: &str) -> bool {
        self.messages.get(payload).is_some_and(|sent| sent.until.is_some())
    }

    /// Its publisher never sends it twice, nor is it let in twice: QoS 2, and what is not sent again.
    pub(super) fn comes_once(&self, payload: &str) -> bool {
        self.messages.get(payload).is_some_and(|sent| sent.qos != 1)
    }

    /// The server has heard the goodbye of the client that left this will.
    pub(super) fn withdraws(&mut self, payload: &str) {
        if let Some(sent) = self.messages.get_mut(payload) {
            sent.will = Will::Withdrawn;
        }
    }

    /// After a power cut nobody knows whether a goodbye was on disk.
    pub(super) fn doubts_wills(&mut self) {
        for sent in self.messages.values_mut().filter(|sent| sent.will == Will::Withdrawn) {
            sent.will = Will::Possible;
        }
    }

    /// A body was damaged on purpose: whatever is inside is owed to nobody.
    pub(super) fn damaged(&mut self, body: &[u8]) {
        let text = String::from_utf8_lossy(body);
        if let (Some(from), Some(to)) = (text.rfind('<'), text.rfind('>'))
            && from < to
        {
            self.damaged.insert(text[from..=to].to_owned());
        }
    }

    /// A subscriber receives a message; `session` counts the sessions it has had.
    pub(super) fn receives(
        &mut self,
        subscriber: usize,
        session: u64,
        payload: &str,
        topic: &str,
        qos: u8,
        retained: bool,
    ) -> Broken {
        self.delivered += 1;
        let version = self.version(subscriber);
        let Some(sent) = self.messages.get(payload) else { return Err(format!("nobody published {payload}")) };
        // One that came before the subscription and is sent again may follow a later one that came after it.
        let in_audience = sent.audience.contains(&(subscriber, version));
        if sent.topic != topic {
            return Err(format!("{payload} was published to {}, and arrives as {topic}", sent.topic));
        }
        if qos > sent.qos {
            return Err(format!("{payload} was published with QoS {}, and arrives with {qos}", sent.qos));
        }
        if sent.will == Will::Withdrawn {
            return Err(format!("{payload} is a will that was withdrawn"));
        }
        if !self.asked.iter().any(|(s, filter)| *s == subscriber && matches(filter, topic)) {
            return Err(format!("subscriber {subscriber} never asked for {topic}"));
        }
        self.got.insert((payload.to_owned(), subscriber));
        if retained {
            return Ok(());
        }
        let count = self.received.entry((subscriber, session)).or_default().entry(payload.to_owned()).or_insert(0);
        *count += 1;
        if qos == 2 && *count > 1 {
            return Err(format!("{payload} arrives at {subscriber} for the {count}th time, with QoS 2"));
        }
        // What could not be read is tried again after a start, and then comes behind others.
        let in_order = !self.refusing && !self.damaged.contains(payload);
        if qos > 0 && *count == 1 && sent.will == Will::No && in_audience && in_order {
            let last = self.order.entry((subscriber, session, sent.publisher, topic.to_owned())).or_insert(0);
            if *last > sent.number {
                return Err(format!("{payload} arrives at {subscriber} behind a later one"));
            }
            *last = sent.number;
        }
        Ok(())
    }

    /// Everything is quiet: what is owed must be there.
    pub(super) fn settle(&self) -> Broken {
        let mut missing: Vec<_> = self
            .owed
            .iter()
            .filter(|(payload, subscriber, version)| {
                self.version(*subscriber) == *version
                    && !self.got.contains(&(payload.clone(), *subscriber))
                    && !self.damaged.contains(payload)
            })
            .map(|(payload, subscriber, _)| format!("{payload} to {subscriber}"))
            .collect();
        missing.sort();
        if missing.is_empty() { Ok(()) } else { Err(format!("confirmed and never arrived: {}", missing.join(", "))) }
    }

    /// A newcomer has asked for all last values, and got these.
    pub(super) fn last_values(&self, values: &HashMap<String, String>) -> Broken {
        let mut topics: Vec<_> = self.messages.values().filter(|s| s.retain).map(|s| s.topic.as_str()).collect();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            let here = || self.messages.values().filter(move |s| s.retain && s.topic == topic);
            // QoS 0 is never confirmed, and nobody knows when it took effect.
            let newest = here().filter(|s| s.until.is_some()).map(|s| s.from).max();
            // What clears or expires may have taken effect last if it was not over before the newest began.
            let may_be_gone =
                |from: u64| here().any(|s| (s.clears || s.fleeting) && s.until.is_none_or(|until| until >= from));
            match (values.get(topic), newest) {
                (None, Some(from)) if may_be_gone(from) => {}
                (None, Some(_)) => return Err(format!("{topic} has lost its last value")),
                (Some(value), newest) => {
                    let Some(sent) = self.messages.get(value) else {
                        return Err(format!("nobody published {value}"));
                    };
                    let overwritten = sent.until.is_some_and(|until| newest.is_some_and(|from| from > until));
                    if !sent.retain || overwritten {
                        return Err(format!("the last value of {topic} is {value}, which was not the last"));
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }
}
