//! The beginning of a conversation: CONNECT, its answer, SUBSCRIBE.

use crate::error::DecodeError;
use crate::packet::{
    Connack, Connect, Encode, Frame, PacketIdentifier, PacketKind, Place, PropertiesBuf, Property, QoS, ReasonCode,
    RetainHandling, Subscribe, Subscription, SubscriptionOptions, Version,
};
use bytes::BytesMut;
use std::num::{NonZeroU16, NonZeroU32};

/// The bit of the protocol level by which a bridge of MQTT 3 asks to be treated as one: nothing comes back that it sent,
/// and retain flags stay. Not in the specification; servers that do not know it refuse the level.
const BRIDGE_BIT: u8 = 0x80;
/// Where the level stands behind the fixed header: two bytes of length, `MQTT`.
const LEVEL_AT: usize = 6;

/// How the bridge presents itself to one side.
#[derive(Debug, Clone)]
pub struct Hello {
    /// What is spoken.
    pub version: Version,
    /// Our name there; the session's.
    pub client: String,
    /// Forget what was before.
    pub clean_start: bool,
    /// Seconds the session lives without us; in MQTT 3.1.1 a session that is not clean lasts.
    pub session_expiry_secs: u32,
    /// Seconds between packets.
    pub keep_alive_secs: u16,
    /// QoS 1 and 2 messages taken at a time (MQTT 5).
    pub receive_maximum: u16,
    /// The largest packet taken (MQTT 5).
    pub packet_bytes_max: u32,
    /// The user's name.
    pub user: Option<String>,
    /// The password.
    pub password: Option<Vec<u8>>,
    /// Ask an MQTT 3.1.1 server to treat us as a bridge.
    pub bridge_bit: bool,
}

/// What the server said to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// It has kept our session.
    pub session_present: bool,
    /// QoS 1 and 2 messages it takes at a time.
    pub receive_maximum: u16,
    /// The largest packet it takes.
    pub packet_bytes_max: u32,
    /// The highest QoS it takes.
    pub qos_max: QoS,
    /// Messages may be retained there.
    pub retain_available: bool,
    /// Seconds between packets that it insists on.
    pub keep_alive_secs: Option<u16>,
}

/// Why it said no.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It refused us.
    #[error("the server refused the connection: {0:?}")]
    Refused(ReasonCode),
    /// It does not know the version, or the bridge bit.
    #[error("the server does not speak this version")]
    Version,
    /// Something else than an answer came.
    #[error("the server answered with {0:?}")]
    Unexpected(PacketKind),
    /// It was no MQTT.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Hello {
    /// Appends CONNECT.
    pub fn connect(&self, out: &mut BytesMut) {
        let mut properties = PropertiesBuf::new();
        let mut push = |property| {
            properties.push(Place::Connect, property).expect("what is pushed here belongs into CONNECT");
        };
        if self.version == Version::V5 {
            if self.session_expiry_secs > 0 {
                push(Property::SessionExpiryInterval(self.session_expiry_secs));
            }
            if let Some(maximum) = NonZeroU16::new(self.receive_maximum) {
                push(Property::ReceiveMaximum(maximum));
            }
            if let Some(maximum) = NonZeroU32::new(self.packet_bytes_max) {
                push(Property::MaximumPacketSize(maximum));
            }
        }
        let begins = out.len();
        Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive_secs: self.keep_alive_secs,
            properties: properties.as_properties(),
            client_identifier: &self.client,
            will: None,
            user_name: self.user.as_deref().or(self.password.as_ref().map(|_| "")),
            password: self.password.as_deref(),
        }
        .encode(self.version, out);
        if self.bridge_bit && self.version == Version::V311 {
            let fixed = 2 + out[begins + 1..].iter().take_while(|byte| **byte & 0x80 != 0).count();
            out[begins + fixed + LEVEL_AT] |= BRIDGE_BIT;
        }
    }

    /// Reads the answer.
    ///
    /// # Errors
    /// It is a no, or no CONNACK.
    pub fn accepted(&self, frame: Frame<'_>) -> Result<Accepted, HelloError> {
        if frame.kind != PacketKind::Connack {
            return Err(HelloError::Unexpected(frame.kind));
        }
        let answer = Connack::decode(frame, self.version)?;
        match answer.reason_code {
            ReasonCode::Success => {}
            ReasonCode::UnsupportedProtocolVersion => return Err(HelloError::Version),
            refused => return Err(HelloError::Refused(refused)),
        }
        let p = answer.properties;
        Ok(Accepted {
            session_present: answer.session_present,
            receive_maximum: p.receive_maximum().map_or(u16::MAX, NonZeroU16::get),
            packet_bytes_max: p.maximum_packet_size().map_or(u32::MAX, NonZeroU32::get),
            qos_max: p.maximum_qos().unwrap_or(QoS::ExactlyOnce),
            retain_available: p.retain_available().unwrap_or(true),
            keep_alive_secs: p.server_keep_alive(),
        })
    }

    /// Appends SUBSCRIBE, as a bridge does it: nothing of our own comes back, retain flags stay as they are, and what is
    /// retained comes once. Nothing when there are no filters.
    pub fn subscribe(&self, filters: &[(String, QoS)], qos_max: QoS, out: &mut BytesMut) {
        if filters.is_empty() {
            return;
        }
        let subscription = |(filter, qos): &'_ (String, QoS)| SubscriptionOptions {
            maximum_qos: (*qos).min(qos_max),
            no_local: !filter.starts_with("$share/"),
            retain_as_published: true,
            retain_handling: RetainHandling::SendIfNew,
        };
        Subscribe {
            packet_identifier: PacketIdentifier::MAX,
            properties: Default::default(),
            subscriptions: filters
                .iter()
                .map(|entry| Subscription { topic_filter: &entry.0, options: subscription(entry) })
                .collect(),
        }
        .encode(self.version, out);
    }
}
