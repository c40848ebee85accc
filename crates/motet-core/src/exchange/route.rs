//! The walk from an exchange to queues.

use smallvec::SmallVec;

use super::kind::text_of;
use super::seen::{TTL_HEADER, identifier};
use super::topology::Role;
use super::{ExchangeKey, ExchangeKind, HashOn, HeldBack, RouteError, Routed, Target, Topology};
use crate::message::{Properties, Value};

/// How far from the first exchange the walk goes.
pub const HOPS_MAX: u32 = 64;
/// Keys of CC and of BCC at most.
pub const KEYS_MAX: usize = 256;
/// The longest delay, milliseconds; whoever asks for more asks for none, as with RabbitMQ's plugin.
const DELAY_MAX_MS: u64 = u32::MAX as u64;
/// The header that asks a delayed exchange to hold a message back.
pub(crate) const DELAY_HEADER: &str = "x-delay";

/// What routing looks at.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The routing key, whole.
    pub key: &'a [u8],
    /// The keys of CC and BCC; see [`sender_selected_keys`].
    pub extra_keys: &'a [&'a [u8]],
    /// Headers and hashed properties.
    pub properties: Option<&'a Properties>,
    /// Wall milliseconds, for exchanges that remember; 0 where nothing is published.
    pub now_ms: u64,
    /// A peer publishes, which an internal exchange refuses; otherwise the broker does, such as a dead letter.
    pub by_peer: bool,
}

impl<'a> Publication<'a> {
    /// A peer's plain publication.
    pub fn with_key(key: &'a [u8]) -> Self {
        Self { key, extra_keys: &[], properties: None, now_ms: 0, by_peer: true }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(self.key).chain(self.extra_keys.iter().copied())
    }

    pub(super) fn headers(&self) -> &'a [(Box<str>, Value)] {
        self.properties.map_or(&[], |properties| &properties.headers)
    }

    fn header(&self, name: &str) -> Option<&'a Value> {
        self.headers().iter().find(|(known, _)| **known == *name).map(|(_, value)| value)
    }

    /// The delay that the message asks for and has not had yet.
    fn delay_ms(&self) -> u64 {
        self.header(DELAY_HEADER).map_or(0, delay_ms)
    }

    /// How long the message wants to be the only one of its identifier.
    fn dedup_ttl_ms(&self) -> Option<u64> {
        match self.header(TTL_HEADER)? {
            Value::Int(ms) => u64::try_from(*ms).ok(),
            Value::UInt(ms) => Some(*ms),
            Value::Text(digits) => digits.parse().ok(),
            _ => None,
        }
    }
}

/// The delay that a header `x-delay` asks for: a number or (from faces that know only text) its digits; 0 where there is none
/// in it. A negative one says that the delay is over.
pub(crate) fn delay_ms(value: &Value) -> u64 {
    let delay = match value {
        Value::Int(ms) => u64::try_from(*ms).unwrap_or_default(),
        Value::UInt(ms) => *ms,
        Value::Text(digits) => digits.parse().unwrap_or_default(),
        // Towards zero, and what is no number of milliseconds is none.
        Value::Float(ms) => *ms as u64,
        _ => 0,
    };
    if delay > DELAY_MAX_MS { 0 } else { delay }
}

/// The keys in the headers `CC` and `BCC`. The caller takes BCC off the message.
///
/// # Errors
/// [`RouteError::Keys`] when one is no list, or too long a list. What of a list is no text is passed over, as in RabbitMQ.
pub fn sender_selected_keys(headers: &[(Box<str>, Value)]) -> Result<SmallVec<[&[u8]; 4]>, RouteError> {
    let mut keys = SmallVec::new();
    for (name, value) in headers {
        let which = match &**name {
            "CC" => "CC",
            "BCC" => "BCC",
            _ => continue,
        };
        let Value::List(list) = value else { return Err(RouteError::Keys(which)) };
        if keys.len() + list.len() > 2 * KEYS_MAX || list.len() > KEYS_MAX {
            return Err(RouteError::Keys(which));
        }
        for key in list {
            match key {
                Value::Text(text) => keys.push(text.as_bytes()),
                Value::Bytes(bytes) => keys.push(&bytes[..]),
                _ => {}
            }
        }
    }
    Ok(keys)
}

impl<Q> Topology<Q> {
    /// Where a publication to `exchange` goes; `routed` is cleared first.
    ///
    /// # Errors
    /// [`RouteError::NoExchange`] and [`RouteError::Internal`].
    pub fn route(&self, exchange: &[u8], publication: &Publication<'_>, routed: &mut Routed) -> Result<(), RouteError> {
        routed.clear();
        let key = self.exchange_names.get(exchange).ok_or_else(|| RouteError::NoExchange(text_of(exchange)))?;
        if publication.by_peer && self.exchanges[key].config.internal {
            return Err(RouteError::Internal(text_of(exchange)));
        }
        arrive(*key, 0, routed);
        self.walk(publication, routed);
        Ok(())
    }

    /// Goes on from what the topic tree answered, after a route that [`Routed::reaches_tree`]; targets that are gone are passed over.
    pub fn route_on(
        &self,
        targets: impl IntoIterator<Item = Target>,
        publication: &Publication<'_>,
        routed: &mut Routed,
    ) {
        for target in targets {
            match target {
                Target::Queue(key) if self.queues.contains_key(&key) => routed.add(key),
                Target::Exchange(key) if self.exchanges.contains_key(&key) => arrive(key, 1, routed),
                Target::Queue(_) | Target::Exchange(_) => {}
            }
        }
        self.walk(publication, routed);
    }

    /// Visits exchanges in the order they were reached, nearest first, each once.
    fn walk(&self, publication: &Publication<'_>, routed: &mut Routed) {
        let mut at = 0;
        while let Some(&(key, hops)) = routed.ahead.get(at) {
            at += 1;
            self.visit(key, hops, publication, routed);
        }
        routed.ahead.clear();
    }

    fn visit(&self, key: ExchangeKey, hops: u32, publication: &Publication<'_>, routed: &mut Routed) {
        let exchange = &self.exchanges[&key];
        let looks_inside = matches!(
            exchange.config.kind,
            ExchangeKind::Headers
                | ExchangeKind::Random
                | ExchangeKind::ConsistentHash(HashOn::Header(_) | HashOn::Property(_))
        );
        routed.by_message |= exchange.config.delayed || looks_inside;
        if exchange.config.delayed {
            let delay_ms = publication.delay_ms();
            if delay_ms > 0 {
                // Bindings are asked when the time has come.
                return routed.held_back.push(HeldBack { exchange: key, delay_ms });
            }
        }
        if let Some(seen) = &exchange.seen {
            routed.by_message = true;
            let header = &exchange.config.dedup.as_ref().expect("it looks for duplicates").header;
            if let Some(id) = publication.header(header).and_then(identifier) {
                match seen.claim(publication.now_ms, &id, publication.dedup_ttl_ms()) {
                    Some(claim) => routed.claims.push(claim),
                    None => return,
                }
            }
        }
        match exchange.role {
            Role::TopicTree => routed.tree = true,
            Role::Default => {
                let queues = publication.keys().filter_map(|key| self.find_queue(key));
                queues.for_each(|queue| routed.add(queue));
            }
            Role::Predeclared | Role::Declared => {
                let mut is_matched = false;
                exchange.table.for_each_match(publication, |target| {
                    is_matched = true;
                    match target {
                        Target::Queue(queue) => routed.add(queue),
                        Target::Exchange(next) => arrive(next, hops + 1, routed),
                    }
                });
                let alternate = exchange.config.alternate.as_ref().or(exchange.governing_alternate.as_ref());
                let alternate = alternate.filter(|_| !is_matched);
                if let Some(next) = alternate.and_then(|name| self.exchange_names.get(name)) {
                    arrive(*next, hops + 1, routed);
                }
            }
        }
    }
}

/// Puts an exchange ahead unless it was reached before.
fn arrive(key: ExchangeKey, hops: u32, routed: &mut Routed) {
    if routed.was_reached(key) {
        return;
    }
    if hops > HOPS_MAX {
        routed.cut = true;
        return;
    }
    routed.ahead.push((key, hops));
}
