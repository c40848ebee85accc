//! Hundreds of small worlds. `SIM_SEED=n` repeats one, `SIM_RUNS=n` makes more.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use motet_test::sim;

/// Runs in an ordinary test run; a few seconds.
const RUNS: u64 = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn promises_are_kept_through_faults_and_power_cuts() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_RUNS").unwrap_or(RUNS),
    };
    let mut total = sim::Summary::default();
    for seed in seeds {
        match sim::run(seed) {
            Ok(summary) => {
                total.published += summary.published;
                total.confirmed += summary.confirmed;
                total.delivered += summary.delivered;
                total.owed += summary.owed;
                total.crashes += summary.crashes;
                total.connections += summary.connections;
            }
            Err(failure) => {
                panic!("SIM_SEED={}\n{}\n{}", failure.seed, failure.trace.join("\n"), failure.what);
            }
        }
    }
    assert!(total.owed > 0 && total.delivered > 0, "the worlds were alive: {total:?}");
    eprintln!("{total:?}");
}

/// Worlds of queues in an ordinary test run; a few seconds.
const TIME_RUNS: u64 = 150;

#[test]
fn time_does_to_messages_what_was_asked() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_RUNS").unwrap_or(TIME_RUNS),
    };
    let mut total = sim::time::Measured::default();
    for seed in seeds {
        match sim::time::run(seed) {
            Ok(measured) => {
                total.published += measured.published;
                total.found += measured.found;
                total.crashes += measured.crashes;
            }
            Err(failure) => panic!("SIM_SEED={}\n{}\n{}", failure.seed, failure.trace.join("\n"), failure.what),
        }
    }
    assert!(total.found > 0 && total.published > 0, "the worlds were alive: {total:?}");
    eprintln!("{total:?}");
}

#[test]
fn the_same_seed_does_the_same() {
    let once = sim::run(1).map_err(|failure| failure.what);
    assert_eq!(once, sim::run(1).map_err(|failure| failure.what));
}
