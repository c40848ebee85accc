//! What the tests of the house share.
//!
//! | room | what |
//! |---|---|
//! | [`feeds`] | one function per decoder that takes any bytes; fuzz targets and their replay share them |
//! | [`sim`] | a whole broker and its clients in one thread: seeded faults, power cuts, and a ledger that checks promises |
//! | [`wire`] | conversations as scripts, run against the machine and against a server |

pub mod feeds;
pub mod sim;
pub mod wire;
