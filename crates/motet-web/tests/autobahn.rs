//! The cases of the Autobahn test suite that concern a server, retold as data: categories 1 to 7, 9 (smaller), 12 and 13.
//! Each case runs with its bytes at once, one by one, and in pieces of seven.

mod client;

use client::Reply::{Binary, Close, Pong, Text};
use client::{Deflater, Reply, echo, fragments, frame, replies};
use motet_web::{Accepts, Config, Deflate, WebSocket};

fn websocket(deflate: Option<Deflate>) -> WebSocket {
    WebSocket::new(Config { accepts: Accepts::Either, ..Config::default() }, deflate)
}

fn check(case: &str, frames: &[Vec<u8>], expected: &[Reply]) {
    let sent = frames.concat();
    for size in [sent.len(), 1, 7] {
        let (out, _) = echo(&mut websocket(None), &sent, size);
        assert_eq!(replies(&out, None), expected, "case {case} in pieces of {size}");
    }
}

fn text(payload: &str) -> Vec<u8> {
    frame(0x81, payload.as_bytes())
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes(), reason].concat())
}

fn said(payload: &str) -> Reply {
    Text(payload.as_bytes().to_vec())
}

#[test]
fn category_1_messages_of_every_length_form_are_echoed() {
    for len in [0, 125, 126, 127, 128, 65535, 65536] {
        check("1.1", &[frame(0x81, &vec![b'*'; len])], &[Text(vec![b'*'; len])]);
        check("1.2", &[frame(0x82, &vec![0xfe; len])], &[Binary(vec![0xfe; len])]);
    }
}

#[test]
fn category_2_pings_are_answered_and_pongs_ignored() {
    for payload in [&b""[..], b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", &[0xfe; 125]] {
        check("2.1-2.4", &[frame(0x89, payload)], &[Pong(payload.to_vec())]);
        check("2.7-2.8", &[frame(0x8a, payload), text("on")], &[said("on")]);
    }
    check("2.5", &[frame(0x89, &[0xfe; 126])], &[Close(Some(1002))]);
    check("2.9", &[frame(0x8a, b"unasked"), frame(0x89, b"asked")], &[Pong(b"asked".to_vec())]);
    let pings: Vec<_> = (0..10u8).map(|n| frame(0x89, &[n])).collect();
    let pongs: Vec<_> = (0..10u8).map(|n| Pong(vec![n])).collect();
    check("2.10", &pings, &pongs);
}

#[test]
fn category_3_reserved_bits_fail_the_connection() {
    for rsv in 1..8u8 {
        for opcode in [0x1, 0x2, 0x8, 0x9, 0xa] {
            let frames = [text("first"), frame(0x80 | rsv << 4 | opcode, b"Hello"), frame(0x89, b"")];
            check("3", &frames, &[said("first"), Close(Some(1002))]);
        }
    }
}

#[test]
fn category_4_reserved_opcodes_fail_the_connection() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in [&b""[..], b"reserved"] {
            let frames = [text("first"), frame(0x80 | opcode, payload), frame(0x89, b"")];
            check("4", &frames, &[said("first"), Close(Some(1002))]);
        }
    }
}

#[test]
fn category_5_fragments_make_messages_and_control_frames_pass_between_them() {
    let (one, two, cont) = (frame(0x01, b"fragment1"), frame(0x80, b"fragment2"), frame(0x00, b"fragment2"));
    let ping = frame(0x89, b"ping");
    let (whole, failed) = (|| said("fragment1fragment2"), || Close(Some(1002)));
    let pong = || Pong(b"ping".to_vec());

    check("5.1", &[frame(0x09, b"fragment1"), two.clone()], &[failed()]);
    check("5.2", &[frame(0x0a, b"fragment1"), two.clone()], &[failed()]);
    check("5.3", &[one.clone(), two.clone()], &[whole()]);
    check("5.6", &[one.clone(), ping.clone(), two.clone()], &[pong(), whole()]);
    check("5.9", &[two.clone(), text("Hello")], &[failed()]);
    check("5.12", &[cont.clone(), text("Hello")], &[failed()]);
    check("5.15", &[one.clone(), two.clone(), cont.clone(), text("Hello")], &[whole(), failed()]);
    check("5.18", &[one.clone(), text("fragment2")], &[failed()]);
    let middle = frame(0x00, b"-");
    check(
        "5.19",
        &[one.clone(), middle.clone(), ping.clone(), middle.clone(), middle, ping, two],
        &[pong(), pong(), said("fragment1---fragment2")],
    );
}

#[test]
fn category_6_text_is_utf8_wherever_it_is_cut() {
    let valid: &[&[u8]] = &[
        b"",
        b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
        b"\x00",
        b"\xc2\x80",
        b"\xe0\xa0\x80",
        b"\xf0\x90\x80\x80",
        b"\x7f",
        b"\xdf\xbf",
        b"\xef\xbf\xbf",
        b"\xf4\x8f\xbf\xbf",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbd",
        b"\xef\xbf\xbe",
        b"\xf0\x9f\xbf\xbe",
    ];
    for payload in valid {
        for size in 1..=payload.len().max(1) {
            check("6 valid", &[fragments(0x81, payload, size)], &[Text(payload.to_vec())]);
        }
    }
    let invalid: &[&[u8]] = &[
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xce\xba\xf4\x90\x80\x80edited",
        b"\xce",
        b"\xce\xba\xe1\xbd",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\x80",
        b"\xbf\x80",
        b"\xc0 \xc1 ",
        b"\xf0\x80\x80",
        b"\xfe",
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc1\xbf",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
    ];
    for payload in invalid {
        for size in 1..=payload.len() {
            check("6 invalid", &[fragments(0x81, payload, size)], &[Close(Some(1007))]);
        }
    }
    // 6.4: what cannot become text any more is refused before its message, even its frame, is complete.
    let early = frame(0x01, b"\xce\xba\xf4\x90\x80\x80edited");
    check("6.4", &[early[..early.len() - 7].to_vec()], &[Close(Some(1007))]);
}

#[test]
fn category_7_the_connection_closes_as_the_peer_says() {
    let normal = || Close(Some(1000));
    check("7.1.1", &[text("Hello"), close(1000, b"")], &[said("Hello"), normal()]);
    check("7.1.2", &[close(1000, b""), close(1000, b"")], &[normal()]);
    check("7.1.3", &[close(1000, b""), frame(0x89, b"")], &[normal()]);
    check("7.1.4", &[close(1000, b""), text("late")], &[normal()]);
    check("7.1.5", &[frame(0x01, b"frag"), close(1000, b""), frame(0x80, b"ment")], &[normal()]);
    check("7.3.1", &[frame(0x88, b"")], &[Close(None)]);
    check("7.3.2", &[frame(0x88, b"a")], &[Close(Some(1002))]);
    check("7.3.3", &[close(1000, b"")], &[normal()]);
    check("7.3.4", &[close(1000, b"Hello World!")], &[normal()]);
    check("7.3.5", &[close(1000, &[b'*'; 123])], &[normal()]);
    check("7.3.6", &[close(1000, &[b'*'; 124])], &[Close(Some(1002))]);
    check("7.5.1", &[close(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80")], &[Close(Some(1007))]);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        check("7.7", &[close(code, b"")], &[Close(Some(code))]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
        check("7.9", &[close(code, b"")], &[Close(Some(1002))]);
    }
}

#[test]
fn category_9_large_messages_are_echoed_whatever_their_fragments() {
    let large = vec![b'*'; 1 << 20];
    for size in [1 << 20, 1 << 16, 4096] {
        let sent = fragments(0x82, &large, size);
        for piece in [sent.len(), 1 << 16, 997] {
            let (out, error) = echo(&mut websocket(None), &sent, piece);
            assert_eq!(error, None);
            assert!(replies(&out, None) == [Binary(large.clone())], "fragments of {size}, pieces of {piece}");
        }
    }
    let small = vec![b'*'; 1 << 14];
    check("9.3", &[fragments(0x81, &small, 64)], &[Text(small)]);
}

#[test]
fn categories_12_and_13_compressed_messages_are_echoed_with_every_set_of_parameters() {
    let words = |len: usize| -> Vec<u8> {
        let noise = (0u32..).map(|n| b"etaoin shrdlu{}:,\""[(n.wrapping_mul(2_654_435_761) >> 28) as usize]);
        noise.take(len).collect()
    };
    for (takeover, bits) in [(false, 15), (true, 15), (false, 9), (true, 9), (true, 8), (false, 12)] {
        let deflate = Deflate {
            server_no_context_takeover: !takeover,
            client_no_context_takeover: !takeover,
            server_max_window_bits: bits.max(9),
            client_max_window_bits: bits,
        };
        let mut deflater = Deflater::new(&deflate);
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (index, len) in [0, 16, 64, 256, 1024, 4096, 8192, 16384, 32768, 65536, 131072].into_iter().enumerate() {
            let message = words(len);
            let size = if index % 2 == 0 { usize::MAX } else { 1000 };
            sent.extend(fragments(0xc1, &deflater.message(&message), size));
            expected.push(Text(message.clone()));
            // A message may be sent without compression at any time.
            sent.extend(fragments(0x82, &message, size));
            expected.push(Binary(message));
        }
        for size in [sent.len(), 4096, 1] {
            let (out, error) = echo(&mut websocket(Some(deflate)), &sent, size);
            assert_eq!(error, None);
            assert!(replies(&out, Some(&deflate)) == expected, "{deflate:?} in pieces of {size}");
        }
    }
}
