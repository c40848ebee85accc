//! The one place that writes to standard output and standard error: everything else of this program is told here.

use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;

/// An answer to what was asked. A reader that went away (`motet ... | head`) is no error of ours.
pub(crate) fn answer(text: impl Display) {
    let _ = write!(std::io::stdout().lock(), "{text}");
}

/// Why it could not be done.
pub(crate) fn complaint(failure: &dyn Display) {
    let _ = writeln!(std::io::stderr().lock(), "motet: {failure}");
}

/// An error and what caused it, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
