//! One fuzz target for what stands at the beginning of a connection: a PROXY header, then some protocol.

use crate::proxy::{self, Parsed};
use crate::sniff::{SNIFF_BYTES_MAX, Verdict, sniff};

/// Judges `data` as the beginning of a connection, byte by byte.
///
/// # Panics
/// If a verdict changes when more arrives, comes too late, or tells of more bytes than there are.
#[doc(hidden)]
pub fn fuzz_beginning(data: &[u8]) {
    let mut known = None;
    for len in 0..=data.len().min(2 * SNIFF_BYTES_MAX) {
        let verdict = sniff(&data[..len]);
        match known {
            Some(known) => assert_eq!(verdict, known, "no later byte changes it"),
            None if verdict != Verdict::Undecided => known = Some(verdict),
            None => assert!(len < SNIFF_BYTES_MAX, "{SNIFF_BYTES_MAX} bytes decide"),
        }
    }
    let mut known = None;
    for len in 0..=data.len() {
        let parsed = proxy::parse(&data[..len]);
        if let Parsed::Header { len: header, .. } = parsed {
            assert!(header <= len, "a header is whole when it is known");
        }
        match known {
            Some(known) => assert_eq!(parsed, known, "no later byte changes it"),
            None if parsed != Parsed::Incomplete => known = Some(parsed),
            None => assert!(len < 600, "a header is bounded"),
        }
    }
}
