//! Everything durable survives any power cut, batches are whole, order is kept, nothing is resurrected.
//!
//! Each run follows from its seed. A failing one prints it: `MOTET_SEED=<seed> cargo test -p motet-store --test power_cut`
//! replays it alone. `MOTET_RUNS=<count>` looks further.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // helpers of tests are tests

mod common;

use common::{Bench, small};
use motet_store::Config;

fn run(seed: u64) {
    // Every other run has tiny files, so that segments retire and class files merge all the time.
    let tiny = Config { segment_bytes: 12 << 10, class_bytes: 16 << 10, segments_max: 3, ..small() };
    let mut bench = Bench::new(seed, if seed.is_multiple_of(2) { tiny } else { small() });
    for _ in 0..600 {
        match bench.random.below(100) {
            0..45 => bench.stage(),
            45..80 => {
                bench.commit();
            }
            80..92 => bench.keep(),
            92 => bench.disk.fail_syncs(1),
            93 => bench.disk.fail_writes(1),
            94 => {
                let calls = bench.random.below(40);
                bench.disk.cut_power_after(calls);
            }
            95..97 => {
                bench.disk.power_cut();
                bench.reopen();
            }
            97 => {
                bench.disk.kill();
                bench.reopen();
            }
            _ => bench.read_all(),
        }
    }
    bench.disk.power_cut();
    bench.reopen();
}

#[test]
fn what_is_durable_survives_power_cuts() {
    if let Ok(seed) = std::env::var("MOTET_SEED") {
        return run(seed.parse().unwrap());
    }
    let runs = std::env::var("MOTET_RUNS").map_or(400, |runs| runs.parse().unwrap());
    for seed in 0..runs {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            println!("failing seed: {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
