//! Bridges to other MQTT servers: a task for each, started, changed and stopped with the configuration.
//!
//! | file | what |
//! |---|---|
//! | `local.rs` | our side: an MQTT machine of ours that is spoken to without a socket |
//! | `remote.rs` | the other side: TCP, TLS, CONNECT |
//! | `task.rs` | one bridge: connect, carry, wait, come again |

mod local;
mod remote;
mod task;
#[cfg(test)]
mod tests;

use crate::client_tls::ClientTls;
use crate::config::Bridge;
use crate::error::ServerError;
use crate::house::{House, MachineMaker};
use motet_core::engine::Engine;
use motet_mqtt::bridge::Tally;
use parking_lot::Mutex;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use task::Task;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where this server's name towards other servers is, inside the data directory. Made at the first use.
const NODE_FILE: &str = "bridge-node";

/// The figures of one bridge.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) connected: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    pub(crate) looped: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) dropped: AtomicU64,
}

impl Figures {
    fn add(&self, tally: Tally) {
        let add = |counter: &AtomicU64, count| counter.fetch_add(count, Ordering::Relaxed);
        add(&self.sent, tally.sent);
        add(&self.received, tally.received);
        add(&self.looped, tally.looped);
        add(&self.refused, tally.refused);
        add(&self.dropped, tally.dropped);
    }
}

/// The figures of all bridges.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Vec<Arc<Figures>>>);

impl Board {
    /// Those of the bridges of now.
    pub(crate) fn all(&self) -> Vec<Arc<Figures>> {
        self.0.lock().clone()
    }

    /// The figures of this name: those of before, when a bridge was changed and not removed.
    fn of(&self, name: &str) -> Arc<Figures> {
        let mut all = self.0.lock();
        if let Some(known) = all.iter().find(|figures| figures.name == name) {
            return known.clone();
        }
        let new = Arc::new(Figures { name: name.into(), ..Figures::default() });
        all.push(new.clone());
        new
    }

    fn keep(&self, names: &[Bridge]) {
        self.0.lock().retain(|figures| names.iter().any(|bridge| bridge.name == figures.name));
    }
}

/// The bridges that run.
pub(crate) struct Bridges<E: Engine> {
    house: Arc<House<E>>,
    mqtt: MachineMaker<E>,
    data_dir: PathBuf,
    running: Mutex<Vec<Running>>,
}

struct Running {
    config: Bridge,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl<E: Engine> Bridges<E> {
    pub(crate) fn new(house: Arc<House<E>>, mqtt: MachineMaker<E>, data_dir: &Path) -> Self {
        Bridges { house, mqtt, data_dir: data_dir.into(), running: Mutex::default() }
    }

    /// Runs these and no others. A bridge that stays as it is notices nothing.
    ///
    /// # Errors
    /// A certificate is not readable, or our name cannot be written; then nothing has changed.
    pub(crate) fn apply(&self, wanted: &[Bridge]) -> Result<(), ServerError> {
        let mut tasks = Vec::new();
        let mut running = self.running.lock();
        for (at, config) in wanted.iter().enumerate() {
            if running.iter().any(|running| running.config == *config) {
                continue;
            }
            let key = format!("bridge.{at}");
            if wanted[..at].iter().any(|other| other.name == config.name) {
                let what = format!("the name {:?} is another bridge's already; give each its own", config.name);
                return Err(ServerError::Bridge { key: format!("{key}.name"), what });
            }
            tasks.push((config.clone(), self.task(config, &key)?));
        }
        let mut before: Vec<JoinHandle<()>> = Vec::new();
        running.retain_mut(|running| {
            let stays = wanted.contains(&running.config);
            if !stays {
                running.stop.send_replace(true);
                before.push(std::mem::replace(&mut running.task, tokio::spawn(async {})));
            }
            stays
        });
        self.house.bridges.keep(wanted);
        let before = Arc::new(tokio::sync::Mutex::new(before));
        for (config, task) in tasks {
            let (stop, stopped) = watch::channel(false);
            let before = before.clone();
            let task = tokio::spawn(async move {
                // Two bridges of one name would take the session from each other.
                for ended in before.lock().await.drain(..) {
                    let _ = ended.await;
                }
                task.run(stopped).await;
            });
            running.push(Running { config, stop, task });
        }
        Ok(())
    }

    fn task(&self, config: &Bridge, key: &str) -> Result<Task<E>, ServerError> {
        let rules = config.rules().map_err(|error| ServerError::Bridge { key: key.into(), what: error.to_string() })?;
        let tls = config.tls.as_ref().map(|tls| {
            let certificate = tls.certificate.clone().zip(tls.key.clone());
            ClientTls { ca: tls.ca.clone(), certificate, insecure: tls.insecure }.load(&format!("{key}.tls"))
        });
        Ok(Task {
            house: self.house.clone(),
            mqtt: self.mqtt.clone(),
            figures: self.house.bridges.of(&config.name),
            node: self.node()?,
            rules,
            tls: tls.transpose()?,
            bridge_bit: true,
            config: config.clone(),
        })
    }

    /// This server's name: the same at every start, and nobody else's.
    fn node(&self) -> Result<String, ServerError> {
        let file = self.data_dir.join(NODE_FILE);
        if let Ok(known) = std::fs::read_to_string(&file)
            && !known.is_empty()
            && known.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Ok(known);
        }
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| ServerError::System(std::io::Error::other(error.to_string())))?;
        let node = random.iter().fold(String::new(), |mut node, byte| {
            let _ = write!(node, "{byte:02x}");
            node
        });
        std::fs::create_dir_all(&self.data_dir).and_then(|()| std::fs::write(&file, &node)).map_err(|error| {
            ServerError::File { key: "data_dir".into(), file, what: format!("cannot be written: {error}") }
        })?;
        Ok(node)
    }

    /// Stops all of them: each says goodbye, its session stays.
    pub(crate) async fn stop(&self) {
        let running = std::mem::take(&mut *self.running.lock());
        running.iter().for_each(|running| {
            running.stop.send_replace(true);
        });
        for one in running {
            let _ = one.task.await;
        }
    }
}

impl<E: Engine> Drop for Bridges<E> {
    fn drop(&mut self) {
        self.running.lock().iter().for_each(|running| running.task.abort());
    }
}
