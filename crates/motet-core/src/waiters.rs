//! Connections that wait until something has changed, and are nudged then.

use crate::mailbox::Mailbox;
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Connections in one list beyond which it is rid of those that have gone; and how far back is looked whether one waits
/// already, as to be nudged twice is harmless.
const KEPT: usize = 64;

/// See the module's page.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Vec<Weak<Mailbox>>>);

impl Waiters {
    /// One more, unless it waits already.
    pub(crate) fn add(&self, mailbox: &Arc<Mailbox>) {
        let mut waiting = self.0.lock();
        if waiting.len() >= KEPT && waiting.len().is_power_of_two() {
            waiting.retain(|waiting| waiting.strong_count() > 0);
        }
        if !waiting.iter().rev().take(KEPT).any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(mailbox))) {
            waiting.push(Arc::downgrade(mailbox));
        }
    }

    /// Nudges all of them, and forgets them.
    pub(crate) fn nudge(&self) {
        for mailbox in std::mem::take(&mut *self.0.lock()).iter().filter_map(Weak::upgrade) {
            mailbox.nudge();
        }
    }
}
