//! A look at everything: what must be where at this moment, what may, and what must not.

use super::World;
use super::model::{Fate, GONE_MS, Kind, Sent, TTL_MS, WINDOW_MS};
use std::collections::{HashMap, HashSet};

/// What the queues of one vhost hold.
struct Found {
    by_queue: HashMap<&'static str, Vec<String>>,
}

const QUEUES: [&str; 7] = ["ttl", "own", "dead", "late", "once", "deep", "log"];

impl Found {
    fn has(&self, queue: &str, name: &str) -> usize {
        self.by_queue[queue].iter().filter(|held| *held == name).count()
    }
}

impl World {
    /// Returns how many messages were found where they had to be.
    pub(super) fn audit(&mut self) -> Result<u64, String> {
        self.trace.push(format!("{} audit", self.place.now()));
        // What is due may have to be read first, and what was read is published in the next turn.
        for _ in 0..4 {
            self.place.settle();
            self.pass(0);
        }
        self.model.confirm(self.place.durable());
        let mut count = 0;
        for vhost in 0..2 {
            self.expiring_queue(vhost)?;
            let mut by_queue = HashMap::new();
            for queue in QUEUES {
                let held = self.place.holds(vhost, queue).ok_or_else(|| format!("queue {queue} of {vhost} is gone"))?;
                by_queue.insert(queue, held);
            }
            let found = Found { by_queue };
            count +=
                self.judge(vhost, &found).map_err(|what| format!("vhost {vhost} at {}: {what}", self.place.now()))?;
        }
        Ok(count)
    }

    fn expiring_queue(&self, vhost: usize) -> Result<(), String> {
        let (now, (from, until)) = (self.place.now(), self.model.used);
        match self.place.exists(vhost, "gone") {
            false if now < from + GONE_MS => Err(format!("{now}: the queue used at {from} has gone too early")),
            true if now >= until + GONE_MS => Err(format!("{now}: the queue used at {until} is still there")),
            _ => Ok(()),
        }
    }

    fn judge(&self, vhost: usize, found: &Found) -> Result<u64, String> {
        let mut counted: HashMap<&str, u64> = HashMap::new();
        for name in found.by_queue.values().flatten() {
            *counted.entry(name).or_default() += 1;
        }
        let (mut count, mut known, mut wrong) = (0, HashSet::new(), Vec::new());
        for sent in self.model.sent.iter().filter(|sent| sent.vhost == vhost) {
            known.insert(&*sent.name);
            let held = counted.get(&*sent.name).copied().unwrap_or(0);
            if held > 1 {
                return Err(format!("{} is there {held} times", sent.name));
            }
            match self.one(sent, found) {
                Ok(one) => count += one,
                Err(what) => wrong.push(what),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        if let Some(stranger) = counted.keys().find(|name| !known.contains(*name)) {
            return Err(format!("{stranger} belongs elsewhere"));
        }
        for queue in ["deep", "log", "ttl"] {
            in_order(queue, &found.by_queue[queue])?;
        }
        self.identifiers(vhost, found)?;
        Ok(count)
    }

    /// One message; 1 when it had to be where it is.
    fn one(&self, sent: &Sent, found: &Found) -> Result<u64, String> {
        let now = self.place.now();
        let (name, is_certain) = (&sent.name, sent.fate == Fate::Certain);
        let has = |queue: &str| found.has(queue, name) > 0;
        let age = now - sent.at;
        let wrong = |what: &str| Err(format!("{name} ({:?}, sent at {}) {what}", sent.kind, sent.at));
        // Where it is while it waits, where afterwards, and when that changes.
        let (before, after, change) = match sent.kind {
            // A message lives through its last millisecond.
            Kind::Ttl => ("ttl", "dead", TTL_MS + 1),
            Kind::Own { life } => ("own", "dead", life + 1),
            Kind::Late { pause } | Kind::Later { pause } => ("", "late", pause),
            Kind::Log => ("log", "log", 0),
            Kind::Deep => ("deep", "deep", 0),
            Kind::Once { .. } => return Ok(0),
        };
        if age < change {
            if has(after) {
                return wrong("is where it should be later");
            }
            if is_certain && !before.is_empty() && !has(before) {
                return wrong("is lost");
            }
            return Ok(u64::from(is_certain && !before.is_empty()));
        }
        if before != after && !before.is_empty() && has(before) {
            return wrong("is handed out after its time");
        }
        // Behind a message that still lives, one of its own short life is a dead letter later.
        let held_up = matches!(sent.kind, Kind::Own { .. }) && self.lives_before(sent);
        if is_certain && !has(after) && !held_up {
            return wrong("is lost");
        }
        Ok(u64::from(is_certain && !held_up))
    }

    fn lives_before(&self, sent: &Sent) -> bool {
        let now = self.place.now();
        let before = self.model.sent.iter().take_while(|other| other.name != sent.name);
        before.filter(|other| other.vhost == sent.vhost).any(|other| match other.kind {
            Kind::Own { life } => now - other.at <= life,
            _ => false,
        })
    }

    /// Of each identifier one message is taken, and another only when the window of the first is over.
    fn identifiers(&self, vhost: usize, found: &Found) -> Result<(), String> {
        let held: HashSet<&str> = found.by_queue["once"].iter().map(String::as_str).collect();
        let mut last: HashMap<usize, &Sent> = HashMap::new();
        let (mut certain, mut by_identifier) = (Vec::new(), HashMap::<usize, Vec<&Sent>>::new());
        for sent in self.model.sent.iter().filter(|sent| sent.vhost == vhost) {
            let Kind::Once { identifier } = sent.kind else { continue };
            by_identifier.entry(identifier).or_default().push(sent);
            if sent.fate == Fate::Certain {
                certain.push((identifier, sent));
            }
            if held.contains(&*sent.name)
                && let Some(first) = last.insert(identifier, sent)
                && sent.at < first.at + WINDOW_MS
            {
                return Err(format!("{} and {} have the same identifier", first.name, sent.name));
            }
        }
        // Who was confirmed is there, or another one that was known by then.
        for (identifier, sent) in certain {
            let covers =
                |other: &&Sent| other.at <= sent.at && sent.at < other.at + WINDOW_MS && held.contains(&*other.name);
            if !by_identifier[&identifier].iter().any(covers) {
                return Err(format!("{} is lost, and no other one has its identifier", sent.name));
            }
        }
        Ok(())
    }
}

/// Names are numbers that grow.
fn in_order(queue: &str, held: &[String]) -> Result<(), String> {
    let numbers: Vec<u64> = held.iter().filter_map(|name| name[1..].parse().ok()).collect();
    match numbers.is_sorted() {
        true => Ok(()),
        false => Err(format!("{queue} is out of order")),
    }
}
