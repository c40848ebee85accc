//! The table of the mapping, row by row.

use crate::{Said, check, check_after};
use expect_test::expect;

#[test]
fn durability() {
    check(
        &[
            Said("MQTT 3.1.1", r#"PUBLISH topic="t" qos=0"#),
            Said("MQTT 3.1.1", r#"PUBLISH topic="t" qos=1 id=1"#),
            Said("MQTT 5", r#"PUBLISH topic="t" qos=2 id=1"#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" delivery_mode=1"#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" delivery_mode=2"#),
        ],
        expect![[r#"
            MQTT 3.1.1 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 3.1.1 to MQTT 5: PUBLISH qos=0 topic="t" payload=""
            MQTT 3.1.1 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=1 payload=""
            MQTT 3.1.1 to MQTT 3.1.1: PUBLISH qos=1 topic="t" id=1 payload=""
            MQTT 3.1.1 to MQTT 5: PUBLISH qos=1 topic="t" id=1 payload=""
            MQTT 3.1.1 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=2 payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=2 topic="t" id=1 payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=2 topic="t" id=1 payload=""
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=2 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=2 topic="t" id=1 payload=""
            AMQP to MQTT 5: PUBLISH qos=2 topic="t" id=1 payload=""
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=2 payload=""
        "#]],
    );
}

#[test]
fn expiry_is_counted_on_both_sides() {
    let said = [
        Said("MQTT 5", r#"PUBLISH topic="t" qos=1 id=1 message_expiry=10"#),
        Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" delivery_mode=2 expiration="10000""#),
        Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" delivery_mode=2 expiration="2700""#),
    ];
    check_after(
        &said,
        "+2s",
        &expect![[r#"
        MQTT 5 to MQTT 3.1.1: PUBLISH qos=1 topic="t" id=1 payload=""
        MQTT 5 to MQTT 5: PUBLISH qos=1 topic="t" id=1 payload="" message_expiry=8
        MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=2 expiration="8000" payload=""
        AMQP to MQTT 3.1.1: PUBLISH qos=2 topic="t" id=1 payload=""
        AMQP to MQTT 5: PUBLISH qos=2 topic="t" id=1 payload="" message_expiry=8
        AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=2 expiration="10000" payload=""
        AMQP to MQTT 3.1.1: PUBLISH qos=2 topic="t" id=1 payload=""
        AMQP to MQTT 5: PUBLISH qos=2 topic="t" id=1 payload="" message_expiry=1
        AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=2 expiration="2700" payload=""
    "#]],
    );
    check_after(&said, "+11s", &expect![[""]]);
}

#[test]
fn content_type_and_encoding() {
    check(
        &[
            Said(
                "MQTT 5",
                r#"PUBLISH topic="t" content_type="application/json" payload_format_indicator=1 payload="{}""#,
            ),
            Said("MQTT 5", r#"PUBLISH topic="t" content_type="x/y" user="x-content-encoding=gzip" payload="zip""#),
            Said(
                "AMQP",
                r#"basic.publish exchange="amq.topic" routing_key="t" content_type="text/plain" content_encoding="utf-8" payload="é""#,
            ),
            Said(
                "AMQP",
                r#"basic.publish exchange="amq.topic" routing_key="t" content_encoding="utf-8" payload="\xff""#,
            ),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" content_encoding="gzip" payload="zip""#),
        ],
        expect![[r#"
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload="{}"
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="{}" content_type="application/json" payload_format_indicator=1
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" content_type="application/json" content_encoding="utf-8" delivery_mode=1 payload="{}"
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload="zip"
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="zip" content_type="x/y" user="x-content-encoding=gzip"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" content_type="x/y" content_encoding="gzip" delivery_mode=1 payload="zip"
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload="\xc3\xa9"
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="\xc3\xa9" payload_format_indicator=1 content_type="text/plain"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" content_type="text/plain" content_encoding="utf-8" payload="\xc3\xa9"
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload="\xff"
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="\xff" user="x-content-encoding=utf-8"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" content_encoding="utf-8" payload="\xff"
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload="zip"
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="zip" user="x-content-encoding=gzip"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" content_encoding="gzip" payload="zip"
        "#]],
    );
}

#[test]
fn correlation() {
    check(
        &[
            Said("MQTT 5", r#"PUBLISH topic="t" correlation_data="c-1""#),
            Said("MQTT 5", r#"PUBLISH topic="t" correlation_data="\x00\xff""#),
            Said("MQTT 5", r#"PUBLISH topic="t" correlation_data="cc"*130"#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" correlation_id="c-2""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" header="x-correlation-id:x=long""#),
        ],
        expect![[r#"
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" correlation_data="c-1"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=1 correlation_id="c-1" payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" correlation_data="\x00\xff"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=1 correlation_id="\x00\xff" payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" correlation_data="cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="x-correlation-id:x=cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc" delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" correlation_data="c-2"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" correlation_id="c-2" payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" correlation_data="long"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="x-correlation-id:x=long" payload=""
        "#]],
    );
}

#[test]
fn reply_address() {
    check(
        &[
            Said("MQTT 5", r#"PUBLISH topic="t" response_topic="answers/v1.0""#),
            Said("MQTT 5", r#"PUBLISH topic="t" response_topic="$queue/answers""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" reply_to="answers""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" reply_to="amq.topic.reply.a.b%2E""#),
        ],
        expect![[r#"
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" response_topic="answers/v1.0"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=1 reply_to="amq.topic.reply.answers.v1%2E0" payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" response_topic="$queue/answers"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=1 reply_to="answers" payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" response_topic="$queue/answers"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" reply_to="answers" payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" response_topic="a/b."
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" reply_to="amq.topic.reply.a.b%2E" payload=""
        "#]],
    );
}

#[test]
fn headers_keep_their_order_their_repeats_and_their_types() {
    check(
        &[
            Said("MQTT 5", r#"PUBLISH topic="t" user="b=1" user="a=2" user="b=3""#),
            Said("MQTT 5", r#"PUBLISH topic="t" user="n=5" user="f=1.5" user="x-types=n=l,f=d""#),
            Said(
                "AMQP",
                r#"basic.publish exchange="amq.topic" routing_key="t" header="z=1" header="a:I=5" header="b:t=1" header="c:d=0.5" header="d:T=7" header="e:V=" header="f:A=x,y" header="g:x=raw""#,
            ),
        ],
        expect![[r#"
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="b=1" user="a=2" user="b=3"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="b:A=1,3" header="a=2" delivery_mode=1 payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="n=5" user="f=1.5" user="x-types=n=l,f=d"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="n:l=5" header="f:d=1.5" delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="z=1" user="a=5" user="b=true" user="c=0.5" user="d=7000" user="e=" user="f=x" user="f=y" user="g=raw" user="x-types=a=l,b=t,c=d,d=T,e=V,g=x"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="z=1" header="a:I=5" header="b:t=1" header="c:d=0.5" header="d:T=7" header="e:V=" header="f:A=x,y" header="g:x=raw" payload=""
        "#]],
    );
}

#[test]
fn priority_and_message_id() {
    check(
        &[
            Said("MQTT 5", r#"PUBLISH topic="t" user="x-priority=7" user="x-message-id=m-1""#),
            Said("MQTT 5", r#"PUBLISH topic="t" user="x-priority=high""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" priority=9 message_id="m-2""#),
        ],
        expect![[r#"
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="x-priority=7" user="x-message-id=m-1"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=1 priority=7 message_id="m-1" payload=""
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="x-priority=high"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="x-priority=high" delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="x-priority=9" user="x-message-id=m-2"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" priority=9 message_id="m-2" payload=""
        "#]],
    );
}

#[test]
fn what_is_the_applications_own() {
    check(
        &[Said(
            "AMQP",
            r#"basic.publish exchange="amq.topic" routing_key="t" type="order" app_id="shop" timestamp=1700000000 user_id="guest""#,
        )],
        expect![[r#"
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="x-amqp-type=order" user="x-amqp-app-id=shop"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" timestamp=1700000000 type="order" user_id="guest" app_id="shop" payload=""
        "#]],
    );
}

#[test]
fn trace_context() {
    check(
        &[
            Said("MQTT 5", r#"PUBLISH topic="t" user="traceparent=00-ab-cd-01""#),
            Said("AMQP", r#"basic.publish exchange="amq.topic" routing_key="t" header="traceparent=00-ab-cd-01""#),
        ],
        expect![[r#"
            MQTT 5 to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            MQTT 5 to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="traceparent=00-ab-cd-01"
            MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="traceparent=00-ab-cd-01" delivery_mode=1 payload=""
            AMQP to MQTT 3.1.1: PUBLISH qos=0 topic="t" payload=""
            AMQP to MQTT 5: PUBLISH qos=0 topic="t" payload="" user="traceparent=00-ab-cd-01"
            AMQP to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="traceparent=00-ab-cd-01" payload=""
        "#]],
    );
}

#[test]
fn delay() {
    let said = [
        Said("MQTT 3.1.1", r#"PUBLISH topic="$delayed/5/t" qos=1 id=1"#),
        Said("MQTT 5", r#"PUBLISH topic="t" qos=1 id=1 user="x-delay=5000""#),
    ];
    check_after(&said, "+4s", &expect![[""]]);
    check_after(
        &said,
        "+6s",
        &expect![[r#"
        MQTT 3.1.1 to MQTT 3.1.1: PUBLISH qos=1 topic="t" id=1 payload=""
        MQTT 3.1.1 to MQTT 5: PUBLISH qos=1 topic="t" id=1 payload=""
        MQTT 3.1.1 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" delivery_mode=2 payload=""
        MQTT 5 to MQTT 3.1.1: PUBLISH qos=1 topic="t" id=1 payload=""
        MQTT 5 to MQTT 5: PUBLISH qos=1 topic="t" id=1 payload="" user="x-delay=5000"
        MQTT 5 to AMQP: basic.deliver exchange="amq.topic" routing_key="t" header="x-delay=5000" delivery_mode=2 payload=""
    "#]],
    );
}
