//! AMQP 0-9-1.
//!
//! | room | what |
//! |---|---|
//! | [`packet`] | frames, methods, tables, properties |
//! | [`error`] | what a peer is told |

pub mod error;
pub mod packet;
