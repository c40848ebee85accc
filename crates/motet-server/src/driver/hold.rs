//! What a peer waits for by our will: its rate, an alarm, its turn to log in.

use super::{Carrier, Connection};
use crate::telemetry::{Event, HeldBack, PROTOCOLS};
use motet_core::engine::Engine;
use motet_core::time::Now;

impl<C: Carrier, E: Engine> Connection<C, E> {
    /// True while nothing is read. Who was not listened to has not been silent, and that is remembered until the next
    /// read: what it has said meanwhile is still to come.
    pub(super) fn hold_back(&mut self, now: Now) -> bool {
        let held = self.held_back(now);
        self.held |= held;
        if self.held
            && let Some(machine) = self.machine.as_deref_mut()
            && machine.poll_timeout().is_some_and(|at| at <= now.instant)
        {
            machine.excuse_silence(now.instant);
        }
        held
    }

    /// An alarm is raised, and the peer is one that publishes.
    pub(super) fn is_held_by_alarm(&self) -> bool {
        self.house.alarms.any() && self.machine.as_ref().is_some_and(|machine| machine.messages_in() > 0)
    }

    /// A rate, an alarm or a quota keeps us from reading more of what this peer publishes.
    fn held_back(&self, now: Now) -> bool {
        self.rated.as_ref().is_some_and(|rated| rated.held_until(now.instant).is_some())
            || self.is_held_by_alarm()
            || self.machine.as_ref().is_some_and(|machine| machine.is_held())
    }

    /// Pays for what was read, at the rates that hold.
    pub(super) fn charge(&mut self, bytes: usize, now: Now) {
        let (Some(rated), Some(machine)) = (&mut self.rated, &self.machine) else { return };
        let held =
            rated.charge(now.instant, bytes as u64, machine.messages_in(), machine.principal(), &self.house.rates);
        if let Some(scope) = held {
            HeldBack { peer: self.arrival.peer, scope }.emit(&self.house.counters);
        }
    }

    /// Lets go of what is needed only until it is known who it is.
    pub(super) fn note_login(&mut self, now: Now) {
        let Some(login) = &mut self.login else { return };
        if let Some(principal) = self.machine.as_ref().and_then(|machine| machine.principal()) {
            login.succeeded(principal, self.arrival.peer, PROTOCOLS[self.arrival.protocol]);
            self.login = None;
            self.log_login();
        } else if login.by.is_some_and(|by| by <= now.instant) {
            login.end_turn();
        }
    }
}
