//! Structured values survive the wire; what is shortened stays true; bytes are as the specification draws them.

use bytes::BufMut;
use expect_test::{Expect, expect};
use proptest::collection::vec;
use proptest::prelude::*;
use smallvec::SmallVec;

use super::*;

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

fn text() -> impl Strategy<Value = String> {
    "[a-zé☃ ]{0,12}"
}

fn topic_name() -> impl Strategy<Value = String> {
    "[a-z/$é]{1,20}"
}

fn filter() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,4}(/[a-z]{0,3}){0,3}",
        Just("#".into()),
        "\\+(/[a-z+]/\\+){0,2}/#",
        "\\$share/[a-z]{1,3}/[a-z]"
    ]
}

fn identifier() -> impl Strategy<Value = PacketIdentifier> {
    (1..=u16::MAX).prop_map(|value| PacketIdentifier::new(value).unwrap())
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(&VERSIONS[..])
}

fn qos() -> impl Strategy<Value = QoS> {
    (0..3u8).prop_map(|bits| QoS::from_bits(bits).unwrap())
}

/// Reason string where it is allowed, then user properties; nothing before MQTT 5.
fn properties(version: Version, place: Place, reason: &str, users: &[(String, String)]) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    if version == Version::V5 {
        let _ = properties.push(place, Property::ReasonString(reason));
        for (name, value) in users {
            properties.push(place, Property::UserProperty(name, value)).unwrap();
        }
    }
    properties
}

/// Reads back what was written and finds the same.
fn check(packet: Packet<'_>, version: Version) {
    let mut out = Vec::new();
    packet.encode(version, &mut out);
    assert_eq!(out.len(), packet.encoded_len(version));
    for cut in 0..out.len() {
        assert_eq!(frame(&out[..cut], u32::MAX), Ok(None));
    }
    let again = Packet::decode(frame(&out, u32::MAX).unwrap().unwrap(), version).unwrap();
    assert_eq!(format!("{again:?}"), format!("{packet:?}"));
}

fn users() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn connect_round_trips(
        version in version(), clean_start: bool, keep_alive_secs: u16, id in "[a-z]{1,30}", qos in qos(), retain: bool,
        will in prop::option::of((topic_name(), vec(any::<u8>(), 0..9))), user in prop::option::of(text()),
        password in prop::option::of(vec(any::<u8>(), 0..9)), users in users(), delay: u32,
    ) {
        let of_packet = properties(version, Place::Connect, "", &users);
        let mut of_will = properties(version, Place::Will, "", &users);
        if version == Version::V5 {
            of_will.push(Place::Will, Property::WillDelayInterval(delay)).unwrap();
        }
        check(Packet::Connect(Connect {
            version, clean_start, keep_alive_secs, properties: of_packet.as_properties(), client_identifier: &id,
            will: will.as_ref().map(|(topic, payload)| {
                Will { qos, retain, topic, properties: of_will.as_properties(), payload }
            }),
            user_name: user.as_deref(),
            password: password.as_deref().filter(|_| user.is_some() || version == Version::V5),
        }), version);
    }

    #[test]
    fn publish_round_trips(
        version in version(), dup: bool, qos in qos(), retain: bool, topic in topic_name(), id in identifier(),
        payload in vec(any::<u8>(), 0..300), users in users(), expiry: u32,
    ) {
        let mut block = properties(version, Place::Publish, "", &users);
        if version == Version::V5 {
            block.push(Place::Publish, Property::MessageExpiryInterval(expiry)).unwrap();
        }
        check(Packet::Publish(Publish {
            dup: dup && qos != QoS::AtMostOnce, qos, retain, topic: &topic,
            packet_identifier: (qos != QoS::AtMostOnce).then_some(id),
            properties: block.as_properties(), payload: &payload,
        }), version);
    }

    #[test]
    fn acks_round_trip(version in version(), packet_identifier in identifier(), reason in text(), users in users(), fails: bool) {
        let fails = fails && version == Version::V5;
        let block = properties(version, Place::Puback, &reason, &users);
        let properties = block.as_properties();
        let reason_code = if fails { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        check(Packet::Puback(Puback { packet_identifier, reason_code, properties }), version);
        check(Packet::Pubrec(Pubrec { packet_identifier, reason_code, properties }), version);
        let reason_code = if fails { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
        check(Packet::Pubrel(Pubrel { packet_identifier, reason_code, properties }), version);
        check(Packet::Pubcomp(Pubcomp { packet_identifier, reason_code, properties }), version);
        check(Packet::Pubcomp(Pubcomp::new(packet_identifier, reason_code)), version);
    }

    #[test]
    fn subscriptions_round_trip(
        version in version(), packet_identifier in identifier(), filters in vec((filter(), qos(), 0..3u8), 1..9),
        users in users(), reason in text(),
    ) {
        let five = version == Version::V5;
        let block = properties(version, Place::Unsubscribe, "", &users);
        let properties_of_request = block.as_properties();
        check(Packet::Subscribe(Subscribe {
            packet_identifier, properties: properties_of_request,
            subscriptions: filters.iter().map(|(topic_filter, maximum_qos, handling)| Subscription {
                topic_filter,
                options: SubscriptionOptions {
                    maximum_qos: *maximum_qos,
                    no_local: five && !topic_filter.starts_with('$'),
                    retain_as_published: five,
                    retain_handling: match handling {
                        1 if five => RetainHandling::SendIfNew,
                        2 if five => RetainHandling::DoNotSend,
                        _ => RetainHandling::Send,
                    },
                },
            }).collect(),
        }), version);
        check(Packet::Unsubscribe(Unsubscribe {
            packet_identifier, properties: properties_of_request,
            topic_filters: filters.iter().map(|(filter, ..)| filter.as_str()).collect(),
        }), version);
        let block = properties(version, Place::Suback, &reason, &users);
        let granted = [ReasonCode::Success, ReasonCode::GrantedQoS1, ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError];
        check(Packet::Suback(Suback {
            packet_identifier, properties: block.as_properties(),
            reason_codes: (0..filters.len()).map(|index| granted[index % 4]).collect(),
        }), version);
        let reason_codes = if five { SmallVec::from_elem(ReasonCode::NoSubscriptionExisted, filters.len()) } else { SmallVec::new() };
        check(Packet::Unsuback(Unsuback { packet_identifier, properties: block.as_properties(), reason_codes }), version);
    }

    #[test]
    fn answers_round_trip(version in version(), session: bool, reason in text(), users in users(), refused: bool) {
        let block = properties(version, Place::Connack, &reason, &users);
        let properties = block.as_properties();
        let reason_code = if refused { ReasonCode::NotAuthorized } else { ReasonCode::Success };
        let session_present = session && !refused && version != Version::V31;
        check(Packet::Connack(Connack { session_present, reason_code, properties }), version);
        let reason_code = if version == Version::V5 { ReasonCode::ServerShuttingDown } else { ReasonCode::Success };
        check(Packet::Disconnect(Disconnect { reason_code, properties }), version);
        if version == Version::V5 {
            let mut block = PropertiesBuf::new();
            block.push(Place::Auth, Property::AuthenticationMethod(&reason)).unwrap();
            let properties = block.as_properties();
            check(Packet::Auth(Auth { reason_code: ReasonCode::ContinueAuthentication, properties }), version);
        }
    }
}

#[test]
fn a_head_and_a_shared_payload_make_the_same_packet_as_publish() {
    let mut incoming = PropertiesBuf::new();
    for property in [
        Property::TopicAlias(3.try_into().unwrap()),
        Property::UserProperty("k", "1"),
        Property::MessageExpiryInterval(60),
        Property::ResponseTopic("answer/here"),
        Property::UserProperty("k", "2"),
    ] {
        incoming.push(Place::Publish, property).unwrap();
    }
    let forwarded = incoming.as_properties().without(PublishHead::PER_SUBSCRIBER);
    let identifiers = [7, 300].map(|id| SubscriptionIdentifier::new(id).unwrap());
    for (version, topic_alias) in [(Version::V311, None), (Version::V5, None), (Version::V5, 9.try_into().ok())] {
        let head = PublishHead {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: "a/b",
            packet_identifier: None,
            topic_alias,
            message_expiry_interval: Some(41),
            subscription_identifiers: &identifiers,
            properties: forwarded.as_properties(),
            payload_len: 200,
        };
        let mut out = Vec::new();
        let at = head.encode(version, &mut out).expect("QoS 1 has an identifier");
        patch_packet_identifier(&mut out, at, PacketIdentifier::new(0x1234).unwrap());
        out.put_bytes(b'x', 200);
        assert_eq!(out.len(), head.encoded_len(version));
        let publish = Publish::decode(frame(&out, 1000).unwrap().unwrap(), version).unwrap();
        assert_eq!((publish.topic, publish.packet_identifier.map(PacketIdentifier::get)), ("a/b", Some(0x1234)));
        assert_eq!(publish.payload, [b'x'; 200]);
        if version == Version::V5 {
            let properties = publish.properties;
            assert_eq!(properties.topic_alias(), topic_alias);
            assert_eq!(properties.message_expiry_interval(), Some(41));
            assert_eq!(properties.subscription_identifiers().collect::<Vec<_>>(), identifiers);
            assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("k", "1"), ("k", "2")]);
            assert_eq!(properties.response_topic(), Some("answer/here"));
        }
    }
}

#[test]
fn a_packet_too_large_for_the_peer_loses_user_properties_then_the_reason_then_itself() {
    let mut block = PropertiesBuf::new();
    block.push(Place::Connack, Property::ReasonString("because")).unwrap();
    block.push(Place::Connack, Property::UserProperty("name", "value")).unwrap();
    block.push(Place::Connack, Property::RetainAvailable(true)).unwrap();
    let properties = block.as_properties();
    let connack = Connack { session_present: false, reason_code: ReasonCode::Success, properties };
    let fits = |max| {
        let mut out = Vec::new();
        connack.encode_within(Version::V5, max, &mut out)?;
        assert!(out.len() <= max as usize);
        let properties = Connack::decode(frame(&out, max).unwrap().unwrap(), Version::V5).unwrap().properties;
        Ok((properties.user_properties().count(), properties.reason_string().is_some(), properties.retain_available()))
    };
    assert_eq!(fits(31), Ok((1, true, Some(true))));
    assert_eq!(fits(30), Ok((0, true, Some(true))));
    assert_eq!(fits(16), Ok((0, false, Some(true))));
    assert_eq!(fits(6), Err(crate::error::EncodeError::PacketTooLarge { len: 7, max: 6 }));
}

#[test]
fn an_application_message_is_never_shortened() {
    let mut block = PropertiesBuf::new();
    block.push(Place::Publish, Property::UserProperty("k", "v")).unwrap();
    let publish = Publish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "t",
        packet_identifier: None,
        properties: block.as_properties(),
        payload: b"",
    };
    assert!(publish.encode_within(Version::V5, 10, &mut Vec::new()).is_err());
    assert!(publish.encode_within(Version::V5, 13, &mut Vec::new()).is_ok());
}

#[test]
fn properties_that_the_peer_would_refuse_are_not_taken() {
    let mut block = PropertiesBuf::new();
    let long = "x".repeat(70_000);
    assert!(block.push(Place::Publish, Property::ContentType(&long)).is_err());
    assert!(block.push(Place::Publish, Property::UserProperty("k\0", "v")).is_err());
    assert!(block.push(Place::Publish, Property::ResponseTopic("a/#")).is_err());
    assert!(block.push(Place::Publish, Property::ReasonString("no")).is_err());
    assert!(block.as_properties().is_empty());
    assert!(block.push(Place::Publish, Property::ContentType("text/plain")).is_ok());
    assert!(block.push(Place::Publish, Property::ContentType("text/plain")).is_err());
    assert!(
        Connack { session_present: false, reason_code: ReasonCode::Success, properties: Properties::EMPTY }
            .encode_within(Version::V5, 5, &mut Vec::new())
            .is_ok()
    );
}

#[test]
fn a_debug_print_of_connect_hides_the_password() {
    let connect = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_secs: 0,
        properties: Properties::EMPTY,
        client_identifier: "c",
        will: None,
        user_name: Some("u"),
        password: Some(b"secret"),
    };
    let shown = format!("{connect:?}");
    assert!(!shown.contains("secret") && !shown.contains("115"), "{shown}");
}

fn check_bytes(packet: Packet<'_>, version: Version, expected: &Expect) {
    let mut out = Vec::new();
    packet.encode(version, &mut out);
    expected.assert_eq(&out.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
}

#[test]
fn bytes_are_as_the_specification_draws_them() {
    let id = PacketIdentifier::new(10).unwrap();
    check_bytes(Packet::Pingreq(Pingreq), Version::V5, &expect!["c0 00"]);
    check_bytes(Packet::Puback(Puback::new(id, ReasonCode::Success)), Version::V5, &expect!["40 02 00 0a"]);
    check_bytes(
        Packet::Pubrec(Pubrec::new(id, ReasonCode::NoMatchingSubscribers)),
        Version::V5,
        &expect!["50 03 00 0a 10"],
    );
    check_bytes(Packet::Pubrel(Pubrel::new(id, ReasonCode::Success)), Version::V311, &expect!["62 02 00 0a"]);
    let refused = Connack { session_present: false, reason_code: ReasonCode::Banned, properties: Properties::EMPTY };
    check_bytes(Packet::Connack(refused), Version::V311, &expect!["20 02 00 05"]);
    check_bytes(Packet::Connack(refused), Version::V5, &expect!["20 03 00 8a 00"]);
    check_bytes(Packet::Disconnect(Disconnect::new(ReasonCode::Success)), Version::V5, &expect!["e0 00"]);
    check_bytes(Packet::Disconnect(Disconnect::new(ReasonCode::SessionTakenOver)), Version::V5, &expect!["e0 01 8e"]);
    let publish = Publish {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "a/b",
        packet_identifier: Some(id),
        properties: Properties::EMPTY,
        payload: b"hi",
    };
    check_bytes(Packet::Publish(publish), Version::V311, &expect!["32 09 00 03 61 2f 62 00 0a 68 69"]);
    check_bytes(Packet::Publish(publish), Version::V5, &expect!["32 0a 00 03 61 2f 62 00 0a 00 68 69"]);
}
