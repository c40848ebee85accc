//! What is kept, translated and lost.

use super::*;

fn at(ms: u64) -> Now {
    Now { wall: WallMillis(ms), ..Now::default() }
}

fn canonical(wire: &Wire<'_>) -> Properties {
    *to_canonical(wire).expect("it says something")
}

fn back(now: Now, message: &Message, added: Added<'_>) -> BytesMut {
    let mut raw = BytesMut::new();
    from_canonical(now, message, added, &mut raw);
    raw
}

#[test]
fn expirations_are_numbers_or_refused_with_rabbitmqs_words() {
    let read = |text: &str| expires_at(at(1_000), Some(text.as_bytes())).map_err(|error| error.to_string());
    assert_eq!(read("500"), Ok(Some(WallMillis(1_500))));
    assert_eq!(read("0"), Ok(Some(WallMillis(1_000))));
    assert_eq!(read("abc"), Err("no_integer".into()));
    assert_eq!(read(""), Err("no_integer".into()));
    assert_eq!(read("10x"), Err("{leftover_string,\"x\"}".into()));
    assert_eq!(read("-1"), Err("{value_negative,-1}".into()));
    assert!(read(&"9".repeat(60)).is_err());
    assert_eq!(expires_at(at(0), None), Ok(None));
}

#[test]
fn properties_survive_the_way_through_the_canonical_form() {
    let mut headers = TableBuf::new();
    headers.push("n", FieldValue::I64(7));
    headers.push("t", FieldValue::Text("é".as_bytes()));
    let wire = Wire {
        content_type: Some(b"text/plain"),
        content_encoding: Some(b"gzip"),
        headers: Some(headers.as_table()),
        delivery_mode: Some(2),
        priority: Some(3),
        correlation_id: Some(b"\xff\x00"),
        reply_to: Some(b"replies"),
        message_id: Some(b"m"),
        timestamp: Some(12),
        kind: Some(b"kind"),
        app_id: Some(b"app"),
        user_id: Some(b"guest"),
        ..Wire::default()
    };
    let mut message = Message::default();
    message.reliability = reliability(wire.delivery_mode);
    message.properties = Some(Box::new(canonical(&wire)));
    let raw = back(at(0), &message, Added::default());
    assert_eq!(Wire::decode(&raw), Ok(wire));
}

#[test]
fn a_plain_message_has_no_properties() {
    assert_eq!(to_canonical(&Wire { delivery_mode: Some(2), ..Wire::default() }), None);
    assert_eq!(to_canonical(&Wire::default()), None);
}

#[test]
fn headers_that_repeat_become_an_array_and_long_correlations_a_header() {
    let mut message = Message::default();
    let long = Bytes::from(vec![7; 300]);
    message.properties = Some(Box::new(Properties {
        correlation: Some(long.clone()),
        headers: vec![
            ("a".into(), Value::Text("1".into())),
            ("b".into(), Value::Null),
            ("a".into(), Value::Text("2".into())),
        ],
        ..Properties::default()
    }));
    let raw = back(
        at(0),
        &message,
        Added { retained: true, long_key: Some(b"k"), delivery_count: Some(2), stream_offset: None },
    );
    let wire = Wire::decode(&raw).expect("well-formed");
    let headers = wire.headers.expect("there are some");
    let Some(FieldValue::Array(array)) = headers.get("a") else { panic!("an array") };
    assert_eq!(array.iter().collect::<Vec<_>>(), [FieldValue::Text(b"1"), FieldValue::Text(b"2")]);
    assert_eq!(headers.get("b"), Some(FieldValue::Void));
    assert_eq!(headers.get("x-retained"), Some(FieldValue::Bool(true)));
    assert_eq!(headers.get("x-topic"), Some(FieldValue::Text(b"k")));
    assert_eq!(headers.get("x-delivery-count"), Some(FieldValue::I64(2)));
    assert_eq!((wire.correlation_id, canonical(&wire).correlation), (None, Some(long)));
}

#[test]
fn a_topic_is_a_reply_address_through_a_pseudo_queue() {
    let topic = Name::from_segments(["device", "1.0", "reply"]).expect("a name");
    let mut message = Message::default();
    message.properties =
        Some(Box::new(Properties { reply_to: Some(ReplyAddress::Topic(topic.clone())), ..Properties::default() }));
    let raw = back(at(0), &message, Added::default());
    let wire = Wire::decode(&raw).expect("well-formed");
    assert_eq!(wire.reply_to, Some(&b"amq.topic.reply.device.1%2E0.reply"[..]));
    assert_eq!(canonical(&wire).reply_to, Some(ReplyAddress::Topic(topic)));
}

#[test]
fn what_expires_counts_down_towards_amqp() {
    let mut message = Message::default();
    message.expires_at = Some(WallMillis(5_000));
    let raw = back(at(3_500), &message, Added::default());
    assert_eq!(Wire::decode(&raw).expect("well-formed").expiration, Some(&b"1500"[..]));
}

#[test]
fn blind_copies_are_not_forwarded() {
    let mut keys = ArrayBuf::new();
    keys.push(FieldValue::Text(b"secret"));
    let mut headers = TableBuf::new();
    headers.push("BCC", FieldValue::Array(keys.as_array()));
    headers.push("CC", FieldValue::Array(keys.as_array()));
    let mut raw = BytesMut::new();
    without_bcc(&Wire { headers: Some(headers.as_table()), ..Wire::default() }, &mut raw);
    let left = Wire::decode(&raw).expect("well-formed").headers.expect("CC is left");
    assert_eq!(left.iter().map(|(name, _)| name).collect::<Vec<_>>(), [b"CC"]);
}

/// Each is looked at a few times, not once for each of the others: else this test would not end.
#[test]
fn as_many_headers_as_a_publisher_can_send_cross() {
    const NAMES: i64 = 50_000;
    let name = |n: i64| -> Box<str> { (n % NAMES).to_string().into() };
    let headers: Vec<(Box<str>, Value)> = (0..2 * NAMES).map(|n| (name(n), Value::Int(n))).collect();
    let mut message = Message::default();
    message.properties = Some(Box::new(Properties { headers, ..Properties::default() }));
    let raw = back(at(0), &message, Added::default());
    // Several of one name are one list, where its first was.
    let wire = Wire::decode(&raw).unwrap();
    let came: Vec<(Box<str>, Value)> =
        fields(wire.headers.unwrap()).map(|(name, value)| (name.into(), value)).collect();
    let lists: Vec<(Box<str>, Value)> =
        (0..NAMES).map(|n| (name(n), Value::List(vec![Value::Int(n), Value::Int(n + NAMES)]))).collect();
    assert_eq!(came, lists);
    assert_eq!(canonical(&wire).headers[..], lists, "and as many come in");
    // The same list again, with what happened since.
    let mut again = BytesMut::new();
    from_origin(&raw, &message, Added::default(), &mut again);
    assert_eq!(again, raw);
}
