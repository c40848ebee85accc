//! What RabbitMQ calls definitions: vhosts, users, permissions, policies, parameters, queues, exchanges, bindings.
//! Everything here works on a core and its accounts alone, so that a command can do without a server what a request does.
//!
//! | file | idea |
//! |---|---|
//! | `roster.rs` | the accounts, as a trait |
//! | `erlang.rs` | values as RabbitMQ's texts have them |
//! | `settings.rs`, `policy.rs` | which settings a policy may have; policies as JSON |
//! | `limit.rs`, `permission.rs`, `vhost.rs`, `user.rs`, `parameter.rs` | each kind as JSON and back |
//! | `topology.rs` | queues, exchanges and bindings |
//! | `export.rs`, `import.rs`, `dry.rs` | all of it as one document; what would become of one |

mod dry;
pub(crate) mod erlang;
mod export;
mod import;
pub(crate) mod limit;
pub(crate) mod parameter;
pub(crate) mod permission;
pub(crate) mod policy;
mod roster;
mod settings;
#[cfg(test)]
mod tests;
mod topology;
pub(crate) mod user;
pub(crate) mod vhost;

pub use dry::try_out;
pub use export::{export, export_vhost};
pub use import::{Imported, import, import_vhost};
pub(crate) use roster::NoRoster;
pub use roster::{OWN_HASHING, Roster, RosterError, Secret, UserSeen};

use motet_core::core::Core;
use motet_core::engine::{Engine, Position};
use motet_core::time::Now;

/// What definitions are put into.
#[derive(Debug)]
pub struct Place<'a, E: Engine> {
    /// Everything but the accounts.
    pub core: &'a Core<E>,
    /// The accounts.
    pub roster: &'a dyn Roster,
    /// The time of the request.
    pub now: Now,
}

impl<E: Engine> Clone for Place<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: Engine> Copy for Place<'_, E> {}

/// Something was made or replaced, and when that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) is_new: bool,
    pub(crate) position: Option<Position>,
}

impl Made {
    pub(crate) fn new((is_new, position): (bool, Position)) -> Self {
        Made { is_new, position: Some(position) }
    }
}
