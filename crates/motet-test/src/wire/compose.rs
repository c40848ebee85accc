//! From a line to the bytes a client sends.

use super::args::{self, Args};
use super::parse::{Line, Token};
use super::value::Value;
use motet_mqtt::packet::{
    Auth, Connect, Disconnect, Packet, PacketIdentifier, PacketKind, Pingreq, Place, PropertiesBuf, Property, Puback,
    Pubcomp, Publish, Pubrec, Pubrel, QoS, ReasonCode, RetainHandling, Subscribe, Subscription, SubscriptionIdentifier,
    SubscriptionOptions, Unsubscribe, Version, Will, frame,
};

/// The version that a CONNECT line speaks.
pub(super) fn version(line: &Line) -> Option<Version> {
    let names = [("v3.1", Version::V31), ("v3.1.1", Version::V311), ("v5", Version::V5)];
    line.tokens.iter().find_map(|token| match token {
        Token::Field(name, _) => names.iter().find(|(known, _)| known == name).map(|(_, version)| *version),
        _ => None,
    })
}

/// The packet of a line, as bytes for `version`.
pub(super) fn compose(line: &Line, version: Version) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let args = Args::new(&line.tokens);
    match line.packet.as_str() {
        "CONNECT" => connect(&args, version, &mut out)?,
        "PUBLISH" => publish(&args, version, &mut out)?,
        "PUBACK" | "PUBREC" | "PUBREL" | "PUBCOMP" => acknowledge(&line.packet, &args, version, &mut out)?,
        "SUBSCRIBE" => return subscribe(&line.tokens, version),
        "UNSUBSCRIBE" => return unsubscribe(&line.tokens, version),
        "PINGREQ" => Packet::Pingreq(Pingreq).encode(version, &mut out),
        "DISCONNECT" => {
            let reason_code = reason(PacketKind::Disconnect, args.number("reason")?.unwrap_or(0))?;
            let properties = properties(&args, Place::Disconnect, "")?;
            Packet::Disconnect(Disconnect { reason_code, properties: properties.as_properties() })
                .encode(version, &mut out);
        }
        "AUTH" => {
            let reason_code = match args.number::<u8>("reason")?.unwrap_or(0) {
                0 => ReasonCode::Success,
                0x18 => ReasonCode::ContinueAuthentication,
                0x19 => ReasonCode::ReAuthenticate,
                other => return Err(format!("AUTH has no reason {other:#x}")),
            };
            let properties = properties(&args, Place::Auth, "")?;
            Packet::Auth(Auth { reason_code, properties: properties.as_properties() }).encode(version, &mut out);
        }
        other => return Err(format!("`{other}` is not a client's packet")),
    }
    args.finish()?;
    Ok(out)
}

fn connect(args: &Args<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), String> {
    for name in ["v3.1", "v3.1.1", "v5"] {
        args.flag(name)?;
    }
    let will_properties = properties(args, Place::Will, "will.")?;
    let will = match args.text("will.topic")? {
        Some(topic) => Some(Will {
            qos: qos(args, "will.qos")?,
            retain: args.flag("will.retain")?,
            topic,
            properties: will_properties.as_properties(),
            payload: args.bytes("will.payload")?.unwrap_or_default(),
        }),
        None => None,
    };
    let (client, user_name) = (args.text("client")?.unwrap_or_default(), args.text("user_name")?);
    let (clean_start, keep_alive_secs) = (args.flag("clean_start")?, args.number("keep_alive")?.unwrap_or(0));
    let password = args.bytes("password")?;
    let properties = properties(args, Place::Connect, "")?;
    let properties = properties.as_properties();
    let connect = Connect {
        version,
        clean_start,
        keep_alive_secs,
        properties,
        client_identifier: client,
        will,
        user_name,
        password,
    };
    Packet::Connect(connect).encode(version, out);
    Ok(())
}

fn publish(args: &Args<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), String> {
    let qos = qos(args, "qos")?;
    let packet_identifier = match qos {
        QoS::AtMostOnce => None,
        _ => Some(identifier(args)?),
    };
    let (dup, retain) = (args.flag("dup")?, args.flag("retain")?);
    let (topic, payload) = (args.text("topic")?.unwrap_or_default(), args.bytes("payload")?.unwrap_or_default());
    let properties = properties(args, Place::Publish, "")?;
    let properties = properties.as_properties();
    Packet::Publish(Publish { dup, qos, retain, topic, packet_identifier, properties, payload }).encode(version, out);
    Ok(())
}

fn acknowledge(packet: &str, args: &Args<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), String> {
    let (packet_identifier, code) = (identifier(args)?, args.number("reason")?.unwrap_or(0));
    let place = match packet {
        "PUBACK" => Place::Puback,
        "PUBREC" => Place::Pubrec,
        "PUBREL" => Place::Pubrel,
        _ => Place::Pubcomp,
    };
    let properties = properties(args, place, "")?;
    let properties = properties.as_properties();
    let packet = match place {
        Place::Puback => {
            Packet::Puback(Puback { packet_identifier, reason_code: reason(PacketKind::Puback, code)?, properties })
        }
        Place::Pubrec => {
            Packet::Pubrec(Pubrec { packet_identifier, reason_code: reason(PacketKind::Pubrec, code)?, properties })
        }
        Place::Pubrel => {
            Packet::Pubrel(Pubrel { packet_identifier, reason_code: reason(PacketKind::Pubrel, code)?, properties })
        }
        _ => {
            Packet::Pubcomp(Pubcomp { packet_identifier, reason_code: reason(PacketKind::Pubcomp, code)?, properties })
        }
    };
    packet.encode(version, out);
    Ok(())
}

fn subscribe(tokens: &[Token], version: Version) -> Result<Vec<u8>, String> {
    let (head, filters) = split_filters(tokens);
    let args = Args::new(head);
    let packet_identifier = identifier(&args)?;
    let properties = properties(&args, Place::Subscribe, "")?;
    args.finish()?;
    let subscriptions = filters.into_iter().map(|(filter, options)| {
        let args = Args::new(options);
        let options = SubscriptionOptions {
            maximum_qos: qos(&args, "qos")?,
            no_local: args.flag("no_local")?,
            retain_as_published: args.flag("retain_as_published")?,
            retain_handling: match args.number::<u8>("retain_handling")?.unwrap_or(0) {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                _ => RetainHandling::DoNotSend,
            },
        };
        args.finish()?;
        Ok(Subscription { topic_filter: utf8(filter)?, options })
    });
    let subscriptions = subscriptions.collect::<Result<_, String>>()?;
    let properties = properties.as_properties();
    let mut out = Vec::new();
    Packet::Subscribe(Subscribe { packet_identifier, properties, subscriptions }).encode(version, &mut out);
    Ok(out)
}

fn unsubscribe(tokens: &[Token], version: Version) -> Result<Vec<u8>, String> {
    let (head, filters) = split_filters(tokens);
    let args = Args::new(head);
    let packet_identifier = identifier(&args)?;
    let properties = properties(&args, Place::Unsubscribe, "")?;
    args.finish()?;
    let topic_filters = filters.into_iter().map(|(filter, _)| utf8(filter)).collect::<Result<_, _>>()?;
    let properties = properties.as_properties();
    let mut out = Vec::new();
    Packet::Unsubscribe(Unsubscribe { packet_identifier, properties, topic_filters }).encode(version, &mut out);
    Ok(out)
}

/// A topic filter and what follows it.
type Filter<'a> = (&'a [u8], &'a [Token]);

/// What comes before the first filter, and each filter with what follows it.
fn split_filters(tokens: &[Token]) -> (&[Token], Vec<Filter<'_>>) {
    let is_filter = |token: &Token| matches!(token, Token::Text(_));
    let first = tokens.iter().position(is_filter).unwrap_or(tokens.len());
    let mut filters = Vec::new();
    let mut rest = &tokens[first..];
    while let [Token::Text(filter), behind @ ..] = rest {
        let end = behind.iter().position(is_filter).unwrap_or(behind.len());
        filters.push((filter.as_slice(), &behind[..end]));
        rest = &behind[end..];
    }
    (&tokens[..first], filters)
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "a filter is not UTF-8: write the packet as hex".to_owned())
}

fn identifier(args: &Args<'_>) -> Result<PacketIdentifier, String> {
    let id = args.number::<u16>("id")?.ok_or("`id` is missing")?;
    PacketIdentifier::new(id).ok_or_else(|| "`id` is zero: write the packet as hex".to_owned())
}

fn qos(args: &Args<'_>, name: &str) -> Result<QoS, String> {
    QoS::from_bits(args.number(name)?.unwrap_or(0)).ok_or_else(|| format!("`{name}` is 0, 1 or 2"))
}

/// The reason codes of a kind of packet are those its decoder takes.
fn reason(kind: PacketKind, code: u8) -> Result<ReasonCode, String> {
    let bytes = match kind {
        PacketKind::Disconnect => vec![0xE0, 1, code],
        PacketKind::Pubrel => vec![0x62, 3, 0, 1, code],
        kind => vec![(kind as u8) << 4, 3, 0, 1, code],
    };
    let found = frame(&bytes, 64).ok().flatten().ok_or("no such packet")?;
    match Packet::decode(found, Version::V5).map_err(|error| error.to_string())? {
        Packet::Disconnect(packet) => Ok(packet.reason_code),
        Packet::Puback(packet) => Ok(packet.reason_code),
        Packet::Pubrec(packet) => Ok(packet.reason_code),
        Packet::Pubrel(packet) => Ok(packet.reason_code),
        Packet::Pubcomp(packet) => Ok(packet.reason_code),
        _ => Err("this packet has no reason".to_owned()),
    }
}

fn properties(args: &Args<'_>, place: Place, prefix: &str) -> Result<PropertiesBuf, String> {
    let mut properties = PropertiesBuf::new();
    args.take_each(|name, value| {
        let property = property(name.strip_prefix(prefix)?, value)?;
        Some(
            property
                .and_then(|property| properties.push(place, property).map_err(|error| format!("`{name}`: {error}"))),
        )
    })?;
    Ok(properties)
}

/// `None`: no property has this name.
fn property<'a>(name: &str, value: &'a Value) -> Option<Result<Property<'a>, String>> {
    property_of(name, value).transpose()
}

fn property_of<'a>(name: &str, value: &'a Value) -> Result<Option<Property<'a>>, String> {
    let flag = || args::number::<u8>(name, value).map(|flag| flag != 0);
    let zero = || format!("`{name}` is zero: write the packet as hex");
    Ok(Some(match name {
        "payload_format_indicator" => Property::PayloadFormatIndicator(flag()?),
        "message_expiry" => Property::MessageExpiryInterval(args::number(name, value)?),
        "content_type" => Property::ContentType(args::text(name, value)?),
        "response_topic" => Property::ResponseTopic(args::text(name, value)?),
        "correlation_data" => Property::CorrelationData(args::bytes(name, value)?),
        "subscription_identifier" => {
            let identifier = SubscriptionIdentifier::new(args::number(name, value)?);
            Property::SubscriptionIdentifier(identifier.ok_or_else(zero)?)
        }
        "session_expiry" => Property::SessionExpiryInterval(args::number(name, value)?),
        "authentication_method" => Property::AuthenticationMethod(args::text(name, value)?),
        "authentication_data" => Property::AuthenticationData(args::bytes(name, value)?),
        "request_problem_information" => Property::RequestProblemInformation(flag()?),
        "will_delay" => Property::WillDelayInterval(args::number(name, value)?),
        "request_response_information" => Property::RequestResponseInformation(flag()?),
        "reason_string" => Property::ReasonString(args::text(name, value)?),
        "receive_maximum" => {
            Property::ReceiveMaximum(args::number::<u16>(name, value)?.try_into().map_err(|_| zero())?)
        }
        "topic_alias_maximum" => Property::TopicAliasMaximum(args::number(name, value)?),
        "topic_alias" => Property::TopicAlias(args::number::<u16>(name, value)?.try_into().map_err(|_| zero())?),
        "maximum_packet_size" => {
            Property::MaximumPacketSize(args::number::<u32>(name, value)?.try_into().map_err(|_| zero())?)
        }
        "user" => {
            let (key, value) = args::text(name, value)?.split_once('=').ok_or("`user` is \"name=value\"")?;
            Property::UserProperty(key, value)
        }
        _ => return Ok(None),
    }))
}
