//! A connection from open to closed: streaming, bounds, closing, compression.

mod client;

use bytes::BytesMut;
use client::{Deflater, Reply, echo, fragments, frame, replies, stream};
use motet_web::{Accepts, CloseCode, Config, Deflate, Kind, Progress, State, WebSocket, WsError};

const FRESH: Deflate = Deflate {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

fn websocket(config: Config) -> WebSocket {
    WebSocket::new(config, None)
}

/// Reads `input` at once; gives the progress, the payload and the replies.
fn read(websocket: &mut WebSocket, input: &[u8]) -> (Result<Progress, WsError>, Vec<u8>, Vec<Reply>) {
    let (mut input, mut payload, mut out) = (BytesMut::from(input), BytesMut::new(), BytesMut::new());
    let progress = websocket.read(&mut input, &mut payload, &mut out);
    (progress, payload.to_vec(), replies(&out, None))
}

#[test]
fn a_stream_does_not_care_where_frames_and_messages_end() {
    // [MQTT-6.0.0-4]
    let sent = [frame(0x82, b"ab"), frame(0x82, b""), fragments(0x82, b"cdef", 1), frame(0x89, b""), frame(0x82, b"g")];
    let sent = sent.concat();
    for size in 1..=sent.len() {
        let (payload, last) = stream(&mut websocket(Config::default()), &sent, size);
        assert_eq!((&payload[..], last), (&b"abcdefg"[..], Ok(Progress::NeedInput)));
    }
}

#[test]
fn a_stream_is_given_what_has_arrived_of_a_long_frame() {
    let mut websocket = websocket(Config::default());
    let sent = frame(0x82, &vec![7; 1 << 20]);
    assert_eq!(read(&mut websocket, &sent[..1014]), (Ok(Progress::NeedInput), vec![7; 1000], vec![]));
    assert_eq!(read(&mut websocket, &sent[1014..1015]), (Ok(Progress::NeedInput), vec![7; 1], vec![]));
}

#[test]
fn one_read_gives_no_more_than_its_bound() {
    let mut websocket = websocket(Config { read_bytes_max: 10, ..Config::default() });
    let mut input = BytesMut::from(&[frame(0x82, &[1; 25]), frame(0x82, &[2; 5])].concat()[..]);
    let mut out = BytesMut::new();
    let mut seen = Vec::new();
    loop {
        let mut payload = BytesMut::new();
        let progress = websocket.read(&mut input, &mut payload, &mut out).unwrap();
        assert!(payload.len() <= 10);
        seen.extend_from_slice(&payload);
        if progress == Progress::NeedInput {
            break;
        }
    }
    assert_eq!(seen, [&[1; 25][..], &[2; 5]].concat());
}

#[test]
fn the_wrong_kind_of_message_closes_with_1003() {
    // [MQTT-6.0.0-1]
    for (accepts, first) in [(Accepts::Binary, 0x81), (Accepts::Text, 0x82)] {
        let mut websocket = websocket(Config { accepts, ..Config::default() });
        let (progress, _, replies) = read(&mut websocket, &frame(first, b"x"));
        assert!(matches!(progress, Err(WsError::UnacceptableKind(_))));
        assert_eq!(replies, [Reply::Close(Some(1003))]);
        assert_eq!(websocket.state(), State::Closed);
        assert_eq!(read(&mut websocket, &frame(0x82, b"more")), (Ok(Progress::Closed), vec![], vec![]));
    }
}

#[test]
fn an_unmasked_frame_closes_with_1002() {
    let (progress, _, replies) = read(&mut websocket(Config::default()), b"\x82\x03abc");
    assert_eq!(progress, Err(WsError::Unmasked));
    assert_eq!(replies, [Reply::Close(Some(1002))]);
}

#[test]
fn frames_and_messages_above_their_bounds_close_with_1009_at_their_header() {
    let config = Config { frame_bytes_max: 100, message_bytes_max: 150, ..Config::default() };
    let (progress, payload, replies) = read(&mut websocket(config.clone()), &frame(0x82, &[0; 101])[..14]);
    assert_eq!((progress, payload.len()), (Err(WsError::FrameTooBig { len: 101, max: 100 }), 0));
    assert_eq!(replies, [Reply::Close(Some(1009))]);

    let (progress, payload, _) = read(&mut websocket(config.clone()), &fragments(0x82, &[0; 151], 100));
    assert_eq!((progress, payload.len()), (Err(WsError::MessageTooBig { max: 150 }), 100));
    let (progress, payload, _) = read(&mut websocket(config), &fragments(0x82, &[0; 150], 100));
    assert_eq!((progress, payload.len()), (Ok(Progress::NeedInput), 150));
}

#[test]
fn a_bomb_is_stopped_while_it_inflates() {
    let bomb = frame(0xc2, &Deflater::new(&FRESH).message(&vec![0; 4 << 20]));
    assert!(bomb.len() < 5000);
    let config = Config { message_bytes_max: 100_000, ..Config::default() };
    let (mut input, mut out) = (BytesMut::from(&bomb[..]), BytesMut::new());
    let mut collected = WebSocket::new(config.clone(), Some(FRESH));
    assert_eq!(collected.read_message(&mut input, &mut out), Err(WsError::MessageTooBig { max: 100_000 }));
    assert_eq!(replies(&out, None), [Reply::Close(Some(1009))]);

    let (payload, last) = stream(&mut WebSocket::new(config, Some(FRESH)), &bomb, 1);
    assert_eq!((payload.len(), last), (100_001, Err(WsError::MessageTooBig { max: 100_000 })));
}

#[test]
fn a_compressed_stream_is_given_out_in_bounded_portions() {
    let message: Vec<u8> = (0..300_000u32).map(|n| (n / 1000) as u8).collect();
    let sent = fragments(0xc2, &Deflater::new(&FRESH).message(&message), 100);
    for (size, read_bytes_max) in [(1, 1000), (sent.len(), 1000), (sent.len(), 1), (50, 1 << 20)] {
        let mut websocket = WebSocket::new(Config { read_bytes_max, ..Config::default() }, Some(FRESH));
        let (payload, last) = stream(&mut websocket, &sent, size);
        assert_eq!(last, Ok(Progress::NeedInput));
        assert!(payload == message, "pieces of {size}, reads of {read_bytes_max}");
    }
}

#[test]
fn damaged_compressed_data_closes_with_1007() {
    let mut websocket = WebSocket::new(Config::default(), Some(FRESH));
    let (progress, _, replies) = read(&mut websocket, &frame(0xc2, b"\xff\xff\xff\xff"));
    assert_eq!(progress, Err(WsError::Deflate));
    assert_eq!(replies, [Reply::Close(Some(1007))]);
}

#[test]
fn rsv1_belongs_to_the_first_frame_of_a_compressed_message() {
    for frames in [[frame(0x42, b"\x00"), frame(0xc0, b"")], [frame(0xc9, b""), frame(0x82, b"")]] {
        let mut websocket = WebSocket::new(Config::default(), Some(FRESH));
        assert_eq!(read(&mut websocket, &frames.concat()).0, Err(WsError::ReservedBits));
    }
}

#[test]
fn of_a_flood_of_pings_only_the_last_is_answered() {
    let mut websocket = websocket(Config { pongs_per_read_max: 2, ..Config::default() });
    let pings: Vec<u8> = (0..9u8).flat_map(|n| frame(0x89, &[n])).collect();
    let pong = |n| Reply::Pong(vec![n]);
    assert_eq!(read(&mut websocket, &pings).2, [pong(0), pong(1), pong(8)]);
    assert_eq!(read(&mut websocket, &pings[..14]).2, [pong(0), pong(1)]);
}

#[test]
fn the_machine_above_may_answer_before_the_close_is_answered() {
    let mut websocket = websocket(Config::default());
    let sent = [frame(0x82, b"last words"), frame(0x88, b"\x0f\xa0gone"), frame(0x82, b"late")].concat();
    assert_eq!(read(&mut websocket, &sent), (Ok(Progress::PeerClosed), b"last words".to_vec(), vec![]));
    assert_eq!(websocket.peer_close().unwrap().code, Some(CloseCode(4000)));
    assert_eq!(websocket.peer_close().unwrap().reason, "gone");

    let mut out = BytesMut::new();
    websocket.write_message(Kind::Binary, b"receipt", &mut out).unwrap();
    websocket.close(CloseCode::NORMAL, "", &mut out);
    websocket.close(CloseCode::NORMAL, "", &mut out);
    assert_eq!(replies(&out, None), [Reply::Binary(b"receipt".to_vec()), Reply::Close(Some(4000))]);
    assert_eq!(websocket.state(), State::Closed);
    assert_eq!(websocket.write_binary(&mut out, 1), Err(WsError::NotOpen));
}

#[test]
fn after_our_close_everything_is_discarded_until_the_peer_closes() {
    let mut websocket = WebSocket::new(Config { accepts: Accepts::Either, ..Config::default() }, Some(FRESH));
    // Closing in the middle of a text, even of a character, is no fault of the peer's.
    let text = fragments(0x81, "né".as_bytes(), 2);
    assert_eq!(read(&mut websocket, &text[..8]).0, Ok(Progress::NeedInput));
    let mut out = BytesMut::new();
    websocket.close(CloseCode::GOING_AWAY, "see you", &mut out);
    assert_eq!((replies(&out, None), websocket.state()), (vec![Reply::Close(Some(1001))], State::CloseSent));
    assert_eq!(websocket.write_message(Kind::Text, b"", &mut out), Err(WsError::NotOpen));
    websocket.ping(b"", &mut BytesMut::from(&b""[..]));

    assert_eq!(read(&mut websocket, &text[8..]), (Ok(Progress::NeedInput), vec![], vec![]));
    let more = [frame(0x89, b"ping"), frame(0xc2, b"not deflate"), frame(0x82, &[0; 1000])].concat();
    assert_eq!(read(&mut websocket, &more), (Ok(Progress::NeedInput), vec![], vec![]));
    assert_eq!(read(&mut websocket, &frame(0x88, b"\x03\xe9")), (Ok(Progress::Closed), vec![], vec![]));
    assert_eq!(websocket.state(), State::Closed);
}

#[test]
fn a_header_and_a_shared_payload_make_a_frame() {
    let mut out = BytesMut::new();
    websocket(Config::default()).write_binary(&mut out, 300).unwrap();
    out.extend_from_slice(&[9; 300]);
    assert_eq!(replies(&out, None), [Reply::Binary(vec![9; 300])]);
}

#[test]
fn only_long_messages_that_shrink_are_compressed() {
    let mut websocket = WebSocket::new(Config::default(), Some(FRESH));
    let noise: Vec<u8> = (0..2000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8 ^ (n * n) as u8).collect();
    for (message, compressed) in [(vec![b'a'; 1399], false), (vec![b'a'; 1400], true), (noise, false)] {
        let mut out = BytesMut::new();
        websocket.write_message(Kind::Binary, &message, &mut out).unwrap();
        assert_eq!(out[0] & 0x40 != 0, compressed);
        assert_eq!(replies(&out, Some(&FRESH)), [Reply::Binary(message)]);
        websocket.release_idle();
    }
    assert!(!websocket.compresses(1399));
    assert!(websocket.compresses(1400));
}

#[test]
fn an_idle_connection_forgets_only_what_it_may() {
    for fresh in [true, false] {
        let deflate = Deflate { server_no_context_takeover: fresh, client_no_context_takeover: fresh, ..FRESH };
        let config = Config { compress_bytes_min: 1, ..Config::default() };
        let mut websocket = WebSocket::new(config, Some(deflate));
        let mut deflater = Deflater::new(&deflate);
        let mut out = Vec::new();
        for _ in 0..3 {
            let sent = fragments(0xc2, &deflater.message(b"Hello, hello, hello"), 1);
            let (first, second) = sent.split_at(7); // after the first frame
            for half in [first, second] {
                let (said, error) = echo(&mut websocket, half, half.len());
                assert_eq!(error, None);
                out.extend(said);
                websocket.release_idle();
            }
        }
        assert_eq!(replies(&out, Some(&deflate)), vec![Reply::Binary(b"Hello, hello, hello".to_vec()); 3]);
    }
}
