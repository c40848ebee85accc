//! What the log tells of a connection: who, and how much; never what.

use super::*;
use std::io::Write;
use tracing_subscriber::filter::LevelFilter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is logged of somebody who logs in, says a secret, and goes.
fn logged(level: LevelFilter) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        let mut bench = bench(4096);
        bench.send(&frame(b"login"));
        bench.run();
        bench.send(&frame(b"a secret"));
        bench.run();
        assert!(bench.receive().ends_with(&frame(b"a secret")));
        drop(std::mem::replace(&mut bench.peer, duplex(1).0));
        assert!(bench.run());
    });
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn debug_tells_who_comes_logs_in_and_goes() {
    let lines = logged(LevelFilter::DEBUG);
    let mine: Vec<&str> = ["begins", "logged in", "ends"]
        .into_iter()
        .map(|word| lines.iter().find(|line| line.contains(word)).map(String::as_str).unwrap_or_default())
        .collect();
    assert!(mine[0].starts_with("DEBUG connection begins number=") && mine[0].contains("protocol="), "{lines:?}");
    assert!(mine[1].starts_with("DEBUG logged in number=") && mine[1].ends_with("user=\"\" client=\"\""), "{lines:?}");
    assert!(mine[2].contains("cause=PeerClosed") && mine[2].contains("messages=1"), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("TRACE")), "{lines:?}");
}

#[test]
fn trace_tells_how_much_is_read_and_written_and_never_what() {
    let lines = logged(LevelFilter::TRACE);
    let size = frame(b"a secret").len();
    for word in ["read", "written"] {
        let told =
            |line: &String| line.starts_with(&format!("TRACE {word}")) && line.ends_with(&format!("bytes={size}"));
        assert!(lines.iter().any(told), "{word}: {lines:?}");
    }
    assert!(!lines.iter().any(|line| line.contains("secret")), "{lines:?}");
}

#[test]
fn by_default_nothing_is_told_of_a_connection_that_is_well() {
    assert_eq!(logged(LevelFilter::INFO), [] as [&str; 0]);
}
