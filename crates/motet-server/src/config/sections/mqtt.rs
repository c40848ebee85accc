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
        /// The highest QoS clients may use. An MQTT 5 client is told, and subscriptions are granted no more.
        qos_max: u8 = 2, within 0..=2;
        /// Whether messages may be retained. An MQTT 5 client is told; without it a retained publish is refused.
        retain_available: bool = true;
    }
}
