//! Whatever a peer sends: nothing panics, bounds hold, and what one side wrote the other side reads.

mod client;

use client::{Deflater, Reply, echo, fragments, frame, replies, stream};
use motet_web::{Accepts, Config, Deflate, Progress, UpgradeRequest, WebSocket, WsError, accept};
use proptest::prelude::*;

const BOUND: usize = 4096;

fn config() -> Config {
    Config {
        accepts: Accepts::Either,
        message_bytes_max: BOUND as u64,
        read_bytes_max: 300,
        compress_bytes_min: 20,
        ..Config::default()
    }
}

fn deflate() -> impl Strategy<Value = Option<Deflate>> {
    let some = (any::<bool>(), any::<bool>(), 9..=15u8, 8..=15u8).prop_map(|(server, client, ours, theirs)| Deflate {
        server_no_context_takeover: server,
        client_no_context_takeover: client,
        server_max_window_bits: ours,
        client_max_window_bits: theirs,
    });
    proptest::option::of(some)
}

/// Frames that look plausible, so that random input reaches the deeper rules.
fn plausible_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => prop::sample::select(vec![0x82u8, 0x81, 0x02, 0x01, 0x00, 0x80, 0xc2, 0xc1, 0x42, 0x89, 0x8a]),
        1 => any::<u8>(),
    ];
    let payload =
        prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), "\\PC{0,40}".prop_map(String::into_bytes)];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

/// Small, seeded and enough for noise.
fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
}

#[test]
fn seeded_noise_never_panics() {
    let deflate = Deflate {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    };
    for seed in 0..3000 {
        let bytes: Vec<u8> = noise(seed * 7919 + 1).take(300).collect();
        let deflate = (seed % 2 == 0).then_some(deflate);
        let _ = stream(&mut WebSocket::new(config(), deflate), &bytes, 1 + seed as usize % 50);
        // The same noise as the payload of a compressed message and of a text.
        for first in [0xc2, 0x81] {
            let sent = fragments(first, &bytes, 1 + seed as usize % 90);
            echo(&mut WebSocket::new(config(), deflate), &sent, 64);
        }
    }
}

proptest! {
    #[test]
    fn what_a_client_sends_is_what_is_read(
        deflate in deflate(),
        messages in proptest::collection::vec((any::<bool>(), "\\PC{0,300}", 1..200usize), 0..8),
        size in 1..500usize,
    ) {
        let mut deflater = deflate.as_ref().map(Deflater::new);
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (compress, text, fragment) in messages {
            let (first, payload) = match &mut deflater {
                Some(deflater) if compress => (0xc1, deflater.message(text.as_bytes())),
                _ => (0x81, text.clone().into_bytes()),
            };
            sent.extend(fragments(first, &payload, fragment));
            expected.push(Reply::Text(text.into_bytes()));
        }
        let (out, error) = echo(&mut WebSocket::new(config(), deflate), &sent, size);
        prop_assert_eq!(error, None);
        prop_assert_eq!(replies(&out, deflate.as_ref()), expected);
    }

    #[test]
    fn the_result_does_not_depend_on_how_the_input_is_cut(
        deflate in deflate(),
        frames in proptest::collection::vec(plausible_frame(), 0..12),
        size in 1..100usize,
    ) {
        let sent = frames.concat();
        let whole = stream(&mut WebSocket::new(config(), deflate), &sent, sent.len());
        let pieces = stream(&mut WebSocket::new(config(), deflate), &sent, size);
        if whole.1.is_ok() {
            prop_assert_eq!(&whole, &pieces);
        } else {
            // A payload with two faults is refused for the one that is met first, which depends on what has arrived
            // when the text is judged. The peer sees the same code either way.
            let close_code = |end: &Result<Progress, WsError>| end.as_ref().err().map(WsError::close_code);
            prop_assert_eq!(close_code(&whole.1), close_code(&pieces.1));
        }
        echo(&mut WebSocket::new(config(), deflate), &sent, size);
    }

    #[test]
    fn no_handshake_panics(headers in proptest::collection::vec((0..8usize, "[ -~]{0,40}"), 0..10)) {
        const NAMES: [&str; 8] = [
            "host", "origin", "connection", "upgrade", "sec-websocket-key", "sec-websocket-version",
            "sec-websocket-protocol", "sec-websocket-extensions",
        ];
        let mut lines: Vec<(&str, &[u8])> = vec![
            ("host", b"localhost"), ("connection", b"upgrade"), ("upgrade", b"websocket"),
            ("sec-websocket-version", b"13"), ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        for (name, value) in &headers {
            lines.retain(|(present, _)| *present != NAMES[*name]);
            lines.push((NAMES[*name], value.as_bytes()));
        }
        let _ = accept(&UpgradeRequest::new("GET", (1, 1), "/", lines), &motet_web::Policy::default());
    }
}
