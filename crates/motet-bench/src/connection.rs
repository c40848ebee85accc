//! A client's end of MQTT: connects, says CONNECT and SUBSCRIBE, then lets its user read frames and write packets.

use crate::options::Options;
use crate::pipe::Pipe;
use bytes::{Buf as _, BytesMut};
use motet_mqtt::error::DecodeError;
use motet_mqtt::packet::{
    Connack, Connect, Disconnect, Encode, Frame, Packet, PacketIdentifier, PacketKind, Place, PropertiesBuf, Property,
    QoS, ReasonCode, Suback, Subscribe, Subscription, SubscriptionOptions, Version, frame, frame_len,
};
use std::io;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// How long a server may take for an answer before we give up.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest packet we take; a server has no reason to send one beyond what we publish.
const PACKET_BYTES_MAX: u32 = 256 << 20;

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The carrier failed or ended.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// What the server sent is no MQTT.
    #[error("the server broke the protocol: {0}")]
    Decode(#[from] DecodeError),
    /// The server said no.
    #[error("the server refused {what}: {reason:?} ({code:#04x})", code = *reason as u8)]
    Refused {
        /// What was asked.
        what: &'static str,
        /// Its answer.
        reason: ReasonCode,
    },
    /// What the server sent is no AMQP.
    #[error("the server broke the protocol: {0}")]
    Amqp(String),
    /// The server closed the AMQP connection or channel.
    #[error("the server closed the {what}: {code} {text}")]
    Closed {
        /// Channel or connection.
        what: &'static str,
        /// The reply code.
        code: u16,
        /// The reply text.
        text: String,
    },
    /// A packet that has no place here.
    #[error("the server sent {0:?} where it has no place")]
    Unexpected(PacketKind),
    /// No answer in time.
    #[error("the server did not answer {0} within {secs} s", secs = ANSWER_TIMEOUT.as_secs())]
    Silent(&'static str),
    /// What was asked for cannot be said in MQTT.
    #[error("{0}")]
    Option(String),
}

/// Err with the first refusal.
pub(crate) fn granted(codes: &[ReasonCode]) -> Result<(), ClientError> {
    match codes.iter().find(|code| code.is_error()) {
        Some(&reason) => Err(ClientError::Refused { what: "the subscription", reason }),
        None => Ok(()),
    }
}

/// How a client presents itself.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) client: String,
    pub(crate) clean_start: bool,
    /// Seconds that its session shall outlive the connection.
    pub(crate) session_expiry: u32,
}

impl Identity {
    /// One that leaves nothing behind.
    pub(crate) fn passing(client: String) -> Self {
        Identity { client, clean_start: true, session_expiry: 0 }
    }
}

/// An open connection.
pub(crate) struct Connection {
    pipe: Pipe,
    pub(crate) version: Version,
    /// What the server takes unacknowledged.
    pub(crate) receive_maximum: u16,
    /// Its session was there already.
    pub(crate) session_present: bool,
    /// Seconds between packets that it insists on.
    pub(crate) keep_alive_secs: Option<u16>,
    /// The carrier was there, and nothing of MQTT said.
    pub(crate) carried_at: Instant,
}

impl std::ops::Deref for Connection {
    type Target = Pipe;

    fn deref(&self) -> &Pipe {
        &self.pipe
    }
}

impl std::ops::DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Pipe {
        &mut self.pipe
    }
}

impl Connection {
    /// Connects and is accepted.
    pub(crate) async fn open(options: &Options, identity: &Identity) -> Result<Self, ClientError> {
        timeout(ANSWER_TIMEOUT, Self::open_patiently(options, identity))
            .await
            .unwrap_or(Err(ClientError::Silent("CONNECT")))
    }

    async fn open_patiently(options: &Options, identity: &Identity) -> Result<Self, ClientError> {
        let pipe = Pipe::open(options, |input| frame_len(input, PACKET_BYTES_MAX).ok().flatten()).await?;
        let mut connection = Connection {
            pipe,
            version: options.version,
            receive_maximum: u16::MAX,
            session_present: false,
            keep_alive_secs: None,
            carried_at: Instant::now(),
        };
        connection.say_connect(options, identity)?;
        connection.flush().await?;
        let version = connection.version;
        let (reason, present, maximum, keep_alive) = connection
            .expect(PacketKind::Connack, |frame| {
                let answer = Connack::decode(frame, version)?;
                Ok((
                    answer.reason_code,
                    answer.session_present,
                    answer.properties.receive_maximum(),
                    answer.properties.server_keep_alive(),
                ))
            })
            .await?;
        if reason.is_error() {
            return Err(ClientError::Refused { what: "the connection", reason });
        }
        connection.session_present = present;
        connection.keep_alive_secs = keep_alive.filter(|&secs| secs > 0);
        connection.receive_maximum = maximum.map_or(u16::MAX, |maximum| maximum.get());
        Ok(connection)
    }

    fn say_connect(&mut self, options: &Options, identity: &Identity) -> Result<(), ClientError> {
        let mut properties = PropertiesBuf::new();
        if self.version == Version::V5 && identity.session_expiry > 0 {
            properties
                .push(Place::Connect, Property::SessionExpiryInterval(identity.session_expiry))
                .expect("it belongs into CONNECT and has no bounds");
        }
        // [MQTT-3.1.2-22] of 3.1.1: no password without a name.
        let user = options.user.as_deref().or(options.password.as_ref().map(|_| ""));
        Connect {
            version: self.version,
            clean_start: identity.clean_start,
            keep_alive_secs: 0,
            properties: properties.as_properties(),
            client_identifier: &identity.client,
            will: None,
            user_name: user,
            password: options.password.as_deref(),
        }
        .encode(self.version, &mut self.pipe.out);
        Ok(())
    }

    /// Subscribes and waits for the grant.
    pub(crate) async fn subscribe(&mut self, topic_filter: &str, qos: QoS) -> Result<(), ClientError> {
        self.say_subscribe(PacketIdentifier::MIN, topic_filter, qos);
        self.flush().await?;
        let version = self.version;
        let codes = self.expect(PacketKind::Suback, |frame| Ok(Suback::decode(frame, version)?.reason_codes)).await?;
        granted(&codes)
    }

    /// Writes a SUBSCRIBE; its answer may come behind messages [MQTT-3.8.4-3].
    pub(crate) fn say_subscribe(&mut self, packet_identifier: PacketIdentifier, topic_filter: &str, qos: QoS) {
        let options = SubscriptionOptions { maximum_qos: qos, ..SubscriptionOptions::default() };
        Subscribe {
            packet_identifier,
            properties: Default::default(),
            subscriptions: [Subscription { topic_filter, options }].into_iter().collect(),
        }
        .encode(self.version, &mut self.pipe.out);
    }

    /// Says goodbye and waits until the server has closed the connection, but not for ever.
    pub(crate) async fn close(mut self) {
        Disconnect::new(ReasonCode::Success).encode(self.version, &mut self.pipe.out);
        let _ = timeout(Duration::from_secs(1), async {
            self.flush().await?;
            loop {
                self.input.clear();
                self.pump().await?;
            }
            #[allow(unreachable_code, reason = "names the error's type")]
            Ok::<(), io::Error>(())
        })
        .await;
    }

    /// Waits for a packet of this kind; nothing else may come before it.
    async fn expect<T>(
        &mut self,
        kind: PacketKind,
        read: impl FnOnce(Frame<'_>) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        let arrived = timeout(ANSWER_TIMEOUT, async {
            while frame(&self.input, PACKET_BYTES_MAX)?.is_none() {
                self.pump().await?;
            }
            Ok::<_, ClientError>(())
        });
        arrived.await.unwrap_or(Err(ClientError::Silent("in time")))?;
        let found = frame(&self.input, PACKET_BYTES_MAX)?.expect("it has just been found");
        if found.kind != kind {
            return Err(ClientError::Unexpected(found.kind));
        }
        let (len, read) = (found.bytes.len(), read(found)?);
        self.input.advance(len);
        Ok(read)
    }

    /// Gives every complete packet to `each`, with the output to answer into.
    pub(crate) fn packets(
        &mut self,
        mut each: impl FnMut(Packet<'_>, &mut BytesMut) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let mut taken = 0;
        let (pipe, version) = (&mut self.pipe, self.version);
        while let Some(found) = frame(&pipe.input[taken..], PACKET_BYTES_MAX)? {
            taken += found.bytes.len();
            match Packet::decode(found, version)? {
                Packet::Disconnect(said) => {
                    return Err(ClientError::Refused { what: "to go on", reason: said.reason_code });
                }
                Packet::Pingresp(_) => {}
                packet => each(packet, &mut pipe.out)?,
            }
        }
        self.input.advance(taken);
        Ok(())
    }
}
