//! Exchanges and bindings as a pure value: which queues a publication reaches.
//!
//! ```text
//!  publish(exchange, key, headers) ─▶ Topology ─▶ exchange ─▶ bindings that match ─▶ queue, once
//!                                        ▲          │   ╲ none: alternate exchange
//!  declare  bind  unbind  delete ────────┘          └───▶ another exchange (each once, HOPS_MAX far)
//! ```
//! There is no clock, IO or engine in here, and no lock but the one around what an exchange has seen. *The law: the caller persists what a call answers, carries out the [`Change`]s of a
//! deletion in order, and forgets every [`QueueKey`] once [`Topology::epoch`] has moved.*
//!
//! ```
//! use motet_core::exchange::{Arguments, Publication, Routed, Topology};
//!
//! let mut topology: Topology<&str> = Topology::default();
//! topology.add_queue(b"orders".as_slice(), true, "the orders").unwrap();
//! topology.bind_queue(b"amq.direct", b"orders", b"eu.new", Arguments::default()).unwrap();
//!
//! let mut routed = Routed::default();
//! topology.route(b"amq.direct", &Publication::with_key(b"eu.new"), &mut routed).unwrap();
//! assert_eq!(topology.queue(routed.targets()[0]), Some(&"the orders"));
//! ```
//!
//! **As in RabbitMQ**
//! - A queue reached over several bindings, keys or exchanges gets one copy.
//! - An alternate exchange is asked when the exchange's own bindings match nothing at all; a match that leads to an exchange where the
//!   trail ends is a match.
//! - Declaring again with the same arguments is no change, with others it is refused. Binding again is no change; the same key with
//!   other arguments is another binding.
//! - An auto-delete exchange goes when its last binding *as source* goes, never before it had one. Deleting may go on from there.
//! - A delayed exchange holds a message back and asks its bindings when the time has come ([`Routed::held_back`]); a negative `x-delay`
//!   says that it has. Its alternate exchange is asked then too, other than with RabbitMQ's plugin.
//! - The default exchange holds every queue under its name and cannot be bound, unbound or deleted; `amq.` names are reserved.
//! - In a headers binding a field without a value asks for presence; fields that begin with `x-` count only in `…-with-x`.
//!
//! **Different from RabbitMQ**
//! - `amq.topic` is the vhost's topic tree: its bindings are reported (as [`Bound::tree`] and [`Change::TreeUnbind`]) for the caller to
//!   keep there, a route that comes by says [`Routed::reaches_tree`], and [`Topology::route_on`] goes on from what the tree answers.
//! - A topic `#` or `*` in first place does not match keys that begin with `$`; see [`crate::pattern`]. `*` matches the empty key.
//! - A consistent hash is a weighted rendezvous: a queue that joins or leaves moves only its own share. The binding key is the weight,
//!   1 to [`WEIGHT_MAX`]; several bindings of a queue add up. Of several routing keys the message's own is hashed.
//! - An exchange reached by several ways is visited once, by the way with the fewest hops.
//! - Chains of exchanges are followed [`HOPS_MAX`] far; [`Routed::is_cut`] says that more would have followed.
//!
//! | file | idea |
//! |---|---|
//! | `kind.rs` | what an exchange is declared as, and whether a second declaration agrees |
//! | `arguments.rs`, `headers.rs` | binding arguments; matching them with a message's headers |
//! | `hash.rs` | the weighted rendezvous |
//! | `table.rs` | the bindings of one exchange, indexed for its kind |
//! | `topology.rs`, `binding.rs`, `removal.rs` | declare and find; bind and unbind; what goes when something goes |
//! | `route.rs`, `routed.rs` | the walk and its result |
//! | `seen.rs` | what an exchange that looks for duplicates has seen |
//! | `error.rs` | refusals, with the AMQP code each becomes |

mod arguments;
mod binding;
mod error;
mod hash;
mod headers;
mod kind;
mod pick;
mod removal;
mod route;
mod routed;
mod seen;
mod table;
#[cfg(test)]
mod tests;
mod topology;

pub use arguments::Arguments;
pub use binding::{BindingView, Bound, Change, Limits, Target};
pub use error::{BindError, DeclareError, DeleteError, RouteError};
pub use hash::WEIGHT_MAX;
pub use headers::HeadersMatch;
pub use kind::{ExchangeConfig, ExchangeKind, HashOn, HashProperty};
pub(crate) use route::{DELAY_HEADER, delay_ms};
pub use route::{HOPS_MAX, KEYS_MAX, Publication, sender_selected_keys};
pub use routed::{HeldBack, Routed};
pub(crate) use seen::{Claim, ID_BYTES_MAX, identifier};
pub use seen::{DEDUP_HEADER, Deduplication};
pub use topology::{ExchangeKey, QueueKey, Topology};
