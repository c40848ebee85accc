//! Simulator, wire scripts, bridge matrix, tidy.
//!
//! | where | what |
//! |---|---|
//! | [`sim`] | a whole broker and its clients in one thread: seeded faults, power cuts, and a ledger that checks promises |

pub mod sim;
