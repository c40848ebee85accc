//! Nanoseconds per PUBLISH: `cargo bench -p motet-mqtt --bench codec`. Best of many short rounds.
#![allow(clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use motet_mqtt::packet::{
    Encode, PacketIdentifier, Place, Properties, PropertiesBuf, Property, Publish, PublishHead, QoS, Version, frame,
    patch_packet_identifier,
};

const ROUNDS: usize = 60;
const CALLS: u32 = 20_000;

fn measure(name: &str, mut call: impl FnMut()) {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..CALLS {
            call();
        }
        best = best.min(start.elapsed());
    }
    println!("{name:<48} {:>7.1} ns", best.as_nanos() as f64 / f64::from(CALLS));
}

fn main() {
    let mut three = PropertiesBuf::new();
    for property in [
        Property::MessageExpiryInterval(60),
        Property::ContentType("application/json"),
        Property::UserProperty("trace", "0123456789abcdef"),
    ] {
        three.push(Place::Publish, property).expect("allowed in PUBLISH");
    }
    let payload = [0x55; 1024];
    for (name, version, properties, size) in [
        ("3.1.1, 64 B", Version::V311, Properties::EMPTY, 64),
        ("5.0, no properties, 64 B", Version::V5, Properties::EMPTY, 64),
        ("5.0, 3 properties, 64 B", Version::V5, three.as_properties(), 64),
        ("5.0, 3 properties, 1 KiB", Version::V5, three.as_properties(), 1024),
    ] {
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "sensors/building7/room12/t01",
            packet_identifier: PacketIdentifier::new(7),
            properties,
            payload: &payload[..size],
        };
        let mut out = Vec::with_capacity(4096);
        publish.encode(version, &mut out);
        let bytes = out.clone();
        measure(&format!("decode {name}"), || {
            let found = frame(black_box(&bytes), 1 << 20).expect("valid").expect("complete");
            black_box(Publish::decode(found, version).expect("valid"));
        });
        measure(&format!("encode {name}"), || {
            out.clear();
            black_box(&publish).encode(version, &mut out);
            black_box(&out);
        });
    }
    heads(&three);
}

fn heads(three: &PropertiesBuf) {
    let forwarded = three.as_properties().without(PublishHead::PER_SUBSCRIBER);
    let head = PublishHead {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: "sensors/building7/room12/t01",
        packet_identifier: PacketIdentifier::new(7),
        topic_alias: None,
        message_expiry_interval: Some(59),
        subscription_identifiers: &[],
        properties: forwarded.as_properties(),
        payload_len: 64,
    };
    let mut out = Vec::with_capacity(4096);
    measure("head 5.0, 3 properties", || {
        out.clear();
        black_box(black_box(&head).encode(Version::V5, &mut out));
        black_box(&out);
    });
    out.clear();
    let at = head.encode(Version::V5, &mut out).expect("QoS 1");
    let identifier = PacketIdentifier::MAX;
    measure("patch packet identifier", || patch_packet_identifier(black_box(&mut out), at, black_box(identifier)));
}
