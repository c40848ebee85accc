//! A server as a program: start, announce, wait for signals, drain.

use crate::assemble::assemble;
use crate::config::{Config, LogFormat};
use crate::error::ServerError;
use crate::notify::Notify;
use crate::page::start_page;
use crate::reload::ReloadHook;
use crate::server::{Bound, Server};
use std::io::Write as _;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where a running server tells its addresses, inside the data directory.
pub const PORTS_FILE: &str = "ports.json";

/// Serves until SIGTERM, SIGINT or Ctrl-C, then drains. A second one ends the process at once. SIGHUP calls
/// `reread` and takes what may change without dropping connections.
///
/// # Errors
/// The server does not start: see [`ServerError`].
pub async fn run(
    config: Config,
    reread: impl Fn() -> Result<Config, crate::config::ConfigError> + Send + Sync + 'static,
) -> Result<(), ServerError> {
    let level = start_log(&config);
    // Before anything is open: a signal during a long recovery is not lost.
    let mut signals = Signals::new()?;
    let (parts, recovered) = assemble(&config)?;
    let server = Server::start_with(&config, parts)?;
    server.on_reload(ReloadHook::new("log", &["log.level"], move |config| {
        level(config);
        Ok(())
    }));
    server.reread_with(Box::new(reread));
    write_ports(&config.data_dir, server.addresses())?;
    print(&start_page(&config, server.addresses(), recovered));
    let notify = Notify::from_environment();
    notify.ready();
    let _watchdog = notify.start_watchdog();
    tracing::info!(listeners = server.addresses().len(), "ready");
    while signals.next().await == Asked::Reload {
        notify.reloading();
        tokio::task::block_in_place(|| server.reload_again());
        notify.ready();
    }
    notify.stopping();
    tracing::info!(connections = server.connections(), "draining");
    let drained = tokio::select! {
        drained = server.shutdown() => drained,
        _ = signals.stop_again() => std::process::exit(1),
    };
    if !drained {
        tracing::warn!("the drain timeout has passed; remaining connections were cut");
    }
    let _ = std::fs::remove_file(config.data_dir.join(PORTS_FILE));
    tracing::info!("stopped");
    Ok(())
}

/// What a signal asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    async fn stop_again(&mut self) {
        while self.next().await == Asked::Reload {}
    }
}

/// Starts the log; the answer changes its level.
fn start_log(config: &Config) -> impl Fn(&Config) + use<> {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::prelude::*;
    let filter = |config: &Config| {
        let level = config.log.level.word().parse().unwrap_or(LevelFilter::INFO);
        // Other crates say at debug what only their authors need.
        Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("motet", level)
    };
    let (layer, handle) = tracing_subscriber::reload::Layer::new(filter(config));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(layer);
    // A log that somebody else has started stays.
    let _ = match config.log.format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).try_init(),
        LogFormat::Json => registry.with(lines.json()).try_init(),
    };
    move |config| {
        let _ = handle.reload(filter(config));
    }
}

/// Writes where the server listens, for programs that started it on port 0.
fn write_ports(data_dir: &Path, addresses: &[Bound]) -> Result<(), ServerError> {
    let file = data_dir.join(PORTS_FILE);
    let entries: Vec<String> = addresses
        .iter()
        .map(|bound| format!("  {{\"protocol\": \"{}\", \"address\": \"{}\"}}", bound.protocol, bound.address))
        .collect();
    let text = format!("[\n{}\n]\n", entries.join(",\n"));
    // Renamed into place: whoever finds the file finds all of it.
    let unfinished = data_dir.join("ports.json.new");
    std::fs::write(&unfinished, text).and_then(|()| std::fs::rename(&unfinished, &file)).map_err(|error| {
        ServerError::File { key: "data_dir".into(), file, what: format!("cannot be written: {error}") }
    })
}

fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody may be reading; the log says that we are ready, too.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
