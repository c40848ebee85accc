//! One function per decoder and per machine that takes any bytes. Fuzz targets (`fuzz/`) and the replay of their corpora
//! (`tests/feeds.rs`) call the same ones; each panics when a promise is broken and only then.

mod amqp;
mod amqp_clients;
mod carriers;
mod core;
mod crowd;
mod definitions;
mod identity;
mod journal;
mod mqtt;
mod mqtt_clients;
mod script;

pub use self::core::{core_records, names, stored_message};
pub use amqp::{amqp_codec, amqp_machine};
pub use amqp_clients::amqp_clients;
pub use carriers::{beginning, configuration, websocket};
pub use definitions::definitions;
pub use identity::{sasl, token};
pub use journal::{journal, journal_records};
pub use mqtt::{mqtt_codec, mqtt_machine};
pub use mqtt_clients::mqtt_clients;

/// Something that takes any bytes.
pub type Feed = fn(&[u8]);

/// Every feed, by the name of its fuzz target and its corpus.
pub const FEEDS: &[(&str, Feed)] = &[
    ("amqp_clients", amqp_clients),
    ("amqp_codec", amqp_codec),
    ("amqp_machine", amqp_machine),
    ("beginning", beginning),
    ("configuration", configuration),
    ("core_records", core_records),
    ("definitions", definitions),
    ("journal", journal),
    ("journal_records", journal_records),
    ("mqtt_clients", mqtt_clients),
    ("mqtt_codec", mqtt_codec),
    ("mqtt_machine", mqtt_machine),
    ("names", names),
    ("sasl", sasl),
    ("stored_message", stored_message),
    ("token", token),
    ("websocket", websocket),
];
