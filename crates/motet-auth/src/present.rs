//! Whose connections are whose, so that who may no longer come in can be put out.

use motet_core::mailbox::{KickReason, Mailbox, Notice};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// The mailboxes of connections that were let in with an account's password. Holds nothing alive; what has gone is
/// swept out when the table has doubled since the last time.
#[derive(Default)]
pub(crate) struct Present {
    by_user: HashMap<Arc<str>, Vec<Weak<Mailbox>>>,
    entries: usize,
    sweep_at: usize,
}

/// Below so many entries nothing is swept.
const SWEEP_LEAST: usize = 64;

impl Present {
    /// `user` was let in and is at the other end of `mailbox`.
    pub(crate) fn enter(&mut self, user: &Arc<str>, mailbox: &Arc<Mailbox>) {
        if self.entries >= self.sweep_at.max(SWEEP_LEAST) {
            self.sweep();
        }
        let theirs = self.by_user.entry(user.clone()).or_default();
        // The same connection once more, when it authenticates again.
        if !theirs.iter().rev().take(4).any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(mailbox))) {
            theirs.push(Arc::downgrade(mailbox));
            self.entries += 1;
        }
    }

    /// Takes the connections of `user` out of the table.
    pub(crate) fn take(&mut self, user: &str) -> Vec<Arc<Mailbox>> {
        let theirs = self.by_user.remove(user).unwrap_or_default();
        self.entries -= theirs.len();
        theirs.iter().filter_map(Weak::upgrade).collect()
    }

    fn sweep(&mut self) {
        self.entries = 0;
        self.by_user.retain(|_, theirs| {
            theirs.retain(|mailbox| mailbox.strong_count() > 0);
            theirs.shrink_to_fit();
            self.entries += theirs.len();
            !theirs.is_empty()
        });
        self.sweep_at = self.entries * 2;
    }
}

/// Ends these connections, each with its protocol's own words.
pub(crate) fn put_out(mailboxes: &[Arc<Mailbox>]) {
    for mailbox in mailboxes {
        mailbox.notify(Notice::Kicked(KickReason::Administrative));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use motet_core::mailbox::{Overflow, Pulled};

    fn mailbox() -> Arc<Mailbox> {
        Mailbox::new(1024, Overflow::DropNewest)
    }

    #[test]
    fn the_connections_of_one_user_are_put_out_and_no_others() {
        let mut present = Present::default();
        let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
        let (first, second, other) = (mailbox(), mailbox(), mailbox());
        present.enter(&alice, &first);
        present.enter(&alice, &second);
        present.enter(&alice, &second);
        present.enter(&bob, &other);
        put_out(&present.take("alice"));
        for (mailbox, notices) in [(&first, 1), (&second, 1), (&other, 0)] {
            let mut pulled = Pulled::default();
            mailbox.pull(&mut pulled);
            assert_eq!(pulled.notices.len(), notices);
        }
        assert!(present.take("alice").is_empty());
    }

    #[test]
    fn what_has_gone_is_swept_out() {
        let mut present = Present::default();
        let stays: Vec<_> = (0..10).map(|_| mailbox()).collect();
        let staying: Arc<str> = "stays".into();
        stays.iter().for_each(|mailbox| present.enter(&staying, mailbox));
        for n in 0..100_000 {
            present.enter(&n.to_string().into(), &mailbox());
            assert!(present.entries <= SWEEP_LEAST && present.by_user.len() <= SWEEP_LEAST);
        }
        assert_eq!(present.take("stays").len(), 10);
    }
}
