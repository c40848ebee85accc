//! What the tests of the house share.
//!
//! | room | what |
//! |---|---|
//! | [`wire`] | conversations as scripts, run against the machine and against a server |

pub mod wire;
