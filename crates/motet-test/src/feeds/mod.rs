//! One function per decoder and per machine that takes any bytes. Fuzz targets (`fuzz/`) and the replay of their corpora
//! (`tests/feeds.rs`) call the same ones; each panics when a promise is broken and only then.

mod amqp;
mod carriers;
mod core;
mod journal;
mod mqtt;

pub use self::core::{names, stored_message};
pub use amqp::{amqp_codec, amqp_machine};
pub use carriers::{configuration, websocket};
pub use journal::journal;
pub use mqtt::{mqtt_codec, mqtt_machine};

/// Something that takes any bytes.
pub type Feed = fn(&[u8]);

/// Every feed, by the name of its fuzz target and its corpus.
pub const FEEDS: &[(&str, Feed)] = &[
    ("amqp_codec", amqp_codec),
    ("amqp_machine", amqp_machine),
    ("configuration", configuration),
    ("journal", journal),
    ("mqtt_codec", mqtt_codec),
    ("mqtt_machine", mqtt_machine),
    ("names", names),
    ("stored_message", stored_message),
    ("websocket", websocket),
];
