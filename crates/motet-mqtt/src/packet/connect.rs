//! CONNECT [3.1]: who comes, in which version, and what to publish if they vanish.

use bytes::BufMut;

use super::wire::{self, Reader};
use super::{Encode, Frame, PacketKind, Place, Properties, QoS, Version, topic};
use crate::error::DecodeError;

/// The first packet of a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// From protocol name and level.
    pub version: Version,
    /// Clean Start; Clean Session before MQTT 5.
    pub clean_start: bool,
    /// Seconds between packets, at most; 0 turns the check off.
    pub keep_alive_secs: u16,
    /// Always empty before MQTT 5.
    pub properties: Properties<'a>,
    /// May be empty: the server then chooses one. 3.1's limit of 23 characters is not enforced.
    pub client_identifier: &'a str,
    /// What to publish when the connection is lost.
    pub will: Option<Will<'a>>,
    /// Who, if said.
    pub user_name: Option<&'a str>,
    /// A secret of any kind. Without a user name in MQTT 5 only.
    pub password: Option<&'a [u8]>,
}

/// The message a client leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Will<'a> {
    /// To publish with.
    pub qos: QoS,
    /// To publish with.
    pub retain: bool,
    /// Will Topic: a topic name.
    pub topic: &'a str,
    /// Will delay and the properties of the message.
    pub properties: Properties<'a>,
    /// Will Payload.
    pub payload: &'a [u8],
}

impl std::fmt::Debug for Connect<'_> {
    /// Without the password: secrets stay out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_start", &self.clean_start)
            .field("keep_alive_secs", &self.keep_alive_secs)
            .field("properties", &self.properties)
            .field("client_identifier", &self.client_identifier)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .field("password", &self.password.map(|_| "…"))
            .finish()
    }
}

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_QOS_AND_RETAIN: u8 = 0x38;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

impl<'a> Connect<'a> {
    /// The version a CONNECT announces, even if the rest of it is bad: in which dialect to refuse it.
    pub fn peek_version(frame: Frame<'_>) -> Option<Version> {
        read_version(&mut Reader::new(frame.body)).ok()
    }

    /// Decodes a frame whose kind is CONNECT.
    pub fn decode(frame: Frame<'a>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let version = read_version(&mut reader)?;
        frame.check_version(version)?;
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive_secs = reader.u16()?;
        let properties = Properties::read(&mut reader, version, Place::Connect)?;
        properties.check_authentication()?;
        let client_identifier = reader.string()?;
        let clean_start = flags & CLEAN_START != 0;
        check_client_identifier(client_identifier, clean_start, version)?;
        let will = if flags & WILL != 0 { Some(Will::read(&mut reader, flags, version)?) } else { None };
        // 3.1, section 3.1: there Remaining Length takes precedence over these flags; the fields may be missing.
        let expects = |flag, reader: &Reader<'_>| flags & flag != 0 && (version != Version::V31 || !reader.is_empty());
        let user_name = if expects(USER_NAME, &reader) { Some(reader.string()?) } else { None };
        let password = if expects(PASSWORD, &reader) { Some(reader.binary()?) } else { None };
        reader.finish()?;
        Ok(Self { version, clean_start, keep_alive_secs, properties, client_identifier, will, user_name, password })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << 3 | if will.retain { WILL_RETAIN } else { 0 };
        }
        if self.user_name.is_some() {
            flags |= USER_NAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
    let name = reader.binary()?;
    if name != b"MQTT" && name != b"MQIsdp" {
        return Err(DecodeError::ProtocolName); // [MQTT-3.1.2-1]
    }
    let level = reader.u8()?;
    match (name, level) {
        (b"MQIsdp", 3) => Ok(Version::V31),
        (b"MQTT", 4) => Ok(Version::V311),
        (b"MQTT", 5) => Ok(Version::V5),
        // [MQTT-3.1.2-2] Whoever is newer reads the CONNACK of 5.0. Some bridges set the high bit to mark themselves
        // and come again without it when 3.x's return code 1 tells them.
        _ => {
            let answer = if name == b"MQTT" && level & 0x7f >= 5 { Version::V5 } else { Version::V311 };
            Err(DecodeError::ProtocolVersion { level, answer })
        }
    }
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    if flags & 1 != 0 && version != Version::V31 {
        return Err(DecodeError::ConnectReservedFlag); // [MQTT-3.1.2-3]; 3.1 gives the bit no meaning and no rule
    }
    if flags & WILL == 0 && flags & WILL_QOS_AND_RETAIN != 0 {
        return Err(DecodeError::WillFlagsWithoutWill); // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    }
    if flags & PASSWORD != 0 && flags & USER_NAME == 0 && version != Version::V5 {
        return Err(DecodeError::PasswordWithoutUserName); // [MQTT-3.1.2-22] of 3.1.1
    }
    Ok(())
}

fn check_client_identifier(identifier: &str, clean_start: bool, version: Version) -> Result<(), DecodeError> {
    let may_be_empty = match version {
        Version::V31 => false,        // 1 to 23 characters
        Version::V311 => clean_start, // [MQTT-3.1.3-8] of 3.1.1
        Version::V5 => true,
    };
    if identifier.is_empty() && !may_be_empty { Err(DecodeError::ClientIdentifierEmpty) } else { Ok(()) }
}

impl<'a> Will<'a> {
    fn read(reader: &mut Reader<'a>, flags: u8, version: Version) -> Result<Self, DecodeError> {
        let qos = QoS::from_bits(flags >> 3 & 0b11).ok_or(DecodeError::QoS3)?; // [MQTT-3.1.2-14]
        let properties = Properties::read(reader, version, Place::Will)?;
        let topic = wire::utf8(reader.binary()?)?;
        topic::check_name(topic)?;
        let payload = reader.binary()?;
        Ok(Self { qos, retain: flags & WILL_RETAIN != 0, topic, properties, payload })
    }

    fn encoded_len(&self, version: Version) -> usize {
        self.properties.encoded_len(version) + 2 + self.topic.len() + 2 + self.payload.len()
    }
}

impl Encode for Connect<'_> {
    fn first_byte(&self) -> u8 {
        (PacketKind::Connect as u8) << 4
    }

    fn properties(&self) -> Properties<'_> {
        self.properties
    }

    /// The version is always the packet's own.
    fn body_len(&self, _: Version, properties: Properties<'_>) -> usize {
        let name_len = if self.version == Version::V31 { 6 } else { 4 };
        let will_len = self.will.map_or(0, |will| will.encoded_len(self.version));
        let user_name_len = self.user_name.map_or(0, |name| 2 + name.len());
        let password_len = self.password.map_or(0, |password| 2 + password.len());
        let header_len = 2 + name_len + 1 + 1 + 2 + properties.encoded_len(self.version);
        header_len + 2 + self.client_identifier.len() + will_len + user_name_len + password_len
    }

    fn encode_body(&self, _: Version, properties: Properties<'_>, out: &mut impl BufMut) {
        let (name, level) = match self.version {
            Version::V31 => ("MQIsdp", 3),
            Version::V311 => ("MQTT", 4),
            Version::V5 => ("MQTT", 5),
        };
        wire::put_binary(out, name.as_bytes());
        out.put_u8(level);
        out.put_u8(self.flags());
        out.put_u16(self.keep_alive_secs);
        properties.encode(self.version, out);
        wire::put_binary(out, self.client_identifier.as_bytes());
        if let Some(will) = &self.will {
            will.properties.encode(self.version, out);
            wire::put_binary(out, will.topic.as_bytes());
            wire::put_binary(out, will.payload);
        }
        if let Some(user_name) = self.user_name {
            wire::put_binary(out, user_name.as_bytes());
        }
        if let Some(password) = self.password {
            wire::put_binary(out, password);
        }
    }
}
