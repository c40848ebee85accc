//! What a service manager is told: ready, reloading, stopping, still alive. The protocol of sd_notify(3): datagrams of
//! `KEY=value` lines to the socket that `NOTIFY_SOCKET` names. Without one, nobody is told anything.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Where to tell it.
#[derive(Debug, Clone)]
pub(crate) struct Notify {
    to: Option<Arc<(UnixDatagram, SocketAddr)>>,
    /// How often the manager wants to hear that we live; None: it does not watch.
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the service manager wants it.
    pub(crate) fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        // WATCHDOG_PID names whom it is meant for: a child of ours would inherit the variables. [sd_watchdog_enabled(3)]
        let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let micros = variable("WATCHDOG_USEC").filter(|_| ours).and_then(|micros| micros.parse().ok());
        Notify::new(variable("NOTIFY_SOCKET").as_deref(), micros)
    }

    fn new(socket: Option<&str>, watchdog_micros: Option<u64>) -> Self {
        let to = socket.and_then(|name| {
            let address = match name.strip_prefix('@') {
                Some(hidden) => SocketAddr::from_abstract_name(hidden),
                None => SocketAddr::from_pathname(name),
            };
            let socket = UnixDatagram::unbound().and_then(|socket| {
                // A manager that does not read must not hold us up.
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            Some(Arc::new((socket.ok()?, address.ok()?)))
        });
        Notify { to, watchdog: watchdog_micros.filter(|micros| *micros > 0).map(Duration::from_micros) }
    }

    fn tell(&self, text: &str) {
        if let Some(to) = &self.to {
            // Nobody there: then nobody waits for it.
            let _ = to.0.send_to_addr(text.as_bytes(), &to.1);
        }
    }

    /// Listeners are open.
    pub(crate) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serving\n");
    }

    /// The configuration is being read again; [`Notify::ready`] follows.
    pub(crate) fn reloading(&self) {
        let micros = monotonic_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reading the configuration again\n"));
    }

    /// The drain begins.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=waiting for clients to leave\n");
    }

    /// Says twice per interval that we live, from where connections are served: a runtime that hangs says nothing.
    pub(crate) fn start_watchdog(&self) -> Option<Watchdog> {
        let every = self.watchdog? / 2;
        let notify = self.clone();
        Some(Watchdog(tokio::spawn(async move {
            loop {
                notify.tell("WATCHDOG=1\n");
                tokio::time::sleep(every).await;
            }
        })))
    }
}

/// Ends with the server.
#[derive(Debug)]
pub(crate) struct Watchdog(JoinHandle<()>);

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// CLOCK_MONOTONIC, which a manager of `Type=notify-reload` compares.
fn monotonic_micros() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn a_manager_hears_each_state() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(path.to_str(), None);
        notify.ready();
        assert_eq!(heard(&manager), "READY=1\nSTATUS=serving\n");
        notify.reloading();
        let reloading = heard(&manager);
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        notify.stopping();
        assert!(heard(&manager).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn a_hidden_name_works_too_and_nobody_there_is_no_error() {
        let name = format!("motet-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        let notify = Notify::new(Some(&format!("@{name}")), None);
        notify.ready();
        assert!(heard(&manager).starts_with("READY=1"));
        drop(manager);
        notify.ready();
        Notify::new(None, None).ready();
        Notify::new(Some("/nowhere/notify"), None).ready();
    }

    #[tokio::test]
    async fn a_watchdog_hears_that_we_live_until_we_stop() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
        let watchdog = Notify::new(path.to_str(), Some(2000)).start_watchdog().unwrap();
        let mut buffer = [0; 64];
        for _ in 0..3 {
            let length = manager.recv(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..length], b"WATCHDOG=1\n");
        }
        drop(watchdog);
        assert!(Notify::new(path.to_str(), None).start_watchdog().is_none());
    }
}
