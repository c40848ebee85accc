//! The resources: each file has its part of the table, and what answers there.
//!
//! | file | paths |
//! |---|---|
//! | `whoami.rs` | `/whoami`, `/auth` |
//! | `overview.rs` | `/overview`, `/cluster-name`, `/extensions`, features, `/rebalance/queues` |
//! | `nodes.rs` | `/nodes` |
//! | `health.rs` | `/health/checks/…`, `/aliveness-test` |
//! | `connections.rs`, `channels.rs`, `consumers.rs` | the same |
//! | `exchanges.rs`, `publish.rs` | `/exchanges` |
//! | `queues.rs`, `queue.rs`, `get.rs`, `wording.rs` | `/queues`; how a queue looks; fetching; refusals |
//! | `bindings.rs` | `/bindings` |

mod bindings;
mod body;
pub(crate) mod channels;
mod connections;
mod consumers;
mod definitions;
mod exchanges;
mod form;
mod get;
mod health;
mod limits;
mod nodes;
mod overview;
mod parameters;
mod permissions;
mod policies;
mod publish;
mod queue;
mod queues;
mod users;
mod vhosts;
mod whoami;
mod wording;

pub(crate) use exchanges::kind_and_arguments;

use crate::route::Route;
use motet_core::engine::Engine;

/// The whole table. The first line that fits answers, so literal segments stand before named ones of the same length.
pub(crate) fn routes<E: Engine>() -> Vec<Route<E>> {
    [
        whoami::routes(),
        vhosts::routes(),
        users::routes(),
        permissions::routes(),
        policies::routes(),
        limits::routes(),
        parameters::routes(),
        definitions::routes(),
        overview::routes(),
        nodes::routes(),
        health::routes(),
        connections::routes(),
        channels::routes(),
        consumers::routes(),
        exchanges::routes(),
        publish::routes(),
        queues::routes(),
        get::routes(),
        bindings::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
