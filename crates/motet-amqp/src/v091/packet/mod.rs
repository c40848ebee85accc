//! The bytes of AMQP 0-9-1: strict, borrowed, without allocation.
//!
//! ```text
//!  read buffer ─▶ frame ─▶ Method::decode          │ method frame
//!                      ├─▶ ContentHeader::decode   │ header frame; its properties by Properties::decode
//!                      └─▶ the payload as it is    │ body frame
//! ```
//! | file | what |
//! |---|---|
//! | `frame.rs` | where a frame ends |
//! | `methods.rs`, `method.rs` | every method; from their table to types |
//! | `properties.rs` | content headers and properties |
//! | `table.rs` | field tables |
//! | `told.rs` | methods by their names, for scripts |
//! | `wire.rs` | integers, bits, strings |

mod frame;
mod fuzz;
mod method;
mod methods;
mod properties;
mod table;
mod told;
mod wire;

#[cfg(test)]
mod reject_tests;
#[cfg(test)]
mod round_trip_tests;

pub use frame::{
    FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD, Frame, FrameError, FrameKind, PROTOCOL_HEADER, ProtocolHeader, frame,
    frame_len, put_body, put_heartbeat, snippet,
};
pub use fuzz::fuzz_decode;
pub use method::{MethodFields, MethodId, put_method};
pub use methods::{Method, access, basic, channel, confirm, connection, exchange, queue, tx};
pub use properties::{CLASS_BASIC, ContentHeader, Properties, put_header};
pub use table::{ArrayBuf, FieldArray, FieldTable, FieldValue, TABLE_NESTING_MAX, TableBuf};
pub use told::Told;
pub use wire::{LongString, Reserved, SHORT_STRING_MAX, short_text};

pub(crate) use frame::put_frame;
pub(crate) use wire::put_short;

/// What is wrong with the payload of a frame. What the peer is told is decided in [`crate::v091::error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// Fields are missing, or a length is longer than what is there.
    #[error("the fields end early")]
    Truncated,
    /// Bytes are left behind the last field.
    #[error("bytes are left behind the last field")]
    Trailing,
    /// A name or text is not UTF-8.
    #[error("Malformed UTF-8 in shortstr")]
    Utf8,
    /// No method has this number.
    #[error("unknown method {{{class},{method}}}")]
    UnknownMethod {
        /// Its class.
        class: u16,
        /// Its number.
        method: u16,
    },
    /// A field's or a table's length is not true.
    #[error("malformed field table: a length is not true")]
    TableLength,
    /// No value has this tag.
    #[error("malformed field table: unknown type {0}")]
    TableType(u8),
    /// Deeper than [`TABLE_NESTING_MAX`].
    #[error("malformed field table: nested deeper than {TABLE_NESTING_MAX}")]
    TableNesting,
    /// A flag that no property has.
    #[error("malformed properties: unknown flag")]
    PropertyFlags,
}
