//! Data directories of every format version still open, and say what they said when they were written.
//!
//! `cargo test -p motet-store --test golden -- --ignored` writes a fresh directory of the present version, for the
//! release that changes it; the old ones stay.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::{Entry, Object, State, Told};
use motet_store::{Body, Config, Journal, NoEvents, NoRecovery, Opened, RealDisk, Recovery, check};

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn open(dir: &Path, recovery: &mut dyn Recovery) -> Opened {
    let config = Config { segment_bytes: 8 << 10, ..Config::default() };
    Journal::open(dir, Arc::new(RealDisk), config, Arc::new(NoEvents), recovery).unwrap()
}

/// One of everything: parked and keyed class files, a sealed segment, an unsealed one, marks, shared and long bodies,
/// settled entries, a dropped object.
fn write(dir: &Path) -> State {
    let Opened { journal, mut committer, mut keeper } = open(dir, &mut NoRecovery);
    let mut state = State::new();
    let mut keep = |object: u64, seq: u64, head: &[u8], body: &[u8], mark: Option<&[u8]>, at| {
        let object: &mut Object = state.entry(object).or_default();
        object.last_seq = object.last_seq.max(seq);
        let (head, body, mark) = (head.to_vec(), body.to_vec(), mark.map(<[u8]>::to_vec));
        object.entries.insert(seq, Entry { head, body, mark, at });
    };
    {
        let mut stage = journal.stage();
        let at = stage.enqueue(1, 1, b"parked", Body::Inline(&[b"in ", b"two parts"]));
        stage.mark(1, 1, at, b"delivered once");
        keep(1, 1, b"parked", b"in two parts", Some(b"delivered once"), at);
        let body = stage.body(&[b"for two"]);
        for object in [1, 2] {
            let at = stage.enqueue(object, 2, b"shared", Body::Shared(body));
            keep(object, 2, b"shared", b"for two", None, at);
        }
        stage.enqueue(9, 1, b"", Body::Inline(&[b"of an object that is dropped"]));
    }
    committer.step();
    let old = journal.stage().put(1, b"key", b"old", None);
    let at = journal.stage().put(1, b"key", b"new", Some(old));
    let gone = journal.stage().put(1, b"gone", b"value", None);
    committer.step();
    for seq in 10..120 {
        let at = journal.stage().enqueue(3, seq, b"", Body::Inline(&[&[seq as u8; 150]]));
        journal.stage().settle(3, seq, at);
        committer.step();
        keeper.step();
    }
    // These stay, so a sealed segment with a footer stays as well.
    for seq in 120..150 {
        let at = journal.stage().enqueue(3, seq, b"kept", Body::Inline(&[&[seq as u8; 150]]));
        keep(3, seq, b"kept", &[seq as u8; 150], None, at);
        committer.step();
        keeper.step();
    }
    journal.stage().delete(1, b"gone", gone);
    journal.stage().drop_object(9);
    let long = vec![b'x'; 1_000];
    let last = journal.stage().enqueue(4, 7, &long, Body::Inline(&[&long]));
    keep(4, 7, &long, &long, None, last);
    committer.step();
    state.get_mut(&1).unwrap().keyed.insert(b"key".to_vec(), (b"new".to_vec(), at));
    state
}

fn read(dir: &Path) -> State {
    let mut told = Told::default();
    let opened = open(dir, &mut told);
    for object in told.state.values_mut() {
        for entry in object.entries.values_mut() {
            entry.body = opened.journal.read(entry.at).unwrap().body.to_vec();
        }
    }
    told.state
}

#[test]
fn version_1_opens() {
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(golden("v1")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let fresh = tempfile::tempdir().unwrap();
    assert_eq!(check(dir.path(), &Arc::new(RealDisk)).unwrap().damage, []);
    // Addresses do not depend on seeds or time, so even the locators are those of a directory written today.
    assert_eq!(read(dir.path()), write(fresh.path()));
    assert_eq!(read(dir.path()), read(fresh.path()), "and a second start changes nothing");
}

#[test]
#[ignore = "writes the directory that version_1_opens reads"]
fn write_the_present_version() {
    let dir = golden("v1");
    std::fs::create_dir_all(&dir).unwrap();
    write(&dir);
    std::fs::remove_file(dir.join("LOCK")).unwrap();
}
