//! Wire scripts: a conversation that anyone who knows MQTT or AMQP can read, run against the machine or a server.
//!
//! ```text
//!  *.wire ──parse──▶ Script ──run──▶ World: Bench  (the machine, a hand-held clock; microseconds)
//!                               └──▶ World: Remote (a server at an address)
//! ```
//! ```text
//! # A line is a step. `#` begins a comment.
//! C: CONNECT v5 client="a" clean_start session_expiry=100   the client sends a packet
//! S: CONNACK session_present=0 reason=0x00                   the server answers; only what is named must be so
//! S: PUBLISH topic="t" !message_expiry                       `!name`: the field must be absent
//! C sub: CONNECT v3.1.1 client="b"                           another client, by name
//! C sub: hex 30 03 00 01                                     bytes as they are
//! C sub: hangs up                                            closes the carrier without a word
//! S sub: closed                                              the server has closed it
//! S: nothing                                                 nothing more has come
//! +5s                                                        time passes; also `+100ms`
//! config receive_maximum=2                                   a setting of the machine; such scripts stay off servers
//! ```
//! Strings are quoted, with `\xHH`, `\"` and `\\`; `"ab"*3` repeats. Numbers are decimal or `0x…`; a bare name is 1.
//! In SUBSCRIBE and UNSUBSCRIBE a quoted string begins a topic filter, and what follows belongs to it. Properties
//! carry the specification's names (`session_expiry`, `message_expiry` and `will_delay` without "interval"); those of
//! a will begin with `will.`. Lines of AMQP are methods, `basic.publish exchange="e" routing_key="k" payload="p"`, with
//! the content where there is one; table fields are `argument="key:T=value"` and `header="key:T=value"` with the tag of
//! the value's type, or none for text. `LOGIN` is everything up to an open channel 1. A client that sends while it has no connection opens one. Nothing may be left unread.

mod amqp;
mod args;
mod bench;
mod compose;
mod doorman;
mod engine;
mod fields;
mod parse;
mod remote;
mod run;
mod value;

pub use bench::{Bench, Pace};
pub use engine::{Durability, MemoryEngine};
pub use parse::{Script, ScriptError, Step};
pub use remote::Remote;
pub use run::{Face, World, listen, run};
