use super::*;
use motet_core::message::{BatchBuilder, FaceId, MessageParts, Properties, PublisherId};
use motet_core::spelling::mqtt;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn message(traceparent: Option<&str>) -> MessageRef {
    let mut builder = BatchBuilder::new();
    let header = |value: &str| (Box::from("traceparent"), Value::Text(value.into()));
    let headers: Vec<_> = traceparent.map(header).into_iter().collect();
    let properties = Some(Box::new(Properties { headers, ..Properties::default() }));
    builder.push(MessageParts { payload: b"x", properties, ..MessageParts::default() });
    MessageRef::new(builder.finish(mqtt::decode_name("a/b").unwrap(), PublisherId(1), FaceId::NONE), 0)
}

fn settings(sample_per_million: u32) -> Otlp {
    Otlp { sample_per_million, ..Otlp::default() }
}

#[test]
fn a_traceparent_is_read_as_its_specification_says() {
    let parent = parse(PARENT).unwrap();
    assert_eq!((parent.span, parent.sampled), (0xb7ad_6b71_6920_3331, true));
    assert_eq!(format!("{:032x}", parent.trace), "0af7651916cd43dd8448eb211c80319c");
    assert!(!parse(&PARENT.replace("-01", "-00")).unwrap().sampled);
    assert!(parse(&format!("cc{}-more", &PARENT[2..])).is_some(), "a later version may have more behind it");
    for wrong in [
        "",
        "00",
        &PARENT[..54],
        &format!("{PARENT}-more"),
        &format!("ff{}", &PARENT[2..]),
        &PARENT.to_uppercase(),
        &PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
        &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
        &PARENT.replace('-', "+"),
        "00-äf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}

#[test]
fn a_publisher_decides_for_its_messages_and_the_rate_for_the_others() {
    let never = Spans::new(settings(0));
    assert!(never.wants(&message(Some(PARENT))));
    assert!(!never.wants(&message(Some(&PARENT.replace("-01", "-00")))));
    assert!(!never.wants(&message(None)));
    let always = Spans::new(settings(1_000_000));
    assert!(always.wants(&message(None)));
    assert!(!always.wants(&message(Some(&PARENT.replace("-01", "-00")))), "the publisher has said no");
}

#[test]
fn spans_are_below_the_publisher_s() {
    let spans = Spans::new(settings(0));
    let message = message(Some(PARENT));
    for step in [
        Step::Published { by: Some("ann") },
        Step::Routed { subscribers: 1, queues: 1 },
        Step::Stored(motet_core::engine::Position(7)),
        Step::Delivered { to: "bob", acknowledged: false, redelivered: false },
        Step::Delivered { to: "cem", acknowledged: true, redelivered: false },
        Step::Acknowledged { by: "cem" },
        Step::Dropped { to: "dan" },
    ] {
        spans.saw(&Seen { number: 5, address: message.address(), message: Some(&message), step });
    }
    let waiting = spans.waiting.lock();
    let names: Vec<_> = waiting.iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["publish a/b", "store a/b", "deliver a/b", "deliver a/b", "deliver a/b"]);
    assert_eq!(waiting[0]["parentSpanId"], "b7ad6b7169203331");
    assert!(waiting.iter().all(|span| span["traceId"] == "0af7651916cd43dd8448eb211c80319c"));
    assert!(waiting[1..].iter().all(|span| span["parentSpanId"] == waiting[0]["spanId"]));
    assert_eq!(waiting[4]["status"]["code"], 2);
}

#[test]
fn spans_beyond_the_rate_are_counted() {
    let spans = Spans::new(Otlp { spans_per_second: 1, ..Otlp::default() });
    let message = message(Some(PARENT));
    for step in [Step::Published { by: None }, Step::Routed { subscribers: 0, queues: 0 }, Step::Dropped { to: "dan" }]
    {
        spans.saw(&Seen { number: 5, address: message.address(), message: Some(&message), step });
    }
    assert_eq!((spans.waiting.lock().len(), spans.lost.load(Ordering::Relaxed)), (1, 1));
}
