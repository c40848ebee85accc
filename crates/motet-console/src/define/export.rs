//! Everything as one document, which RabbitMQ's tools read and [`super::import`] takes.

use super::{Place, parameter, permission, policy, topology, user, vhost};
use motet_core::core::Vhost;
use motet_core::core::govern::PolicyKind;
use motet_core::engine::Engine;
use serde_json::{Value, json};
use std::sync::Arc;

/// The version of RabbitMQ whose format this is.
const FORMAT_OF: &str = "3.13.7";

/// All definitions. Accounts of the configuration are not among them: their passwords are in the configuration.
pub fn export<E: Engine>(place: Place<'_, E>, product_version: &str) -> Value {
    let (core, roster) = (place.core, place.roster);
    let vhosts = core.vhosts();
    let users: Vec<_> = roster.users().into_iter().filter(|user| !user.is_configured).collect();
    let is_ours = |name: &str| users.iter().any(|user| user.name == name) || core.is_confined(name);
    let mut document = json!({
        "rabbit_version": FORMAT_OF,
        "rabbitmq_version": FORMAT_OF,
        "product_name": "Motet",
        "product_version": product_version,
        "users": users.iter().map(|one| user::told(place, one)).collect::<Vec<_>>(),
        "vhosts": vhosts.iter().map(|one| vhost::exported(place, one)).collect::<Vec<_>>(),
        "permissions": permission::list(place).iter().filter(|one| is_ours(&one.user)).map(permission::told)
            .collect::<Vec<_>>(),
        "topic_permissions": core.topic_permissions().iter().map(permission::topic_told).collect::<Vec<_>>(),
        "global_parameters": parameter::list_global(place),
    });
    for name in PARTS {
        let all = vhosts.iter().flat_map(|vhost| part(place, vhost, name, true));
        document[name] = all.collect::<Vec<_>>().into();
    }
    document
}

/// The definitions of one vhost; what names its vhost everywhere else does not do so here.
pub fn export_vhost<E: Engine>(place: Place<'_, E>, vhost: &Arc<Vhost>, product_version: &str) -> Value {
    let mut document = json!({
        "rabbit_version": FORMAT_OF,
        "rabbitmq_version": FORMAT_OF,
        "product_name": "Motet",
        "product_version": product_version,
    });
    for name in PARTS {
        document[name] = part(place, vhost, name, false).into();
    }
    document
}

/// What belongs to a vhost, in the order in which it is taken.
pub(super) const PARTS: [&str; 5] = ["parameters", "policies", "queues", "exchanges", "bindings"];

fn part<E: Engine>(place: Place<'_, E>, vhost: &Arc<Vhost>, name: &str, named: bool) -> Vec<Value> {
    let core = place.core;
    let mut all: Vec<Value> = match name {
        "parameters" => parameter::list(place, vhost),
        "policies" => policy::list(vhost, PolicyKind::Ordinary),
        "queues" => {
            let queues = core.queues(vhost);
            queues
                .iter()
                .filter(|queue| queue.declared().exclusive.is_none())
                .map(|queue| topology::queue_told(queue))
                .collect()
        }
        "exchanges" => {
            let exchanges = core.exchanges(vhost).into_iter();
            let declared = exchanges.filter(|(name, _)| !name.is_empty() && !name.starts_with(b"amq."));
            declared.map(|(name, config)| topology::exchange_told(&name, &config)).collect()
        }
        _ => {
            let exclusive =
                |name: &[u8]| core.find_queue(vhost, name).is_some_and(|queue| queue.declared().exclusive.is_some());
            let bindings = core.bindings(vhost).into_iter().filter(|view| !view.source.is_empty());
            let lasting = bindings.filter(|view| view.to_exchange || !exclusive(&view.target));
            lasting.map(|view| topology::binding_told(&view)).collect()
        }
    };
    // Policies and parameters name their vhost in either document, as RabbitMQ's do.
    if named {
        all.iter_mut().for_each(|one| one["vhost"] = json!(&**vhost.name()));
    }
    all
}
