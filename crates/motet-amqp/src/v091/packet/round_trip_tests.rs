//! Every method, property list and table survives the wire; bytes are as the specification draws them.

use super::*;
use bytes::{BufMut, BytesMut};
use expect_test::{Expect, expect};
use proptest::collection::vec;
use proptest::prelude::*;

/// What a field of each type may hold.
#[derive(Debug, Clone)]
pub(super) struct Fields {
    text: String,
    other: String,
    key: Vec<u8>,
    long: Vec<u8>,
    table: TableBuf,
    small: u16,
    number: u32,
    tag: u64,
    a: bool,
    b: bool,
    c: bool,
}

/// Each method once.
pub(super) fn methods<'a>(f: &'a Fields) -> Vec<Method<'a>> {
    let (arguments, long, routing_key) = (f.table.as_table(), LongString(&f.long), &f.key[..]);
    let (queue, exchange, consumer_tag, reason) = (&*f.text, &*f.other, &*f.text, &*f.other);
    let (reserved_1, no_wait, delivery_tag) = (Reserved::NONE, f.a, f.tag);
    vec![
        Method::Connection(connection::Method::Start(connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: arguments,
            mechanisms: long,
            locales: long,
        })),
        Method::Connection(connection::Method::StartOk(connection::StartOk {
            client_properties: arguments,
            mechanism: queue,
            response: long,
            locale: exchange,
        })),
        Method::Connection(connection::Method::Secure(connection::Secure { challenge: long })),
        Method::Connection(connection::Method::SecureOk(connection::SecureOk { response: long })),
        Method::Connection(connection::Method::Tune(connection::Tune {
            channel_max: f.small,
            frame_max: f.number,
            heartbeat: f.small,
        })),
        Method::Connection(connection::Method::TuneOk(connection::TuneOk {
            channel_max: f.small,
            frame_max: f.number,
            heartbeat: f.small,
        })),
        Method::Connection(connection::Method::Open(connection::Open {
            virtual_host: queue,
            reserved_1: Reserved::NONE,
            reserved_2: Reserved::NONE,
        })),
        Method::Connection(connection::Method::OpenOk(connection::OpenOk { reserved_1: Reserved::NONE })),
        Method::Connection(connection::Method::Close(connection::Close {
            reply_code: f.small,
            reply_text: reason,
            class_id: f.small,
            method_id: 7,
        })),
        Method::Connection(connection::Method::CloseOk(connection::CloseOk {})),
        Method::Connection(connection::Method::Blocked(connection::Blocked { reason })),
        Method::Connection(connection::Method::Unblocked(connection::Unblocked {})),
        Method::Connection(connection::Method::UpdateSecret(connection::UpdateSecret { new_secret: long, reason })),
        Method::Connection(connection::Method::UpdateSecretOk(connection::UpdateSecretOk {})),
        Method::Channel(channel::Method::Open(channel::Open { reserved_1: Reserved::NONE })),
        Method::Channel(channel::Method::OpenOk(channel::OpenOk { reserved_1: Reserved::NONE })),
        Method::Channel(channel::Method::Flow(channel::Flow { active: f.a })),
        Method::Channel(channel::Method::FlowOk(channel::FlowOk { active: f.b })),
        Method::Channel(channel::Method::Close(channel::Close {
            reply_code: f.small,
            reply_text: reason,
            class_id: 1,
            method_id: f.small,
        })),
        Method::Channel(channel::Method::CloseOk(channel::CloseOk {})),
        Method::Access(access::Method::Request(access::Request {
            realm: queue,
            exclusive: f.a,
            passive: f.b,
            active: f.c,
            write: f.a,
            read: f.b,
        })),
        Method::Access(access::Method::RequestOk(access::RequestOk { ticket: f.small })),
        Method::Exchange(exchange::Method::Declare(exchange::Declare {
            reserved_1,
            exchange,
            kind: queue,
            passive: f.a,
            durable: f.b,
            auto_delete: f.c,
            internal: f.a,
            no_wait,
            arguments,
        })),
        Method::Exchange(exchange::Method::DeclareOk(exchange::DeclareOk {})),
        Method::Exchange(exchange::Method::Delete(exchange::Delete { reserved_1, exchange, if_unused: f.b, no_wait })),
        Method::Exchange(exchange::Method::DeleteOk(exchange::DeleteOk {})),
        Method::Exchange(exchange::Method::Bind(exchange::Bind {
            reserved_1,
            destination: queue,
            source: exchange,
            routing_key,
            no_wait,
            arguments,
        })),
        Method::Exchange(exchange::Method::BindOk(exchange::BindOk {})),
        Method::Exchange(exchange::Method::Unbind(exchange::Unbind {
            reserved_1,
            destination: queue,
            source: exchange,
            routing_key,
            no_wait,
            arguments,
        })),
        Method::Exchange(exchange::Method::UnbindOk(exchange::UnbindOk {})),
        Method::Queue(queue::Method::Declare(queue::Declare {
            reserved_1,
            queue,
            passive: f.a,
            durable: f.b,
            exclusive: f.c,
            auto_delete: f.b,
            no_wait,
            arguments,
        })),
        Method::Queue(queue::Method::DeclareOk(queue::DeclareOk { queue, message_count: f.number, consumer_count: 3 })),
        Method::Queue(queue::Method::Bind(queue::Bind {
            reserved_1,
            queue,
            exchange,
            routing_key,
            no_wait,
            arguments,
        })),
        Method::Queue(queue::Method::BindOk(queue::BindOk {})),
        Method::Queue(queue::Method::Purge(queue::Purge { reserved_1, queue, no_wait })),
        Method::Queue(queue::Method::PurgeOk(queue::PurgeOk { message_count: f.number })),
        Method::Queue(queue::Method::Delete(queue::Delete {
            reserved_1,
            queue,
            if_unused: f.b,
            if_empty: f.c,
            no_wait,
        })),
        Method::Queue(queue::Method::DeleteOk(queue::DeleteOk { message_count: f.number })),
        Method::Queue(queue::Method::Unbind(queue::Unbind { reserved_1, queue, exchange, routing_key, arguments })),
        Method::Queue(queue::Method::UnbindOk(queue::UnbindOk {})),
        Method::Basic(basic::Method::Qos(basic::Qos { prefetch_size: f.number, prefetch_count: f.small, global: f.a })),
        Method::Basic(basic::Method::QosOk(basic::QosOk {})),
        Method::Basic(basic::Method::Consume(basic::Consume {
            reserved_1,
            queue,
            consumer_tag,
            no_local: f.a,
            no_ack: f.b,
            exclusive: f.c,
            no_wait,
            arguments,
        })),
        Method::Basic(basic::Method::ConsumeOk(basic::ConsumeOk { consumer_tag })),
        Method::Basic(basic::Method::Cancel(basic::Cancel { consumer_tag, no_wait })),
        Method::Basic(basic::Method::CancelOk(basic::CancelOk { consumer_tag })),
        Method::Basic(basic::Method::Publish(basic::Publish {
            reserved_1,
            exchange,
            routing_key,
            mandatory: f.a,
            immediate: f.b,
        })),
        Method::Basic(basic::Method::Return(basic::Return {
            reply_code: f.small,
            reply_text: reason,
            exchange,
            routing_key,
        })),
        Method::Basic(basic::Method::Deliver(basic::Deliver {
            consumer_tag,
            delivery_tag,
            redelivered: f.a,
            exchange,
            routing_key,
        })),
        Method::Basic(basic::Method::Get(basic::Get { reserved_1, queue, no_ack: f.b })),
        Method::Basic(basic::Method::GetOk(basic::GetOk {
            delivery_tag,
            redelivered: f.c,
            exchange,
            routing_key,
            message_count: f.number,
        })),
        Method::Basic(basic::Method::GetEmpty(basic::GetEmpty { reserved_1: Reserved::NONE })),
        Method::Basic(basic::Method::Ack(basic::Ack { delivery_tag, multiple: f.a })),
        Method::Basic(basic::Method::Reject(basic::Reject { delivery_tag, requeue: f.b })),
        Method::Basic(basic::Method::RecoverAsync(basic::RecoverAsync { requeue: f.a })),
        Method::Basic(basic::Method::Recover(basic::Recover { requeue: f.b })),
        Method::Basic(basic::Method::RecoverOk(basic::RecoverOk {})),
        Method::Basic(basic::Method::Nack(basic::Nack { delivery_tag, multiple: f.b, requeue: f.c })),
        Method::Confirm(confirm::Method::Select(confirm::Select { no_wait })),
        Method::Confirm(confirm::Method::SelectOk(confirm::SelectOk {})),
        Method::Tx(tx::Method::Select(tx::Select {})),
        Method::Tx(tx::Method::SelectOk(tx::SelectOk {})),
        Method::Tx(tx::Method::Commit(tx::Commit {})),
        Method::Tx(tx::Method::CommitOk(tx::CommitOk {})),
        Method::Tx(tx::Method::Rollback(tx::Rollback {})),
        Method::Tx(tx::Method::RollbackOk(tx::RollbackOk {})),
    ]
}

/// The methods of one arbitrary choice, as frames.
pub(super) fn frames() -> Vec<Vec<u8>> {
    let mut table = TableBuf::new();
    table.push("x-message-ttl", FieldValue::I32(60_000));
    table.push("capabilities", FieldValue::Table(TableBuf::new().as_table()));
    let fields = Fields {
        text: "orders".into(),
        other: "amq.direct".into(),
        key: b"eu.\xff.new".to_vec(),
        long: b"\0guest\0guest".to_vec(),
        table,
        small: 500,
        number: 131_072,
        tag: 1 << 33,
        a: true,
        b: false,
        c: true,
    };
    let mut all: Vec<_> = methods(&fields)
        .iter()
        .map(|method| {
            let mut out = BytesMut::new();
            method.put(&mut out, 3);
            out.to_vec()
        })
        .collect();
    let mut raw = BytesMut::new();
    let properties = Properties {
        content_type: Some(b"text/plain"),
        headers: Some(fields.table.as_table()),
        delivery_mode: Some(2),
        expiration: Some(b"1000"),
        ..Properties::default()
    };
    properties.encode(&mut raw);
    let mut out = BytesMut::new();
    put_header(&mut out, 3, 5, &raw);
    all.push(out.to_vec());
    let mut out = BytesMut::new();
    put_frame(&mut out, FrameKind::Body, 3, |out| out.put_slice(b"hello"));
    all.push(out.to_vec());
    all
}

fn fields() -> impl Strategy<Value = Fields> {
    let strings = ("[a-zé☃. ]{0,40}", "[a-z]{0,20}", vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..300));
    let numbers = (any::<u16>(), any::<u32>(), any::<u64>(), any::<[bool; 3]>());
    (strings, table(), numbers).prop_map(|((text, other, key, long), table, (small, number, tag, [a, b, c]))| Fields {
        text,
        other,
        key,
        long,
        table,
        small,
        number,
        tag,
        a,
        b,
        c,
    })
}

fn table() -> impl Strategy<Value = TableBuf> {
    vec(("[a-z]{0,9}", any::<i64>(), vec(any::<u8>(), 0..20), 0..8_u8), 0..6).prop_map(|list| {
        let mut table = TableBuf::new();
        for (name, number, bytes, which) in list {
            let mut inner = TableBuf::new();
            inner.push(&name, FieldValue::I64(number));
            let mut array = ArrayBuf::new();
            array.push(FieldValue::Table(inner.as_table()));
            table.push(
                &name,
                match which {
                    0 => FieldValue::Bool(number > 0),
                    1 => FieldValue::I32(number as i32),
                    2 => FieldValue::Text(&bytes),
                    3 => FieldValue::Bytes(&bytes),
                    4 => FieldValue::Table(inner.as_table()),
                    5 => FieldValue::Array(array.as_array()),
                    6 => FieldValue::Timestamp(number.cast_unsigned()),
                    _ => FieldValue::Void,
                },
            );
        }
        table
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_method_round_trips_and_waits_for_its_last_byte(fields in fields(), channel: u16) {
        for method in methods(&fields) {
            let mut out = BytesMut::new();
            method.put(&mut out, channel);
            for cut in 0..out.len() {
                prop_assert_eq!(frame(&out[..cut], 1 << 20), Ok(None));
            }
            let found = frame(&out, 1 << 20).unwrap().unwrap();
            prop_assert_eq!((found.kind, found.channel, found.len()), (1, channel, out.len()));
            prop_assert_eq!(Method::decode(found.payload), Ok(method));
            for cut in 0..found.payload.len() {
                prop_assert!(Method::decode(&found.payload[..cut]).is_err());
            }
        }
    }

    #[test]
    fn properties_round_trip(
        headers in prop::option::of(table()), mode: Option<u8>, priority: Option<u8>, timestamp: Option<u64>,
        texts in vec(prop::option::of(vec(any::<u8>(), 0..256)), 9),
    ) {
        let text = |at: usize| texts[at].as_deref();
        let properties = Properties {
            content_type: text(0), content_encoding: text(1), headers: headers.as_ref().map(TableBuf::as_table),
            delivery_mode: mode, priority, correlation_id: text(2), reply_to: text(3), expiration: text(4),
            message_id: text(5), timestamp, kind: text(6), user_id: text(7), app_id: text(8), cluster_id: None,
        };
        let mut raw = BytesMut::new();
        properties.encode(&mut raw);
        prop_assert_eq!(Properties::decode(&raw), Ok(properties));
    }
}

fn check(method: Method<'_>, drawn: Expect) {
    let mut out = BytesMut::new();
    method.put(&mut out, 1);
    drawn.assert_eq(&out.escape_ascii().to_string());
}

#[test]
fn bytes_are_as_the_specification_draws_them() {
    check(
        Method::Connection(connection::Method::TuneOk(connection::TuneOk {
            channel_max: 2047,
            frame_max: 131_072,
            heartbeat: 60,
        })),
        expect![[r"\x01\x00\x01\x00\x00\x00\x0c\x00\n\x00\x1f\x07\xff\x00\x02\x00\x00\x00<\xce"]],
    );
    check(
        Method::Basic(basic::Method::Publish(basic::Publish {
            reserved_1: Reserved::NONE,
            exchange: "x",
            routing_key: b"k",
            mandatory: true,
            immediate: false,
        })),
        expect![[r"\x01\x00\x01\x00\x00\x00\x0b\x00<\x00(\x00\x00\x01x\x01k\x01\xce"]],
    );
    check(
        Method::Basic(basic::Method::Ack(basic::Ack { delivery_tag: 5, multiple: true })),
        expect![[r"\x01\x00\x01\x00\x00\x00\r\x00<\x00P\x00\x00\x00\x00\x00\x00\x00\x05\x01\xce"]],
    );
}
