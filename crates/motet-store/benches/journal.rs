//! What a record costs: `cargo bench -p motet-store --bench journal [-- DIR]`. Prints CPU of all threads per record,
//! one fdatasync per group of 500, and how long a million live entries take to come back.
#![allow(clippy::print_stdout, missing_docs)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use motet_store::{
    Body, Config, Events, Journal, Locator, NoEvents, NoRecovery, Opened, RealDisk, RecoveredBody, Recovery, Step,
};

const GROUP: u64 = 500;
const OBJECTS: u64 = 100;

fn main() {
    let dir = std::env::args().nth(1).filter(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| std::env::temp_dir().join(format!("motet-journal-{}", std::process::id())));
    for (name, count, size) in [("64 B", 500_000, 64), ("1 KiB", 100_000, 1024)] {
        append_and_settle(&dir.join(size.to_string()), name, count, size);
    }
    staging_alone(&dir.join("stage"));
    recovery(&dir.join("recovery"));
    let _ = std::fs::remove_dir_all(&dir);
}

fn open(dir: &Path, recovery: &mut dyn Recovery) -> Opened {
    let events: Arc<dyn Events> = Arc::new(NoEvents);
    Journal::open(dir, Arc::new(RealDisk), Config::default(), events, recovery).expect("the journal opens")
}

/// Every message is settled one group after it was staged, as by a consumer that keeps up.
fn append_and_settle(dir: &Path, name: &str, count: u64, size: usize) {
    for settle in [false, true] {
        let Opened { journal, mut committer, mut keeper } = open(dir, &mut NoRecovery);
        let body = vec![0x5A; size];
        let mut last: Vec<(u64, u64, Locator)> = Vec::new();
        keeper.step();
        let (start, cpu) = (Instant::now(), cpu_ns());
        let mut slowest = Vec::new();
        for group in 0..count / GROUP {
            let mut staged = Vec::with_capacity(GROUP as usize);
            for number in group * GROUP..(group + 1) * GROUP {
                let (object, seq) = (number % OBJECTS + 1, number / OBJECTS + 1);
                staged.push((object, seq, journal.stage().enqueue(object, seq, &[], Body::Inline(&[&body]))));
            }
            if settle {
                last.drain(..).for_each(|(object, seq, at)| journal.stage().settle(object, seq, at));
            }
            last = staged;
            let commit = Instant::now();
            assert_eq!(committer.step(), Step::Committed);
            slowest.push(commit.elapsed());
            keeper.step();
        }
        slowest.sort_unstable();
        let what = if settle { "append+settle" } else { "append       " };
        println!(
            "{name:>6} {what}: {:.2} us CPU/message, {:.2} M/s, commit p50 {:.2?} p99 {:.2?}, {:?}",
            (cpu_ns() - cpu) as f64 / 1e3 / count as f64,
            count as f64 / 1e6 / start.elapsed().as_secs_f64(),
            slowest[slowest.len() / 2],
            slowest[slowest.len() * 99 / 100],
            journal.usage(),
        );
        drop((journal, committer, keeper));
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// Only the call made inside a queue's lock.
fn staging_alone(dir: &Path) {
    let Opened { journal, mut committer, .. } = open(dir, &mut NoRecovery);
    let body = [0x5A; 64];
    let mut best = u128::MAX;
    for round in 0..20u64 {
        let start = Instant::now();
        for seq in 0..10_000 {
            journal.stage().enqueue(1, round * 10_000 + seq, &[], Body::Inline(&[&body]));
        }
        best = best.min(start.elapsed().as_nanos() / 10_000);
        committer.step();
    }
    println!("staging one 64 B record: {best} ns");
}

#[derive(Default)]
struct Count(u64);

impl Recovery for Count {
    fn object(&mut self, _object: u64, _last_seq: u64) {}
    fn entry(&mut self, _: u64, _: u64, _: &[u8], _: RecoveredBody<'_>, _: Locator, _: Option<&[u8]>) {
        self.0 += 1;
    }
    fn keyed(&mut self, _object: u64, _key: &[u8], _value: &[u8], _at: Locator) {}
}

fn recovery(dir: &Path) {
    let mut opened = open(dir, &mut NoRecovery);
    for group in 0..2_000u64 {
        for number in group * GROUP..(group + 1) * GROUP {
            let head = number.to_le_bytes();
            opened.journal.stage().enqueue(number % OBJECTS + 1, number, &head, Body::Inline(&[&[1; 64]]));
        }
        opened.committer.step();
        opened.keeper.step();
    }
    opened.close();
    let (start, cpu) = (Instant::now(), cpu_ns());
    let mut count = Count::default();
    let opened = open(dir, &mut count);
    let took = start.elapsed();
    println!("recovery of {} live entries: {took:.2?}, {:.2} s CPU", count.0, (cpu_ns() - cpu) as f64 / 1e9);
    drop(opened);
}

/// CPU time of all threads of this process so far.
fn cpu_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .sum()
}
