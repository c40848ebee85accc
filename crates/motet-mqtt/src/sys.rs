//! `$SYS`: the server's figures as topics, by the names that dashboards of other brokers look for, and our own below
//! `$SYS/motet`.
//!
//! The specification leaves the tree to the server [4.7.2]. Values are text. What is counted per minute is an average
//! that forgets: over 1, 5 and 15 minutes.

use std::time::Duration;

/// The first level of the tree.
pub const ROOT: &str = "$SYS";

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident: $topic:literal $(, load $load:literal)?;)*) => {
        /// What the server counts.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Figures { $($(#[$doc])* pub $name: u64,)* }

        const LOADS: usize = [$($($load,)?)*].len();

        impl Figures {
            fn each(&self, mut tell: impl FnMut(&'static str, u64)) {
                $(tell($topic, self.$name);)*
            }

            /// Those whose rate is told, in a fixed order.
            fn rated(&self) -> [(&'static str, u64); LOADS] {
                [$($(($load, self.$name),)?)*]
            }
        }
    };
}

figures! {
    /// Connections now.
    clients_connected: "broker/clients/connected";
    /// Sessions whose client is away.
    clients_disconnected: "broker/clients/disconnected";
    /// Sessions, connected or not.
    clients_total: "broker/clients/total";
    /// The most connections there were at once.
    clients_maximum: "broker/clients/maximum";
    /// Connections since the start.
    connections: "motet/connections/total", load "broker/load/connections";
    /// Messages taken from publishers.
    messages_received: "broker/publish/messages/received", load "broker/load/publish/received";
    /// Deliveries handed to subscribers.
    messages_sent: "broker/publish/messages/sent", load "broker/load/publish/sent";
    /// Deliveries dropped at a subscriber's bound.
    messages_dropped: "broker/publish/messages/dropped", load "broker/load/publish/dropped";
    /// Bytes read from connections.
    bytes_received: "broker/bytes/received", load "broker/load/bytes/received";
    /// Bytes written to connections.
    bytes_sent: "broker/bytes/sent", load "broker/load/bytes/sent";
    /// Subscriptions of sessions, without those that are shared.
    subscriptions: "broker/subscriptions/count";
    /// Retained messages.
    retained: "broker/retained messages/count";
    /// Bytes of retained messages.
    retained_bytes: "broker/store/messages/bytes";
    /// Bytes of memory that the process holds; zero where the system does not tell.
    memory: "broker/heap/current";
    /// The most of it at any publication.
    memory_maximum: "broker/heap/maximum";
    /// Messages refused.
    rejected: "motet/messages/rejected";
    /// Messages that expired before they were delivered.
    expired: "motet/messages/expired";
    /// Bytes taken and not yet on disk.
    pending: "motet/store/pending";
}

/// Minutes over which rates are averaged.
const MINUTES: [u32; 3] = [1, 5, 15];

/// The tree, between two publications of it.
#[derive(Debug, Default)]
pub struct Sys {
    before: Option<(Duration, Figures)>,
    /// Per figure that has a rate, and per period: counts a minute.
    loads: [[f64; MINUTES.len()]; LOADS],
}

impl Sys {
    /// Hands every topic and its value to `tell`: `figures` as they are `uptime` after the start.
    pub fn tell(&mut self, version: &str, uptime: Duration, figures: Figures, mut tell: impl FnMut(&str, &str)) {
        self.age(uptime, figures);
        tell("$SYS/broker/version", &format!("motet version {version}"));
        tell("$SYS/broker/uptime", &format!("{} seconds", uptime.as_secs()));
        // Names that some dashboards still use for the same thing.
        tell("$SYS/broker/clients/active", &figures.clients_connected.to_string());
        tell("$SYS/broker/clients/inactive", &figures.clients_disconnected.to_string());
        // Brokers that say these count every packet; here they are messages.
        tell("$SYS/broker/messages/received", &figures.messages_received.to_string());
        tell("$SYS/broker/messages/sent", &figures.messages_sent.to_string());
        figures.each(|topic, value| tell(&format!("{ROOT}/{topic}"), &value.to_string()));
        for ((topic, _), loads) in figures.rated().iter().zip(&self.loads) {
            for (minutes, load) in MINUTES.iter().zip(loads) {
                tell(&format!("{ROOT}/{topic}/{minutes}min"), &format!("{load:.2}"));
            }
        }
    }

    /// Moves the averages on: what was counted since, and the weight of what was before.
    fn age(&mut self, uptime: Duration, figures: Figures) {
        if let Some((at, before)) = self.before.replace((uptime, figures))
            && uptime > at
        {
            let passed = (uptime - at).as_secs_f64() / 60.0;
            for (at, ((_, now), (_, before))) in figures.rated().iter().zip(before.rated()).enumerate() {
                let rate = now.saturating_sub(before) as f64 / passed;
                for (load, minutes) in self.loads[at].iter_mut().zip(MINUTES) {
                    let weight = (-passed / f64::from(minutes)).exp();
                    *load = *load * weight + rate * (1.0 - weight);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn told(sys: &mut Sys, secs: u64, figures: Figures) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        sys.tell("1.2.3", Duration::from_secs(secs), figures, |topic, value| {
            assert!(values.insert(topic.to_owned(), value.to_owned()).is_none(), "{topic} is told twice");
        });
        values
    }

    #[test]
    fn names_are_those_that_dashboards_know() {
        let values = told(
            &mut Sys::default(),
            90,
            Figures { clients_connected: 3, messages_sent: 9, retained: 7, ..Figures::default() },
        );
        for (topic, value) in [
            ("$SYS/broker/version", "motet version 1.2.3"),
            ("$SYS/broker/uptime", "90 seconds"),
            ("$SYS/broker/clients/connected", "3"),
            ("$SYS/broker/clients/active", "3"),
            ("$SYS/broker/messages/sent", "9"),
            ("$SYS/broker/subscriptions/count", "0"),
            ("$SYS/broker/retained messages/count", "7"),
            ("$SYS/broker/load/bytes/sent/15min", "0.00"),
        ] {
            assert_eq!(values.get(topic).map(String::as_str), Some(value), "{topic}");
        }
        assert!(values.keys().all(|topic| topic.starts_with("$SYS/")));
    }

    #[test]
    fn a_steady_rate_becomes_the_average_of_every_period() {
        let mut sys = Sys::default();
        let at = |n: u64| Figures { messages_received: 100 * n, ..Figures::default() };
        let mut last = BTreeMap::new();
        for n in 0..600 {
            last = told(&mut sys, 10 * n, at(n));
        }
        let load = |minutes: u32| last[&format!("$SYS/broker/load/publish/received/{minutes}min")].clone();
        assert_eq!((load(1), load(5)), ("600.00".into(), "600.00".into()));
        assert!(load(15).parse::<f64>().expect("a number") > 590.0);
    }
}
