//! Full disks, failing syncs, damage, and orderly stops.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use std::path::Path;
use std::sync::Arc;

use common::{Bench, DIR, Told, small};
use motet_store::{
    Body, Config, Disk, Events, Journal, NoEvents, NoRecovery, OpenError, Position, ReadError, RealDisk, Step,
};
use parking_lot::Mutex;

fn enqueue(bench: &Bench, seq: u64) -> Position {
    let journal = bench.journal();
    let mut stage = journal.stage();
    stage.enqueue(1, seq, b"head", Body::Inline(&[b"body"]));
    stage.finish()
}

fn recovered(bench: &mut Bench) -> Vec<u64> {
    bench.opened = None;
    let mut told = Told::default();
    bench.opened = Some(bench.open(&mut told).unwrap());
    told.state.get(&1).map(|object| object.entries.keys().copied().collect()).unwrap_or_default()
}

#[test]
fn a_failed_sync_confirms_nothing_and_the_batch_goes_to_a_new_segment() {
    let mut bench = Bench::new(1, small());
    enqueue(&bench, 1);
    assert_eq!(bench.commit(), Step::Committed);
    let position = enqueue(&bench, 2);
    bench.disk.fail_syncs(1);
    assert!(matches!(bench.commit(), Step::Failed(_)));
    assert!(bench.journal().durable() < position);
    enqueue(&bench, 3);
    assert_eq!(bench.commit(), Step::Committed);
    assert_eq!(bench.journal().durable(), position, "the failed batch goes first and unchanged");
    assert_eq!(bench.commit(), Step::Committed);
    bench.disk.power_cut();
    assert_eq!(recovered(&mut bench), [1, 2, 3]);
}

#[test]
fn a_failed_write_confirms_nothing_and_is_made_good() {
    for seed in 0..20 {
        let mut bench = Bench::new(seed, small());
        let position = enqueue(&bench, 1);
        bench.disk.fail_writes(1);
        let mut steps = 0;
        while bench.commit() != Step::Committed {
            assert!(bench.journal().durable() < position, "nothing is confirmed that a write did not take");
            steps += 1;
            assert!(steps < 10, "one failure ends");
        }
        assert_eq!(steps, 1);
        bench.disk.power_cut();
        assert_eq!(recovered(&mut bench), [1], "seed {seed}");
    }
}

#[test]
fn a_failed_read_is_told_as_such_and_the_next_one_answers() {
    let mut bench = Bench::new(1, small());
    let at = bench.journal().stage().enqueue(1, 1, b"", Body::Inline(&[b"body"]));
    bench.commit();
    bench.disk.fail_reads(1);
    assert!(matches!(bench.journal().read(at), Err(ReadError::Disk(_))), "and not as damage, which it is not");
    assert_eq!(&bench.journal().read(at).unwrap().body[..], b"body");
    bench.disk.fail_reads(2);
    let read = bench.journal().read_many(&[at]);
    assert!(matches!(read[0], Err(ReadError::Disk(_))));
}

#[test]
fn a_start_that_cannot_read_refuses_and_loses_nothing() {
    let mut bench = Bench::new(2, small());
    enqueue(&bench, 1);
    bench.commit();
    bench.disk.kill();
    bench.opened = None;
    // Whichever read fails: a batch that cannot be read is no torn tail.
    for _ in 0..20 {
        bench.disk.fail_reads(1);
        if let Err(error) = bench.open(&mut Told::default()) {
            assert!(matches!(error, OpenError::Disk { .. }), "{error}");
        }
    }
    bench.disk.fail_reads(0);
    assert_eq!(recovered(&mut bench), [1]);
}

#[test]
fn a_file_of_a_newer_format_is_named_with_its_version_and_not_touched() {
    let version_at = 8;
    // The first segment is still there, or there has been time to write a checkpoint.
    for (file, messages) in [("journal-0000000000000001.seg", 1), ("checkpoint", 3000)] {
        let mut bench = Bench::new(3, small());
        enqueue(&bench, 1);
        bench.commit();
        let mut last = None;
        for seq in 2..=messages {
            enqueue(&bench, seq);
            last = Some(bench.journal().stage().put(2, b"key", b"value", last));
            if seq % 100 == 0 {
                bench.commit();
                bench.keep();
            }
        }
        bench.opened.take().unwrap().close();
        let path = Path::new(DIR).join(file);
        bench.disk.flip_bit(&path, version_at, 1);
        let used = bench.disk.used_bytes();
        let Err(error) = bench.open(&mut Told::default()) else { panic!("{file} is of another version") };
        let expected =
            format!("{} has format version 3, this server reads 1: use the version that wrote it", path.display());
        assert_eq!(error.to_string(), expected);
        assert_eq!(bench.disk.used_bytes(), used);
        bench.disk.flip_bit(&path, version_at, 1);
        assert_eq!(recovered(&mut bench).len() as u64, messages);
    }
}

#[test]
fn an_empty_stage_waits_for_what_was_staged_before_and_for_nothing_else() {
    let mut bench = Bench::new(1, small());
    assert!(bench.journal().stage().finish() <= bench.journal().durable(), "nothing was staged yet");
    let position = enqueue(&bench, 1);
    assert_eq!(bench.journal().stage().finish(), position);
    assert_eq!(bench.commit(), Step::Committed);
    assert!(bench.journal().stage().finish() <= bench.journal().durable(), "everything is durable");
}

#[test]
fn a_full_disk_refuses_at_the_bound_and_recovers_without_restart() {
    let mut bench = Bench::new(2, Config { pending_bytes_max: 20_000, ..small() });
    bench.disk.set_room(Some(bench.disk.used_bytes() + 40_000));
    let journal = bench.journal();
    let mut seq = 0;
    while let Ok(mut stage) = journal.try_stage() {
        seq += 1;
        stage.enqueue(1, seq, b"", Body::Inline(&[&[1; 1000]]));
        drop(stage);
        bench.commit();
    }
    assert!(journal.pending_bytes() >= 20_000);
    let before = journal.durable();
    assert!(matches!(bench.commit(), Step::Failed(_)));
    assert_eq!(journal.durable(), before);
    bench.disk.set_room(None);
    while bench.commit() == Step::Committed {}
    assert_eq!(journal.pending_bytes(), 0);
    assert!(journal.try_stage().is_ok());
    bench.disk.power_cut();
    assert_eq!(recovered(&mut bench), (1..=seq).collect::<Vec<_>>());
}

#[test]
fn damage_before_the_end_is_reported_with_its_place_and_refuses_the_start() {
    let mut bench = Bench::new(3, small());
    for seq in 1..10 {
        enqueue(&bench, seq);
        bench.commit();
    }
    bench.disk.kill();
    bench.opened = None;
    bench.disk.flip_bit(&Path::new(DIR).join("journal-0000000000000001.seg"), 4096 + 200, 3);
    let Err(OpenError::Corrupt(damage)) = bench.open(&mut Told::default()) else { panic!("damage must be found") };
    assert!(damage.file.ends_with("journal-0000000000000001.seg") && damage.offset >= 4096, "{damage}");
    assert!(OpenError::Corrupt(damage).to_string().contains("motet store repair"));
}

#[test]
fn a_damaged_last_batch_is_a_torn_tail() {
    let mut bench = Bench::new(4, small());
    enqueue(&bench, 1);
    bench.commit();
    enqueue(&bench, 2);
    bench.commit();
    bench.disk.kill();
    let end = bench.journal().usage().log_bytes;
    bench.disk.flip_bit(&Path::new(DIR).join("journal-0000000000000001.seg"), 4096 + end - 5, 3);
    assert_eq!(recovered(&mut bench), [1]);
}

#[test]
fn an_orderly_stop_is_seen_once() {
    let mut bench = Bench::new(5, small());
    assert!(bench.journal().clean_start());
    enqueue(&bench, 1);
    bench.opened.take().unwrap().close();
    assert_eq!(recovered(&mut bench), [1]);
    assert!(bench.journal().clean_start());
    bench.disk.kill();
    assert_eq!(recovered(&mut bench), [1]);
    assert!(!bench.journal().clean_start());
}

#[test]
fn a_batch_larger_than_a_segment_gets_a_larger_segment() {
    let mut bench = Bench::new(6, small());
    let body = vec![3; 100_000];
    let at = bench.journal().stage().enqueue(1, 1, b"", Body::Inline(&[&body]));
    assert_eq!(bench.commit(), Step::Committed);
    bench.disk.power_cut();
    assert_eq!(recovered(&mut bench), [1]);
    assert_eq!(bench.journal().read(at).unwrap().body.len(), 100_000);
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Events for Heard {
    fn durable(&self, _position: Position) {}
    fn failed(&self, _reason: &str) {
        self.0.lock().push("failed".into());
    }
    fn recovered_room(&self) {
        self.0.lock().push("recovered".into());
    }
    fn damaged(&self, reason: &str) {
        self.0.lock().push(reason.into());
    }
}

#[test]
fn failure_and_recovery_are_told_once_each() {
    let disk = Arc::new(motet_store::sim_disk::SimDisk::new(7));
    let heard = Arc::new(Heard::default());
    let mut opened = Journal::open(Path::new(DIR), disk.clone(), small(), heard.clone(), &mut NoRecovery).unwrap();
    disk.fail_syncs(5);
    opened.journal.stage().enqueue(1, 1, b"", Body::Inline(&[]));
    while opened.committer.step() != Step::Committed {}
    assert_eq!(*heard.0.lock(), ["failed", "recovered"]);
}

#[test]
fn a_disk_that_journal_filled_is_drained_without_room_from_elsewhere() {
    let disk = Arc::new(motet_store::sim_disk::SimDisk::new(9));
    let heard = Arc::new(Heard::default());
    let config = Config { segment_bytes: 32 << 10, ..small() };
    let mut opened = Journal::open(Path::new(DIR), disk.clone(), config, heard.clone(), &mut NoRecovery).unwrap();
    disk.set_room(Some(512 << 10));
    let journal = opened.journal.clone();
    let mut entries = Vec::new();
    while !journal.is_short_of_room() {
        let seq = entries.len() as u64 + 1;
        entries.push((seq, journal.stage().enqueue(1, seq, b"", Body::Inline(&[&[1; 1_000]]))));
        assert_eq!(opened.committer.step(), Step::Committed, "the reserve takes the message that met the full disk");
        opened.keeper.step();
    }
    assert_eq!(*heard.0.lock(), ["failed"]);
    for (seq, at) in entries {
        journal.stage().settle(1, seq, at);
        assert_eq!(opened.committer.step(), Step::Committed);
        opened.keeper.step();
    }
    for _ in 0..3 {
        opened.keeper.step();
    }
    assert!(!journal.is_short_of_room(), "what was settled made room");
    assert_eq!(*heard.0.lock(), ["failed", "recovered"]);
    journal.stage().enqueue(1, 1_000, b"", Body::Inline(&[&[1; 1_000]]));
    assert_eq!(opened.committer.step(), Step::Committed);
}

#[test]
fn room_that_comes_back_does_not_hide_that_the_disk_fails() {
    let disk = Arc::new(motet_store::sim_disk::SimDisk::new(12));
    let heard = Arc::new(Heard::default());
    let mut opened = Journal::open(Path::new(DIR), disk.clone(), small(), heard.clone(), &mut NoRecovery).unwrap();
    disk.set_room(Some(disk.used_bytes() + (40 << 10)));
    let journal = opened.journal.clone();
    for seq in 1.. {
        journal.stage().enqueue(1, seq, b"", Body::Inline(&[&[1; 1_000]]));
        opened.committer.step();
        if journal.is_short_of_room() {
            break;
        }
    }
    disk.set_room(None);
    disk.fail_syncs(1);
    journal.stage().enqueue(2, 1, b"", Body::Inline(&[]));
    assert!(matches!(opened.committer.step(), Step::Failed(_)));
    opened.keeper.step();
    assert!(!journal.is_short_of_room(), "there is room again");
    assert_eq!(*heard.0.lock(), ["failed"], "and still nothing can be written");
    assert_eq!(opened.committer.step(), Step::Committed);
    assert_eq!(*heard.0.lock(), ["failed", "recovered"]);
}

#[test]
fn a_start_on_a_full_disk_puts_room_by_once_there_is_some() {
    let disk = Arc::new(motet_store::sim_disk::SimDisk::new(13));
    disk.set_room(Some(0));
    let opened = Journal::open(Path::new(DIR), disk.clone(), small(), Arc::new(NoEvents), &mut NoRecovery);
    let mut opened = opened.unwrap();
    opened.journal.stage().enqueue(1, 1, b"", Body::Inline(&[&[1; 1_000]]));
    assert!(matches!(opened.committer.step(), Step::Failed(_)));
    opened.keeper.step();
    disk.set_room(None);
    assert_eq!(opened.committer.step(), Step::Committed);
    opened.keeper.step();
    disk.set_room(Some(disk.used_bytes()));
    let mut seq = 1;
    while !opened.journal.is_short_of_room() {
        seq += 1;
        opened.journal.stage().enqueue(1, seq, b"", Body::Inline(&[&[1; 1_000]]));
        assert_eq!(opened.committer.step(), Step::Committed, "what met the full disk goes where room was put by");
    }
}

#[test]
fn a_batch_that_finds_no_room_takes_none_however_often_it_is_tried() {
    let mut bench = Bench::new(10, small());
    let before = bench.disk.used_bytes();
    // Room for any number of segments as they are made, and for none that holds this batch.
    bench.disk.set_room(Some(before + 300_000));
    bench.journal().stage().enqueue(1, 1, b"", Body::Inline(&[&[3; 500_000]]));
    for _ in 0..20 {
        assert!(matches!(bench.commit(), Step::Failed(_)));
        assert!(bench.disk.used_bytes() <= before, "{} bytes", bench.disk.used_bytes());
    }
    bench.disk.set_room(None);
    assert_eq!(bench.commit(), Step::Committed);
    bench.disk.power_cut();
    assert_eq!(recovered(&mut bench), [1]);
}

#[test]
fn a_checkpoint_that_finds_no_room_leaves_none_of_the_files_it_would_have_named() {
    let mut bench = Bench::new(11, Config { reserve_bytes: 0, ..small() });
    bench.disk.set_full_for(Some("checkpoint.new"));
    let mut attempts = 0;
    for seq in 1..=2_000 {
        let journal = bench.journal();
        let at = journal.stage().enqueue(1, seq, b"", Body::Inline(&[&[1; 100]]));
        if seq % 10 != 0 {
            journal.stage().settle(1, seq, at);
        }
        bench.commit();
        bench.keep();
        attempts += u64::from(bench.disk.was_full_for());
        let names = bench.disk.list(Path::new(DIR)).unwrap();
        let files = names.iter().filter(|name| !name.starts_with("journal-") && *name != "LOCK").count();
        assert_eq!(files, 0, "nothing names these: {names:?}");
    }
    assert!(attempts > 10, "nothing was due: the test tests nothing");
    bench.disk.set_full_for(None);
    bench.keep();
    assert!(bench.journal().usage().class_files > 0);
    bench.disk.power_cut();
    assert_eq!(recovered(&mut bench).len(), 200);
}

#[test]
fn a_stage_that_panics_leaves_nothing_and_its_addresses_are_nobody_elses() {
    let mut bench = Bench::new(8, small());
    enqueue(&bench, 1);
    let journal = bench.journal();
    let kept = Arc::new(Mutex::new(None));
    let panicked = std::thread::spawn({
        let (journal, kept) = (journal.clone(), kept.clone());
        move || {
            let mut stage = journal.stage();
            *kept.lock() = Some(stage.enqueue(1, 2, b"", Body::Inline(&[])));
            let body = stage.body(&[b"shared"]);
            stage.enqueue(1, 3, b"", Body::Shared(body));
            panic!("in the middle of a stage");
        }
    });
    assert!(panicked.join().is_err());
    let kept = kept.lock().take().unwrap();
    let mut stage = journal.stage();
    let body = stage.body(&[b"another"]);
    let next = stage.enqueue(1, 4, b"", Body::Shared(body));
    drop(stage);
    assert_ne!(next, kept);
    // The queue in which it got stuck settles it some day.
    journal.stage().settle(1, 2, kept);
    enqueue(&bench, 5);
    assert!(journal.read(kept).is_err());
    bench.commit();
    assert_eq!(&journal.read(next).unwrap().body[..], b"another");
    bench.disk.power_cut();
    assert_eq!(recovered(&mut bench), [1, 4, 5]);
    assert_eq!(bench.journal().pending_bytes(), 0);
}

#[test]
fn real_files_with_threads_survive_a_restart_and_are_locked_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { segment_bytes: 1 << 20, ..Config::default() };
    let open =
        |told: &mut Told| Journal::open(dir.path(), Arc::new(RealDisk), config.clone(), Arc::new(NoEvents), told);
    let journal = open(&mut Told::default()).unwrap().spawn().unwrap();
    assert!(matches!(open(&mut Told::default()), Err(OpenError::InUse(_))));
    let workers: Vec<_> = (1..=4u64)
        .map(|object| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                for seq in 1..=2_000 {
                    let mut stage = journal.stage();
                    let at = stage.enqueue(object, seq, b"head", Body::Inline(&[&[object as u8; 300]]));
                    let position = stage.finish();
                    if seq % 2 == 0 {
                        journal.stage().settle(object, seq, at);
                    }
                    if seq % 500 == 0 {
                        while journal.durable() < position {
                            std::thread::yield_now();
                        }
                    }
                    assert_eq!(journal.read(at).unwrap().seq, seq);
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().unwrap());
    journal.shutdown();
    assert!(journal.try_stage().is_err());
    drop(journal);
    let mut told = Told::default();
    let opened = open(&mut told).unwrap();
    assert!(opened.journal.clean_start());
    for object in 1..=4 {
        assert!(told.state[&object].entries.keys().copied().eq((1..=2_000).step_by(2)), "object {object}");
        assert_eq!(told.state[&object].last_seq, 2_000);
        let places: Vec<_> = told.state[&object].entries.values().map(|entry| entry.at).collect();
        assert!(opened.journal.read_many(&places).into_iter().all(|record| record.unwrap().body.len() == 300));
    }
}
