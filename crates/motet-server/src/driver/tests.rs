mod log;
mod written;

use super::framing::Frames;
use super::*;
use crate::admission::Door;
use crate::config::{ByteSize, Limits};
use crate::testing::{Echo, Instantly, Seen, frame, house};
use parking_lot::Mutex;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::task::Context as TaskContext;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

struct Bench {
    house: Arc<House<Instantly>>,
    seen: Arc<Mutex<Seen>>,
    peer: DuplexStream,
    connection: Pin<Box<Connection<DuplexStream, Instantly>>>,
}

fn arrival() -> Arrival {
    let admission = Door::new(10, 10).admit().unwrap().at(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
    let admitted = Admitted::In(admission);
    Arrival {
        protocol: 0,
        encrypted: false,
        secure: None,
        peer: None,
        local: None,
        loopback: true,
        admitted,
        turn: None,
    }
}

/// A connection over a pipe that holds `pipe` bytes; polled by hand.
fn bench_with(limits: Limits, pipe: usize, framing: Framing, already: &[u8]) -> Bench {
    let (house, seen) = (house(limits), Arc::new(Mutex::new(Seen::default())));
    let (peer, carrier) = duplex(pipe);
    let machine = Box::new(Echo::new(&seen));
    let connection = Connection::new(house.clone(), carrier, framing, machine, arrival(), already);
    Bench { house, seen, peer, connection: Box::pin(connection) }
}

fn bench(pipe: usize) -> Bench {
    bench_with(Limits::default(), pipe, Framing::Plain, &[])
}

impl Bench {
    /// Polls until nothing more happens by itself; true when the connection is over.
    fn run(&mut self) -> bool {
        let waker = Waker::noop();
        for _ in 0..100 {
            if self.connection.as_mut().poll(&mut TaskContext::from_waker(waker)).is_ready() {
                return true;
            }
        }
        false
    }

    fn send(&mut self, bytes: &[u8]) {
        let sent = pin_poll(self.peer.write_all(bytes));
        assert!(matches!(sent, Poll::Ready(Ok(()))), "the pipe is too small for this test");
    }

    /// What has arrived at the peer.
    fn receive(&mut self) -> Vec<u8> {
        let mut all = BytesMut::new();
        while let Poll::Ready(Ok(count)) = pin_poll(self.peer.read_buf(&mut all)) {
            if count == 0 {
                break;
            }
        }
        all.to_vec()
    }

    fn closed(&self) -> Vec<CloseCause> {
        self.seen.lock().closed.clone()
    }
}

fn pin_poll<F: Future>(future: F) -> Poll<F::Output> {
    std::pin::pin!(future).poll(&mut TaskContext::from_waker(Waker::noop()))
}

#[test]
fn input_split_at_every_byte_is_one_conversation() {
    let whole = [frame(b"one"), frame(b""), frame(&[b'x'; 300]), frame(b"four")].concat();
    for at in 0..whole.len() {
        let mut bench = bench(4096);
        bench.send(&whole[..at]);
        bench.run();
        bench.send(&whole[at..]);
        bench.run();
        assert_eq!(bench.receive(), whole, "split at {at}");
        assert_eq!(bench.seen.lock().frames.len(), 4);
    }
}

#[test]
fn bytes_that_were_read_before_come_first() {
    let mut bench = bench_with(Limits::default(), 4096, Framing::Plain, &frame(b"early")[..6]);
    bench.send(&frame(b"early")[6..]);
    bench.run();
    assert_eq!(bench.receive(), frame(b"early"));
}

#[test]
fn a_frame_larger_than_every_buffer_arrives_whole() {
    let big = frame(&vec![b'b'; 1 << 20]);
    let mut bench = bench(8 << 10);
    let mut back = Vec::new();
    for piece in big.chunks(8 << 10) {
        bench.send(piece);
        bench.run();
    }
    while back.len() < big.len() {
        bench.run();
        let some = bench.receive();
        assert!(!some.is_empty());
        back.extend(some);
    }
    assert!(back == big);
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from() {
    let limits = Limits { output_buffer_bytes: ByteSize(4096), ..Limits::default() };
    let mut bench = bench_with(limits, 1000, Framing::Plain, &[]);
    let mut sent = 0;
    for _ in 0..100 {
        if pin_poll(bench.peer.write_all(&frame(&[b'x'; 96]))).is_pending() {
            break;
        }
        sent += 100;
        bench.run();
    }
    assert!(sent < 8000, "{sent} bytes were taken from a peer that reads nothing");
    assert!(bench.connection.pending.len() <= 4096 + 1000);
    let mut back = 0;
    loop {
        let some = bench.receive().len();
        back += some;
        if !(bench.run() || some > 0) {
            break;
        }
    }
    assert!(back >= sent && bench.connection.pending.is_empty());
}

#[test]
fn frames_that_met_a_full_output_are_answered_without_further_input() {
    for framing in [Framing::Plain, websocket(&[])] {
        let limits = Limits { output_buffer_bytes: ByteSize(4096), ..Limits::default() };
        let plain = matches!(framing, Framing::Plain);
        let mut bench = bench_with(limits, 64 << 10, framing, &[]);
        let all = frame(&[b'x'; 96]).repeat(200);
        bench.send(&if plain { all } else { masked(&all) });
        for _ in 0..20 {
            bench.run();
            bench.receive();
        }
        assert_eq!(bench.seen.lock().frames.len(), 200);
    }
}

#[test]
fn deliveries_wait_in_the_machine_until_the_output_has_room() {
    let limits = Limits { output_buffer_bytes: ByteSize(8192), ..Limits::default() };
    let mut bench = bench_with(limits, 4096, Framing::Plain, &[]);
    bench.send(&frame(b"flood"));
    let mut back = 0;
    for _ in 0..1000 {
        bench.run();
        assert!(bench.connection.pending.len() <= 8192 + 1004);
        back += bench.receive().len();
    }
    assert_eq!(back, frame(b"flood").len() + 1000 * 1004);
}

#[test]
fn a_pause_of_the_machine_keeps_what_was_read_for_later() {
    let mut bench = bench(4096);
    bench.send(&[frame(b"pause"), frame(b"later")].concat());
    bench.run();
    assert_eq!(bench.seen.lock().frames, [b"pause"]);
    bench.send(&frame(b"even later"));
    bench.run();
    assert_eq!(bench.seen.lock().frames.len(), 1);
    bench.connection.handle.mailbox.nudge();
    bench.run();
    assert_eq!(bench.receive(), [frame(b"pause"), frame(b"later"), frame(b"even later")].concat());
}

#[test]
fn last_words_are_flushed_before_the_carrier_closes() {
    let mut bench = bench(16);
    bench.send(&frame(b"close"));
    assert!(!bench.run());
    assert_eq!(bench.closed(), [CloseCause::Ours], "the session is released at once");
    assert_eq!(bench.receive(), frame(b"close"));
    assert!(!bench.run(), "lingers for the peer's end");
    drop(std::mem::replace(&mut bench.peer, duplex(1).0));
    assert!(bench.run());
    assert_eq!(bench.closed(), [CloseCause::Ours]);
}

#[test]
fn a_peer_that_never_takes_our_last_words_is_left_after_a_while() {
    let mut bench = bench(9);
    bench.send(&frame(b"close"));
    bench.run();
    bench.house.clock.advance(Duration::from_secs(6));
    assert!(!bench.run() || bench.closed() == [CloseCause::Ours]);
    bench.house.clock.advance(Duration::from_secs(6));
    assert!(bench.run());
}

#[test]
fn the_peers_end_is_told_once() {
    let mut bench = bench(64);
    bench.send(&frame(b"hello"));
    bench.run();
    drop(std::mem::replace(&mut bench.peer, duplex(1).0));
    assert!(bench.run());
    drop(bench.connection);
    assert_eq!(bench.seen.lock().closed, [CloseCause::PeerClosed]);
    assert_eq!(bench.house.registry.live(), 0);
}

#[test]
fn a_panic_ends_this_connection_and_releases_its_session() {
    let mut bench = bench(64);
    bench.send(&frame(b"panic"));
    assert!(bench.run());
    drop(bench.connection);
    assert_eq!(bench.seen.lock().closed, [CloseCause::CarrierFailed]);
    assert_eq!(bench.house.counters.panics.load(Ordering::Relaxed), 1);
    assert_eq!(bench.house.registry.live(), 0);
}

#[test]
fn a_deadline_of_the_machine_is_armed_once_and_kept() {
    let mut bench = bench(64);
    bench.send(&frame(b"alarm"));
    bench.run();
    let armed = bench.house.wheel.armed();
    bench.send(&frame(b"noise"));
    bench.run();
    assert_eq!(bench.house.wheel.armed(), armed, "more traffic arms nothing");
    bench.house.clock.advance(Duration::from_secs(11));
    bench.house.wheel.turn(bench.house.clock.now().instant);
    bench.run();
    assert_eq!(bench.seen.lock().timeouts, 1);
    assert!(bench.receive().ends_with(&frame(b"alarm")));
}

#[test]
fn a_peer_that_says_nothing_is_closed_after_the_first_byte_timeout() {
    let mut bench = bench(64);
    assert!(!bench.run());
    assert_eq!(bench.house.wheel.armed(), 1);
    bench.house.clock.advance(Duration::from_secs(11));
    assert!(bench.run());
    assert_eq!(bench.closed(), [CloseCause::CarrierFailed]);
}

#[test]
fn a_peer_that_takes_nothing_is_closed_after_the_write_timeout() {
    let mut bench = bench(16);
    bench.send(&frame(b"flood"));
    assert!(!bench.run());
    bench.house.clock.advance(Duration::from_secs(29));
    assert!(!bench.run());
    bench.receive();
    assert!(!bench.run(), "whoever takes a little gets more time");
    bench.house.clock.advance(Duration::from_secs(29));
    assert!(!bench.run());
    bench.house.clock.advance(Duration::from_secs(2));
    assert!(bench.run());
}

#[test]
fn a_connection_that_comes_during_the_drain_is_sent_away() {
    let mut bench = bench(64);
    bench.house.start_draining();
    let (peer, carrier) = duplex(64);
    let machine = Box::new(Echo::new(&bench.seen));
    let connection = Connection::new(bench.house.clone(), carrier, Framing::Plain, machine, arrival(), &[]);
    (bench.peer, bench.connection) = (peer, Box::pin(connection));
    bench.run();
    assert_eq!(bench.receive(), frame(b"bye"));
    assert!(bench.closed().contains(&CloseCause::Drain));
}

#[test]
fn an_idle_connection_is_small() {
    let bytes = size_of::<Connection<tokio::net::TcpStream, Instantly>>();
    assert!(bytes < 1024, "{bytes} bytes");
    let mut bench = bench(4096);
    bench.send(&[frame(b"pause"), frame(&[b'x'; 100])].concat());
    bench.run();
    bench.connection.handle.mailbox.nudge();
    bench.run();
    assert_eq!(bench.connection.partial.capacity(), 0, "an idle connection holds no input buffer");
    assert!(bench.connection.pending.is_empty());
}

/// A client's frame, masked with zeros.
fn masked(payload: &[u8]) -> Vec<u8> {
    let mut wire = vec![0x82];
    match payload.len() {
        len @ 0..126 => wire.push(0x80 | len as u8),
        len => {
            wire.push(0x80 | 126);
            wire.extend((len as u16).to_be_bytes());
        }
    }
    wire.extend([0; 4]);
    wire.extend(payload);
    wire
}

fn websocket(rest: &[u8]) -> Framing {
    let websocket = motet_web::WebSocket::new(motet_web::Config::default(), None);
    Framing::WebSocket(Box::new(Frames::new(websocket, rest.into())))
}

#[test]
fn websocket_frames_split_at_every_byte_are_one_conversation() {
    let payload = [frame(b"one"), frame(&[b'x'; 300])].concat();
    let wire = [masked(&payload[..5]), vec![0x89, 0x80, 0, 0, 0, 0], masked(&payload[5..])].concat();
    for at in 0..wire.len() {
        let mut bench = bench_with(Limits::default(), 4096, websocket(&wire[..at]), &[]);
        bench.send(&wire[at..]);
        bench.run();
        assert_eq!(bench.seen.lock().frames.len(), 2, "split at {at}");
        let back = bench.receive();
        assert!(back.windows(2).any(|bytes| bytes == [0x8a, 0]), "the ping was answered");
    }
}

#[test]
fn a_websocket_pause_keeps_what_was_read_for_later() {
    let mut bench = bench_with(Limits::default(), 4096, websocket(&[]), &[]);
    bench.send(&[masked(&[frame(b"pause"), frame(b"later")].concat()), masked(&frame(b"last"))].concat());
    bench.run();
    assert_eq!(bench.seen.lock().frames, [b"pause"]);
    bench.connection.handle.mailbox.nudge();
    bench.run();
    assert_eq!(bench.seen.lock().frames.len(), 3);
}

#[test]
fn a_websocket_closes_with_its_own_word() {
    let mut bench = bench_with(Limits::default(), 4096, websocket(&[]), &[]);
    bench.send(&masked(&frame(b"close")));
    bench.run();
    let back = bench.receive();
    assert!(back.ends_with(&[0x88, 2, 0x03, 0xe8]), "close 1000 behind the last words: {back:x?}");
    let mut bench = bench_with(Limits::default(), 4096, websocket(&[]), &[]);
    bench.send(&[0x88, 0x80, 0, 0, 0, 0]);
    bench.run();
    assert_eq!(bench.receive(), [0x88, 0]);
    assert_eq!(bench.closed(), [CloseCause::PeerClosed]);
}

#[test]
fn who_publishes_too_fast_is_read_from_more_slowly_and_its_silence_is_excused() {
    let limits = Limits { rate_connection_messages: Some(10), ..Limits::default() };
    let mut bench = bench_with(limits, 64 << 10, Framing::Plain, &[]);
    bench.send(&frame(b"alarm"));
    bench.run();
    bench.send(&frame(b"m").repeat(900));
    bench.run();
    let taken = bench.seen.lock().frames.len();
    assert!((2..=900).contains(&taken), "one short read is taken whole: {taken}");
    bench.house.clock.advance(Duration::from_secs(30));
    bench.run();
    assert_eq!(bench.seen.lock().timeouts, 0, "it was not listened to");
    bench.house.clock.advance(Duration::from_secs(1000));
    for _ in 0..10 {
        bench.house.clock.advance(Duration::from_secs(1000));
        bench.run();
    }
    assert_eq!(bench.seen.lock().frames.len(), 901, "everything arrived in the end");
    assert!(bench.house.counters.held_back[0].load(Ordering::Relaxed) > 0);
}

#[test]
fn an_alarm_holds_publishers_back_and_nobody_else() {
    let mut publisher = bench(4096);
    publisher.send(&frame(b"one"));
    publisher.run();
    publisher.house.alarms.raise(true);
    publisher.send(&frame(b"two"));
    publisher.run();
    assert_eq!(publisher.seen.lock().frames.len(), 1);
    publisher.house.alarms.raise(false);
    publisher.run();
    assert_eq!(publisher.seen.lock().frames.len(), 2);
    let mut newcomer = bench(4096);
    newcomer.house.alarms.raise(true);
    newcomer.send(&frame(b"login"));
    newcomer.run();
    assert_eq!(newcomer.receive(), frame(b"accepted"));
}
