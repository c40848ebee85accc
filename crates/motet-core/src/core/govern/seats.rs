//! Who has a connection: counted for the limits of vhosts and users, and told when either goes.

use crate::core::{Core, Vhost};
use crate::engine::Engine;
use crate::mailbox::{KickReason, Mailbox, Notice};
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// Why a connection got no seat. A number is the limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    /// The vhost has as many connections as it may.
    #[error("the limit of {0} connections of the vhost is reached")]
    Vhost(i64),
    /// The user has.
    #[error("the limit of {0} connections of the user is reached")]
    User(i64),
}

/// See the module's page.
#[derive(Debug, Default)]
pub(in crate::core) struct Seats(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    taken: HashMap<u64, Taken, foldhash::fast::RandomState>,
    vhosts: HashMap<Arc<str>, i64, RandomState>,
    users: HashMap<Arc<str>, Used, RandomState>,
    /// Connections and channels at most.
    limits: HashMap<Box<str>, (i64, i64), RandomState>,
}

#[derive(Debug)]
struct Taken {
    vhost: Arc<str>,
    user: Arc<str>,
    mailbox: Weak<Mailbox>,
}

#[derive(Debug, Default)]
struct Used {
    connections: i64,
    channels: i64,
}

/// A connection is counted as long as it has this.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    id: u64,
    user: Arc<str>,
    channels: i64,
}

fn is_reached(limit: i64, used: i64) -> bool {
    limit >= 0 && used >= limit
}

impl Seats {
    pub(super) fn limit_user(&self, user: &str, connections: i64, channels: i64) {
        let limits = &mut self.0.lock().limits;
        if connections < 0 && channels < 0 {
            limits.remove(user);
        } else {
            limits.insert(user.into(), (connections, channels));
        }
    }

    fn tell(&self, whom: impl Fn(&Taken) -> bool, why: KickReason) -> usize {
        let told: Vec<_> = self
            .0
            .lock()
            .taken
            .values()
            .filter(|taken| whom(taken))
            .filter_map(|taken| taken.mailbox.upgrade())
            .collect();
        told.iter().for_each(|mailbox| mailbox.notify(Notice::Kicked(why)));
        told.len()
    }
}

impl Seat {
    /// One channel more.
    ///
    /// # Errors
    /// How many the user may have: it has them.
    pub fn open_channel(&mut self) -> Result<(), i64> {
        let mut state = self.seats.0.lock();
        let limit = state.limits.get(&*self.user).map_or(super::UNLIMITED, |(_, channels)| *channels);
        let used = state.users.entry(self.user.clone()).or_default();
        if is_reached(limit, used.channels) {
            return Err(limit);
        }
        used.channels += 1;
        self.channels += 1;
        Ok(())
    }

    /// One channel less.
    pub fn close_channel(&mut self) {
        if self.channels > 0
            && let Some(used) = self.seats.0.lock().users.get_mut(&self.user)
        {
            used.channels -= 1;
            self.channels -= 1;
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.seats.0.lock();
        let Some(taken) = state.taken.remove(&self.id) else { return };
        if let Some(used) = state.users.get_mut(&taken.user) {
            used.connections -= 1;
            used.channels -= self.channels;
            if used.connections == 0 {
                state.users.remove(&taken.user);
            }
        }
        if let Some(used) = state.vhosts.get_mut(&taken.vhost) {
            *used -= 1;
            if *used == 0 {
                state.vhosts.remove(&taken.vhost);
            }
        }
    }
}

impl<E: Engine> Core<E> {
    /// Counts a connection of a user in a vhost. `mailbox` is told when either of them is deleted.
    ///
    /// # Errors
    /// See [`NoSeat`].
    pub fn take_seat(&self, vhost: &Vhost, user: &Arc<str>, mailbox: &Arc<Mailbox>) -> Result<Seat, NoSeat> {
        let mut state = self.seats.0.lock();
        let limit = vhost.max_connections.load(Ordering::Relaxed);
        if is_reached(limit, state.vhosts.get(vhost.name()).copied().unwrap_or_default()) {
            return Err(NoSeat::Vhost(limit));
        }
        let limit = state.limits.get(&**user).map_or(super::UNLIMITED, |(connections, _)| *connections);
        if is_reached(limit, state.users.get(user).map_or(0, |used| used.connections)) {
            return Err(NoSeat::User(limit));
        }
        *state.vhosts.entry(vhost.name().clone()).or_default() += 1;
        state.users.entry(user.clone()).or_default().connections += 1;
        let id = state.next;
        state.next += 1;
        let taken = Taken { vhost: vhost.name().clone(), user: user.clone(), mailbox: Arc::downgrade(mailbox) };
        state.taken.insert(id, taken);
        drop(state);
        Ok(Seat { seats: self.seats.clone(), id, user: user.clone(), channels: 0 })
    }

    /// Ends every connection of a user that is no more; how many.
    pub fn kick_user(&self, user: &str) -> usize {
        self.seats.tell(|taken| *taken.user == *user, KickReason::UserDeleted)
    }

    /// Ends every connection in a vhost that is no more; how many.
    pub(in crate::core) fn kick_vhost(&self, vhost: &str) -> usize {
        self.seats.tell(|taken| *taken.vhost == *vhost, KickReason::VhostDeleted)
    }

    /// Connections of a vhost now.
    pub fn connections_in(&self, vhost: &str) -> u64 {
        self.seats.0.lock().vhosts.get(vhost).map_or(0, |used| used.unsigned_abs())
    }
}
