//! Spans of messages for an OpenTelemetry collector, by OTLP over HTTP with JSON. [OTLP 1.x, "OTLP/HTTP"]
//!
//! A publisher that takes part in a trace says so with a W3C `traceparent` in the message's headers (MQTT 5: a user
//! property). It is carried through untouched; when its sampled flag is set, what we do with the message becomes spans
//! below the publisher's. Messages without one begin a trace of their own at the rate that the configuration says.
//!
//! ```text
//!   publisher's span ─▶ publish ─┬─▶ store        from the publication until it is on disk
//!                                └─▶ deliver      to each subscriber, until it has acknowledged
//! ```

mod export;

use crate::clock::Clock;
use crate::config::Otlp;
use crate::follow::topic;
use crate::house::House;
use crate::rates::Pace;
use foldhash::fast::RandomState;
use motet_core::engine::Engine;
use motet_core::message::{MessageRef, Value};
use motet_core::trace::{Observer, Seen, Step};
use parking_lot::Mutex;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Spans that wait for the collector.
const WAITING_MAX: usize = 10_000;
/// Messages whose spans are open.
const OPEN_MAX: usize = 10_000;
const MILLION: u64 = 1_000_000;

/// What a `traceparent` says. [W3C Trace Context 3.2]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: u128,
    span: u64,
    sampled: bool,
}

/// `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01`; later versions may have more behind it.
fn parse(text: &str) -> Option<Parent> {
    let hex = |from: usize, to: usize| {
        let part = text.get(from..to)?;
        part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)).then_some(part)
    };
    let version = hex(0, 2)?;
    let dashes = [2, 35, 52].iter().all(|at| text.as_bytes().get(*at) == Some(&b'-'));
    let ends =
        if version == "00" { text.len() == 55 } else { text.len() == 55 || text.as_bytes()[55..].starts_with(b"-") };
    if version == "ff" || !dashes || !ends {
        return None;
    }
    let trace = u128::from_str_radix(hex(3, 35)?, 16).ok().filter(|id| *id != 0)?;
    let span = u64::from_str_radix(hex(36, 52)?, 16).ok().filter(|id| *id != 0)?;
    let flags = u8::from_str_radix(hex(53, 55)?, 16).ok()?;
    Some(Parent { trace, span, sampled: flags & 1 == 1 })
}

fn parent_of(message: &MessageRef) -> Option<Parent> {
    let headers = &message.message().properties.as_ref()?.headers;
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("traceparent"))?;
    match value {
        Value::Text(text) => parse(text),
        _ => None,
    }
}

/// A message on its way.
#[derive(Debug, Clone)]
struct Open {
    trace: u128,
    /// The publish span, below which the others are.
    span: u64,
    parent: Option<u64>,
    start_nanos: u64,
}

/// Makes spans of what it sees.
pub(crate) struct Spans {
    clock: Clock,
    settings: Otlp,
    random: RandomState,
    numbered: AtomicU64,
    pace: Pace,
    open: Mutex<HashMap<u64, Open, RandomState>>,
    /// Deliveries that wait for their acknowledgement: message and subscriber, since when.
    unacknowledged: Mutex<HashMap<(u64, String), u64, RandomState>>,
    waiting: Mutex<Vec<Json>>,
    pub(crate) lost: AtomicU64,
    pub(crate) sent: AtomicU64,
}

impl Spans {
    fn new(settings: Otlp) -> Self {
        Spans {
            clock: Clock::new(),
            settings,
            random: RandomState::default(),
            numbered: AtomicU64::new(1),
            pace: Pace::default(),
            open: Mutex::default(),
            unacknowledged: Mutex::default(),
            waiting: Mutex::default(),
            lost: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        }
    }

    /// Not a secret: only different from the others.
    fn identifier(&self) -> u64 {
        self.random.hash_one(self.numbered.fetch_add(1, Ordering::Relaxed)).max(1)
    }

    fn nanos(&self) -> u64 {
        self.clock.now().wall.0.saturating_mul(1_000_000)
    }

    /// Opens what belongs to a message that was just published.
    fn opened(&self, seen: &Seen<'_>) {
        let parent = seen.message.and_then(parent_of);
        let trace =
            parent.map_or_else(|| u128::from(self.identifier()) << 64 | u128::from(self.identifier()), |p| p.trace);
        let open = Open { trace, span: self.identifier(), parent: parent.map(|p| p.span), start_nanos: self.nanos() };
        let mut all = self.open.lock();
        if all.len() >= OPEN_MAX {
            // What has been open for longest is of the least use, but to find it costs more than it is worth.
            all.clear();
        }
        all.insert(seen.number, open);
    }

    /// Where a message belongs; one that was published before we looked, below its publisher's span.
    fn context(&self, seen: &Seen<'_>) -> Option<Open> {
        if let Some(open) = self.open.lock().get(&seen.number) {
            return Some(open.clone());
        }
        let parent = parent_of(seen.message?)?;
        Some(Open { trace: parent.trace, span: parent.span, parent: None, start_nanos: self.nanos() })
    }

    fn emit(&self, name: &str, seen: &Seen<'_>, span: &Span<'_>) {
        if !self.pace.take(Some(self.settings.spans_per_second), self.clock.now().instant) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let topic = topic(seen.address);
        let mut attributes = vec![text("messaging.system", "motet"), text("messaging.destination.name", &topic)];
        attributes.extend(span.attributes.iter().cloned());
        let mut json = json!({
            "traceId": format!("{:032x}", span.trace),
            "spanId": format!("{:016x}", span.id),
            "name": format!("{name} {topic}"),
            "kind": span.kind,
            "startTimeUnixNano": span.start.to_string(),
            "endTimeUnixNano": self.nanos().max(span.start).to_string(),
            "attributes": attributes,
        });
        if let Some(parent) = span.parent {
            json["parentSpanId"] = format!("{parent:016x}").into();
        }
        if let Some(error) = span.error {
            // STATUS_CODE_ERROR
            json["status"] = json!({ "code": 2, "message": error });
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            self.lost.fetch_add(1, Ordering::Relaxed);
        } else {
            waiting.push(json);
        }
    }

    /// A span below the publish span.
    fn below(&self, name: &str, seen: &Seen<'_>, kind: u8, start: u64, to: Option<&str>, error: Option<&str>) {
        let Some(open) = self.context(seen) else { return };
        let attributes: Vec<_> = to.map(|to| text("messaging.client.id", to)).into_iter().collect();
        let (id, parent, trace) = (self.identifier(), Some(open.span), open.trace);
        self.emit(name, seen, &Span { trace, id, parent, kind, start, attributes: &attributes, error });
    }
}

struct Span<'a> {
    trace: u128,
    id: u64,
    parent: Option<u64>,
    kind: u8,
    start: u64,
    attributes: &'a [Json],
    error: Option<&'a str>,
}

// Span kinds. [opentelemetry/proto/trace/v1/trace.proto]
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const PRODUCER: u8 = 4;

fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn number(key: &str, value: usize) -> Json {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

impl Observer for Spans {
    fn wants(&self, message: &MessageRef) -> bool {
        match parent_of(message) {
            Some(parent) => parent.sampled,
            // The same answer at each step, as long as the message is in memory.
            None if self.settings.sample_per_million == 0 => false,
            None => {
                let place = Arc::as_ptr(message.batch()) as usize;
                let chance = self.random.hash_one((place, message.payload().as_ptr() as usize)) % MILLION;
                chance < u64::from(self.settings.sample_per_million)
            }
        }
    }

    fn saw(&self, seen: &Seen<'_>) {
        match seen.step {
            Step::Published { .. } => self.opened(seen),
            Step::Routed { subscribers, queues } => {
                let Some(open) = self.context(seen) else { return };
                let attributes = [number("motet.subscribers", subscribers), number("motet.queues", queues)];
                let Open { trace, span: id, parent, start_nanos: start } = open;
                let span = Span { trace, id, parent, kind: SERVER, start, attributes: &attributes, error: None };
                self.emit("publish", seen, &span);
            }
            Step::Stored(_) | Step::Refused(_) => {
                let error = if let Step::Refused(why) = seen.step { Some(why) } else { None };
                let start = self.open.lock().get(&seen.number).map_or_else(|| self.nanos(), |open| open.start_nanos);
                self.below("store", seen, INTERNAL, start, None, error);
            }
            Step::Delivered { to, acknowledged: true, .. } if seen.number != 0 => {
                let mut unacknowledged = self.unacknowledged.lock();
                if unacknowledged.len() < OPEN_MAX {
                    unacknowledged.insert((seen.number, to.into()), self.nanos());
                }
            }
            Step::Delivered { to, .. } => self.below("deliver", seen, PRODUCER, self.nanos(), Some(to), None),
            Step::Dropped { to } => {
                self.below("deliver", seen, PRODUCER, self.nanos(), Some(to), Some("the subscriber's mailbox is full"));
            }
            Step::Acknowledged { by } => {
                if let Some(start) = self.unacknowledged.lock().remove(&(seen.number, by.to_owned())) {
                    self.below("deliver", seen, PRODUCER, start, Some(by), None);
                }
            }
        }
    }
}

/// Follows from now on, and tells the collector every second. None where the configuration names none.
pub(crate) fn start<E: Engine>(
    house: &Arc<House<E>>,
    settings: &Otlp,
) -> Option<(Arc<Spans>, tokio::task::JoinHandle<()>)> {
    let collector = export::Collector::parse(settings.endpoint.as_deref()?)?;
    let spans = Arc::new(Spans::new(settings.clone()));
    house.core.trace().follow(spans.clone());
    let task = tokio::spawn(export::run(spans.clone(), collector));
    Some((spans, task))
}

/// Whether an endpoint can be spoken to.
pub(crate) fn is_endpoint(url: &str) -> bool {
    export::Collector::parse(url).is_some()
}

#[cfg(test)]
mod tests;
