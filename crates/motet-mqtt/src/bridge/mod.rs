//! A bridge to another MQTT server, without IO: two conversations, and what of each goes into the other.
//!
//! ```text
//!   our server ◀── MQTT 5 ──▶ Relay ◀── MQTT 3.1.1 or 5 ──▶ the other server
//!        PUBLISH 7 ─▶ topic rewritten, hop added ─▶ PUBLISH 7
//!        PUBACK 7  ◀──────────────────────────────── PUBACK 7
//! ```
//! On both sides the bridge is a client with a session. It stores nothing: a message is acknowledged to the one side when
//! the other side has acknowledged it, under the same packet identifier, which the two directions have each for
//! themselves. So what is in flight when anything breaks is sent again by the session that holds it, QoS 2 takes place
//! exactly once from end to end, and our session is the buffer while the other server is away.
//!
//! Loops: No Local on both sides keeps a message from going back where it came from; a user property `x-hop` for each
//! bridge that it has passed ends longer circles.
//!
//! | file | what |
//! |---|---|
//! | `rules.rs` | which topics, in which direction, under which name |
//! | `hello.rs` | CONNECT and SUBSCRIBE to both sides |
//! | `relay.rs` | the packets in between |

mod hello;
mod relay;
mod rules;
#[cfg(test)]
mod tests;

pub use hello::{Accepted, Hello, HelloError};
pub use relay::{Relay, RelayError, Side, Tally};
pub use rules::{Direction, Rule, RuleError, Rules};

/// The user property with a bridge's node, one for each bridge that a message has passed.
pub const HOP: &str = "x-hop";
/// Bridges that a message may pass: beyond it something is wrong that `x-hop` alone did not end.
pub const HOPS_MAX: usize = 16;
