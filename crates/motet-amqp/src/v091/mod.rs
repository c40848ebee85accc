//! AMQP 0-9-1 with the extensions that RabbitMQ made common.
//!
//! | room | what |
//! |---|---|
//! | [`packet`] | frames, methods, tables, properties |
//! | [`machine`] | what they mean for a connection |
//! | [`mapping`] | AMQP messages and Motet messages: kept, translated, lost |
//! | [`config`], [`error`] | what an operator decides; what a peer is told |

pub mod config;
pub mod error;
pub mod machine;
pub mod mapping;
pub mod packet;

pub use config::Config;
pub use machine::Connection;
