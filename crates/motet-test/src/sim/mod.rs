//! A whole broker and its clients in one thread.
//!
//! ```text
//!   Client ──bytes, cut anywhere──▶ Link ──▶ Machine ──▶ Core ──▶ FakeEngine (delay, stall, move, power cut)
//!     │  ◀──bytes, late or lost────  Link ◀── Machine ◀── Core ◀──── step()
//!     └── what was sent, confirmed, received ──▶ Ledger: which promises were kept?
//! ```
//! Time, randomness and faults come from one seed: [`run`] with the same seed does the same, byte for byte. A failure
//! carries the trace of what happened; `SIM_SEED=n cargo test -p motet-test --test sim` repeats one run, `SIM_RUNS=n`
//! makes more of them.
//!
//! What time does to messages in queues, to sessions, their wills and last values is measured by [`time`], exactly.
//!
//! | file | what |
//! |---|---|
//! | `world.rs` | the loop: whose turn it is, power cuts, and the calm at the end |
//! | `link.rs` | a carrier in memory, and the machine at its server end |
//! | `client.rs` | an honest MQTT client: what it remembers, sends again and acknowledges |
//! | `ledger.rs` | what must, may and must not arrive |
//! | `courier.rs`, `world/mixed.rs` | clients of AMQP between them: confirms, acknowledgements, transactions |
//! | [`time`] | another world, of queues with a name: expiry, delay, paging, identifiers, streams, several vhosts |

mod client;
mod courier;
mod ledger;
mod link;
pub mod time;
mod world;

use motet_core::machine::Random;

/// What a run found out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Messages that clients began to send.
    pub published: u64,
    /// Of those, confirmed with QoS 1 or 2.
    pub confirmed: u64,
    /// Messages that clients received.
    pub delivered: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Connections made.
    pub connections: u64,
    /// Deliveries that had to arrive, and did.
    pub owed: u64,
}

/// A promise that was not kept.
#[derive(Debug)]
pub struct Failure {
    /// Repeats the run.
    pub seed: u64,
    /// Which promise.
    pub what: String,
    /// What happened, in order.
    pub trace: Vec<String>,
}

/// Runs one world to its end.
///
/// # Errors
/// The first promise that was not kept.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    world::World::new(seed).run()
}

/// Runs one world in which AMQP clients publish to the topics of the MQTT clients, and hear them, to its end.
///
/// # Errors
/// The first promise that was not kept.
pub fn run_mixed(seed: u64) -> Result<Summary, Box<Failure>> {
    world::World::mixed(seed).run()
}

/// Chance, with the questions a simulation asks.
#[derive(Debug, Clone)]
pub(crate) struct Dice(Random);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(Random::seeded(seed))
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.0.next_u64() % bound.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }
}
