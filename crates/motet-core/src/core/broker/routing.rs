//! Who receives: the topic tree and the exchanges, walked as one.

use super::address::{address_of, exchange_of, further_keys};
use crate::core::Vhost;
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

/// The route of what is published to a name, as faces without exchanges do.
pub(crate) fn route_name(vhost: &Vhost, name: &Name, properties: Option<&Properties>) -> Found {
    if name.is_reserved()
        && let Some((exchange, key)) = exchange_of(name)
    {
        // Rights were checked for this name, so it leads nowhere when the place has another.
        let is_canonical = address_of(&exchange, &key).is_ok_and(|address| address == *name);
        let found = route_exchange(vhost, &exchange, &key, properties, true).ok().filter(|_| is_canonical);
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
        publication.properties = properties;
        let mut routed = Routed::default();
        let topology = vhost.topology();
        topology.route_on(std::mem::take(&mut listeners.bound), &publication, &mut routed);
        found.over_topology = true;
        take_queues(&topology, &routed, &mut found);
    }
    found.route.books = Some(vhost.tree_books.clone());
    found.route.add_listeners(listeners);
    found
}

fn past_tree() -> Found {
    Found { route: Route { is_past_tree: true, ..Route::default() }, ..Found::default() }
}

/// The route of what is published to an exchange under a key, and under the further keys of the message.
///
/// # Errors
/// Any [`RouteError`].
pub(crate) fn route_exchange(
    vhost: &Vhost,
    exchange: &[u8],
    key: &[u8],
    properties: Option<&Properties>,
    by_peer: bool,
) -> Result<Found, RouteError> {
    let further = further_keys(properties.map_or(&[], |p| &p.headers))?;
    let publication = Publication { key, extra_keys: &further, properties, by_peer };
    let is_tree = exchange == super::address::TREE_EXCHANGE;
    let mut found = if is_tree { Found::default() } else { past_tree() };
    found.over_topology = true;
    let mut listeners = Listeners::default();
    let mut routed = Routed::default();
    let topology = vhost.topology();
    topology.route(exchange, &publication, &mut routed)?;
    found.route.books = topology.exchange_books(exchange).cloned();
    if routed.reaches_tree().is_some() {
        let keys = std::iter::once(key).chain(further.iter().copied());
        for name in keys.filter_map(|key| amqp::decode_name(key).ok()) {
            listeners.collect(vhost, &name);
        }
        topology.route_on(std::mem::take(&mut listeners.bound), &publication, &mut routed);
        found.route.tree_name = amqp::decode_name(key).ok().filter(|_| !is_tree);
    }
    if !is_tree && !exchange.is_empty() {
        // Whoever listens to the exchange under its own name.
        if let Ok(name) = address_of(exchange, key) {
            listeners.collect(vhost, &name);
        }
    }
    take_queues(&topology, &routed, &mut found);
    drop(topology);
    listeners.bound.clear();
    found.route.add_listeners(listeners);
    Ok(found)
}

fn take_queues(
    topology: &crate::exchange::Topology<std::sync::Arc<super::NamedQueue>>,
    routed: &Routed,
    found: &mut Found,
) {
    for target in routed.targets() {
        if let Some(queue) = topology.queue(target.queue) {
            found.route.add_named(queue, target.delay_ms);
        }
    }
    found.by_message |= routed.is_by_message();
}
