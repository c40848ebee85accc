//! The management API that RabbitMQ's tools speak: a request is a value, and so is its answer. No socket, no runtime.
//!
//! ```text
//!  method, path, query, body ─▶ Request ─┐
//!  who asks, with which tags ──▶ Asker ──┴─▶ Api::answer ─▶ route ─▶ a handler of resource/ ─▶ Response
//!                                              │ core: vhosts, exchanges, queues, bindings
//!                                              └ Node: what only the running process knows
//! ```
//! *The law: whoever calls has read the body within [`BODY_BYTES_MAX`], knows who asks, and may block for a moment: an
//! answer waits for the disk where it confirms something.*
//!
//! | file | idea |
//! |---|---|
//! | `request.rs`, `response.rs`, `refusal.rs` | what is asked, what is answered, what is not done and why |
//! | `asker.rs` | who asks and what RabbitMQ's tags let them see |
//! | `node.rs` | what the process tells, as a trait |
//! | `route.rs`, `call.rs` | the table of paths; what a handler is given |
//! | `listing.rs` | pages, order, columns |
//! | `define/` | what RabbitMQ calls definitions: taken, told, moved from server to server |
//! | `figures/` | what is counted, how fast it changes, how it was |
//! | `json.rs` | the core's values as JSON and back |
//! | `resource/` | one file a resource, each with its part of the table |

mod api;
mod asker;
mod call;
pub mod define;
mod figures;
mod json;
mod listing;
mod node;
mod properties;
mod refusal;
mod request;
mod resource;
mod response;
mod route;
#[cfg(test)]
mod testing;

pub use api::Api;
pub use asker::Asker;
pub use node::{ConnectionSeen, ListenerSeen, Node, NodeFigures};
pub use refusal::Refusal;
pub use request::{BODY_BYTES_MAX, Method, Request};
pub use response::Response;
