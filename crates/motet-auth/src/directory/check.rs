//! A login that waits for a thread.

use super::desk::{Answer, Login};
use motet_core::machine::Step;
use motet_core::mailbox::{Mailbox, Notice};
use motet_core::principal::Denied;
use std::sync::Arc;

/// In which words the answer is given, and to whom.
pub(super) enum Reply {
    /// To a check with this ticket.
    Authenticated(u64, Arc<Mailbox>),
    /// To a step with this ticket.
    Stepped(u64, Arc<Mailbox>),
}

impl Reply {
    fn mailbox(&self) -> &Arc<Mailbox> {
        let (Reply::Authenticated(_, mailbox) | Reply::Stepped(_, mailbox)) = self;
        mailbox
    }
}

/// A login that waits for a thread. Every one is answered: when dropped unanswered, with "busy".
pub(super) struct Check {
    pub(super) login: Login,
    pub(super) user: Box<str>,
    pub(super) password: Box<[u8]>,
    reply: Reply,
    answered: bool,
}

impl Check {
    pub(super) fn new(login: Login, user: &str, password: &[u8], reply: Reply) -> Self {
        Check { login, user: user.into(), password: password.into(), reply, answered: false }
    }

    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        self.reply.mailbox()
    }

    /// Nobody but us holds the mailbox any more: the peer has gone, and learns nothing.
    pub(super) fn is_abandoned(&self) -> bool {
        Arc::strong_count(self.mailbox()) == 1
    }

    /// Gives up the ticket: it is answered some other way.
    pub(super) fn withdraw(mut self) {
        self.answered = true;
    }

    pub(super) fn answer(mut self, answer: Answer) {
        self.notify(answer);
    }

    fn notify(&mut self, answer: Answer) {
        if std::mem::replace(&mut self.answered, true) {
            return;
        }
        match &self.reply {
            Reply::Authenticated(ticket, mailbox) => mailbox.notify(Notice::Authenticated(*ticket, answer)),
            Reply::Stepped(ticket, mailbox) => mailbox.notify(Notice::Stepped(*ticket, step(answer))),
        }
    }
}

/// An answer as the last step of a dialogue.
pub(super) fn step(answer: Answer) -> Step {
    match answer {
        Ok(principal) => Step::Accepted { principal, data: None },
        Err(denied) => Step::Denied(denied),
    }
}

impl Drop for Check {
    fn drop(&mut self) {
        self.notify(Err(Denied::Busy));
    }
}
