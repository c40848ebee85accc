//! Every wire script, against the machine; and against a server when one is there.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use motet_server::Server;
use motet_server::config::{Sources, load};
use motet_test::wire::{Bench, Durability, Face, Pace, Remote, Script, run};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// What a test waits for real.
const WAIT_MAX: Duration = Duration::from_secs(2);

fn scripts() -> Vec<Script> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["motet-mqtt/tests/wire", "motet-amqp/tests/wire", "motet-test/tests/bridge/wire"];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(crates.join(folder)).unwrap());
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
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
    assert!(scripts().len() >= 100, "{} scripts", scripts().len());
}

/// Runs what a server in its default configuration can run: scripts without settings and long waits.
fn all_hold_at(servers: &BTreeMap<Face, SocketAddr>) {
    let runs = |script: &&Script| script.config.is_empty() && script.longest_wait() <= WAIT_MAX;
    let failed: Vec<String> = scripts()
        .iter()
        .filter(runs)
        .filter_map(|script| run(script, &mut Remote::new(servers.clone())).err())
        .collect();
    assert!(failed.is_empty(), "\n{}\n", failed.join("\n"));
}

/// The server as a user starts it, on a port of its own and with a fresh store.
#[test]
fn scripts_hold_against_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Sources::default();
    let listeners = [
        "listener.0.address=127.0.0.1:0",
        "listener.0.protocol=mqtt",
        "listener.1.address=127.0.0.1:0",
        "listener.1.protocol=amqp",
    ];
    for assignment in listeners.into_iter().chain(["user.0.name=guest", "user.0.password=guest"]) {
        sources.set(assignment).unwrap();
    }
    sources.set(&format!("data_dir={}", folder.path().display())).unwrap();
    let config = load(&sources).unwrap().config;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let server = runtime.block_on(async { Server::start(&config).unwrap() });
    let [mqtt, amqp] = [0, 1].map(|at| server.addresses()[at].address);
    all_hold_at(&BTreeMap::from([(Face::Mqtt, mqtt), (Face::Amqp, amqp)]));
    runtime.block_on(server.shutdown());
}

/// `MOTET_WIRE_SERVER=127.0.0.1:8080 cargo test -p motet-test --test wire`: against a server that runs already, at a
/// port where it speaks everything. Its store should be empty, for the scripts expect to find no sessions and no retained messages; and it should know a user
/// `guest` with the password `guest`, and let in whoever gives none.
#[test]
fn scripts_hold_against_a_running_server() {
    if let Ok(server) = std::env::var("MOTET_WIRE_SERVER") {
        let server = server.parse().expect("MOTET_WIRE_SERVER is an address and a port");
        all_hold_at(&BTreeMap::from([(Face::Mqtt, server), (Face::Amqp, server)]));
    }
}
