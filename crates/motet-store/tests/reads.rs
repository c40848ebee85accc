//! The journal as the core's engine, over a disk that refuses to give back what it has.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use motet_core::engine::{Completion, Engine, Locator, ObjectId, Stage, StagedBody};
use motet_store::sim_disk::SimDisk;
use motet_store::{Config, EmbeddedEngine};
use parking_lot::Mutex;

const QUEUE: ObjectId = ObjectId(100);
/// Longer than anything takes here: a hang shows as a failure.
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    disk: Arc<SimDisk>,
    engine: Arc<EmbeddedEngine<SimDisk>>,
    heard: mpsc::Receiver<Completion>,
    /// The next answer ends in a panic of the core.
    panics: Arc<AtomicBool>,
}

impl Bench {
    fn new(seed: u64) -> Self {
        let disk = Arc::new(SimDisk::new(seed));
        let config = Config { retry_delay: Duration::from_micros(10), ..Config::default() };
        let (engine, _) = EmbeddedEngine::open_on(disk.clone(), Path::new("/journal"), config).unwrap();
        let (sender, heard) = mpsc::channel();
        let (sender, panics) = (Mutex::new(sender), Arc::new(AtomicBool::new(false)));
        let flag = panics.clone();
        engine.set_sink(Box::new(move |completion| {
            let is_read = matches!(completion, Completion::Read { .. });
            assert!(!(is_read && flag.swap(false, Ordering::SeqCst)), "on purpose");
            let _ = sender.lock().send(completion);
        }));
        Self { disk, engine: Arc::new(engine), heard, panics }
    }

    /// Durable messages, so that they have to be read from the disk.
    fn store(&self, bodies: &[&[u8]]) -> Vec<(u64, Locator)> {
        let mut stage = self.engine.stage().unwrap();
        let place = |(seq, body): (u64, &&[u8])| (seq, stage.enqueue(QUEUE, seq, b"head", StagedBody::Inline(&[body])));
        let places = (1..).zip(bodies).map(place).collect();
        let position = stage.finish();
        while self.engine.durable() < position {
            assert!(!matches!(self.heard.recv_timeout(PATIENCE).unwrap(), Completion::Stalled));
        }
        places
    }

    fn answer(&self) -> Vec<(u64, Option<Vec<u8>>)> {
        loop {
            if let Completion::Read { entries, .. } = self.heard.recv_timeout(PATIENCE).unwrap() {
                return entries.into_iter().map(|(seq, body)| (seq, body.map(|body| body[6..].to_vec()))).collect();
            }
        }
    }
}

#[test]
fn a_read_that_fails_once_is_tried_again_and_the_others_do_not_wait() {
    let bench = Bench::new(1);
    // Too far apart to be read as one block.
    let far = vec![7; 20_000];
    let places = bench.store(&[b"one", &far, b"two"]);
    bench.disk.fail_reads(1);
    bench.engine.read(QUEUE, vec![places[0], places[2]]);
    assert_eq!(bench.answer(), [(3, Some(b"two".to_vec()))]);
    assert_eq!(bench.answer(), [(1, Some(b"one".to_vec()))]);
    bench.engine.shutdown();
}

#[test]
fn a_disk_that_refuses_for_ever_is_asked_only_so_often() {
    let bench = Bench::new(2);
    let places = bench.store(&[b"one"]);
    bench.disk.fail_reads(u32::MAX);
    bench.engine.read(QUEUE, places.clone());
    assert_eq!(bench.answer(), [(1, None)]);
    bench.disk.fail_reads(0);
    bench.engine.read(QUEUE, places);
    assert_eq!(bench.answer(), [(1, Some(b"one".to_vec()))], "it was only the answer that was given up");
    bench.engine.shutdown();
}

#[test]
fn a_reader_that_panics_raises_the_alarm_and_reads_on() {
    let bench = Bench::new(3);
    let places = bench.store(&[b"one", b"two"]);
    bench.panics.store(true, Ordering::SeqCst);
    bench.engine.read(QUEUE, vec![places[0]]);
    bench.engine.read(QUEUE, vec![places[1]]);
    assert_eq!(bench.answer(), [(2, Some(b"two".to_vec()))]);
    assert!(bench.engine.is_failing() && bench.engine.stage().is_err());
    bench.engine.shutdown();
}
