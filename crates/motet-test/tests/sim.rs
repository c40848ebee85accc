//! Hundreds of small worlds. `SIM_SEED=n` repeats one, `SIM_RUNS=n` makes more.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use motet_test::sim;

/// Runs in an ordinary test run; a few seconds.
const RUNS: u64 = 400;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Makes the worlds that were asked for, `runs` of them if nobody says how many.
fn keep_promises(runs: u64, run: impl Fn(u64) -> Result<sim::Summary, Box<sim::Failure>>) {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_RUNS").unwrap_or(runs),
    };
    let mut total = sim::Summary::default();
    for seed in seeds {
        match run(seed) {
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

#[test]
fn promises_are_kept_through_faults_and_power_cuts() {
    keep_promises(RUNS, sim::run);
}

/// Worlds with clients of two protocols in an ordinary test run; a few seconds.
const MIXED_RUNS: u64 = 300;

#[test]
fn promises_are_kept_between_clients_of_mqtt_and_amqp() {
    keep_promises(MIXED_RUNS, sim::run_mixed);
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

/// Worlds of sessions and of a queue at work in an ordinary test run; a few seconds.
const LIVES_RUNS: u64 = 300;

#[test]
fn sessions_wills_last_values_and_work_last_as_long_as_was_asked() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_RUNS").unwrap_or(LIVES_RUNS),
    };
    let mut total = sim::time::lives::Lived::default();
    for seed in seeds {
        match sim::time::lives::run(seed) {
            Ok(lived) => {
                total.looked += lived.looked;
                total.done += lived.done;
                total.crashes += lived.crashes;
            }
            Err(failure) => panic!("SIM_SEED={}\n{}\n{}", failure.seed, failure.trace.join("\n"), failure.what),
        }
    }
    assert!(total.looked > 0 && total.done > 0, "the worlds were alive: {total:?}");
    eprintln!("{total:?}");
}

#[test]
fn a_connection_that_was_taken_over_releases_nothing() {
    // What it acknowledges behind its successor's back is not written, and so it must not be told that it was.
    sim::run_mixed(3738).map_err(|failure| failure.what).unwrap();
}

#[test]
fn the_same_seed_does_the_same() {
    let once = sim::run(1).map_err(|failure| failure.what);
    assert_eq!(once, sim::run(1).map_err(|failure| failure.what));
}
