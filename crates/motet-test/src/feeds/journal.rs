//! A journal whose files were written to by somebody else.

use motet_store::sim_disk::SimDisk;
use motet_store::{Body, Config, Disk, DiskFile, Journal, NoEvents, NoRecovery, Step, check, fuzz_segment};
use std::path::Path;
use std::sync::Arc;

/// Opens a small journal after `data` has been written over it, as pieces of up to 16 bytes: two bytes say where in the
/// file, one which file and how long, then the bytes. The start reports or repairs; it never panics.
pub fn journal(data: &[u8]) {
    let disk = Arc::new(SimDisk::new(1));
    let folder = Path::new("journal");
    fill(&disk, folder);
    let files = disk.list(folder).unwrap_or_default();
    let files: Vec<_> = files.into_iter().filter(|name| name != "LOCK").collect();
    let mut rest = data;
    while let [low, high, what, behind @ ..] = rest {
        let len = usize::from(what & 15) + 1;
        let (bytes, next) = behind.split_at(len.min(behind.len()));
        rest = next;
        let Some(name) = files.get(usize::from(what >> 4) % files.len().max(1)) else { return };
        if let Ok(file) = disk.open(&folder.join(name)) {
            let _ = file.write_at(bytes, u64::from(u16::from_le_bytes([*low, *high])));
        }
    }
    // Once for what is there, once for what the first start made of it.
    for _ in 0..2 {
        let opened = Journal::open(folder, disk.clone(), config(), Arc::new(NoEvents), &mut NoRecovery);
        drop(opened);
        disk.kill();
    }
}

/// Opens a journal whose only segment holds records that nobody checks but the start: their checksums are sound.
pub fn journal_records(data: &[u8]) {
    let disk = Arc::new(SimDisk::new(1));
    let folder = Path::new("journal");
    fuzz_segment(data, &disk, folder);
    let _ = check(folder, &disk);
    for _ in 0..2 {
        let opened = Journal::open(folder, disk.clone(), config(), Arc::new(NoEvents), &mut NoRecovery);
        drop(opened);
        disk.kill();
    }
}

fn config() -> Config {
    Config { segment_bytes: 64 << 10, ..Config::default() }
}

/// A few records of every kind.
fn fill(disk: &Arc<SimDisk>, folder: &Path) {
    let opened = Journal::open(folder, disk.clone(), config(), Arc::new(NoEvents), &mut NoRecovery);
    let mut opened = opened.expect("an empty disk can be opened");
    let journal = opened.journal.clone();
    for seq in 1..=8 {
        let mut stage = journal.stage();
        let entry = stage.enqueue(20, seq, b"head", Body::Inline(&[b"body", [7; 100].as_slice()]));
        let shared = stage.body(&[b"shared"]);
        stage.enqueue(21, seq, b"head", Body::Shared(shared));
        let key = stage.put(2, &[seq as u8], b"value", None);
        match seq {
            3 => stage.settle(20, seq, entry),
            4 => stage.mark(20, seq, entry, b"mark"),
            5 => stage.delete(2, &[5], key),
            6 => stage.drop_object(21),
            _ => {}
        }
        stage.finish();
        assert_eq!(opened.committer.step(), Step::Committed, "the disk is not full");
    }
    drop((opened, journal));
    disk.kill();
}
