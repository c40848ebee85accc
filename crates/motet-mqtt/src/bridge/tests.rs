use super::*;
use crate::packet::{
    Encode as _, Packet, PacketIdentifier, Place, Properties, PropertiesBuf, Property, Puback, Pubcomp, PublishHead,
    Pubrec, Pubrel, QoS, ReasonCode, Version, frame,
};
use bytes::BytesMut;

fn rule(filter: &str, direction: Direction, local: &str, remote: &str) -> Rule {
    Rule {
        filter: filter.into(),
        direction,
        qos: QoS::ExactlyOnce,
        local_prefix: local.into(),
        remote_prefix: remote.into(),
    }
}

fn rules(rules: &[Rule]) -> Rules {
    Rules::new(rules.to_vec()).unwrap()
}

#[test]
fn topics_are_rewritten_by_the_first_rule_that_fits() {
    let rules = rules(&[
        rule("a/+/c", Direction::Both, "here/", "there/"),
        rule("#", Direction::Out, "", "all/"),
        rule("", Direction::In, "one/topic", "another"),
        rule("x/#", Direction::In, "", ""),
    ]);
    for (local, remote) in [
        ("here/a/b/c", Some("there/a/b/c")),
        ("here/a/b/d", Some("all/here/a/b/d")),
        ("$SYS/x", None),
        ("one/topic", Some("all/one/topic")),
    ] {
        assert_eq!(rules.outward(local).as_deref(), remote, "{local}");
    }
    for (remote, local) in [
        ("there/a//c", Some("here/a//c")),
        ("another", Some("one/topic")),
        ("x", Some("x")),
        ("x/y/z", Some("x/y/z")),
        ("y", None),
        ("there/a/b/d", None),
    ] {
        assert_eq!(rules.inward(remote).as_deref(), local, "{remote}");
    }
    assert_eq!(rules.remote_filters().len(), 3);
    assert_eq!(rules.local_filters()[1], ("#".to_owned(), QoS::ExactlyOnce));
}

#[test]
fn rules_that_cannot_be_are_refused() {
    for (filter, local, remote) in [
        ("a", "x/+/", ""),
        ("a", "", "#/"),
        ("", "", ""),
        ("a/#/b", "", ""),
        ("#", "x", ""),
        ("a", "$SYS/", ""),
        ("$share/g/a", "", ""),
    ] {
        assert!(
            Rules::new(vec![rule(filter, Direction::Out, local, remote)]).is_err(),
            "{filter:?} {local:?} {remote:?}"
        );
    }
}

/// A PUBLISH as bytes.
fn publish(version: Version, topic: &str, qos: QoS, hops: &[&str]) -> BytesMut {
    let mut properties = PropertiesBuf::new();
    for hop in hops {
        properties.push(Place::Publish, Property::UserProperty(HOP, hop)).unwrap();
    }
    properties.push(Place::Publish, Property::UserProperty("k", "v")).unwrap();
    let mut out = BytesMut::new();
    PublishHead {
        dup: qos > QoS::AtMostOnce,
        qos,
        retain: true,
        topic,
        packet_identifier: (qos > QoS::AtMostOnce).then_some(PacketIdentifier::MIN),
        topic_alias: None,
        message_expiry_interval: (version == Version::V5).then_some(9),
        subscription_identifiers: &[],
        properties: if version == Version::V5 { properties.as_properties() } else { Properties::EMPTY },
        payload_len: 2,
    }
    .encode(version, &mut out);
    out.extend_from_slice(b"hi");
    out
}

/// Gives one packet to the relay; what went across, and what went back.
fn take(relay: &mut Relay, from: Side, packet: &[u8]) -> (BytesMut, BytesMut) {
    let (mut across, mut back) = (BytesMut::new(), BytesMut::new());
    relay.take(from, frame(packet, u32::MAX).unwrap().unwrap(), &mut across, &mut back).unwrap();
    (across, back)
}

fn relay(remote: Version) -> Relay {
    let rules = rules(&[rule("#", Direction::Both, "here/", "")]);
    Relay::new(rules, "me".into(), remote, [1 << 20; 2], true)
}

#[test]
fn a_message_goes_across_with_everything_and_where_it_has_passed() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut relay = relay(Version::V5);
        let (across, back) = take(&mut relay, Side::Local, &publish(Version::V5, "here/a", qos, &["other"]));
        assert!(back.is_empty());
        let Packet::Publish(sent) = Packet::decode(frame(&across, 1000).unwrap().unwrap(), Version::V5).unwrap() else {
            panic!("{across:?}")
        };
        assert_eq!(
            (sent.topic, sent.qos, sent.retain, sent.dup, sent.payload),
            ("a", qos, true, qos > QoS::AtMostOnce, &b"hi"[..])
        );
        assert_eq!(sent.properties.message_expiry_interval(), Some(9));
        let users: Vec<_> = sent.properties.user_properties().collect();
        assert_eq!(users, [(HOP, "other"), ("k", "v"), (HOP, "me")]);
        assert_eq!(relay.take_tally(), Tally { sent: 1, ..Tally::default() });
    }
}

#[test]
fn a_message_of_3_1_1_gains_nothing_but_its_hop() {
    let mut relay = relay(Version::V311);
    let (across, _) = take(&mut relay, Side::Remote, &publish(Version::V311, "a", QoS::AtLeastOnce, &[]));
    let Packet::Publish(came) = Packet::decode(frame(&across, 1000).unwrap().unwrap(), Version::V5).unwrap() else {
        panic!("{across:?}")
    };
    assert_eq!((came.topic, came.properties.user_properties().collect::<Vec<_>>()), ("here/a", vec![(HOP, "me")]));
    let (across, _) = take(&mut relay, Side::Local, &publish(Version::V5, "here/a", QoS::AtLeastOnce, &[]));
    assert!(matches!(Packet::decode(frame(&across, 1000).unwrap().unwrap(), Version::V311), Ok(Packet::Publish(_))));
}

#[test]
fn acknowledgements_go_across_under_the_same_identifier() {
    let mut relay = relay(Version::V311);
    let id = PacketIdentifier::new(77).unwrap();
    let mut said = BytesMut::new();
    Pubrec::new(id, ReasonCode::Success).encode(Version::V311, &mut said);
    assert_eq!(take(&mut relay, Side::Remote, &said).0[..], [0x50, 2, 0, 77]);
    said.clear();
    Pubrel::new(id, ReasonCode::PacketIdentifierNotFound).encode(Version::V5, &mut said);
    assert_eq!(take(&mut relay, Side::Local, &said).0[..], [0x62, 2, 0, 77]);
    said.clear();
    Pubcomp::new(id, ReasonCode::Success).encode(Version::V311, &mut said);
    assert_eq!(take(&mut relay, Side::Remote, &said).0[..], [0x70, 2, 0, 77]);
}

#[test]
fn what_our_server_has_not_answered_is_counted() {
    let mut relay = relay(Version::V5);
    take(&mut relay, Side::Remote, &publish(Version::V5, "a", QoS::AtLeastOnce, &[]));
    take(&mut relay, Side::Remote, &publish(Version::V5, "a", QoS::AtMostOnce, &[]));
    assert_eq!(relay.inward(), 1);
    let mut said = BytesMut::new();
    Puback::new(PacketIdentifier::MIN, ReasonCode::NotAuthorized).encode(Version::V5, &mut said);
    assert_eq!(take(&mut relay, Side::Local, &said).0[..], [0x40, 3, 0, 1, 0x87]);
    assert_eq!((relay.inward(), relay.take_tally().refused), (0, 1));
}

#[test]
fn who_has_no_room_for_now_is_asked_again_on_the_next_connection() {
    for side in [Side::Local, Side::Remote] {
        let mut relay = relay(Version::V5);
        let mut said = BytesMut::new();
        Puback::new(PacketIdentifier::MIN, ReasonCode::QuotaExceeded).encode(Version::V5, &mut said);
        let (mut across, mut back) = (BytesMut::new(), BytesMut::new());
        let refused = relay.take(side, frame(&said, 1000).unwrap().unwrap(), &mut across, &mut back);
        assert_eq!(refused, Err(RelayError::NoRoom(side)));
        assert!(across.is_empty() && back.is_empty(), "an acknowledgement would end the message");
        assert_eq!(relay.take_tally().refused, 1);
    }
}

#[test]
fn a_message_that_was_here_before_ends_here() {
    let many: Vec<String> = (0..HOPS_MAX).map(|hop| hop.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for hops in [&["x", "me"][..], &many] {
        for (qos, answer) in
            [(QoS::AtMostOnce, &[][..]), (QoS::AtLeastOnce, &[0x40, 2, 0, 1]), (QoS::ExactlyOnce, &[0x50, 2, 0, 1])]
        {
            let mut relay = relay(Version::V5);
            let (across, back) = take(&mut relay, Side::Remote, &publish(Version::V5, "a", qos, hops));
            assert!(across.is_empty() && back[..] == *answer, "{hops:?} {qos:?} {back:?}");
            assert_eq!(relay.take_tally(), Tally { looped: 1, ..Tally::default() });
        }
    }
}

#[test]
fn what_fits_no_rule_or_is_too_large_ends_here_and_is_counted() {
    let rules = rules(&[rule("#", Direction::Both, "here/", "")]);
    let mut relay = Relay::new(rules, "me".into(), Version::V5, [1 << 20, 20], false);
    let (across, back) = take(&mut relay, Side::Local, &publish(Version::V5, "elsewhere", QoS::AtLeastOnce, &[]));
    assert!(across.is_empty() && back[..] == [0x40, 2, 0, 1]);
    let (across, back) = take(&mut relay, Side::Local, &publish(Version::V5, "here/long", QoS::AtLeastOnce, &[]));
    assert!(across.is_empty() && back[..] == [0x40, 2, 0, 1]);
    assert_eq!(relay.take_tally().dropped, 2);
}

#[test]
fn the_end_of_a_conversation_is_told() {
    let mut relay = relay(Version::V5);
    for (packet, expected) in [
        (&[0xe0, 1, 0x8b][..], "Remote closed the connection: ServerShuttingDown"),
        (&[0x90, 4, 0, 1, 0, 0x87], "Remote refused a subscription: NotAuthorized"),
        (&[0x20, 3, 0, 0, 0], "Remote sent Connack, which has no place here"),
        (&[0x40, 1, 0], "Remote broke the protocol: "),
    ] {
        let found = frame(packet, 100).unwrap().unwrap();
        let error = relay.take(Side::Remote, found, &mut BytesMut::new(), &mut BytesMut::new()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn a_bridge_of_3_1_1_says_that_it_is_one() {
    let hello = Hello {
        version: Version::V311,
        client: "c".repeat(200),
        clean_start: false,
        session_expiry_secs: u32::MAX,
        keep_alive_secs: 60,
        receive_maximum: 10,
        packet_bytes_max: 1000,
        user: None,
        password: None,
        bridge_bit: true,
    };
    let mut out = BytesMut::new();
    hello.connect(&mut out);
    assert_eq!(out[..12], *b"\x10\xd4\x01\x00\x04MQTT\x84\x00\x00");
    out.clear();
    Hello { bridge_bit: false, client: "c".into(), ..hello.clone() }.connect(&mut out);
    assert_eq!(out[..10], *b"\x10\x0d\x00\x04MQTT\x04\x00");
    let refused = hello.accepted(frame(&[0x20, 2, 0, 1], 10).unwrap().unwrap());
    assert!(matches!(refused, Err(HelloError::Version)));
    let accepted = hello.accepted(frame(&[0x20, 2, 1, 0], 10).unwrap().unwrap()).unwrap();
    assert!(accepted.session_present && accepted.qos_max == QoS::ExactlyOnce);
}
