//! What carries a protocol, and what an operator writes.

use bytes::BytesMut;
use motet_server::config::{Sources, load};
use motet_web::{Accepts, Config, Deflate, Progress, WebSocket};

/// Bounds of the WebSocket feed: small, so that they are met.
const BOUND: usize = 4096;

/// A WebSocket never panics and holds its bounds. The first byte picks the settings.
///
/// # Panics
/// If more payload is handed out than one read may.
pub fn websocket(data: &[u8]) {
    let Some((settings, data)) = data.split_first() else { return };
    let config = Config {
        accepts: Accepts::Either,
        frame_bytes_max: BOUND as u64,
        message_bytes_max: BOUND as u64,
        read_bytes_max: 300,
        ..Config::default()
    };
    let deflate = (settings & 1 != 0).then_some(Deflate {
        server_no_context_takeover: settings & 2 != 0,
        client_no_context_takeover: settings & 4 != 0,
        server_max_window_bits: 15,
        client_max_window_bits: 15,
    });
    let mut websocket = WebSocket::new(config, deflate);
    let (mut input, mut payload, mut out) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
    let step = usize::from(settings >> 3) + 1;
    for piece in data.chunks(step) {
        input.extend_from_slice(piece);
        loop {
            payload.clear();
            let progress = websocket.read(&mut input, &mut payload, &mut out);
            assert!(payload.len() <= 300, "{} bytes in one read", payload.len());
            match progress {
                Ok(Progress::PayloadFull) => {}
                Ok(_) => break,
                Err(_) => return,
            }
        }
        // A flood of pings is answered within bounds.
        assert!(out.len() <= 64 * 1024, "{} bytes of answers", out.len());
        out.clear();
    }
}

/// A configuration is taken or refused with every problem named, never a panic.
///
/// # Panics
/// If there is no place for temporary files.
pub fn configuration(data: &[u8]) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let file = folder.path().join("motet.toml");
    std::fs::write(&file, data).expect("a temporary folder can be written to");
    let mut sources = Sources::new(Some(file));
    // Lines that look like an assignment also go in as the command line gives them.
    for line in String::from_utf8_lossy(data).lines().take(32) {
        let _ = sources.set(line);
    }
    if let Err(error) = load(&sources) {
        assert!(!error.to_string().is_empty());
    }
}

/// What a connection begins with is told by as few bytes as promised, and no later one changes it.
pub fn beginning(data: &[u8]) {
    motet_server::fuzz_beginning(data);
}
