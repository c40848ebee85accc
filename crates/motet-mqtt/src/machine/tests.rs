//! Conversations with one machine or several over one core and a fake engine. A packet is told as one short line.

mod bench;
mod delivering;
mod ending;
mod publishing;
mod quota;
mod rights;
mod sharing;
