//! `[amqp]`

use std::time::Duration;

use crate::config::units::ByteSize;

section! {
    /// What AMQP clients are offered.
    pub struct Amqp {
        /// The largest frame, offered to every client; a client may ask for less. A larger one only saves a little on
        /// bodies beyond it. 128 KiB is what every client library has been tried with.
        frame_bytes_max: ByteSize = ByteSize::kib(128), within ByteSize::kib(4)..=ByteSize::mib(16);
        /// Channels of a connection, offered to every client; one more ends the connection with 530. 2047 is what
        /// RabbitMQ offers, so that no client asks for more.
        channels_max: u16 = 2047, within 1..=65_535;
        /// Time between signs of life, offered to every client in whole seconds; what the client answers holds. Who is
        /// silent for twice as long is gone. 0 offers none.
        heartbeat: Duration = Duration::from_secs(60), within Duration::ZERO..=Duration::from_secs(65_535);
        /// The largest body of a message; a larger one ends its channel with 406, and nothing of it is kept. 128 MiB is what
        /// RabbitMQ takes. Room is made as the body comes; one slow sender can hold twice this of our memory, and while
        /// `limits.memory_max` is reached nobody's bodies grow.
        message_bytes_max: ByteSize = ByteSize::mib(128), within ByteSize::kib(1)..=ByteSize::mib(512);
        /// Consumers of a channel; one more ends the connection with 530.
        consumers_per_channel: u32 = 4096, within 1..=1_000_000;
        /// Deliveries of a channel that wait for their acknowledgement; at the bound its consumers receive no more.
        unacked_per_channel: u32 = 2_000_000, within 1..=10_000_000;
        /// How long a delivery may wait for its acknowledgement; then its channel ends with 406 and the messages go
        /// back to their queues. When it is not set: for ever, because a slow worker is not a broken one.
        delivery_ack_timeout: Option<Duration> = None,
            within Some(Duration::from_secs(1))..=Some(Duration::from_secs(30 * 24 * 3_600)),
            example "\"30m\"";
    }
}
