//! MQTT clients that know their packets and keep no rule.

use super::crowd::Crowd;
use super::script::Script;
use motet_mqtt::packet::{
    Connect, Disconnect, Encode, Packet, PacketIdentifier, Place, Properties, PropertiesBuf, Property, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, QoS, ReasonCode, Subscribe, Subscription, SubscriptionIdentifier, SubscriptionOptions,
    Unsubscribe, Version, Will, frame,
};
use motet_mqtt::{Config, Connection};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a script that are read; what comes behind them decides nothing.
const SCRIPT_BYTES_MAX: usize = 2048;
const NAMES: [&str; 3] = ["a", "b", ""];
const TOPICS: [&str; 9] =
    ["t/0", "t/1", "$delayed/1/t/0", "$delayed/0/t/1", "$delayed/x", "$queue/q", "$SYS/x", "amq.topic", ""];
const FILTERS: [&str; 12] = [
    "t/#",
    "t/0",
    "t/+",
    "#",
    "$share/g/t/#",
    "$share/h/t/0",
    "$queue/q",
    "$stream/s@first",
    "$stream/q",
    "$share//t",
    "t/#/x",
    "$SYS/#",
];
const SECONDS: [u32; 6] = [0, 1, 2, 60, 3600, u32::MAX];

/// A client between its packets.
pub(super) struct Client {
    pub(super) link: usize,
    version: Version,
}

/// Clients of both versions connect, publish, subscribe, acknowledge and go as the data says, over power cuts; whatever
/// they do, everybody comes to rest, and what each hears is MQTT that survives being written and read again.
///
/// # Panics
/// If not.
pub fn mqtt_clients(data: &[u8]) {
    let mut script = Script(&data[..data.len().min(SCRIPT_BYTES_MAX)]);
    let mut crowd = Crowd::new();
    let config = Arc::new(Config { in_flight_max: 4, ..Config::default() });
    let mut clients: Vec<_> = [Version::V5, Version::V311, Version::V5]
        .map(|version| Client { link: crowd.join(Box::new(Connection::new(config.clone()))), version })
        .into();
    while !script.is_over() {
        let which = script.below(clients.len());
        match script.below(16) {
            0 => {
                let kept = script.below(4);
                crowd.cut_power(kept);
            }
            1 | 2 => {
                let time = script.pick(&[1, 999, 1_000, 2_000, 61_000, 4_000_000]);
                crowd.pass(Duration::from_millis(time));
            }
            3 => crowd.leave(clients[which].link),
            _ => act(&mut crowd, &mut clients[which], &config, &mut script),
        }
    }
    clients.iter().for_each(|client| judge(&crowd, client));
}

/// One packet, or a new connection where the old one is gone.
pub(super) fn act(crowd: &mut Crowd, client: &mut Client, config: &Arc<Config>, script: &mut Script<'_>) {
    if crowd.is_closed(client.link) {
        judge(crowd, client);
        client.link = crowd.join(Box::new(Connection::new(config.clone())));
    }
    let fresh = crowd.heard(client.link).is_empty();
    let packet = if fresh && script.below(16) != 15 { connect(client, script) } else { packet(client, script) };
    crowd.say(client.link, &packet);
}

impl Client {
    pub(super) fn new(crowd: &mut Crowd, config: &Arc<Config>, version: Version) -> Self {
        Client { link: crowd.join(Box::new(Connection::new(config.clone()))), version }
    }

    fn written(&self, packet: &impl Encode) -> Vec<u8> {
        let mut out = Vec::new();
        packet.encode(self.version, &mut out);
        out
    }
}

/// What a server said to this client is MQTT, and reads the same when it is written again.
pub(super) fn judge(crowd: &Crowd, client: &Client) {
    let mut rest = crowd.heard(client.link);
    while let Some(found) = frame(rest, u32::MAX).expect("a server sends packets") {
        rest = &rest[found.bytes.len()..];
        let mut again = Vec::new();
        let packet = Packet::decode(found, client.version).expect("a server sends what its client can read");
        packet.encode(client.version, &mut again);
        let told = format!("{packet:?}");
        let found = frame(&again, u32::MAX).expect("a header").expect("a whole packet");
        let packet = Packet::decode(found, client.version).expect("what is written again can be read");
        assert_eq!(told, format!("{packet:?}"), "it reads the same");
    }
    assert!(rest.is_empty(), "a server sends whole packets");
}

/// Properties that this place takes, out of those that the script wants.
fn properties(client: &Client, place: Place, wanted: &[Property<'_>], script: &mut Script<'_>) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    let chosen = script.byte();
    if client.version == Version::V5 {
        for (n, property) in wanted.iter().enumerate() {
            if chosen >> n & 1 == 1 {
                let _ = properties.push(place, *property);
            }
        }
    }
    properties
}

fn quality(script: &mut Script<'_>) -> QoS {
    QoS::from_bits(script.below(3) as u8).expect("0, 1 or 2")
}

fn identifier(script: &mut Script<'_>) -> PacketIdentifier {
    PacketIdentifier::new(1 + u16::from(script.byte() & 7)).expect("counts from one")
}

fn connect(client: &Client, script: &mut Script<'_>) -> Vec<u8> {
    let wanted = [
        Property::SessionExpiryInterval(script.pick(&SECONDS)),
        Property::ReceiveMaximum(NonZeroU16::new(1 + u16::from(script.byte() & 3)).expect("at least one")),
        Property::MaximumPacketSize(std::num::NonZeroU32::new(u32::from(script.byte()) + 1).expect("at least one")),
        Property::TopicAliasMaximum(u16::from(script.byte() & 3)),
    ];
    let properties = properties(client, Place::Connect, &wanted, script);
    let wanted =
        [Property::WillDelayInterval(script.pick(&SECONDS)), Property::MessageExpiryInterval(script.pick(&SECONDS))];
    let will_properties = self::properties(client, Place::Will, &wanted, script);
    let will = script.yes().then(|| Will {
        qos: quality(script),
        retain: script.yes(),
        topic: script.pick(&TOPICS[..6]),
        properties: will_properties.as_properties(),
        payload: b"will",
    });
    client.written(&Connect {
        version: client.version,
        clean_start: script.yes(),
        keep_alive_secs: script.pick(&[0, 1, 60]),
        properties: properties.as_properties(),
        client_identifier: script.pick(&NAMES),
        will,
        user_name: None,
        password: None,
    })
}

fn packet(client: &Client, script: &mut Script<'_>) -> Vec<u8> {
    match script.below(12) {
        0 | 1 => publish(client, script),
        2 | 3 => {
            let number = SubscriptionIdentifier::new(1 + u32::from(script.byte())).expect("it is small");
            let wanted = [Property::SubscriptionIdentifier(number)];
            let buffer = properties(client, Place::Subscribe, &wanted, script);
            let options = SubscriptionOptions { maximum_qos: quality(script), ..SubscriptionOptions::default() };
            let subscriptions = [Subscription { topic_filter: script.pick(&FILTERS), options }].into_iter().collect();
            let packet_identifier = identifier(script);
            let subscribe = Subscribe { packet_identifier, properties: buffer.as_properties(), subscriptions };
            client.written(&subscribe)
        }
        4 => {
            let topic_filters = [script.pick(&FILTERS)].into_iter().collect();
            let properties = Properties::EMPTY;
            client.written(&Unsubscribe { packet_identifier: identifier(script), properties, topic_filters })
        }
        5 | 6 => client.written(&Puback::new(identifier(script), reason(script))),
        7 => client.written(&Pubrec::new(identifier(script), reason(script))),
        8 => client.written(&Pubrel::new(identifier(script), ReasonCode::Success)),
        9 => client.written(&Pubcomp::new(identifier(script), ReasonCode::Success)),
        10 => {
            client.written(&Disconnect::new(script.pick(&[ReasonCode::Success, ReasonCode::DisconnectWithWillMessage])))
        }
        _ => script.bytes().to_vec(),
    }
}

fn reason(script: &mut Script<'_>) -> ReasonCode {
    if script.below(4) == 3 { ReasonCode::UnspecifiedError } else { ReasonCode::Success }
}

fn publish(client: &Client, script: &mut Script<'_>) -> Vec<u8> {
    let wanted = [
        Property::MessageExpiryInterval(script.pick(&SECONDS)),
        Property::TopicAlias(NonZeroU16::new(1 + u16::from(script.byte() & 15)).expect("at least one")),
        Property::ResponseTopic("t/1"),
        Property::CorrelationData(script.bytes()),
        Property::UserProperty("x-delay", "1000"),
        Property::PayloadFormatIndicator(true),
    ];
    let properties = properties(client, Place::Publish, &wanted, script);
    let qos = quality(script);
    client.written(&Publish {
        dup: script.yes() && qos != QoS::AtMostOnce,
        qos,
        retain: script.yes(),
        topic: script.pick(&TOPICS),
        packet_identifier: (qos != QoS::AtMostOnce).then(|| identifier(script)),
        properties: properties.as_properties(),
        payload: script.bytes(),
    })
}
