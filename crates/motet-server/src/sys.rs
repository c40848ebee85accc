//! `$SYS`: collects the figures, and keeps them as last values, so that whoever subscribes has them at once.

use crate::alarm::resident_bytes;
use crate::house::House;
use crate::telemetry::PerProtocol;
use motet_core::engine::Engine;
use motet_core::name::Name;
use motet_core::spelling::mqtt;
use motet_core::time::Now;
use motet_mqtt::sys::{Figures, Sys};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The tree of one server.
pub(crate) struct SysTree {
    /// Zero never publishes.
    interval: Duration,
    sys: Sys,
    /// When next, as uptime.
    due: Duration,
    maximum: u64,
    memory_maximum: u64,
    /// The names of what was told, by topic.
    names: HashMap<String, Name>,
}

impl SysTree {
    pub(crate) fn new(interval: Duration) -> Self {
        let (sys, due, names) = (Sys::default(), Duration::ZERO, HashMap::new());
        SysTree { interval, sys, due, maximum: 0, memory_maximum: 0, names }
    }

    /// Called on every tick of the core.
    pub(crate) fn tick<E: Engine>(&mut self, house: &House<E>, now: Now) {
        if self.interval.is_zero() {
            return;
        }
        let uptime = Duration::from_nanos(now.instant.as_nanos());
        if uptime < self.due {
            return;
        }
        self.due = uptime + self.interval;
        let figures = self.collect(house);
        let (sys, names) = (&mut self.sys, &mut self.names);
        sys.tell(env!("CARGO_PKG_VERSION"), uptime, figures, |topic, value| {
            if !names.contains_key(topic)
                && let Ok(name) = mqtt::decode_name(topic)
            {
                names.insert(topic.to_owned(), name);
            }
            if let Some(name) = names.get(topic) {
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
        let memory = resident_bytes().unwrap_or(0);
        self.memory_maximum = self.memory_maximum.max(memory);
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
            subscriptions: house.core.subscription_count(),
            retained: house.core.retained_count(),
            retained_bytes: house.core.retained_bytes(),
            memory,
            memory_maximum: self.memory_maximum,
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
    use motet_core::RetainedCursor;
    use motet_core::mailbox::{Mailbox, Overflow, Pulled};
    use motet_core::session::{Expiry, OpenSession, SubscribeOptions};
    use std::sync::Arc;

    fn at(secs: u64) -> Now {
        let instant = motet_core::time::Instant::START + Duration::from_secs(secs);
        Now { instant, ..Now::default() }
    }

    #[test]
    fn figures_are_there_before_anybody_asks_and_renewed_in_their_time() {
        let house = crate::testing::house(Limits::default());
        let mut tree = SysTree::new(Duration::from_secs(10));
        tree.tick(&house, at(0));
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
        let mut cursor = RetainedCursor::new(filter);
        let page = house.core.retained_page(at(1), &opened.handle, &mut cursor, &Arc::default(), 10);
        let found: Vec<_> = page.direct.iter().map(|value| value.message.payload()).collect();
        assert_eq!(found, [b"0 seconds"]);
        let heard = || {
            let mut pulled = Pulled::default();
            mailbox.pull(&mut pulled);
            let text = |d: &motet_core::mailbox::Direct| d.batch.payload(&d.batch.messages()[0]).to_vec();
            pulled.direct.iter().map(|d| String::from_utf8(text(d)).unwrap()).collect::<Vec<_>>()
        };
        tree.tick(&house, at(9));
        assert!(heard().is_empty());
        tree.tick(&house, at(10));
        assert_eq!(heard(), ["10 seconds"]);
        assert_eq!((house.core.retained_count(), house.core.retained_bytes()), (0, 0), "nobody's burden");
        assert_eq!(house.core.subscription_count(), 1);
    }
}
