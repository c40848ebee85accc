//! One spelling for what looks the same: SASLprep. [RFC 4013]

use std::borrow::Cow;

/// Why a text is no user name or password. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// Control characters, unassigned code points, private use, or right-to-left and left-to-right letters mixed in a
    /// way that shows one text as another. [RFC 4013 §2.3, §2.4]
    #[error("it holds characters that SASLprep refuses: control characters, private use, or mixed directions")]
    Prohibited,
    /// Nothing is left of it: soft hyphens and the like are dropped. [RFC 4013 §2.1]
    #[error("nothing is left of it after SASLprep")]
    Empty,
}

/// The text as SCRAM and PLAIN compare it: compatibility characters become ordinary ones, what is invisible goes.
///
/// # Errors
/// See [`PrepareError`].
pub fn prepare(text: &str) -> Result<Cow<'_, str>, PrepareError> {
    let prepared = stringprep::saslprep(text).map_err(|_| PrepareError::Prohibited)?;
    if prepared.is_empty() { Err(PrepareError::Empty) } else { Ok(prepared) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification_hold() {
        // [RFC 4013 §3]
        for (text, expected) in [
            ("I\u{AD}X", Ok("IX")),
            ("user", Ok("user")),
            ("USER", Ok("USER")),
            ("\u{AA}", Ok("a")),
            ("\u{2168}", Ok("IX")),
            ("\u{7}", Err(PrepareError::Prohibited)),
            ("\u{627}1", Err(PrepareError::Prohibited)),
            ("\u{AD}", Err(PrepareError::Empty)),
        ] {
            assert_eq!(prepare(text).as_deref(), expected.as_ref().copied(), "{text:?}");
        }
    }
}
