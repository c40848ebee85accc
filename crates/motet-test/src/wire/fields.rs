//! From a packet of the server to its fields, and whether they are as a line says.

use super::parse::{Line, Token};
use super::value::Value;
use motet_mqtt::packet::{Packet, PacketIdentifier, Properties, Property, ReasonCode};

/// A packet by name, with every field it has.
pub(super) struct Fields {
    packet: String,
    fields: Vec<(&'static str, Value)>,
}

impl Fields {
    /// One without fields.
    pub(super) fn named(packet: impl Into<String>) -> Self {
        Fields { packet: packet.into(), fields: Vec::new() }
    }

    /// It is the packet of this name.
    pub(super) fn is(&self, packet: &str) -> bool {
        self.packet == packet
    }

    pub(super) fn of(packet: &Packet<'_>) -> Self {
        let mut it = Fields::named("");
        match packet {
            Packet::Connack(connack) => {
                it.packet = "CONNACK".to_owned();
                it.push("session_present", connack.session_present);
                it.reason(connack.reason_code);
                it.properties(connack.properties);
            }
            Packet::Publish(publish) => {
                it.packet = "PUBLISH".to_owned();
                it.push("dup", publish.dup);
                it.fields.push(("qos", Value::Number(publish.qos as u64)));
                it.push("retain", publish.retain);
                it.push("topic", publish.topic);
                publish.packet_identifier.into_iter().for_each(|id| it.id(id));
                it.push("payload", publish.payload);
                it.properties(publish.properties);
            }
            Packet::Puback(ack) => it.ack("PUBACK", ack.packet_identifier, ack.reason_code, ack.properties),
            Packet::Pubrec(ack) => it.ack("PUBREC", ack.packet_identifier, ack.reason_code, ack.properties),
            Packet::Pubrel(ack) => it.ack("PUBREL", ack.packet_identifier, ack.reason_code, ack.properties),
            Packet::Pubcomp(ack) => it.ack("PUBCOMP", ack.packet_identifier, ack.reason_code, ack.properties),
            Packet::Suback(suback) => {
                it.packet = "SUBACK".to_owned();
                it.id(suback.packet_identifier);
                it.codes(&suback.reason_codes);
                it.properties(suback.properties);
            }
            Packet::Unsuback(unsuback) => {
                it.packet = "UNSUBACK".to_owned();
                it.id(unsuback.packet_identifier);
                it.codes(&unsuback.reason_codes);
                it.properties(unsuback.properties);
            }
            Packet::Pingresp(_) => it.packet = "PINGRESP".to_owned(),
            Packet::Disconnect(disconnect) => {
                it.packet = "DISCONNECT".to_owned();
                it.reason(disconnect.reason_code);
                it.properties(disconnect.properties);
            }
            Packet::Auth(auth) => {
                it.packet = "AUTH".to_owned();
                it.reason(auth.reason_code);
                it.properties(auth.properties);
            }
            Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_) | Packet::Pingreq(_) => {
                it.packet = "a packet that only a client sends".to_owned();
            }
        }
        it
    }

    pub(super) fn push<V: Into<Value>>(&mut self, name: &'static str, value: V) {
        self.fields.push((name, value.into()));
    }

    fn id(&mut self, id: PacketIdentifier) {
        self.fields.push(("id", Value::Number(id.get().into())));
    }

    fn reason(&mut self, code: ReasonCode) {
        self.fields.push(("reason", Value::Number(code as u64)));
    }

    fn codes(&mut self, codes: &[ReasonCode]) {
        if !codes.is_empty() {
            self.fields.push(("codes", Value::list(codes.iter().map(|&code| code as u64).collect())));
        }
    }

    fn ack(&mut self, packet: &'static str, id: PacketIdentifier, code: ReasonCode, properties: Properties<'_>) {
        packet.clone_into(&mut self.packet);
        self.id(id);
        self.reason(code);
        self.properties(properties);
    }

    fn properties(&mut self, properties: Properties<'_>) {
        self.fields.extend(properties.iter().map(|property| field(&property)));
    }

    /// Is it what the line says?
    ///
    /// # Errors
    /// What is different, for a human.
    pub(super) fn check(&self, line: &Line) -> Result<(), String> {
        if self.packet != line.packet {
            return Err(format!("expected {}, got {self}", line.packet));
        }
        for token in &line.tokens {
            match token {
                Token::Field(name, _) => self.check_field(name, &line.tokens)?,
                Token::Absent(name) if self.values(name).next().is_some() => {
                    return Err(format!("`{name}` should be absent in {self}"));
                }
                Token::Absent(_) => {}
                Token::Text(_) => return Err("a string by itself says nothing about an answer".to_owned()),
            }
        }
        Ok(())
    }

    /// A field that repeats is compared as a whole, in order.
    fn check_field(&self, name: &str, tokens: &[Token]) -> Result<(), String> {
        let wanted = tokens.iter().filter_map(|token| match token {
            Token::Field(field, value) if field == name => Some(value),
            _ => None,
        });
        let wanted: Vec<_> = wanted.collect();
        let found: Vec<_> = self.values(name).collect();
        match wanted == found {
            true => Ok(()),
            false => {
                let wanted: Vec<_> = wanted.iter().map(|value| format!("{name}={value}")).collect();
                Err(format!("expected {}, got {self}", wanted.join(" ")))
            }
        }
    }

    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Value> {
        self.fields.iter().filter(move |(field, _)| *field == name).map(|(_, value)| value)
    }
}

impl std::fmt::Display for Fields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.packet)?;
        self.fields.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

fn field(property: &Property<'_>) -> (&'static str, Value) {
    let number = |number: u64| Value::Number(number);
    match *property {
        Property::PayloadFormatIndicator(flag) => ("payload_format_indicator", flag.into()),
        Property::MessageExpiryInterval(secs) => ("message_expiry", number(secs.into())),
        Property::ContentType(text) => ("content_type", text.into()),
        Property::ResponseTopic(text) => ("response_topic", text.into()),
        Property::CorrelationData(bytes) => ("correlation_data", bytes.into()),
        Property::SubscriptionIdentifier(id) => ("subscription_identifier", number(id.get().into())),
        Property::SessionExpiryInterval(secs) => ("session_expiry", number(secs.into())),
        Property::AssignedClientIdentifier(text) => ("assigned_client_identifier", text.into()),
        Property::ServerKeepAlive(secs) => ("server_keep_alive", number(secs.into())),
        Property::AuthenticationMethod(text) => ("authentication_method", text.into()),
        Property::AuthenticationData(bytes) => ("authentication_data", bytes.into()),
        Property::RequestProblemInformation(flag) => ("request_problem_information", flag.into()),
        Property::WillDelayInterval(secs) => ("will_delay", number(secs.into())),
        Property::RequestResponseInformation(flag) => ("request_response_information", flag.into()),
        Property::ResponseInformation(text) => ("response_information", text.into()),
        Property::ServerReference(text) => ("server_reference", text.into()),
        Property::ReasonString(text) => ("reason_string", text.into()),
        Property::ReceiveMaximum(maximum) => ("receive_maximum", number(maximum.get().into())),
        Property::TopicAliasMaximum(maximum) => ("topic_alias_maximum", number(maximum.into())),
        Property::TopicAlias(alias) => ("topic_alias", number(alias.get().into())),
        Property::MaximumQoS(qos) => ("maximum_qos", number(qos as u64)),
        Property::RetainAvailable(flag) => ("retain_available", flag.into()),
        Property::MaximumPacketSize(bytes) => ("maximum_packet_size", number(bytes.get().into())),
        Property::WildcardSubscriptionAvailable(flag) => ("wildcard_subscription_available", flag.into()),
        Property::SubscriptionIdentifierAvailable(flag) => ("subscription_identifier_available", flag.into()),
        Property::SharedSubscriptionAvailable(flag) => ("shared_subscription_available", flag.into()),
        Property::UserProperty(name, value) => ("user", Value::Text(format!("{name}={value}").into_bytes())),
    }
}
