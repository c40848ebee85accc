//! `[mqtt]`

use std::time::Duration;

section! {
    /// What MQTT clients are offered.
    pub struct Mqtt {
        /// The longest keep alive, in whole seconds; an MQTT 5 client that asks for a longer one, or for none, is
        /// told to use this one (Server Keep Alive). When it is not set, the client's own wish holds.
        keep_alive_max: Option<Duration> = None,
            within Some(Duration::from_secs(1))..=Some(Duration::from_secs(65_535)),
            example "\"5m\"";
        /// The highest QoS clients may use. An MQTT 5 client is told, and subscriptions are granted no more. Who
        /// publishes with a higher one is disconnected, a will with a higher one is refused with its connection.
        qos_max: u8 = 2, within 0..=2;
        /// Whether messages may be retained. An MQTT 5 client is told. Without it, who publishes a retained message is
        /// disconnected, a retained will is refused with its connection, and what was retained before is not sent.
        retain_available: bool = true;
    }
}
