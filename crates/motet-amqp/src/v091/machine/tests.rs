//! Conversations with the machine over a core whose store does as it is told.

mod bench;
mod consuming;
mod deeds;
mod ending;
mod extending;
mod opening;
mod publishing;
mod streaming;
