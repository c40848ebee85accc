//! Who receives: the topic tree and the exchanges, walked as one.

use super::address::{address_of, exchange_of, further_keys};
use crate::core::Vhost;
use crate::core::delayed::EXCHANGES_WAIT;
use crate::exchange::{Publication, RouteError, Routed};
use crate::message::Properties;
use crate::name::Name;
use crate::route::{Listeners, Route};
use crate::spelling::amqp;

/// A route and what it is good for.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) route: Route,
    /// Exchanges and queues had a say.
    pub(crate) over_topology: bool,
    /// An exchange on the way looked into the message.
    pub(crate) by_message: bool,
}

/// The route of what is published now to a name, as faces without exchanges do.
pub(crate) fn route_name(now_ms: u64, vhost: &Vhost, name: &Name, properties: Option<&Properties>) -> Found {
    if name.is_reserved()
        && let Some((exchange, key)) = exchange_of(name)
    {
        // Rights were checked for this name, so it leads nowhere when the place has another.
        let is_canonical = address_of(&exchange, &key).is_ok_and(|address| address == *name);
        let found = route_exchange(now_ms, vhost, &exchange, &key, properties, true).ok().filter(|_| is_canonical);
        // Nor is anybody behind an exchange that is not there, or takes nothing from peers.
        return found.unwrap_or_else(|| Found { over_topology: true, ..past_tree() });
    }
    let mut listeners = Listeners::default();
    listeners.collect(vhost, name);
    let mut found = Found::default();
    if !listeners.bound.is_empty() {
        let mut key = Vec::new();
        amqp::encode_name(name, &mut key);
        let mut publication = Publication::with_key(&key);
        (publication.properties, publication.now_ms) = (properties, now_ms);
        let mut routed = Routed::default();
        let topology = vhost.topology();
        topology.route_on(std::mem::take(&mut listeners.bound), &publication, &mut routed);
        found.over_topology = true;
        take_queues(&topology, &mut routed, &mut found);
    }
    found.route.books = Some(vhost.tree_books.clone());
    found.route.add_listeners(listeners);
    found
}

fn past_tree() -> Found {
    Found { route: Route { is_past_tree: true, ..Route::default() }, ..Found::default() }
}

/// The route of what is published now to an exchange under a key, and under the further keys of the message.
///
/// # Errors
/// Any [`RouteError`].
pub(crate) fn route_exchange(
    now_ms: u64,
    vhost: &Vhost,
    exchange: &[u8],
    key: &[u8],
    properties: Option<&Properties>,
    by_peer: bool,
) -> Result<Found, RouteError> {
    let further = further_keys(properties.map_or(&[], |p| &p.headers))?;
    let publication = Publication { key, extra_keys: &further, properties, now_ms, by_peer };
    let is_tree = exchange == super::address::TREE_EXCHANGE;
    let mut found = if is_tree { Found::default() } else { past_tree() };
    found.over_topology = true;
    let mut listeners = Listeners::default();
    let mut routed = Routed::default();
    let topology = vhost.topology();
    topology.route(exchange, &publication, &mut routed)?;
    found.route.books = topology.exchange_books(exchange).cloned();
    if routed.reaches_tree() {
        let keys = std::iter::once(key).chain(further.iter().copied());
        for name in keys.filter_map(|key| amqp::decode_name(key).ok()) {
            listeners.collect(vhost, &name);
        }
        topology.route_on(std::mem::take(&mut listeners.bound), &publication, &mut routed);
        found.route.tree_name = amqp::decode_name(key).ok().filter(|_| !is_tree);
    }
    let is_held_back = routed
        .held_back()
        .iter()
        .any(|held| topology.exchange_name(held.exchange).is_some_and(|name| name == exchange));
    if !is_tree && !exchange.is_empty() && !is_held_back {
        // Whoever listens to the exchange under its own name.
        if let Ok(name) = address_of(exchange, key) {
            listeners.collect(vhost, &name);
        }
    }
    take_queues(&topology, &mut routed, &mut found);
    drop(topology);
    listeners.bound.clear();
    found.route.add_listeners(listeners);
    Ok(found)
}

fn take_queues(
    topology: &crate::exchange::Topology<std::sync::Arc<super::NamedQueue>>,
    routed: &mut Routed,
    found: &mut Found,
) {
    for queue in routed.targets().iter().filter_map(|target| topology.queue(*target)) {
        // What waits for its time comes in by the core alone.
        if !queue.is_waiting_room() {
            found.route.add_named(queue, 0);
        }
    }
    if !routed.held_back().is_empty()
        && let Some(room) = topology.queue_named(EXCHANGES_WAIT)
    {
        for held in routed.held_back() {
            let name = topology.exchange_name(held.exchange).cloned().unwrap_or_default();
            found.route.add_put_off(room, name, held.delay_ms);
        }
    }
    found.by_message |= routed.is_by_message();
    found.route.claims = routed.take_claims();
}
