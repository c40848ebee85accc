//! The resources: each file has its part of the table, and what answers there.

mod definitions;
mod limits;
mod parameters;
mod permissions;
mod policies;
mod users;
mod vhosts;
mod whoami;

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
    ]
    .into_iter()
    .flatten()
    .collect()
}
