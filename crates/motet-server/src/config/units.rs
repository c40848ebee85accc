//! Values with a unit: durations, sizes, and secrets, which have none but need as much care.

use std::fmt;
use std::time::Duration;

use super::error::Problem;
use super::setting::{Setting, complain, quoted, wrong_kind};
use super::tree::Node;

/// A number of bytes, written as `"64KiB"`, `"8MiB"` or a plain integer of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1024² bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// So many times 1024³ bytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory; all of the address space where it is more than that.
    pub fn len(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Whether this is no byte at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// From the largest, because a size is written in the largest unit that divides it.
const SIZES: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
const TIMES: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_unit(self.0, &SIZES, "0B"))
    }
}

fn with_unit(amount: u64, units: &[(&str, u64)], nothing: &str) -> String {
    let unit = units.iter().find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor));
    unit.map_or(nothing.into(), |(unit, factor)| format!("{}{unit}", amount / factor))
}

/// The amount in the smallest unit; None when the text is not a whole number and one of the units.
fn amount(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit() && character != '_')?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.replace('_', "").parse::<u64>().ok()?.checked_mul(*factor)
}

impl Setting for ByteSize {
    fn expected() -> String {
        "a size such as \"64KiB\" (B, KiB, MiB, GiB, TiB; a plain integer is bytes)".into()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        read_amount(node, &SIZES, 1)
            .map_or_else(|wrong| unreadable(wrong, node, path, problems), |size| Some(Self(size)))
    }

    fn render(&self) -> Option<String> {
        Some(quoted(&self.to_string()))
    }
}

impl Setting for Duration {
    fn expected() -> String {
        "a duration such as \"10s\" (us, ms, s, m, h, d; a plain integer is seconds)".into()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        read_amount(node, &TIMES, 1_000_000)
            .map_or_else(|wrong| unreadable(wrong, node, path, problems), |micros| Some(Self::from_micros(micros)))
    }

    fn render(&self) -> Option<String> {
        let micros = u64::try_from(self.as_micros()).unwrap_or(u64::MAX);
        Some(quoted(&with_unit(micros, &TIMES, "0s")))
    }
}

/// A plain integer counts `plain` of the smallest unit. The error is what is wrong, or None for a wrong type.
fn read_amount(node: &Node, units: &[(&str, u64)], plain: u64) -> Result<u64, Option<String>> {
    match (node.value.unsigned(), node.value.text()) {
        (Some(integer), _) => {
            integer.and_then(|integer| integer.checked_mul(plain)).ok_or(Some("is out of bounds".into()))
        }
        (None, Some(text)) => amount(text, units).ok_or_else(|| Some(format!("is {text:?}"))),
        (None, None) => Err(None),
    }
}

fn unreadable<T: Setting>(wrong: Option<String>, node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<T> {
    match wrong {
        Some(wrong) => complain(node, path, wrong, problems),
        None => wrong_kind(node, path, problems),
    }
}

/// A text that is never shown: not in a log, an error or a summary.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that compares or hashes it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl Setting for Secret {
    fn expected() -> String {
        "a text that is not empty".into()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        match node.value.text() {
            None => wrong_kind(node, path, problems),
            Some("") => complain(node, path, "is empty".into(), problems),
            Some(text) => Some(Self::new(text)),
        }
    }

    fn render(&self) -> Option<String> {
        Some(quoted("(secret)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, bytes) in [("0B", 0), ("3B", 3), ("64KiB", 65_536), ("8MiB", 8 << 20), ("1TiB", 1 << 40)] {
            assert_eq!(amount(text, &SIZES), Some(bytes));
            assert_eq!(ByteSize(bytes).to_string(), text);
        }
        for (text, micros) in [("1us", 1), ("500ms", 500_000), ("10s", 10_000_000), ("90m", 5_400_000_000)] {
            assert_eq!(amount(text, &TIMES), Some(micros));
            assert_eq!(Duration::from_micros(micros).render(), Some(quoted(text)));
        }
        assert_eq!(Duration::ZERO.render(), Some(quoted("0s")));
    }

    #[test]
    fn what_is_no_whole_number_with_a_unit_is_refused() {
        for text in ["", "10", "KiB", "10 parsecs", "1.5MiB", "-1MiB", "64kib", "99999999999TiB"] {
            assert_eq!(amount(text, &SIZES), None, "{text}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let secret = Secret::new("swordfish");
        assert!(!format!("{secret:?} {:?}", secret.render()).contains("swordfish"));
    }
}
