//! Replays the corpora of `fuzz/`, and mutates them for a bounded, seeded while.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use motet_test::feeds::{FEEDS, Feed};
use std::path::Path;

/// Mutations of each corpus; the nightly run of the fuzzer does the rest.
const MUTATIONS: usize = 400;

/// Feeds that make a world of their own each time, or sign something.
const COME_WITH_A_WORLD: [&str; 11] = [
    "amqp_clients",
    "amqp_machine",
    "configuration",
    "core_records",
    "definitions",
    "journal",
    "journal_records",
    "mqtt_clients",
    "mqtt_machine",
    "sasl",
    "token",
];

/// xorshift: seeded, so that a failing run repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

fn mutate(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut data = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(data.len() + 1);
        match random.below(5) {
            0 if at < data.len() => data[at] = random.below(256) as u8,
            1 if at < data.len() => data[at] ^= 1 << random.below(8),
            2 if at < data.len() => drop(data.remove(at)),
            3 => {
                // The end of one behind the beginning of another.
                let other = &seeds[random.below(seeds.len())];
                data.truncate(at);
                data.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            _ => data.insert(at, random.below(256) as u8),
        }
    }
    data
}

fn replay(name: &str, feed: Feed, mutations: usize) {
    let seeds = corpus(name);
    assert!(!seeds.is_empty(), "fuzz/corpus/{name} is empty");
    feed(b"");
    seeds.iter().for_each(|seed| feed(seed));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..mutations {
        let data = mutate(&seeds, &mut random);
        let survived = std::panic::catch_unwind(|| feed(&data)).is_ok();
        assert!(survived, "{name}, round {round}: {}", data.escape_ascii());
    }
}

#[test]
fn corpora_and_their_mutations_pass() {
    for (name, feed) in FEEDS {
        let mutations = if COME_WITH_A_WORLD.contains(name) { MUTATIONS } else { 20 * MUTATIONS };
        replay(name, *feed, mutations);
    }
}

#[test]
fn every_corpus_has_a_feed_and_a_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    let names = |folder: &str| {
        let entries = std::fs::read_dir(fuzz.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> = entries.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let feeds: Vec<_> = FEEDS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), feeds);
    assert_eq!(names("fuzz_targets"), feeds);
}
