//! MQTT: the codec, and the machine behind it.

use crate::wire::{Bench, Durability, Face, Pace, World};
use motet_mqtt::packet::{Connect, Encode, Properties, Version, frame, fuzz_decode};

/// What is accepted survives being written and read again, in each version.
pub fn mqtt_codec(data: &[u8]) {
    fuzz_decode(data);
}

/// A machine comes to rest whatever comes, whole or byte by byte, and what it says is MQTT.
///
/// # Panics
/// If it spins, or says something that is no packet.
pub fn mqtt_machine(data: &[u8]) {
    for pace in [Pace::Whole, Pace::Bytes] {
        for heard in converse(data, pace) {
            let mut rest = heard.as_slice();
            while let Some(found) = frame(rest, u32::MAX).expect("a server sends packets") {
                rest = &rest[found.bytes.len()..];
            }
            assert!(rest.is_empty(), "a server sends whole packets");
        }
    }
}

/// What each of two clients hears: one that sends `data` after a good CONNECT in the version the first byte picks,
/// and one that sends it as it is.
fn converse(data: &[u8], pace: Pace) -> [Vec<u8>; 2] {
    // Byte by byte is slow by nature.
    let data = &data[..data.len().min(4096)];
    let mut bench = Bench::new(Durability::AtOnce, pace, &[]).expect("no settings, no wrong ones");
    bench.open("raw", Face::Mqtt);
    bench.send("raw", data);
    let version = match data.first().map_or(0, |byte| byte % 3) {
        0 => Version::V5,
        1 => Version::V311,
        _ => Version::V31,
    };
    bench.open("known", Face::Mqtt);
    bench.send("known", &connect(version));
    bench.send("known", data);
    bench.pass(std::time::Duration::from_secs(60));
    ["raw", "known"].map(|client| {
        let mut heard = Vec::new();
        bench.receive(client, false, &mut heard);
        heard
    })
}

fn connect(version: Version) -> Vec<u8> {
    let connect = Connect {
        version,
        clean_start: false,
        keep_alive_secs: 30,
        properties: Properties::EMPTY,
        client_identifier: "known",
        will: None,
        user_name: None,
        password: None,
    };
    let mut out = Vec::new();
    connect.encode(version, &mut out);
    out
}
