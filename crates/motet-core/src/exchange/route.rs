//! The walk from an exchange to queues.

use smallvec::SmallVec;

use super::kind::text_of;
use super::topology::Role;
use super::{ExchangeKey, ExchangeKind, HashOn, RouteError, Routed, Target, Topology};
use crate::message::{Properties, Value};

/// How far from the first exchange the walk goes.
pub const HOPS_MAX: u32 = 64;
/// Keys of CC and of BCC at most.
pub const KEYS_MAX: usize = 256;
/// The longest delay, milliseconds: what the header's usual 32 bits hold.
const DELAY_MAX_MS: u64 = u32::MAX as u64;

/// What routing looks at.
#[derive(Debug, Clone, Copy)]
pub struct Publication<'a> {
    /// The routing key, whole.
    pub key: &'a [u8],
    /// The keys of CC and BCC; see [`sender_selected_keys`].
    pub extra_keys: &'a [&'a [u8]],
    /// Headers and hashed properties.
    pub properties: Option<&'a Properties>,
    /// A peer publishes, which an internal exchange refuses; otherwise the broker does, such as a dead letter.
    pub by_peer: bool,
}

impl<'a> Publication<'a> {
    /// A peer's plain publication.
    pub fn with_key(key: &'a [u8]) -> Self {
        Self { key, extra_keys: &[], properties: None, by_peer: true }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        std::iter::once(self.key).chain(self.extra_keys.iter().copied())
    }

    pub(super) fn headers(&self) -> &'a [(Box<str>, Value)] {
        self.properties.map_or(&[], |properties| &properties.headers)
    }

    /// The header `x-delay`, a number or (from faces that know only text) its digits; negative is no delay.
    fn delay_ms(&self) -> u64 {
        let value = self.headers().iter().find(|(name, _)| **name == *"x-delay").map(|(_, value)| value);
        let delay = match value {
            Some(Value::Int(ms)) => u64::try_from(*ms).unwrap_or_default(),
            Some(Value::UInt(ms)) => *ms,
            Some(Value::Text(digits)) => digits.parse().unwrap_or_default(),
            _ => 0,
        };
        delay.min(DELAY_MAX_MS)
    }
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
        arrive(*key, 0, 0, routed);
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
        let delay_ms = routed.tree.unwrap_or_default();
        for target in targets {
            match target {
                Target::Queue(key) if self.queues.contains_key(&key) => routed.add(key, delay_ms),
                Target::Exchange(key) if self.exchanges.contains_key(&key) => arrive(key, 1, delay_ms, routed),
                Target::Queue(_) | Target::Exchange(_) => {}
            }
        }
        self.walk(publication, routed);
    }

    /// Visits exchanges in the order they were reached, nearest first, each once.
    fn walk(&self, publication: &Publication<'_>, routed: &mut Routed) {
        let mut at = 0;
        while let Some(&(key, hops, delay_ms)) = routed.ahead.get(at) {
            at += 1;
            self.visit(key, hops, delay_ms, publication, routed);
        }
        routed.ahead.clear();
    }

    fn visit(&self, key: ExchangeKey, hops: u32, delay_ms: u64, publication: &Publication<'_>, routed: &mut Routed) {
        let exchange = &self.exchanges[&key];
        let looks_inside = matches!(
            exchange.config.kind,
            ExchangeKind::Headers
                | ExchangeKind::Random
                | ExchangeKind::ConsistentHash(HashOn::Header(_) | HashOn::Property(_))
        );
        routed.by_message |= exchange.config.delayed || looks_inside;
        let own_delay_ms = if exchange.config.delayed { publication.delay_ms() } else { 0 };
        let delay_ms = delay_ms.max(own_delay_ms);
        match exchange.role {
            Role::TopicTree => routed.tree = Some(routed.tree.map_or(delay_ms, |known| known.min(delay_ms))),
            Role::Default => {
                let queues = publication.keys().filter_map(|key| self.find_queue(key));
                queues.for_each(|queue| routed.add(queue, delay_ms));
            }
            Role::Predeclared | Role::Declared => {
                let mut is_matched = false;
                exchange.table.for_each_match(publication, |target| {
                    is_matched = true;
                    match target {
                        Target::Queue(queue) => routed.add(queue, delay_ms),
                        Target::Exchange(next) => arrive(next, hops + 1, delay_ms, routed),
                    }
                });
                let alternate = exchange.config.alternate.as_ref().or(exchange.governing_alternate.as_ref());
                let alternate = alternate.filter(|_| !is_matched);
                if let Some(next) = alternate.and_then(|name| self.exchange_names.get(name)) {
                    arrive(*next, hops + 1, delay_ms, routed);
                }
            }
        }
    }
}

/// Puts an exchange ahead unless it was reached before.
fn arrive(key: ExchangeKey, hops: u32, delay_ms: u64, routed: &mut Routed) {
    if routed.was_reached(key) {
        return;
    }
    if hops > HOPS_MAX {
        routed.cut = true;
        return;
    }
    routed.ahead.push((key, hops, delay_ms));
}
