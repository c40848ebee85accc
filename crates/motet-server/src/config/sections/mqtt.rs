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
        /// Whether payloads that an MQTT 5 client marks as text (Payload Format Indicator) are checked to be UTF-8. What
        /// is not is refused with 0x99, or counted and left out where there is no answer (QoS 0). Off by default,
        /// because it reads every such payload.
        payload_format_checked: bool = false;
        /// Where clients may have answers sent to: an MQTT 5 client that asks for Response Information is told this and,
        /// one level below, its own name. Access rules can keep that part of the tree for its owner. Empty tells nothing.
        response_prefix: String = "responses".to_owned();
        /// The longest delay of a message that is published to `$delayed/<seconds>/<topic>`, in whole seconds; 0 takes
        /// none. A delayed message waits on disk, so the default is what a forgotten one may stay there.
        delay_max: Duration = Duration::from_secs(7 * 86_400), within Duration::ZERO..=Duration::from_secs(3650 * 86_400);
        /// Another server, as clients are told it (host and port). MQTT 5 clients are sent there (0x9C, Server
        /// Reference) when this one goes down or takes no further session. When it is not set, they are told the reason
        /// alone.
        server_reference: Option<String> = None, example "\"mqtt2.example.org:1883\"";
        /// This server has moved to `server_reference` for good: every client is refused, those of MQTT 5 with 0x9D and
        /// the new address.
        server_moved: bool = false;
        /// How often the figures below `$SYS` are renewed; 0 never publishes them.
        sys_interval: Duration = Duration::from_secs(10), within Duration::ZERO..=Duration::from_secs(3600);
    }
}
