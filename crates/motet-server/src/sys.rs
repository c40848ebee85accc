//! `$SYS`: collects the figures, and publishes them while somebody subscribes to them.

use crate::alarm::resident_bytes;
use crate::house::House;
use crate::telemetry::PerProtocol;
use motet_core::engine::Engine;
use motet_core::name::Name;
use motet_core::spelling::mqtt;
use motet_core::time::Now;
use motet_mqtt::sys::{Figures, ROOT, Sys};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The tree of one server.
pub(crate) struct SysTree {
    /// Zero never publishes.
    interval: Duration,
    sys: Sys,
    /// When next, as uptime; due at once when somebody begins to watch.
    due: Duration,
    maximum: u64,
    /// What is there now, by topic; empty while nobody watches.
    told: HashMap<String, Name>,
}

impl SysTree {
    pub(crate) fn new(interval: Duration) -> Self {
        SysTree { interval, sys: Sys::default(), due: Duration::ZERO, maximum: 0, told: HashMap::new() }
    }

    /// Called on every tick of the core. The averages go on while nobody watches.
    pub(crate) fn tick<E: Engine>(&mut self, house: &House<E>, now: Now) {
        if self.interval.is_zero() {
            return;
        }
        let watched = house.core.has_subscribers_below(ROOT.as_bytes());
        let uptime = Duration::from_nanos(now.instant.as_nanos());
        if !watched && !self.told.is_empty() {
            // What nobody keeps up to date is not left for the next one to find.
            self.told.drain().for_each(|(_, name)| house.core.withdraw(&name));
        }
        if uptime < self.due && !(watched && self.told.is_empty()) {
            return;
        }
        self.due = uptime + self.interval;
        let figures = self.collect(house);
        let (sys, told) = (&mut self.sys, &mut self.told);
        sys.tell(env!("CARGO_PKG_VERSION"), uptime, figures, |topic, value| {
            if !watched {
                return;
            }
            if !told.contains_key(topic)
                && let Ok(name) = mqtt::decode_name(topic)
            {
                told.insert(topic.to_owned(), name);
            }
            if let Some(name) = told.get(topic) {
                house.core.proclaim(now, name, value.as_bytes());
            }
        });
    }

    fn collect<E: Engine>(&mut self, house: &House<E>) -> Figures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sum =
            |figure: fn(&PerProtocol) -> &AtomicU64| house.counters.protocols.iter().map(|p| read(figure(p))).sum();
        let core = house.core.counters();
        let connected = sum(|p| &p.connections);
        self.maximum = self.maximum.max(connected);
        let sessions = house.core.session_count();
        Figures {
            clients_connected: connected,
            clients_disconnected: sessions.saturating_sub(connected),
            clients_total: sessions,
            clients_maximum: self.maximum,
            connections: sum(|p| &p.connections_total),
            messages_received: read(&core.published),
            messages_sent: read(&core.delivered),
            messages_dropped: read(&core.dropped),
            bytes_received: sum(|p| &p.received_bytes),
            bytes_sent: sum(|p| &p.sent_bytes),
            retained: house.core.retained_count(),
            retained_bytes: house.core.retained_bytes(),
            memory: resident_bytes().unwrap_or(0),
            rejected: read(&core.rejected),
            expired: read(&core.expired),
            pending: house.store.pending_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use motet_core::mailbox::{Mailbox, Overflow, Pulled};
    use motet_core::session::{Expiry, OpenSession, SubscribeOptions};
    use std::sync::Arc;

    fn at(secs: u64) -> Now {
        let instant = motet_core::time::Instant::START + Duration::from_secs(secs);
        Now { instant, ..Now::default() }
    }

    #[test]
    fn figures_are_published_while_somebody_subscribes_and_gone_afterwards() {
        let house = crate::testing::house(Limits::default());
        let mut tree = SysTree::new(Duration::from_secs(10));
        tree.tick(&house, at(0));
        assert_eq!(house.core.retained_count(), 0, "nobody asks");
        let mailbox = Mailbox::new(1 << 20, Overflow::DropNewest);
        let open = OpenSession {
            vhost: house.core.vhost(),
            client: "dashboard",
            owner: &Arc::from(""),
            clean_start: true,
            expiry: Expiry::WithConnection,
            credit: 10,
            will: None,
            mailbox: &mailbox,
        };
        let opened = house.core.open_session(at(1), open).unwrap();
        let filter = mqtt::decode_pattern("$SYS/broker/uptime").unwrap();
        house.core.subscribe(&opened.handle, &[(filter.clone(), SubscribeOptions::default())]);
        let heard = || {
            let mut pulled = Pulled::default();
            mailbox.pull(&mut pulled);
            let text = |d: &motet_core::mailbox::Direct| d.batch.payload(&d.batch.messages()[0]).to_vec();
            pulled.direct.iter().map(|d| String::from_utf8(text(d)).unwrap()).collect::<Vec<_>>()
        };
        tree.tick(&house, at(2));
        assert_eq!(heard(), ["2 seconds"], "at once");
        tree.tick(&house, at(3));
        assert!(heard().is_empty(), "then in its time");
        tree.tick(&house, at(12));
        assert_eq!(heard(), ["12 seconds"]);
        assert!(house.core.retained_count() > 30);
        house.core.unsubscribe(&opened.handle, &[filter]);
        tree.tick(&house, at(13));
        assert_eq!(house.core.retained_count(), 0);
    }
}
