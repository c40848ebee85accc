//! `motet bench mqtt` and `motet bench amqp`: measure a server, ours or another. Exit status 0 when nothing was lost that the server had
//! confirmed, 1 when something was or a workload could not be run.

use std::process::ExitCode;
use std::time::Duration;

use motet_bench::options::{QoS, Tls};
use motet_bench::{ClientError, Figures, Options, Workload, amqp};
use motet_server::ClientTls;
use serde_json::json;

use super::Failure;
use crate::cli::bench::{BenchAmqp, BenchCommand, BenchMqtt, Common, Version};
use crate::print;

pub(crate) fn bench(command: &BenchCommand) -> Result<ExitCode, Failure> {
    motet_bench::raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut good = true;
    match command {
        BenchCommand::Mqtt(asked) => {
            let options = mqtt_options(asked)?;
            for workload in chosen(&asked.workload, &Workload::USUAL) {
                let result = runtime.block_on(motet_bench::run(workload, &options));
                good &= tell(workload.name(), &options, asked.common.json, result);
            }
        }
        BenchCommand::Amqp(asked) => {
            let options = amqp_options(asked)?;
            for workload in chosen(&asked.workload, &amqp::Workload::ALL) {
                let result = runtime.block_on(amqp::run(workload, &options));
                good &= tell(workload.name(), &options, asked.common.json, result);
            }
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was asked for; all when nothing was.
fn chosen<W: Copy, A: Copy + Into<W>>(asked: &[A], all: &[W]) -> Vec<W> {
    if asked.is_empty() { all.into() } else { asked.iter().map(|&workload| workload.into()).collect() }
}

/// Prints what came of a workload; true when all is well.
fn tell(name: &str, options: &Options, json: bool, result: Result<Figures, ClientError>) -> bool {
    match result {
        Ok(figures) => {
            print::answer(if json { format!("{}\n", figures.json()) } else { figures.text() });
            figures.is_good()
        }
        Err(error) => {
            let error = format!("{}: {error}", options.address);
            print::answer(match json {
                true => format!("{}\n", json!({ "workload": name, "good": false, "errors": [error] })),
                false => format!("{name:9} could not be run\n  error        {error}\n"),
            });
            false
        }
    }
}

fn mqtt_options(asked: &BenchMqtt) -> Result<Options, Failure> {
    use motet_bench::options::Version as Spoken;
    let version = match asked.mqtt {
        Version::V311 => Spoken::V311,
        Version::V5 => Spoken::V5,
    };
    let qos = QoS::from_bits(asked.qos).ok_or("--qos: expected 0, 1 or 2")?;
    let clients = asked.clients.map(|clients| clients as usize);
    let at = match web_socket(&asked.server) {
        None => options(&asked.server, ["mqtt", "mqtts"], [1883, 8883], &asked.common)?,
        Some((server, encrypted, path)) => {
            let common = Common { tls: asked.common.tls || encrypted, ..asked.common.clone() };
            Options { websocket: Some(path), ..options(server, ["ws", "wss"], [8083, 8443], &common)? }
        }
    };
    Ok(Options { version, qos, clients, ..at })
}

fn amqp_options(asked: &BenchAmqp) -> Result<Options, Failure> {
    let qos = if asked.persistent { QoS::AtLeastOnce } else { QoS::AtMostOnce };
    let (prefetch, vhost) = (asked.prefetch, asked.vhost.clone());
    let clients = asked.clients.map(|clients| clients as usize);
    let options = options(&asked.server, ["amqp", "amqps"], [5672, 5671], &asked.common)?;
    Ok(Options { qos, prefetch, vhost, clients, ..options })
}

fn options(server: &str, schemes: [&str; 2], ports: [u16; 2], asked: &Common) -> Result<Options, Failure> {
    let encrypted = asked.tls || asked.insecure || asked.ca.is_some();
    let (host, port) = host_and_port(server, schemes, ports[usize::from(encrypted)])?;
    let tls = encrypted.then(|| {
        let files = ClientTls { ca: asked.ca.clone(), insecure: asked.insecure, ..ClientTls::default() };
        let name = host.trim_matches(['[', ']']).to_owned();
        let tls = Tls { config: files.load("--tls")?, name: name.try_into()? };
        Ok::<_, Failure>(if asked.full_handshakes { tls.without_resumption() } else { tls })
    });
    let password = asked.password_file.as_ref().map(|file| {
        let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok::<_, Failure>(text.lines().next().unwrap_or_default().as_bytes().to_vec())
    });
    Ok(Options {
        tls: tls.transpose()?,
        user: asked.user.clone(),
        password: password.transpose()?.or_else(|| asked.password.clone().map(String::into_bytes)),
        size: asked.size as usize,
        duration: Duration::from_secs_f64(asked.secs),
        count: asked.count,
        window: asked.window,
        in_flight: asked.in_flight,
        rate: asked.rate,
        pid: asked.pid,
        topic: asked.topic.clone(),
        ..Options::new(format!("{host}:{port}"))
    })
}

/// Host and port of `ws://host:port/path`, whether it is `wss`, and the path.
fn web_socket(server: &str) -> Option<(&str, bool, String)> {
    let (scheme, rest) = server.split_once("://").filter(|(scheme, _)| ["ws", "wss"].contains(scheme))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    Some((authority, scheme == "wss", format!("/{}", if path.is_empty() { "mqtt" } else { path })))
}

/// `host`, `host:port`, `[::1]:port`, with or without a scheme in front.
fn host_and_port(server: &str, schemes: [&str; 2], default: u16) -> Result<(String, u16), String> {
    let wrong = || format!("{server}: expected host or host:port; an IPv6 address in brackets");
    let named = server.split_once("://").filter(|(scheme, _)| schemes.contains(scheme));
    let rest = named.map_or(server, |(_, rest)| rest);
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (rest, default),
    };
    let bare_ipv6 = host.contains(':') && !host.starts_with('[');
    if host.is_empty() || bare_ipv6 || host.contains(['/', ' ']) { Err(wrong()) } else { Ok((host.into(), port)) }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use motet_server::Server;
    use motet_server::config::{Sources, load};

    use super::*;
    use crate::cli::{Arguments, Command};

    fn asked(line: &[&str]) -> BenchMqtt {
        let line = ["motet", "bench", "mqtt"].iter().chain(line);
        match Arguments::try_parse_from(line).unwrap().command {
            Some(Command::Bench { command: BenchCommand::Mqtt(asked) }) => asked,
            other => panic!("{other:?}"),
        }
    }

    /// A server on a free port, and one that speaks TLS with a certificate of its own.
    fn server(runtime: &tokio::runtime::Runtime, dir: &std::path::Path) -> (Server<motet_server::Store>, [String; 3]) {
        let mut sources = Sources::default();
        for (at, protocol) in ["mqtt", "mqtts", "http"].into_iter().enumerate() {
            sources.set(&format!("listener.{at}.address=localhost:0")).unwrap();
            sources.set(&format!("listener.{at}.protocol={protocol}")).unwrap();
        }
        sources.option("--data-dir", "data_dir", dir.to_str().unwrap());
        let config = load(&sources).unwrap().config;
        let server = runtime.block_on(async { Server::start(&config) }).unwrap();
        let address = |protocol: &str| {
            let mut bound = server.addresses().iter().filter(|bound| bound.protocol.to_string() == protocol);
            bound.next().unwrap().address.to_string()
        };
        let addresses = [address("mqtt"), address("mqtts"), address("http")];
        (server, addresses)
    }

    #[test]
    fn every_workload_runs_against_our_own_server_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (server, [plain, encrypted, web]) = server(&runtime, dir.path());
        let few = ["--count", "50", "--clients", "3", "--secs", "0.05"];
        for more in [&["--qos", "0"][..], &["--qos", "1", "--mqtt", "3.1.1"], &["--qos", "2"]] {
            let options = mqtt_options(&asked(&[&[plain.as_str()], &few[..], more].concat())).unwrap();
            for workload in Workload::USUAL {
                let figures = runtime.block_on(motet_bench::run(workload, &options)).unwrap();
                assert!(figures.is_good(), "{}", figures.text());
                let expected = match workload {
                    Workload::Connect | Workload::Retained | Workload::Offline => 50,
                    Workload::Idle => 3,
                    _ => 150,
                };
                assert_eq!(figures.count, expected, "{}", figures.text());
            }
        }
        for (server, more) in [(format!("ws://{web}"), "--json"), (format!("wss://{web}/mqtt"), "--insecure")] {
            let line =
                [&[server.as_str(), more, "--full-handshakes", "--user", "ann", "--password", "x"], &few[..]].concat();
            let options = mqtt_options(&asked(&line)).unwrap();
            for (workload, count) in [(Workload::Pairs, 150), (Workload::Connect, 50)] {
                let figures = runtime.block_on(motet_bench::run(workload, &options)).unwrap();
                assert!(figures.is_good() && figures.count == count, "{}", figures.text());
                assert!(figures.text().contains("WebSocket"), "{}", figures.text());
            }
        }
        let pid = std::process::id().to_string();
        let line = [&[encrypted.as_str(), "pairs", "--insecure", "--pid", &pid], &few[..]].concat();
        let figures =
            runtime.block_on(motet_bench::run(Workload::Pairs, &mqtt_options(&asked(&line)).unwrap())).unwrap();
        assert!(figures.is_good() && figures.server.is_some(), "{}", figures.text());
        runtime.block_on(server.shutdown());
    }

    #[test]
    fn under_stress_our_own_server_loses_nothing_it_has_confirmed() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (server, [plain, ..]) = server(&runtime, dir.path());
        let line = [plain.as_str(), "--count", "20", "--clients", "3", "--rate", "1000"];
        let options = mqtt_options(&asked(&line)).unwrap();
        for (workload, count) in Workload::STRESS.into_iter().zip([20, 60, 20]) {
            let figures = runtime.block_on(motet_bench::run(workload, &options)).unwrap();
            assert!(figures.is_good() && figures.phases.len() >= 2, "{}", figures.text());
            assert_eq!(figures.count, count, "{}", figures.text());
        }
        runtime.block_on(server.shutdown());
    }

    #[test]
    fn a_server_that_is_not_there_is_told_and_not_measured() {
        let options = mqtt_options(&asked(&["127.0.0.1:1"])).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        assert!(runtime.block_on(motet_bench::run(Workload::Idle, &options)).is_err());
    }

    #[test]
    fn a_server_is_named_in_the_usual_ways() {
        for (named, host, port) in [
            ("localhost", "localhost", 1883),
            ("mqtt://broker.example/", "broker.example", 1883),
            ("127.0.0.1:1884", "127.0.0.1", 1884),
            ("[::1]", "[::1]", 1883),
            ("[::1]:9", "[::1]", 9),
        ] {
            assert_eq!(host_and_port(named, ["mqtt", "mqtts"], 1883), Ok((host.into(), port)), "{named}");
        }
        for wrong in ["", ":1883", "a:b", "::1", "http://a:1"] {
            assert!(host_and_port(wrong, ["mqtt", "mqtts"], 1883).is_err(), "{wrong}");
        }
    }
}
