//! What an operator decides about AMQP. Bounds are checked where they are read; here they are facts.

use std::time::Duration;

/// Settings shared by all AMQP connections.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest frame, in bytes, that is offered at connection.tune; a client may ask for less, down to 4096.
    pub frame_bytes_max: u32,
    /// Channels of a connection, offered at connection.tune.
    pub channels_max: u16,
    /// Seconds between signs of life, offered at connection.tune; 0 offers none. The client's answer holds.
    pub heartbeat_secs: u16,
    /// Largest body of a message, in bytes; a larger one ends its channel with 406.
    pub message_bytes_max: u64,
    /// Consumers of one channel; one more ends the connection with 530.
    pub consumers_per_channel: usize,
    /// Deliveries of one channel that wait for their acknowledgement; at the bound its consumers receive no more.
    pub unacked_per_channel: usize,
    /// Time a delivery may wait for its acknowledgement before its channel ends with 406; `None` waits for ever.
    pub delivery_ack_timeout: Option<Duration>,
    /// Bytes not yet durable beyond which a publisher of durable messages pauses.
    pub pending_bytes_high: u64,
    /// Time from the first byte to connection.open.
    pub connect_timeout: Duration,
    /// Time a closing connection has to agree to its end.
    pub close_timeout: Duration,
    /// The name that server-properties give.
    pub product: &'static str,
    /// The version that server-properties name.
    pub version: &'static str,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            frame_bytes_max: 131_072,
            channels_max: 2047,
            heartbeat_secs: 60,
            message_bytes_max: 128 << 20,
            consumers_per_channel: 4096,
            unacked_per_channel: 2_000_000,
            delivery_ack_timeout: None,
            pending_bytes_high: 32 << 20,
            connect_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            product: "Motet",
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}
