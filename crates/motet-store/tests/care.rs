//! Check, repair and backup.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use std::path::{Path, PathBuf};

use common::{Bench, DIR, Told, small};
use motet_store::{Body, Config, Journal, NoEvents, OpenError, ReadError, check, repair};

fn file(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

/// One entry per batch; answers nothing, closes in order when asked.
fn nine(bench: &mut Bench, close: bool) {
    for seq in 1..10 {
        bench.journal().stage().enqueue(1, seq, b"head", Body::Inline(&[&[7; 80]]));
        bench.commit();
    }
    let opened = bench.opened.take().unwrap();
    if close {
        opened.close();
    } else {
        bench.disk.kill();
    }
}

fn seqs(bench: &Bench) -> Vec<u64> {
    let mut told = Told::default();
    bench.open(&mut told).unwrap();
    told.state[&1].entries.keys().copied().collect()
}

#[test]
fn a_sound_journal_passes_and_repair_leaves_it_alone() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed, Config { segment_bytes: 16 << 10, ..small() });
        for _ in 0..200 {
            bench.stage();
            bench.commit();
            bench.keep();
        }
        assert!(matches!(check(Path::new(DIR), &bench.disk), Err(OpenError::InUse(_))));
        bench.opened.take().unwrap().close();
        let report = check(Path::new(DIR), &bench.disk).unwrap();
        assert_eq!(report.damage, []);
        assert_eq!(repair(Path::new(DIR), &bench.disk).unwrap().quarantined, [] as [PathBuf; 0]);
    }
}

#[test]
fn damage_behind_a_footer_is_found_by_reading_and_by_check() {
    let mut bench = Bench::new(1, small());
    nine(&mut bench, true);
    bench.disk.flip_bit(&file("journal-0000000000000001.seg"), 4096 + 176 + 100, 1);
    let mut told = Told::default();
    let opened = bench.open(&mut told).unwrap();
    let at = told.state[&1].entries[&2].at;
    assert!(matches!(opened.journal.read(at), Err(ReadError::Corrupt(_))));
    drop(opened);
    assert_eq!(check(Path::new(DIR), &bench.disk).unwrap().damage.len(), 1);
}

#[test]
fn repair_quarantines_a_copy_and_keeps_every_sound_batch() {
    for close in [false, true] {
        let mut bench = Bench::new(2, small());
        nine(&mut bench, close);
        bench.disk.flip_bit(&file("journal-0000000000000001.seg"), 4096 + 176 + 100, 1);
        let repaired = repair(Path::new(DIR), &bench.disk).unwrap();
        assert_eq!((repaired.entries, repaired.quarantined.len()), (8, 1), "{repaired:?}");
        assert_eq!(seqs(&bench), [1, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(check(Path::new(DIR), &bench.disk).unwrap().damage, []);
    }
}

#[test]
fn repair_keeps_everything_that_is_not_damaged() {
    for seed in 0..60 {
        let mut bench = Bench::new(seed, Config { segment_bytes: 12 << 10, class_bytes: 16 << 10, ..small() });
        for _ in 0..200 {
            bench.stage();
            bench.commit();
            bench.keep();
        }
        let state = bench.state.clone();
        bench.opened.take().unwrap().close();
        // A flipped bit in the checkpoint's checksum: every record is still there, settled ones may come back.
        bench.disk.flip_bit(&file("checkpoint"), 12, 0);
        if !bench.open(&mut Told::default()).is_err_and(|error| matches!(error, OpenError::Corrupt(_))) {
            continue;
        }
        repair(Path::new(DIR), &bench.disk).unwrap();
        let mut told = Told::default();
        let opened = bench.open(&mut told).unwrap();
        for (id, object) in &state {
            for (seq, entry) in &object.entries {
                let found = &told.state[id].entries[seq];
                assert_eq!((&found.head, &found.mark, found.at), (&entry.head, &entry.mark, entry.at), "{seed}");
                assert_eq!(opened.journal.read(found.at).unwrap().body, entry.body);
            }
        }
    }
}

#[test]
fn a_backup_taken_while_running_is_the_state_of_one_moment() {
    for seed in 0..40 {
        let mut bench = Bench::new(seed, Config { segment_bytes: 12 << 10, class_bytes: 16 << 10, ..small() });
        for _ in 0..120 {
            bench.stage();
            bench.commit();
            bench.keep();
        }
        bench.stage();
        let target = Path::new("/backup");
        let position = bench.journal().backup(target).unwrap();
        assert_eq!(position, bench.journal().durable());
        let expected = bench.history.iter().rfind(|(staged, _)| *staged <= position).unwrap().1.clone();
        for _ in 0..60 {
            bench.stage();
            bench.commit();
            bench.keep();
        }
        let mut told = Told::default();
        let opened =
            Journal::open(target, bench.disk.clone(), small(), std::sync::Arc::new(NoEvents), &mut told).unwrap();
        for object in told.state.values_mut() {
            for entry in object.entries.values_mut() {
                entry.body = opened.journal.read(entry.at).unwrap().body.to_vec();
            }
        }
        assert_eq!(told.state, expected, "seed {seed}");
    }
}
