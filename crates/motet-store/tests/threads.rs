//! The workers run beside busy publishers: records move and die at the same time, and every look at them is right.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use common::{DIR, Random, Told};
use motet_store::sim_disk::SimDisk;
use motet_store::{Body, Config, Journal, Locator, NoEvents};

const WORKERS: u64 = 3;
const ROUNDS: u64 = 6_000;

fn config() -> Config {
    Config { segment_bytes: 32 << 10, class_bytes: 32 << 10, segments_max: 2, ..Config::default() }
}

/// Enqueues, settles something old, reads something; answers what is left.
fn work(journal: &Journal<SimDisk>, object: u64) -> BTreeMap<u64, Locator> {
    let mut random = Random(object);
    let mut left: BTreeMap<u64, Locator> = BTreeMap::new();
    for seq in 1..=ROUNDS {
        let mut stage = journal.try_stage().unwrap();
        left.insert(seq, stage.enqueue(object, seq, b"head", Body::Inline(&[&seq.to_le_bytes(), &[1; 60]])));
        while left.len() as u64 > 300 + random.below(3) {
            let skip = random.below(left.len() as u64) as usize;
            let seq = *left.keys().nth(skip).unwrap();
            stage.settle(object, seq, left.remove(&seq).unwrap());
        }
        let position = stage.finish();
        if seq % 8 == 0 {
            let skip = random.below(left.len() as u64) as usize;
            let (seq, at) = left.iter().nth(skip).unwrap();
            let record = journal.read(*at).unwrap_or_else(|error| panic!("{object}/{seq}: {error}"));
            assert_eq!(record.body[..8], seq.to_le_bytes());
        }
        if seq % 16 == 0 {
            // A deadline for a bug, far beyond what a busy machine needs.
            let hangs_at = std::time::Instant::now() + std::time::Duration::from_secs(120);
            while journal.durable() < position {
                assert!(std::time::Instant::now() < hangs_at, "{position:?} never becomes durable");
                std::thread::yield_now();
            }
        }
    }
    left
}

#[test]
fn records_that_die_while_they_move_stay_dead() {
    let disk = Arc::new(SimDisk::new(1));
    let open = |told: &mut Told| Journal::open(Path::new(DIR), disk.clone(), config(), Arc::new(NoEvents), told);
    let journal = open(&mut Told::default()).unwrap().spawn().unwrap();
    let workers: Vec<_> = (1..=WORKERS)
        .map(|object| {
            let journal = journal.clone();
            std::thread::spawn(move || work(&journal, object))
        })
        .collect();
    let left: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    let moved = journal.usage().class_files;
    journal.shutdown();
    drop(journal);
    disk.power_cut();
    let mut told = Told::default();
    let opened = open(&mut told).unwrap();
    assert!(moved > 0, "nothing moved: the test tests nothing");
    for (object, left) in (1..).zip(&left) {
        let entries = &told.state[&object].entries;
        assert!(entries.iter().map(|(seq, entry)| (*seq, entry.at)).eq(left.iter().map(|(seq, at)| (*seq, *at))));
        let places: Vec<Locator> = left.values().copied().collect();
        for (seq, record) in left.keys().zip(opened.journal.read_many(&places)) {
            assert_eq!(record.unwrap().body[..8], seq.to_le_bytes());
        }
    }
}
