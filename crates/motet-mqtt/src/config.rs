//! What an operator decides about MQTT. Bounds are checked where they are read; here they are facts.

use crate::packet::{Properties, QoS};
use std::time::Duration;

/// Settings shared by all MQTT connections.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest packet accepted, in bytes, fixed header included; announced as Maximum Packet Size [3.2.2.3.6].
    pub packet_bytes_max: u32,
    /// Unacknowledged QoS 1 and 2 messages a client may have towards us; announced as Receive Maximum [3.2.2.3.3].
    pub receive_maximum: u16,
    /// Unacknowledged QoS 1 and 2 messages towards a client that does not announce a Receive Maximum (3.x).
    pub in_flight_max: u16,
    /// Topic aliases a client may use; announced as Topic Alias Maximum [3.2.2.3.8].
    pub topic_alias_maximum: u16,
    /// Longest keep alive; a longer one or none is replaced, and MQTT 5 clients are told [3.2.2.3.14]. Zero: any.
    pub keep_alive_max_secs: u16,
    /// Levels a topic or filter may have; a deeper one is refused.
    pub topic_levels_max: u16,
    /// Highest QoS a client may publish with and is granted; announced as Maximum QoS [3.2.2.3.4].
    pub qos_max: QoS,
    /// Messages may be retained; announced as Retain Available [3.2.2.3.5].
    pub retain_available: bool,
    /// Topic aliases we use towards one client, as far as it takes them; zero uses none [3.1.2.11.5].
    pub outbound_aliases_max: u16,
    /// Payloads marked as text are checked to be UTF-8 [3.3.2.3.2].
    pub payload_format_checked: bool,
    /// Longest delay of a message that is published for later; zero takes none.
    pub delay_max_secs: u32,
    /// Where a client's responses may go: this, then the client's name; told to who asks [3.2.2.3.15].
    pub response_prefix: Option<Box<str>>,
    /// The server that clients are sent to when this one has no room or goes down [4.11].
    pub server_reference: Option<Box<str>>,
    /// Nobody is let in any more: everybody is sent there for good.
    pub server_moved: bool,
    /// Bytes not yet durable beyond which a publisher of durable messages pauses.
    pub pending_bytes_high: u64,
    /// Time from the first byte to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Time a closing connection has to take our last packet.
    pub close_timeout: Duration,
}

impl Config {
    /// Whether a topic or filter has more levels than we take.
    pub(crate) fn is_too_deep(&self, topic: &str) -> bool {
        topic.bytes().filter(|&byte| byte == b'/').count() >= usize::from(self.topic_levels_max)
    }

    /// Whether a payload says that it is text, is not, and that matters here.
    pub(crate) fn is_invalid_text(&self, properties: Properties<'_>, payload: &[u8]) -> bool {
        self.payload_format_checked
            && properties.payload_format_indicator() == Some(true)
            && simdutf8::basic::from_utf8(payload).is_err()
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            packet_bytes_max: 16 << 20,
            receive_maximum: 4096,
            in_flight_max: 1024,
            topic_alias_maximum: 64,
            keep_alive_max_secs: 0,
            topic_levels_max: 128,
            qos_max: QoS::ExactlyOnce,
            retain_available: true,
            outbound_aliases_max: 64,
            payload_format_checked: false,
            delay_max_secs: 7 * 86_400,
            response_prefix: Some("responses".into()),
            server_reference: None,
            server_moved: false,
            pending_bytes_high: 32 << 20,
            connect_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
        }
    }
}
