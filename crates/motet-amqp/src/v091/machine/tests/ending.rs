//! Ends, and what they leave to others.

use super::bench::*;
use crate::v091::packet::*;
use motet_core::mailbox::{KickReason, Notice};
use std::time::Duration;

#[test]
fn an_orderly_end_is_agreed() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    let close = connection::Close { reply_code: 200, reply_text: "bye", class_id: 0, method_id: 0 };
    assert_eq!(bench.say(&mut peer, 0, &close), ["0 connection.close-ok", "closed"]);
}

#[test]
fn unacknowledged_messages_of_a_lost_connection_go_to_the_next() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.publish(&mut peer, "", "q", "x");
    bench.consume(&mut peer, "q", "c", false);
    bench.cut(&mut peer);
    let mut next = bench.join();
    assert_eq!(bench.get(&mut next, "q", false), ["1 get-ok #1 again :q left 0 'x'"]);
    assert_eq!(
        bench.say(&mut next, 1, &channel::Close { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 }),
        ["1 channel.close-ok"]
    );
    let mut last = bench.join();
    assert_eq!(bench.get(&mut last, "q", true), ["1 get-ok #1 again :q left 0 'x'"]);
}

#[test]
fn a_server_that_goes_down_says_so() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.notify(&peer, Notice::Kicked(KickReason::ServerShuttingDown));
    let text = "320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0.0)";
    assert_eq!(bench.hear(&mut peer), [format!("0 connection.close {text}")]);
    assert_eq!(bench.say(&mut peer, 1, &tx::Select {}), [""; 0], "nothing but the end is heard");
    assert_eq!(bench.say(&mut peer, 0, &connection::CloseOk {}), ["closed"]);
}

#[test]
fn who_does_not_agree_to_the_end_is_closed_at_the_deadline() {
    let mut bench = Bench::new();
    let mut peer = bench.join();
    bench.send(&mut peer, &[9, 0, 1, 0, 0, 0, 0, 0xCE]);
    bench.pass(bench.config.close_timeout);
    assert_eq!(bench.timeout(&mut peer), ["closed"]);
}

#[test]
fn broken_frames_end_the_connection_with_501() {
    let cases: [(&[u8], &str); 4] = [
        (&[9, 0, 1, 0, 0, 0, 0, 0xCE], "type 9, all octets = <<>>: unknown_frame (0.0)"),
        (&[8, 0, 0, 0, 0, 0, 1, 5, 0xCE], "type 8, all octets = <<5>>: unknown_frame (0.0)"),
        (&[1, 0, 1, 0, 0, 0, 0, 0], "type 1, invalid frame end marker 0 (0.0)"),
        (&[3, 0, 1, 0x7f, 0, 0, 0], "type 3, all octets = <<>>: {frame_too_large,2130706432,131064} (0.0)"),
    ];
    for (bytes, text) in cases {
        let mut bench = Bench::new();
        let mut peer = bench.join();
        assert_eq!(bench.send(&mut peer, bytes), [format!("0 connection.close 501 FRAME_ERROR - {text}")]);
    }
}

#[test]
fn methods_that_cannot_be_read_end_the_connection() {
    let cases: [(&[u8], &str); 3] = [
        (&[1, 0, 1, 0, 0, 0, 4, 0, 99, 0, 1, 0xCE], "503 COMMAND_INVALID - unknown method {99,1} (99.1)"),
        (
            &[1, 0, 1, 0, 0, 0, 5, 0, 90, 0, 10, 7, 0xCE],
            "501 FRAME_ERROR - bytes are left behind the last field (90.10)",
        ),
        (&[8, 0, 1, 0, 0, 0, 0, 0xCE], "505 UNEXPECTED_FRAME - type 8, all octets = <<>> (0.0)"),
    ];
    for (bytes, text) in cases {
        let mut bench = Bench::new();
        let mut peer = bench.join();
        assert_eq!(bench.send(&mut peer, bytes), [format!("0 connection.close {text}")]);
    }
}

#[test]
fn a_consumer_that_never_acknowledges_loses_its_channel_where_that_is_configured() {
    let mut bench = Bench::new();
    bench.config.delivery_ack_timeout = Some(Duration::from_secs(10));
    let mut peer = bench.join();
    bench.declare(&mut peer, "q", false);
    bench.publish(&mut peer, "", "q", "x");
    bench.consume(&mut peer, "q", "c", false);
    bench.pass(Duration::from_secs(10));
    let told = bench.timeout(&mut peer);
    assert!(told[0].starts_with("1 channel.close 406 PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 10000 ms."), "{told:?}");
    let mut other = bench.join();
    assert_eq!(bench.get(&mut other, "q", true), ["1 get-ok #1 again :q left 0 'x'"]);
}
