//! What a client makes, changes and removes, told to whoever keeps a record of it. A look (`passive`) is none, and neither
//! is a declaration that changes nothing: clients repeat theirs each time they connect.

use super::running::Running;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::{Method, exchange, queue};
use motet_core::deeds::{Deed, DeedOutcome};
use motet_core::engine::Engine;
use motet_core::machine::Context;

/// A deed that is about to be done.
#[derive(Debug)]
pub(super) struct Intent {
    action: &'static str,
    name: String,
    /// The other end, and the key.
    bound: Option<(String, String)>,
    /// An empty name is a queue's, and means the one that the channel declared last.
    is_queue: bool,
    /// Of the vhost's topology before; `None` for what does not change it.
    epoch: Option<u64>,
}

impl Intent {
    fn of(method: &Method<'_>) -> Option<Self> {
        let intent =
            |action, name: &str| Intent { action, name: name.into(), bound: None, is_queue: false, epoch: Some(0) };
        let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let between = |action, source: &str, to: &str, key: &[u8]| Intent {
            bound: Some((source.into(), text(key))),
            ..intent(action, to)
        };
        let of_queue = |intent: Intent| Intent { is_queue: true, ..intent };
        Some(match method {
            Method::Exchange(exchange::Method::Declare(m)) if !m.passive => intent("exchange.declare", m.exchange),
            Method::Exchange(exchange::Method::Delete(m)) => intent("exchange.delete", m.exchange),
            Method::Exchange(exchange::Method::Bind(m)) => {
                between("exchange.bind", m.source, m.destination, m.routing_key)
            }
            Method::Exchange(exchange::Method::Unbind(m)) => {
                between("exchange.unbind", m.source, m.destination, m.routing_key)
            }
            Method::Queue(queue::Method::Declare(m)) if !m.passive => of_queue(intent("queue.declare", m.queue)),
            Method::Queue(queue::Method::Delete(m)) => of_queue(intent("queue.delete", m.queue)),
            Method::Queue(queue::Method::Purge(m)) => {
                Intent { epoch: None, ..of_queue(intent("queue.purge", m.queue)) }
            }
            Method::Queue(queue::Method::Bind(m)) => {
                of_queue(between("queue.bind", m.exchange, m.queue, m.routing_key))
            }
            Method::Queue(queue::Method::Unbind(m)) => {
                of_queue(between("queue.unbind", m.exchange, m.queue, m.routing_key))
            }
            _ => return None,
        })
    }
}

impl Running {
    /// What is about to be done, when it is to be told.
    pub(super) fn intent<E: Engine>(&self, cx: &Context<'_, E>, method: &Method<'_>) -> Option<Intent> {
        if cx.core.deeds().are_unheard() {
            return None;
        }
        let intent = Intent::of(method)?;
        let epoch = intent.epoch.map(|_| self.vhost.topology().epoch());
        Some(Intent { epoch, ..intent })
    }

    /// Tells what became of it.
    pub(super) fn tell<E: Engine>(
        &self,
        cx: &Context<'_, E>,
        number: u16,
        intent: Option<Intent>,
        done: &Result<(), Failure>,
    ) {
        let Some(intent) = intent else { return };
        let outcome = match done {
            // Another connection's change in between makes a repeated declaration look like one: better than to miss one.
            Ok(()) if intent.epoch == Some(self.vhost.topology().epoch()) => return,
            Ok(()) => DeedOutcome::Done,
            Err(failure) if failure.code == ReplyCode::AccessRefused => DeedOutcome::Refused,
            Err(_) => DeedOutcome::Failed,
        };
        let last = self.channels.get(&number).and_then(|channel| channel.last_queue.as_deref());
        let name = match &*intent.name {
            "" if intent.is_queue => last.unwrap_or_default(),
            name => name,
        };
        let what = match &intent.bound {
            Some((source, key)) => format!("{source} -> {name} ({key})"),
            None => name.into(),
        };
        cx.core.deeds().tell(&Deed {
            action: intent.action,
            outcome,
            user: &self.publisher.principal().name,
            peer: cx.peer,
            vhost: self.vhost.name(),
            what: &what,
        });
    }
}
