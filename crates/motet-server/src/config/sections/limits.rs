//! `[limits]`

use std::time::Duration;

use crate::config::units::ByteSize;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

choice! {
    /// What happens to what a subscriber without a queue does not take in time.
    pub enum SlowSubscriber {
        /// What comes is dropped.
        DropNewest = "drop-newest",
        /// What has waited longest is dropped.
        DropOldest = "drop-oldest",
        /// Of each topic only the last message stays; what still does not fit drops the oldest.
        Conflate = "conflate",
        /// The subscriber is disconnected, and an MQTT 5 client is told why.
        Disconnect = "disconnect",
    }
}

section! {
    /// Bounds on everything that can grow. What happens at the bound is said with each.
    pub struct Limits {
        /// Threads that serve connections; 0 is one per core, which is right unless the machine is shared.
        worker_threads: u32 = 0, within 0..=1024;
        /// TLS and WebSocket handshakes at the same time; further ones wait their turn. Handshakes are the costliest
        /// thing a stranger can ask for, so a storm of them must not take all processors and memory.
        handshakes_in_progress: u32 = 1024, within 1..=1_000_000;
        /// Connections of all listeners; at the bound new ones are closed at once. The system's limit of open files
        /// also holds.
        connections: u32 = 100_000, within 1..=10_000_000;
        /// Connections from one address; at the bound new ones from there are closed at once. The default is more
        /// than one address has outgoing ports toward one port (28,232 on Linux), so that it hinders no honest test
        /// or proxy, and yet no single machine can take every connection.
        connections_per_address: u32 = 32_768, within 1..=10_000_000;
        /// Connections accepted per second, of each listener; further ones wait in the system's queue. When it is not set,
        /// as fast as they come. After a restart everybody comes back at once; who waits a moment need not try again.
        accepts_per_second: Option<u32> = None, within Some(1)..=Some(10_000_000), example "5000";
        /// Connections that have not logged in yet, handshakes included; at the bound no further ones are accepted until
        /// some have logged in, failed, or had their time. They wait in the system's queue.
        logins_in_progress: u32 = 10_000, within 1..=10_000_000;
        /// Logins per second, on all listeners; beyond it a client is told to come back later, in its protocol's own
        /// words (MQTT 5: "connection rate exceeded", MQTT 3.1.1: "server unavailable"). When it is not set, as many as come.
        logins_per_second: Option<u32> = None, within Some(1)..=Some(10_000_000), example "1000";
        /// From the connection to a complete PROXY header, where one is required; then it is closed. A proxy sends it at once.
        proxy_header_timeout: Duration = 5 * SECOND, within Duration::from_millis(100)..=HOUR;
        /// From the connection to its first byte; then it is closed. A client that connects has something to say.
        first_byte_timeout: Duration = 10 * SECOND, within SECOND..=HOUR;
        /// From the connection to a complete login (MQTT CONNECT), handshakes included; then it is closed. Enough
        /// for TLS over a slow mobile network.
        connect_timeout: Duration = 20 * SECOND, within SECOND..=HOUR;
        /// How long a peer may take nothing of what waits for it; then it is closed, because its memory is ours.
        write_timeout: Duration = 30 * SECOND, within SECOND..=HOUR;
        /// The longest packet a client may send; a longer one closes the connection with the protocol's own error,
        /// and an MQTT 5 client is told before. 16 MiB lets a picture or a firmware image through, and is what one
        /// slow sender can hold of our memory. The protocol's own end is 256 MiB.
        packet_bytes_max: ByteSize = ByteSize::mib(16), within ByteSize::kib(1)..=ByteSize::mib(256);
        /// Encoded output of one connection; above it no more is taken from its mailbox until the peer reads. As much
        /// as one write to a socket usually takes.
        output_buffer_bytes: ByteSize = ByteSize::kib(256), within ByteSize::kib(4)..=ByteSize::mib(64);
        /// Messages that wait for one subscriber without a queue (QoS 0); beyond it the newest are dropped and
        /// counted. Takes a burst of 100,000 small messages; memory is used only while a subscriber is slow.
        mailbox_bytes: ByteSize = ByteSize::mib(16), within ByteSize::kib(4)..=ByteSize::gib(4);
        /// What happens at `mailbox_bytes`. Everything dropped is counted, and the log names the subscriber.
        slow_subscriber: SlowSubscriber = SlowSubscriber::DropNewest;
        /// What waits for all subscribers together, in mailboxes and as output that they have not read. At the bound
        /// `slow_subscriber` acts on whoever has messages waiting already; who keeps up goes on being served. A message
        /// that waits for many counts for each of them, although they share its memory.
        waiting_bytes: ByteSize = ByteSize::gib(4), within ByteSize::mib(1)..=ByteSize(1 << 40);
        /// Messages in one session's queue (QoS 1 and 2); at the bound the publisher is slowed or refused, nothing
        /// is dropped in silence. A device that sends one a second may be away for eleven days.
        session_queue_messages: u64 = 1_000_000, within 1..=1_000_000_000;
        /// The same in bytes; the middle of a long queue is on disk only.
        session_queue_bytes: ByteSize = ByteSize::gib(1), within ByteSize::kib(64)..=ByteSize(16 << 40);
        /// Per cent of either bound from which on a connected session's queue slows those who publish to it: their
        /// acknowledgements (PUBACK, PUBREC) wait until there is room. Others are not disturbed, and a session whose
        /// client is away slows nobody. With 100 publishers are refused without having been slowed.
        session_queue_slow_percent: u32 = 75, within 10..=100;
        /// How long a subscriber that makes no room in its queue can slow its publishers; then they go on until the
        /// bound refuses them, until it has made some room again.
        slow_subscriber_wait: Duration = 5 * SECOND, within Duration::ZERO..=HOUR;
        /// Sessions, connected or not; at the bound a client that has none is refused, and an MQTT 5 client is told.
        /// Stops a client that makes up a new identifier at each start before its forgotten sessions fill the memory.
        sessions: u64 = 2_000_000, within 1..=100_000_000;
        /// Sessions of one user, connected or not; all who come without a login are one user. At the bound a client that
        /// has none is refused, and an MQTT 5 client is told. Half of all by default, so that one careless account leaves
        /// room for the others.
        sessions_per_user: u64 = 1_000_000, within 1..=100_000_000;
        /// Subscriptions of one session; one more is refused in SUBACK. Wildcards make long lists needless.
        subscriptions_per_session: u32 = 10_000, within 1..=1_000_000;
        /// Levels in a filter, and in the topic of a message that is retained: each costs memory (some 100 bytes) that
        /// stays. More are refused: in SUBACK, PUBACK, PUBREC or CONNACK (a will), and a client before MQTT 5 that wants a
        /// message retained there is closed, because it cannot be told. A message that is not retained may have a topic
        /// of as many levels as fit. Nobody has been seen to need more than a few dozen.
        topic_levels: u16 = 128, within 1..=1024;
        /// QoS 1 and 2 messages that one client may have sent without our acknowledgement (MQTT 5 Receive Maximum).
        /// Keeps a fast link busy while a commit takes some milliseconds.
        receive_maximum: u16 = 1024, within 1..=65_535;
        /// Topic aliases one client may set (MQTT 5); 0 offers none. Each costs the memory of a topic.
        topic_alias_maximum: u16 = 64, within 0..=65_535;
        /// Topic aliases that we use towards one client which takes them (MQTT 5); 0 uses none. Each costs the memory of a
        /// topic, and saves its bytes on the wire.
        topic_aliases_sent: u16 = 64, within 0..=65_535;
        /// The longest a session outlives its connection; what a client asks beyond is cut to it, and an MQTT 5
        /// client is told. A week bridges holidays; without an end, forgotten sessions would fill the disk.
        session_expiry_max: Duration = 7 * DAY, within Duration::ZERO..=3650 * DAY;
        /// Queues with a name in one vhost, those of shared subscriptions too; one more is refused where it is declared.
        /// Stops a client that declares a new queue for each request before the forgotten ones fill the memory.
        queues: u64 = 1_000_000, within 1..=100_000_000;
        /// Consumers of one queue with a name, readers of a stream and members of a shared subscription too; one more is
        /// refused where it asks. Each costs some hundred bytes, and to leave costs a look at the others.
        consumers_per_queue: u64 = 65_536, within 1..=100_000_000;
        /// Vhosts; one more is refused to the operator who makes it. Each costs some kilobytes while it is empty.
        vhosts: u32 = 10_000, within 1..=1_000_000;
        /// Retained messages; known topics are still replaced at the bound. For a new one an MQTT 5 client is told
        /// "quota exceeded" in PUBACK or PUBREC. Where there is no such word (QoS 0, older clients, wills) the message is
        /// delivered but not retained, counted in `motet_core_retain_refused_total`, and a warning is logged.
        retained_messages: u64 = 1_000_000, within 0..=1_000_000_000;
        /// The same in bytes of body, properties and topic. Retained messages are kept in memory, so that a wildcard finds them at once.
        retained_bytes: ByteSize = ByteSize::mib(512), within ByteSize(0)..=ByteSize(1 << 40);
        /// Bytes accepted but not yet on disk. Above half of it the publishers of durable messages are not read from
        /// until the disk has caught up; at all of it durable messages are refused. About what a good disk writes in a
        /// tenth of a second.
        pending_durable_bytes: ByteSize = ByteSize::mib(64), within ByteSize::mib(1)..=ByteSize::gib(16);
        /// Messages per second that one connection may publish. Who is faster is read from more slowly: nothing is
        /// dropped, and nobody is sent away. This and the rates below are not set by default.
        rate_connection_messages: Option<u64> = None, within Some(1)..=Some(1_000_000_000), example "1000";
        /// Bytes per second that are read from one connection, of all it sends.
        rate_connection_bytes: Option<ByteSize> = None,
            within Some(ByteSize(1))..=Some(ByteSize(1 << 40)), example "\"1MiB\"";
        /// Messages per second that all connections of one user may publish together; anonymous ones are nobody's.
        rate_user_messages: Option<u64> = None, within Some(1)..=Some(1_000_000_000), example "10_000";
        /// Bytes per second that are read from all connections of one user together.
        rate_user_bytes: Option<ByteSize> = None,
            within Some(ByteSize(1))..=Some(ByteSize(1 << 40)), example "\"10MiB\"";
        /// Messages per second that all connections from one address may publish together; of IPv6, from one /64.
        rate_address_messages: Option<u64> = None, within Some(1)..=Some(1_000_000_000), example "10_000";
        /// Bytes per second that are read from all connections from one address together; of IPv6, from one /64.
        rate_address_bytes: Option<ByteSize> = None,
            within Some(ByteSize(1))..=Some(ByteSize(1 << 40)), example "\"10MiB\"";
        /// How much may come at once, as the time in which the rate allows it: with 1s and 1000 messages per second,
        /// 1000 messages.
        rate_burst: Duration = SECOND, within Duration::ZERO..=HOUR;
        /// Room that must be left on the disk of `data_dir`; below it publishers are not read from until there is more.
        /// Subscribers go on, so that queues can drain. With 0 they are held back when the disk takes nothing any more:
        /// nothing that was confirmed is lost then, either, but other programs on that disk suffer earlier.
        disk_free_min: ByteSize = ByteSize(0), within ByteSize(0)..=ByteSize(16 << 40);
        /// Memory that the process may hold; above it publishers are not read from until it is less. When it is not
        /// set: no bound but those of the single parts.
        memory_max: Option<ByteSize> = None,
            within Some(ByteSize::mib(64))..=Some(ByteSize(16 << 40)), example "\"4GiB\"";
        /// Bytes of persistent messages that the queues of one vhost may keep on disk together. At the bound whoever
        /// publishes there is refused or waits, until the queues have drained by a sixteenth; other vhosts go on. A vhost's
        /// own `max-disk-bytes` comes before this. When it is not set: no bound.
        vhost_disk_max: Option<ByteSize> = None,
            within Some(ByteSize(1))..=Some(ByteSize(1 << 50)), example "\"100GiB\"";
        /// Bytes of messages that the queues of one vhost may hold in memory together; the same at the bound. A vhost's own
        /// `max-memory-bytes` comes before this. When it is not set: no bound.
        vhost_memory_max: Option<ByteSize> = None,
            within Some(ByteSize(1))..=Some(ByteSize(1 << 50)), example "\"1GiB\"";
        /// How long a stop waits for clients and disk; then it exits all the same. Shorter than the patience of
        /// service managers, which is often 30 seconds or more.
        drain_timeout: Duration = 10 * SECOND, within Duration::ZERO..=HOUR;
    }
}
