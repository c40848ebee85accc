//! How each face spells names and patterns.
//!
//! ```text
//!              decode_name                     encode_name
//! spelled text ──────────▶ Name: byte segments ──────────▶ spelled text
//!                 MQTT  /  escapes / + # NUL, and bytes that are no UTF-8
//!                 AMQP  .  escapes .
//!                 NATS  .  escapes . * > space, controls, DEL; an empty segment is %
//! ```
//! Every face is total and reversible: decoding then encoding gives each legal spelling back byte for byte, and encoding
//! then decoding gives each name back, as far as it fits the face. Where a name does not fit, the error says so and the
//! caller counts it. A word `*`, `#` or `>` in a *name* is always a literal; only patterns have wildcards.
//!
//! ```
//! use motet_core::spelling::{amqp, mqtt};
//! let name = mqtt::decode_name("spBv1.0/plant").unwrap();
//! let mut key = Vec::new();
//! amqp::encode_name(&name, &mut key);
//! assert_eq!(key, b"spBv1%2E0.plant");
//! assert_eq!(amqp::decode_name(&key), Ok(name));
//! ```

pub mod amqp;
mod escape;
pub mod mqtt;
pub mod nats;
mod utf8;

#[cfg(test)]
mod tests;

use crate::name::NameError;

/// Why a spelling is no name or pattern, or a name or pattern has no spelling on this face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SpellingError {
    /// The face has no empty names: MQTT topics and NATS subjects and tokens.
    #[error("the name or a segment of it is empty")]
    Empty,
    /// The face forbids this byte here: a wildcard in a name or within a segment, NUL, white space in NATS.
    #[error("byte {0:#04x} may not stand here")]
    Forbidden(u8),
    /// A wildcard for the rest stands before the last place.
    #[error("the multi-level wildcard must be the last token")]
    AfterRest,
    /// Longer than this face or any name allows. Such a name is not delivered on this face, and counted.
    #[error("the name is too long here")]
    TooLong,
    /// The face has no such pattern, as MQTT has no wildcard for any levels in the middle.
    #[error("this face cannot express the pattern")]
    Inexpressible,
}

impl From<NameError> for SpellingError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::AfterRest => Self::AfterRest,
            // A flat form plays no part in spelling, so only the bound is left.
            NameError::TooLong | NameError::Malformed => Self::TooLong,
        }
    }
}

/// Runs `write`; when it fails, or wrote more than `bytes_max`, `out` is as it was before.
fn within(
    out: &mut Vec<u8>,
    bytes_max: usize,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), SpellingError>,
) -> Result<(), SpellingError> {
    let start = out.len();
    let written =
        write(out).and_then(|()| if out.len() - start > bytes_max { Err(SpellingError::TooLong) } else { Ok(()) });
    if written.is_err() {
        out.truncate(start);
    }
    written
}
