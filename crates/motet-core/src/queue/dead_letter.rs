//! The story of a message that died, perhaps more than once: RabbitMQ's `x-death`, as core data.
//!
//! ```text
//!  die in queue ─▶ record_death ─▶ route to the dead-letter target ─▶ per target queue: closes_a_cycle? ─▶ drop or enqueue
//! ```
//!
//! A record is kept per queue and reason, the most recent first. AMQP spells them as the header `x-death`; the core only keeps and asks.

use bytes::Bytes;

use super::DeadReason;
use crate::message::Value;

/// Records kept per message at most: the one least recently touched gives way. More distinct deaths than this are a loop by design,
/// which the maximum of hops ends.
pub const DEATHS_MAX: usize = 64;

/// That a message died in one queue for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// The queue it died in.
    pub queue: Bytes,
    /// Why.
    pub reason: DeadReason,
    /// How often it died there for that reason.
    pub count: u64,
    /// The exchange it was published to before it died there for the first time.
    pub exchange: Bytes,
    /// The routing keys (CC included, BCC not) it had then.
    pub routing_keys: Vec<Bytes>,
    /// Wall milliseconds of its first death there for that reason.
    pub first_time_ms: u64,
    /// Wall milliseconds of the latest.
    pub last_time_ms: u64,
    /// When the message would have expired by its own word, wall milliseconds; that is taken off it, so that it does not
    /// expire at its target as well.
    pub original_expiration_ms: Option<u64>,
}

/// All deaths of a message, the most recent first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deaths {
    records: Vec<Death>,
    /// Kept apart since it outlives its record's place in the list: `x-first-death-*`.
    first: Option<(Bytes, DeadReason, Bytes)>,
}

impl Deaths {
    /// Takes over records a peer sent along, the most recent first; more than [`DEATHS_MAX`] are cut off.
    pub fn from_records(records: impl IntoIterator<Item = Death>) -> Self {
        let records: Vec<Death> = records.into_iter().take(DEATHS_MAX).collect();
        let first = records.iter().min_by_key(|death| death.first_time_ms);
        let first = first.map(|death| (death.queue.clone(), death.reason, death.exchange.clone()));
        Self { records, first }
    }

    /// What was written down, taken back.
    pub(crate) fn restored(records: Vec<Death>, first: Option<(Bytes, DeadReason, Bytes)>) -> Self {
        Self { records, first }
    }

    /// The records, the most recent death first.
    pub fn records(&self) -> &[Death] {
        &self.records
    }

    /// Queue, reason and exchange of the very first death.
    pub fn first(&self) -> Option<(&Bytes, DeadReason, &Bytes)> {
        self.first.as_ref().map(|(queue, reason, exchange)| (queue, *reason, exchange))
    }

    /// Queue, reason and exchange of the latest death.
    pub fn last(&self) -> Option<(&Bytes, DeadReason, &Bytes)> {
        self.records.first().map(|death| (&death.queue, death.reason, &death.exchange))
    }

    /// The headers by which receivers are told: the list, the first and the last.
    pub(crate) fn told(&self) -> Vec<(Box<str>, Value)> {
        let text = |bytes: &[u8]| Value::Text(String::from_utf8_lossy(bytes).into_owned());
        let tell = |death: &Death| {
            let fields = [
                ("count", Value::Int(i64::try_from(death.count).unwrap_or(i64::MAX))),
                ("reason", Value::Text(death.reason.word().into())),
                ("queue", text(&death.queue)),
                ("time", Value::Timestamp(death.first_time_ms)),
                ("exchange", text(&death.exchange)),
                ("routing-keys", Value::List(death.routing_keys.iter().map(|key| text(key)).collect())),
            ];
            Value::Table(fields.map(|(name, value)| (name.to_owned(), value)).into())
        };
        let mut headers = vec![("x-death".into(), Value::List(self.records.iter().map(tell).collect()))];
        for (which, death) in [("first", self.first()), ("last", self.last())] {
            let Some((queue, reason, exchange)) = death else { continue };
            for (what, value) in
                [("queue", text(queue)), ("reason", Value::Text(reason.word().into())), ("exchange", text(exchange))]
            {
                headers.push((format!("x-{which}-death-{what}").into(), value));
            }
        }
        headers
    }

    /// One more death. The same queue and reason count up and move to the front, and keep what they said of the first time; anything
    /// else is a new record at the front. `death.count` and `death.last_time_ms` of the argument are not looked at.
    pub fn record(&mut self, death: Death) {
        let known = self.records.iter().position(|known| known.queue == death.queue && known.reason == death.reason);
        match known {
            Some(at) => {
                self.records[..=at].rotate_right(1);
                self.records[0].count = self.records[0].count.saturating_add(1);
                self.records[0].last_time_ms = death.first_time_ms;
            }
            None => {
                if self.first.is_none() {
                    self.first = Some((death.queue.clone(), death.reason, death.exchange.clone()));
                }
                self.records.truncate(DEATHS_MAX - 1);
                let last_time_ms = death.first_time_ms;
                self.records.insert(0, Death { count: 1, last_time_ms, ..death });
            }
        }
    }

    /// Whether a message that just died for `reason` (and whose death is recorded) must not be put into the queue `target`: it was there
    /// before, and nothing but automatic deaths brought it back. A consumer's rejection anywhere in between, or now, breaks the cycle.
    pub fn closes_a_cycle(&self, reason: DeadReason, target: &[u8]) -> bool {
        if reason == DeadReason::Rejected {
            return false;
        }
        let Some(passed) = self.records.iter().position(|death| death.queue == target) else { return false };
        self.records[..=passed].iter().all(|death| death.reason != DeadReason::Rejected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DeadReason::{DeliveryLimit, Expired, MaxLen, Rejected};

    fn death(queue: &'static str, reason: DeadReason, at: u64) -> Death {
        Death {
            queue: Bytes::from_static(queue.as_bytes()),
            reason,
            count: 0,
            exchange: Bytes::from_static(b"orders"),
            routing_keys: vec![Bytes::from_static(b"eu.new")],
            first_time_ms: at,
            last_time_ms: 0,
            original_expiration_ms: None,
        }
    }

    fn story(deaths: &[(&'static str, DeadReason)]) -> Deaths {
        let mut story = Deaths::default();
        for (at, (queue, reason)) in deaths.iter().enumerate() {
            story.record(death(queue, *reason, at as u64));
        }
        story
    }

    fn told(deaths: &Deaths) -> Vec<(&str, DeadReason, u64)> {
        let tell = |death: &Death| (death.reason, death.count);
        let names = deaths.records().iter().map(|death| std::str::from_utf8(&death.queue).unwrap());
        names.zip(deaths.records().iter().map(tell)).map(|(queue, (reason, count))| (queue, reason, count)).collect()
    }

    #[test]
    fn the_most_recent_death_comes_first() {
        let deaths = story(&[("work", Rejected), ("retry", Expired)]);
        assert_eq!(told(&deaths), [("retry", Expired, 1), ("work", Rejected, 1)]);
        assert_eq!(deaths.last().unwrap().0, "retry");
        assert_eq!(deaths.first().unwrap(), (&Bytes::from("work"), Rejected, &Bytes::from("orders")));
    }

    #[test]
    fn the_same_queue_and_reason_count_up_and_keep_their_first_time() {
        let deaths = story(&[("work", Rejected), ("retry", Expired), ("work", Rejected), ("work", Expired)]);
        assert_eq!(told(&deaths), [("work", Expired, 1), ("work", Rejected, 2), ("retry", Expired, 1)]);
        assert_eq!((deaths.records()[1].first_time_ms, deaths.records()[1].last_time_ms), (0, 2));
    }

    #[test]
    fn an_automatic_round_trip_closes_a_cycle() {
        let deaths = story(&[("a", Expired), ("b", MaxLen)]);
        assert!(deaths.closes_a_cycle(MaxLen, b"a"));
        assert!(deaths.closes_a_cycle(MaxLen, b"b"), "back into the queue it just left");
        assert!(!deaths.closes_a_cycle(MaxLen, b"c"), "never been there");
        assert!(story(&[("a", DeliveryLimit)]).closes_a_cycle(DeliveryLimit, b"a"));
    }

    #[test]
    fn a_rejection_on_the_way_breaks_the_cycle() {
        assert!(
            !story(&[("work", Rejected), ("retry", Expired)]).closes_a_cycle(Expired, b"work"),
            "the retry pattern"
        );
        assert!(!story(&[("a", Expired), ("b", Rejected)]).closes_a_cycle(Rejected, b"a"), "rejected just now");
        assert!(!story(&[("a", Expired), ("b", Rejected), ("c", Expired)]).closes_a_cycle(Expired, b"a"));
        let before = story(&[("x", Rejected), ("a", Expired), ("b", Expired)]);
        assert!(before.closes_a_cycle(Expired, b"a"), "a rejection before the cycle does not count");
    }

    #[test]
    fn the_story_is_bounded_and_its_beginning_is_remembered() {
        let mut deaths = Deaths::default();
        for n in 0..1_000_u64 {
            let queue = Bytes::from(format!("q{n}"));
            deaths.record(Death { queue, ..death("", MaxLen, n) });
        }
        assert_eq!(deaths.records().len(), DEATHS_MAX);
        assert_eq!(deaths.first().unwrap().0, "q0");
        assert_eq!(Deaths::from_records(deaths.records().to_vec()).records(), deaths.records());
    }
}
