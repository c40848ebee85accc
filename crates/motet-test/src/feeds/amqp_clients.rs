//! AMQP clients that know their methods and keep no rule, and an MQTT client between them.

use super::amqp::opening;
use super::crowd::Crowd;
use super::mqtt_clients::{self, Client};
use super::script::Script;
use bytes::{BufMut as _, BytesMut};
use motet_amqp::v091::packet::{
    CLASS_BASIC, FRAME_END, FieldValue, PROTOCOL_HEADER, Properties, Reserved, TableBuf, basic, channel, confirm,
    exchange, frame, put_method, queue, tx,
};
use motet_amqp::{Config, Connection};
use motet_mqtt::packet::Version;
use std::sync::Arc;
use std::time::Duration;

const SCRIPT_BYTES_MAX: usize = 2048;
const QUEUES: [&str; 5] = ["q", "s", "d", "", "amq.rabbitmq.reply-to"];
const EXCHANGES: [&str; 7] = ["", "e", "x", "amq.direct", "amq.topic", "amq.headers", "amq.fanout"];
const KINDS: [&str; 9] = [
    "direct",
    "fanout",
    "topic",
    "headers",
    "x-delayed-message",
    "x-consistent-hash",
    "x-message-deduplication",
    "x-random",
    "x-modulus-hash",
];
const KEYS: [&[u8]; 7] = [b"q", b"s", b"d", b"a.b", b"a.*", b"#", b"\xff"];
const TAGS: [&str; 3] = ["c", "d", ""];
const NUMBERS: [i64; 7] = [0, 1, 2, 3, 1000, -1, i64::MAX];
/// Arguments of queues, exchanges, bindings, consumers, and headers, whichever the script puts where.
const ARGUMENTS: [&str; 24] = [
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-delivery-limit",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-overflow",
    "x-queue-type",
    "x-single-active-consumer",
    "x-message-deduplication",
    "x-deduplication-header",
    "x-cache-size",
    "x-cache-ttl",
    "x-delayed-type",
    "alternate-exchange",
    "x-match",
    "x-priority",
    "x-stream-offset",
    "x-delay",
    "CC",
    "x-max-age",
    "x-delayed-retry-min",
];
const WORDS: [&[u8]; 11] =
    [b"q", b"e", b"", b"stream", b"quorum", b"reject-publish", b"drop-head", b"direct", b"any", b"first", b"1s"];

/// Clients declare, bind, publish, consume, settle and go as the data says, with frames that lie, over power cuts;
/// whatever they do, everybody comes to rest, and what each hears is AMQP.
///
/// # Panics
/// If not.
pub fn amqp_clients(data: &[u8]) {
    let mut script = Script(&data[..data.len().min(SCRIPT_BYTES_MAX)]);
    let mut crowd = Crowd::new();
    let config = Arc::new(Config::default());
    let other_config = Arc::new(motet_mqtt::Config { in_flight_max: 4, ..motet_mqtt::Config::default() });
    let mut links = [0, 1].map(|_| join(&mut crowd, &config));
    let mut other = Client::new(&mut crowd, &other_config, Version::V5);
    while !script.is_over() {
        let link = &mut links[script.below(2)];
        match script.below(24) {
            0 => {
                let kept = script.below(4);
                crowd.cut_power(kept);
            }
            1 | 2 => {
                let time = script.pick(&[1, 999, 1_000, 2_000, 61_000, 4_000_000]);
                crowd.pass(Duration::from_millis(time));
            }
            3 => crowd.leave(*link),
            4..=6 => mqtt_clients::act(&mut crowd, &mut other, &other_config, &mut script),
            _ => {
                if crowd.is_closed(*link) {
                    judge(&crowd, *link);
                    *link = join(&mut crowd, &config);
                }
                let said = say(&mut script);
                crowd.say(*link, &said);
            }
        }
    }
    links.iter().for_each(|link| judge(&crowd, *link));
    mqtt_clients::judge(&crowd, &other);
}

fn join(crowd: &mut Crowd, config: &Arc<Config>) -> usize {
    let link = crowd.join(Box::new(Connection::new(config.clone())));
    crowd.say(link, &opening());
    link
}

fn judge(crowd: &Crowd, link: usize) {
    let heard = crowd.heard(link);
    let mut rest = heard.strip_prefix(&PROTOCOL_HEADER).unwrap_or(heard);
    while let Some(found) = frame(rest, u32::MAX).expect("a server sends frames") {
        rest = &rest[found.len()..];
    }
    assert!(rest.is_empty(), "a server sends whole frames");
}

/// Up to three arguments.
fn arguments(script: &mut Script<'_>) -> TableBuf {
    let mut table = TableBuf::new();
    for _ in 0..script.below(4) {
        let name = script.pick(&ARGUMENTS);
        let value = match script.below(5) {
            0 => FieldValue::I64(script.pick(&NUMBERS)),
            1 => FieldValue::Bool(script.yes()),
            2 => FieldValue::I32(i32::from(script.byte())),
            _ => FieldValue::Text(script.pick(&WORDS)),
        };
        table.push(name, value);
    }
    table
}

/// One thing that a client says.
fn say(script: &mut Script<'_>) -> BytesMut {
    let mut out = BytesMut::new();
    let on = 1 + u16::from(script.below(8) == 7);
    let reserved_1 = Reserved::NONE;
    let bits = script.byte();
    let bit = |n: u8| bits >> n & 1 == 1;
    match script.below(24) {
        0 => declare_queue(&mut out, on, script),
        1 => {
            let buffer = arguments(script);
            let (exchange, kind) = (script.pick(&EXCHANGES), script.pick(&KINDS));
            let (passive, internal) = (bit(4) && bit(5), bit(6) && bit(7));
            let arguments = buffer.as_table();
            let (durable, auto_delete, no_wait) = (bit(0), bit(1), bit(2));
            let declare = exchange::Declare {
                reserved_1,
                exchange,
                kind,
                passive,
                durable,
                auto_delete,
                internal,
                no_wait,
                arguments,
            };
            put_method(&mut out, on, &declare);
        }
        2 | 3 => bind(&mut out, on, bit(0), script),
        4 => put_method(&mut out, on, &queue::Purge { reserved_1, queue: script.pick(&QUEUES), no_wait: bit(0) }),
        5 => {
            let (if_unused, if_empty, no_wait) = (bit(0), bit(1), bit(2));
            let queue = script.pick(&QUEUES);
            put_method(&mut out, on, &queue::Delete { reserved_1, queue, if_unused, if_empty, no_wait });
        }
        6 => {
            let exchange = script.pick(&EXCHANGES);
            put_method(&mut out, on, &exchange::Delete { reserved_1, exchange, if_unused: bit(0), no_wait: bit(1) });
        }
        7 => {
            let prefetch_count = u16::from(script.byte() & 3);
            put_method(&mut out, on, &basic::Qos { prefetch_size: 0, prefetch_count, global: bit(0) });
        }
        8 | 9 => consume(&mut out, on, bits, script),
        10 => put_method(&mut out, on, &basic::Cancel { consumer_tag: script.pick(&TAGS), no_wait: bit(0) }),
        11 => put_method(&mut out, on, &basic::Get { reserved_1, queue: script.pick(&QUEUES), no_ack: bit(0) }),
        12 => settle(&mut out, on, bits, script),
        13 => put_method(&mut out, on, &confirm::Select { no_wait: bit(0) }),
        14 => match bits & 3 {
            0 => put_method(&mut out, on, &tx::Select {}),
            1 => put_method(&mut out, on, &tx::Rollback {}),
            _ => put_method(&mut out, on, &tx::Commit {}),
        },
        15 => match bits & 3 {
            0 => put_method(&mut out, on, &channel::Flow { active: bit(2) }),
            1 => put_method(&mut out, on, &channel::CloseOk {}),
            2 => put_method(&mut out, on, &basic::Recover { requeue: bit(2) }),
            _ => put_method(&mut out, on, &channel::Open { reserved_1: Reserved::NONE }),
        },
        16 => {
            let close = channel::Close { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
            put_method(&mut out, on, &close);
        }
        17 => raw_frame(&mut out, script.pick(&[1, 2, 3, 8, 9]), on, script.bytes()),
        _ => publish(&mut out, on, bits, script),
    }
    out
}

fn declare_queue(out: &mut BytesMut, on: u16, script: &mut Script<'_>) {
    let buffer = arguments(script);
    let declare = queue::Declare {
        reserved_1: Reserved::NONE,
        queue: script.pick(&QUEUES),
        passive: script.below(8) == 7,
        durable: script.below(4) != 3,
        exclusive: script.below(8) == 7,
        auto_delete: script.below(8) == 7,
        no_wait: script.below(8) == 7,
        arguments: buffer.as_table(),
    };
    put_method(out, on, &declare);
}

fn bind(out: &mut BytesMut, on: u16, to_queue: bool, script: &mut Script<'_>) {
    let reserved_1 = Reserved::NONE;
    let buffer = arguments(script);
    let arguments = buffer.as_table();
    let (queue, exchange, routing_key) = (script.pick(&QUEUES), script.pick(&EXCHANGES), script.pick(&KEYS));
    let (destination, source) = (script.pick(&EXCHANGES), exchange);
    match (to_queue, script.below(4) == 3) {
        (true, false) => {
            put_method(out, on, &queue::Bind { reserved_1, queue, exchange, routing_key, no_wait: false, arguments });
        }
        (true, true) => {
            put_method(out, on, &queue::Unbind { reserved_1, queue, exchange, routing_key, arguments });
        }
        (false, false) => {
            let bind = exchange::Bind { reserved_1, destination, source, routing_key, no_wait: false, arguments };
            put_method(out, on, &bind);
        }
        (false, true) => {
            let unbind = exchange::Unbind { reserved_1, destination, source, routing_key, no_wait: false, arguments };
            put_method(out, on, &unbind);
        }
    }
}

fn consume(out: &mut BytesMut, on: u16, bits: u8, script: &mut Script<'_>) {
    let buffer = arguments(script);
    let consume = basic::Consume {
        reserved_1: Reserved::NONE,
        queue: script.pick(&QUEUES),
        consumer_tag: script.pick(&TAGS),
        no_local: bits & 1 != 0,
        no_ack: bits & 2 != 0,
        exclusive: bits & 12 == 12,
        no_wait: bits & 16 != 0,
        arguments: buffer.as_table(),
    };
    put_method(out, on, &consume);
}

fn settle(out: &mut BytesMut, on: u16, bits: u8, script: &mut Script<'_>) {
    let delivery_tag = u64::from(script.byte() & 7);
    let (multiple, requeue) = (bits & 1 != 0, bits & 2 != 0);
    match bits >> 2 & 3 {
        0 => put_method(out, on, &basic::Nack { delivery_tag, multiple, requeue }),
        1 => put_method(out, on, &basic::Reject { delivery_tag, requeue }),
        _ => put_method(out, on, &basic::Ack { delivery_tag, multiple }),
    }
}

/// A message in its frames; now and then the header lies about the length, or something stands between.
fn publish(out: &mut BytesMut, on: u16, bits: u8, script: &mut Script<'_>) {
    let (exchange, routing_key) = (script.pick(&EXCHANGES), script.pick(&KEYS));
    let (mandatory, immediate) = (bits & 1 != 0, bits & 0xf0 == 0xf0);
    let publish = basic::Publish { reserved_1: Reserved::NONE, exchange, routing_key, mandatory, immediate };
    put_method(out, on, &publish);
    let buffer = arguments(script);
    let body = script.bytes();
    let properties = Properties {
        headers: (bits & 2 != 0).then(|| buffer.as_table()),
        delivery_mode: (bits & 4 != 0).then_some(2),
        priority: (bits & 8 != 0).then(|| script.byte() & 15),
        expiration: (bits & 16 != 0).then(|| script.pick(&[b"0" as &[u8], b"1", b"1000", b"x", b"-1"])),
        reply_to: (bits & 32 != 0).then_some(b"amq.rabbitmq.reply-to"),
        message_id: (bits & 64 != 0).then_some(b"m"),
        user_id: (bits & 128 != 0).then(|| script.pick(&[b"guest" as &[u8], b"eve"])),
        ..Properties::default()
    };
    let lie = script.byte();
    let length = body.len() as u64 + u64::from(if lie >= 0xf0 { lie } else { 0 });
    let mut header = BytesMut::new();
    header.put_u16(CLASS_BASIC);
    header.put_u16(0);
    header.put_u64(length);
    properties.encode(&mut header);
    raw_frame(out, 2, on, &header);
    if lie == 0xef {
        put_method(out, on, &confirm::Select { no_wait: false });
    }
    for piece in body.chunks(if lie & 1 == 1 { 7 } else { 64 }) {
        raw_frame(out, 3, on, piece);
    }
}

fn raw_frame(out: &mut BytesMut, kind: u8, on: u16, payload: &[u8]) {
    out.put_u8(kind);
    out.put_u16(on);
    out.put_u32(payload.len() as u32);
    out.put_slice(payload);
    out.put_u8(FRAME_END);
}
