//! Names: each protocol has its own spelling, and every crossing can be reversed.

use crate::{Said, check, cross};
use expect_test::expect;

#[test]
fn levels_and_words_are_the_same_thing() {
    check(
        &[
            Said("MQTT 3.1.1", r#"PUBLISH topic="cities/london""#),
            Said("MQTT 5", r#"PUBLISH topic="cities/london""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="cities.london""#),
        ],
        expect![[r#"
            MQTT 3.1.1 to MQTT 3.1.1: PUBLISH qos=0 topic="cities/london" payload=""
            MQTT 3.1.1 to MQTT 5: PUBLISH qos=0 topic="cities/london" payload=""
            MQTT 3.1.1 to AMQP: basic.deliver exchange="amq.topic" routing_key="cities.london" delivery_mode=1 payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="cities/london" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="cities/london" payload=""
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="cities.london" delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="cities/london" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="cities/london" payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="cities.london" payload=""
        "#]],
    );
}

#[test]
fn separators_of_the_other_side_are_letters_here() {
    check(
        &[
            Said("MQTT 3.1.1", r#"PUBLISH topic="spBv1.0/plant""#),
            Said("MQTT 5", r#"PUBLISH topic="a.b/%2E/100%""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="a/b.c+.%2F""#),
        ],
        expect![[r#"
            MQTT 3.1.1 to MQTT 3.1.1: PUBLISH qos=0 topic="spBv1.0/plant" payload=""
            MQTT 3.1.1 to MQTT 5: PUBLISH qos=0 topic="spBv1.0/plant" payload=""
            MQTT 3.1.1 to AMQP: basic.deliver exchange="amq.topic" routing_key="spBv1%2E0.plant" delivery_mode=1 payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="a.b/%2E/100%" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="a.b/%2E/100%" payload=""
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="a%2Eb.%252E.100%" delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="a%2Fb/c%2B/%252F" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="a%2Fb/c%2B/%252F" payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="a/b.c+.%2F" payload=""
        "#]],
    );
}

#[test]
fn empty_levels_are_levels() {
    check(
        &[
            Said("MQTT 3.1.1", r#"PUBLISH topic="/a//b/""#),
            Said("MQTT 5", r#"PUBLISH topic="/""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key=".a..b.""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="""#),
        ],
        expect![[r#"
            MQTT 3.1.1 to MQTT 3.1.1: PUBLISH qos=0 topic="/a//b/" payload=""
            MQTT 3.1.1 to MQTT 5: PUBLISH qos=0 topic="/a//b/" payload=""
            MQTT 3.1.1 to AMQP: basic.deliver exchange="amq.topic" routing_key=".a..b." delivery_mode=1 payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="/" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="/" payload=""
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="." delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="/a//b/" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="/a//b/" payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key=".a..b." payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="%" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="%" payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="" payload=""
        "#]],
    );
}

#[test]
fn wildcards_in_a_key_are_letters() {
    check(
        &[
            Said("AMQP", r##"basic.publish exchange="amq.topic" routing_key="a.#.*""##),
            Said("MQTT 5", r#"PUBLISH topic="a/*""#),
        ],
        expect![[r#"
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="a/%23/*" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="a/%23/*" payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="a.#.*" payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="a/*" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="a/*" payload=""
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="a.*" delivery_mode=1 payload=""
        "#]],
    );
}

#[test]
fn what_a_short_string_cannot_hold_is_in_a_header() {
    let topic = format!("long/{}/end", "x".repeat(300));
    let heard = cross("MQTT 5", &format!("PUBLISH topic=\"{topic}\""), "", "AMQP");
    let key = topic.replace('/', ".");
    assert_eq!(heard.len(), 1);
    assert!(heard[0].contains(r#" routing_key="long" "#), "cut at a segment: {}", heard[0]);
    assert!(heard[0].contains(&format!("header=\"x-topic={key}\"")), "{}", heard[0]);
    // And from AMQP to such a name, by the same header.
    let publish =
        format!(r#"basic.publish exchange="amq.topic" routing_key="long" header="x-topic={key}" payload="p""#);
    let heard = cross("AMQP", &publish, "", "MQTT 3.1.1");
    assert_eq!(heard, [format!("PUBLISH qos=0 topic=\"{topic}\" payload=\"p\"")]);
    // A key that was not cut says where the message goes, whatever the header says.
    let publish = r#"basic.publish exchange="amq.topic" routing_key="mine.x" header="x-topic=other.x" payload="p""#;
    assert_eq!(cross("AMQP", publish, "", "MQTT 3.1.1"), [r#"PUBLISH qos=0 topic="mine/x" payload="p""#]);
}

#[test]
fn reserved_trees_are_matched_by_nobody_who_does_not_name_them() {
    check(
        &[
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="$own.tree" payload="p""#),
            Said("MQTT 5", r#"PUBLISH topic="$own/tree" payload="p""#),
        ],
        expect![[""]],
    );
}

/// The forbidden letters of both sides, and what looks like their escapes.
#[test]
fn any_name_comes_back_as_it_went() {
    let segments = ["", ".", "%", "%2E", "%252E", "a", "é", "%2F", "..", "$x", "*"];
    for first in segments {
        for second in segments {
            let topic = format!("t/{first}/{second}");
            let publish = format!("PUBLISH topic=\"{topic}\"");
            let heard = cross("MQTT 5", &publish, "", "AMQP");
            let key = field(&heard[0], "routing_key");
            let publish = format!("basic.publish exchange=\"amq.topic\" routing_key=\"{key}\"");
            let heard = cross("AMQP", &publish, "", "MQTT 3.1.1");
            assert_eq!(field(&heard[0], "topic"), topic.escape_default().to_string().replace("\\u{e9}", "\\xc3\\xa9"));
        }
    }
}

fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let at = line.find(&format!(" {name}=\"")).expect("the field is there") + name.len() + 3;
    &line[at..at + line[at..].find('"').expect("it ends")]
}
