//! What an exchange that looks for duplicates has seen: a message's identifier comes by once, as long as it is remembered.
//!
//! Whoever routes *claims* the identifier; the claim is [kept](Claim::keep) once the message is where it should be. One
//! that is let go of before gives the identifier back: a publisher that was refused sends the same message again.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::message::Value;

/// The header that identifies a message, unless the exchange names another.
pub const DEDUP_HEADER: &str = "x-deduplication-header";
/// Bytes of an identifier at most; a longer one is cut.
pub(crate) const ID_BYTES_MAX: usize = 1_024;
/// The header with a message's own time to be remembered, in milliseconds.
pub(super) const TTL_HEADER: &str = "x-cache-ttl";

/// What an exchange remembers of the messages that came by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deduplication {
    /// Identifiers remembered at most; the oldest is forgotten first.
    pub entries: u64,
    /// Milliseconds each is remembered; `None` is until others push it out.
    pub ttl_ms: Option<u64>,
    /// The header with the identifier.
    pub header: Box<str>,
    /// It was declared by its type, `x-message-deduplication`, rather than by an argument.
    pub by_type: bool,
}

/// Identifiers seen, in memory: a start forgets them.
#[derive(Debug)]
pub(super) struct Seen {
    entries: usize,
    ttl_ms: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: HashMap<Arc<[u8]>, Known, foldhash::quality::RandomState>,
    /// In the order they came; those that are known no longer, or anew, have another number than here.
    order: VecDeque<(u64, Arc<[u8]>)>,
    next: u64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    number: u64,
    until_ms: Option<u64>,
}

/// Gaps in the order that are not worth closing.
const GAPS_MIN: usize = 64;

impl Seen {
    pub(super) fn new(config: &Deduplication) -> Arc<Self> {
        let entries = usize::try_from(config.entries).unwrap_or(usize::MAX);
        Arc::new(Seen { entries, ttl_ms: config.ttl_ms, state: Mutex::default() })
    }

    /// Claims an identifier, to be remembered for `ttl_ms` or what the exchange says; `None` when it is known.
    pub(super) fn claim(self: &Arc<Self>, now_ms: u64, id: &[u8], ttl_ms: Option<u64>) -> Option<Claim> {
        let mut state = self.state.lock();
        if state.known.get(id).is_some_and(|known| known.until_ms.is_none_or(|until| until > now_ms)) {
            return None;
        }
        state.next += 1;
        let (number, id): (u64, Arc<[u8]>) = (state.next, id.into());
        let until_ms = ttl_ms.or(self.ttl_ms).map(|ttl| now_ms.saturating_add(ttl));
        state.known.insert(id.clone(), Known { number, until_ms });
        state.order.push_back((number, id.clone()));
        state.close_gaps();
        while state.known.len() > self.entries {
            state.forget_oldest();
        }
        Some(Claim { seen: self.clone(), number, id, kept: AtomicBool::new(false) })
    }
}

impl State {
    fn is_current(&self, number: u64, id: &[u8]) -> bool {
        self.known.get(id).is_some_and(|known| known.number == number)
    }

    fn forget_oldest(&mut self) {
        while let Some((number, id)) = self.order.pop_front() {
            if self.is_current(number, &id) {
                self.known.remove(&id);
                return;
            }
        }
    }

    fn close_gaps(&mut self) {
        if self.order.len() > 2 * self.known.len() + GAPS_MIN {
            let known = &self.known;
            self.order.retain(|(number, id)| known.get(id).is_some_and(|known| known.number == *number));
        }
    }
}

/// An identifier that was not known until now.
#[derive(Debug)]
pub(crate) struct Claim {
    seen: Arc<Seen>,
    number: u64,
    id: Arc<[u8]>,
    kept: AtomicBool,
}

impl Claim {
    /// Its message is where it should be: the identifier is remembered.
    pub(crate) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !*self.kept.get_mut() {
            let mut state = self.seen.state.lock();
            if state.is_current(self.number, &self.id) {
                state.known.remove(&self.id);
            }
        }
    }
}

/// A header's value as an identifier; `None` when it is none.
pub(crate) fn identifier(value: &Value) -> Option<Cow<'_, [u8]>> {
    let cut = |bytes: &'_ [u8]| bytes.len().min(ID_BYTES_MAX);
    Some(match value {
        Value::Text(text) => Cow::Borrowed(&text.as_bytes()[..cut(text.as_bytes())]),
        Value::Bytes(bytes) => Cow::Borrowed(&bytes[..cut(bytes)]),
        Value::Bool(truth) => Cow::Owned(truth.to_string().into_bytes()),
        Value::Int(number) => Cow::Owned(number.to_string().into_bytes()),
        Value::UInt(number) => Cow::Owned(number.to_string().into_bytes()),
        Value::Float(number) => Cow::Owned(number.to_string().into_bytes()),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(entries: u64, ttl_ms: Option<u64>) -> Arc<Seen> {
        Seen::new(&Deduplication { entries, ttl_ms, header: DEDUP_HEADER.into(), by_type: true })
    }

    fn comes_by(seen: &Arc<Seen>, now_ms: u64, id: &[u8]) -> bool {
        seen.claim(now_ms, id, None).map(|claim| claim.keep()).is_some()
    }

    #[test]
    fn an_identifier_comes_by_once_in_its_time() {
        let seen = seen(10, Some(100));
        assert!(comes_by(&seen, 0, b"a") && comes_by(&seen, 0, b"b"));
        assert!(!comes_by(&seen, 99, b"a"));
        assert!(comes_by(&seen, 100, b"a"));
        assert!(!comes_by(&seen, 199, b"a"));
        seen.claim(0, b"short", Some(5)).unwrap().keep();
        assert!(comes_by(&seen, 5, b"short"), "its own time");
    }

    #[test]
    fn the_oldest_gives_way_and_memory_stays_within_its_bound() {
        let seen = seen(2, None);
        assert!([b"a", b"b", b"c"].iter().all(|id| comes_by(&seen, 0, *id)));
        assert!(!comes_by(&seen, 0, b"b") && !comes_by(&seen, 0, b"c") && comes_by(&seen, 0, b"a"));
        for n in 0..10_000_u32 {
            comes_by(&seen, 0, &n.to_le_bytes());
            drop(seen.claim(0, b"given back", None));
        }
        let state = seen.state.lock();
        assert!(state.known.len() <= 2 && state.order.len() <= 4 + GAPS_MIN + 1, "{}", state.order.len());
    }

    #[test]
    fn who_was_refused_may_come_again() {
        let seen = seen(10, None);
        let claim = seen.claim(0, b"a", None).expect("not known yet");
        assert!(seen.claim(0, b"a", None).is_none(), "on its way");
        drop(claim);
        assert!(comes_by(&seen, 0, b"a"));
        assert!(!comes_by(&seen, 0, b"a"));
    }
}
