//! What operators say while the server runs, and what the core does about it. Each is a record of the
//! [registry](super::RegistryKind), in force at once and again after a start.
//!
//! | file | idea |
//! |---|---|
//! | `policy.rs`, `policies.rs` | settings for queues and exchanges by the pattern of their names; putting them in force |
//! | `permissions.rs` | who may do what, by regular expressions |
//! | `limits.rs`, `seats.rs` | how many connections, channels and queues; who has a connection now |
//! | `about.rs` | what is said of a vhost |
//! | `parameters.rs` | settings that other parts read |
//! | `record.rs` | how they are written down |

mod about;
mod limits;
mod parameters;
mod permissions;
mod policies;
mod policy;
#[cfg(test)]
mod quota_tests;
mod record;
mod seats;
#[cfg(test)]
mod tests;

pub use about::VhostAbout;
pub use limits::{LimitOf, UNLIMITED};
pub use parameters::Parameter;
pub use permissions::{PermissionRefused, Permitted, TopicPermitted};
pub(super) use policies::Policies;
pub use policies::{Governed, PolicyError};
pub use policy::{ApplyTo, Policy, PolicyKind};
pub(super) use seats::Seats;
pub use seats::{NoSeat, Seat};
