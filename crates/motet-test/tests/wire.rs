//! Every wire script, against the machine; and against a server when one is there.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use motet_server::Server;
use motet_server::config::{Sources, load};
use motet_test::wire::{Bench, Durability, Pace, Remote, Script, run};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// What a test waits for real.
const WAIT_MAX: Duration = Duration::from_secs(2);

fn scripts() -> Vec<Script> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../motet-mqtt/tests/wire");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wire"));
    files.sort();
    let script = |file: &std::path::PathBuf| {
        let name = file.file_name().unwrap().to_string_lossy();
        Script::parse(&name, &std::fs::read_to_string(file).unwrap()).unwrap_or_else(|error| panic!("{error}"))
    };
    files.iter().map(script).collect()
}

fn all_hold(durability: Durability, pace: Pace) {
    let failed: Vec<String> = scripts()
        .iter()
        .filter_map(|script| {
            let mut bench = Bench::new(durability, pace, &script.config).unwrap_or_else(|error| panic!("{error}"));
            run(script, &mut bench).err()
        })
        .collect();
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

#[test]
fn scripts_hold_against_the_machine() {
    all_hold(Durability::AtOnce, Pace::Whole);
}

#[test]
fn scripts_hold_when_every_byte_comes_alone() {
    all_hold(Durability::AtOnce, Pace::Bytes);
}

#[test]
fn scripts_hold_when_the_disk_is_late() {
    all_hold(Durability::AtRest, Pace::Whole);
}

#[test]
fn there_are_scripts() {
    assert!(scripts().len() >= 40, "{} scripts", scripts().len());
}

/// Runs what a server in its default configuration can run: scripts without settings and long waits.
fn all_hold_at(server: SocketAddr) {
    let runs = |script: &&Script| script.config.is_empty() && script.longest_wait() <= WAIT_MAX;
    let failed: Vec<String> =
        scripts().iter().filter(runs).filter_map(|script| run(script, &mut Remote::new(server)).err()).collect();
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

/// The server as a user starts it, on a port of its own and with a fresh store.
#[test]
fn scripts_hold_against_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Sources::default();
    let listener = ["listener.0.address=127.0.0.1:0", "listener.0.protocol=mqtt"];
    for assignment in listener.into_iter().chain(["user.0.name=guest", "user.0.password=guest"]) {
        sources.set(assignment).unwrap();
    }
    sources.set(&format!("data_dir={}", folder.path().display())).unwrap();
    let config = load(&sources).unwrap().config;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(async { Server::start(&config).unwrap() });
    all_hold_at(server.addresses()[0].address);
    runtime.block_on(server.shutdown());
}

/// `MOTET_WIRE_SERVER=127.0.0.1:1883 cargo test -p motet-test --test wire`: against a server that runs already. Its
/// store should be empty, for the scripts expect to find no sessions and no retained messages; and it should know a user
/// `guest` with the password `guest`, and let in whoever gives none.
#[test]
fn scripts_hold_against_a_running_server() {
    if let Ok(server) = std::env::var("MOTET_WIRE_SERVER") {
        all_hold_at(server.parse().expect("MOTET_WIRE_SERVER is an address and a port"));
    }
}
