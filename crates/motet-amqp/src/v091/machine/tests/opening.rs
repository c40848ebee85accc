//! From the first byte to an open channel.

use super::bench::*;
use crate::v091::packet::*;
use std::time::Duration;

#[test]
fn another_protocol_is_told_ours_and_closed() {
    let mut bench = Bench::new();
    let mut peer = bench.peer();
    assert_eq!(bench.send(&mut peer, b"AMQP\x00\x01\x00\x00"), ["AMQP 0-9-1", "closed"]);
}

#[test]
fn a_header_byte_by_byte_is_answered_once_it_is_whole() {
    let mut bench = Bench::new();
    let mut peer = bench.peer();
    for byte in &PROTOCOL_HEADER[..7] {
        assert!(bench.send(&mut peer, &[*byte]).is_empty());
    }
    assert_eq!(bench.send(&mut peer, &PROTOCOL_HEADER[7..]), ["0 connection.start PLAIN AMQPLAIN"]);
}

fn log_in(bench: &mut Bench, mechanism: &str, response: &[u8], hears: bool) -> Lines {
    let mut peer = bench.peer();
    bench.send(&mut peer, &PROTOCOL_HEADER);
    let mut capabilities = TableBuf::new();
    capabilities.push("authentication_failure_close", FieldValue::Bool(hears));
    let mut properties = TableBuf::new();
    properties.push("capabilities", FieldValue::Table(capabilities.as_table()));
    let client_properties = properties.as_table();
    let start_ok =
        connection::StartOk { client_properties, mechanism, response: LongString(response), locale: "en_US" };
    bench.say(&mut peer, 0, &start_ok)
}

#[test]
fn a_wrong_password_is_refused_with_403_where_the_client_wants_to_know() {
    let mut bench = Bench::new();
    let refused = "0 connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For \
                   details see the broker logfile. (0.0)";
    assert_eq!(log_in(&mut bench, "PLAIN", b"\0mallory\0x", true), [refused]);
    assert_eq!(log_in(&mut bench, "PLAIN", b"\0mallory\0x", false), ["closed"]);
}

#[test]
fn amqplain_is_a_table_and_other_mechanisms_are_unknown() {
    let mut bench = Bench::new();
    let mut table = TableBuf::new();
    table.push("LOGIN", FieldValue::Text(b"guest"));
    table.push("PASSWORD", FieldValue::Text(b"guest"));
    let response = table.as_table().as_bytes().to_vec();
    assert_eq!(log_in(&mut bench, "AMQPLAIN", &response, true), ["0 connection.tune 2047 131072 60"]);
    let unknown = "0 connection.close 503 COMMAND_INVALID - unknown authentication mechanism 'KERBEROS' (10.11)";
    assert_eq!(log_in(&mut bench, "KERBEROS", b"", true), [unknown]);
}

#[test]
fn terms_beyond_ours_are_refused() {
    for (channel_max, frame_max, text) in [
        (0, 131_072, "channel_max = 0 (no limit) is higher than the maximum allowed value (2047)"),
        (3000, 131_072, "channel_max = 3000 is higher than the maximum allowed value (2047)"),
        (10, 0, "frame_max = 0 (no limit) is higher than the maximum allowed value (131072)"),
        (10, 4095, "frame_max = 4095 is lower than the minimum allowed value (4096)"),
    ] {
        let mut bench = Bench::new();
        let mut peer = bench.peer();
        bench.send(&mut peer, &PROTOCOL_HEADER);
        let (client_properties, locale) = (FieldTable::EMPTY, "en_US");
        let response = LongString(b"\0guest\0guest");
        bench.say(&mut peer, 0, &connection::StartOk { client_properties, mechanism: "PLAIN", response, locale });
        let told = bench.say(&mut peer, 0, &connection::TuneOk { channel_max, frame_max, heartbeat: 0 });
        assert_eq!(told, [format!("0 connection.close 530 NOT_ALLOWED - negotiated {text} (10.30)")]);
    }
}

#[test]
fn a_vhost_that_is_not_there_is_530() {
    let mut bench = Bench::new();
    let mut peer = bench.peer();
    bench.send(&mut peer, &PROTOCOL_HEADER);
    let (client_properties, locale) = (FieldTable::EMPTY, "en_US");
    let response = LongString(b"\0guest\0guest");
    bench.say(&mut peer, 0, &connection::StartOk { client_properties, mechanism: "PLAIN", response, locale });
    bench.say(&mut peer, 0, &connection::TuneOk { channel_max: 1, frame_max: 4096, heartbeat: 0 });
    let told = bench.say(&mut peer, 0, &open("elsewhere"));
    assert_eq!(told, ["0 connection.close 530 NOT_ALLOWED - vhost elsewhere not found (10.40)"]);
    assert_eq!(bench.say(&mut peer, 0, &connection::CloseOk {}), ["closed"]);
}

#[test]
fn who_says_nothing_is_closed_at_the_deadline() {
    let mut bench = Bench::new();
    let mut peer = bench.peer();
    bench.timeout(&mut peer);
    bench.pass(bench.config.connect_timeout);
    assert_eq!(bench.timeout(&mut peer), ["closed"]);
}

#[test]
fn channels_are_opened_once_and_first() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let twice = "0 connection.close 504 CHANNEL_ERROR - second 'channel.open' seen (20.10)";
    assert_eq!(bench.say(&mut peer, 1, &channel_open()), [twice]);
    let mut peer = bench.connect();
    let closed = "0 connection.close 504 CHANNEL_ERROR - expected 'channel.open' (90.10)";
    assert_eq!(bench.say(&mut peer, 9, &tx::Select {}), [closed]);
}

#[test]
fn one_channel_too_many_is_530() {
    let mut bench = Bench::new();
    bench.config.channels_max = 2;
    let mut peer = bench.peer();
    bench.send(&mut peer, &PROTOCOL_HEADER);
    let (client_properties, locale) = (FieldTable::EMPTY, "en_US");
    let response = LongString(b"\0guest\0guest");
    bench.say(&mut peer, 0, &connection::StartOk { client_properties, mechanism: "PLAIN", response, locale });
    bench.say(&mut peer, 0, &connection::TuneOk { channel_max: 2, frame_max: 4096, heartbeat: 0 });
    bench.say(&mut peer, 0, &open("/"));
    for channel in [7, 65_000] {
        assert_eq!(bench.say(&mut peer, channel, &channel_open()), [format!("{channel} channel.open-ok")]);
    }
    let text = "number of channels opened (2) has reached the negotiated channel_max (2)";
    let told = bench.say(&mut peer, 3, &channel_open());
    assert_eq!(told, [format!("0 connection.close 530 NOT_ALLOWED - {text} (0.0)")]);
}

#[test]
fn heartbeats_go_out_at_half_the_interval_and_silence_ends_at_twice() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.timeout(&mut peer), ["heartbeat"]);
    let mut beat = bytes::BytesMut::new();
    put_heartbeat(&mut beat);
    bench.send(&mut peer, &beat);
    bench.pass(Duration::from_secs(119));
    assert_eq!(bench.timeout(&mut peer), ["heartbeat"]);
    assert!(peer.deadline().is_some());
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.timeout(&mut peer), ["closed"]);
}

#[test]
fn nobody_acts_as_somebody_else() {
    let mut bench = Bench::new();
    let let_in = log_in(&mut bench, "PLAIN", b"guest\0guest\0guest", true);
    assert!(let_in[0].starts_with("0 connection.tune"), "{let_in:?}");
    let refused = log_in(&mut bench, "PLAIN", b"admin\0guest\0guest", true);
    assert!(refused[0].contains("403 ACCESS_REFUSED - Login was refused"), "{refused:?}");
}

#[test]
fn a_new_secret_for_a_password_is_taken_and_changes_nothing() {
    let mut bench = Bench::new();
    let mut peer = bench.connect();
    let update = connection::UpdateSecret { new_secret: LongString(b"another"), reason: "r" };
    assert_eq!(bench.say(&mut peer, 0, &update), ["0 connection.update-secret-ok"]);
}
