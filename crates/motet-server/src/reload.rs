//! Taking a changed configuration while running: SIGHUP and `motet reload`.
//!
//! ```text
//!   reread ──(broken: the old one holds)──▶ compare ──▶ hooks, each for its keys ──▶ taken, kept, restart
//! ```
//! What can change is what somebody has a hook for. A key that changed and that no hook takes is named: it wants a
//! restart, and until then what the server started with holds.

use crate::config::{Config, ConfigError, Limits, Setting as _};
use crate::error::ServerError;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// Reads the configuration from where it came from.
pub type Reread = Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>;

/// Takes its keys of a changed configuration.
type Take = Box<dyn Fn(&Config) -> Result<(), ServerError> + Send + Sync>;

/// A part of the server that takes changed keys without a restart.
pub struct ReloadHook {
    /// What it is about, for the log: "users", "certificates".
    name: &'static str,
    keys: Vec<&'static str>,
    take: Take,
}

impl std::fmt::Debug for ReloadHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReloadHook").field("name", &self.name).field("keys", &self.keys).finish_non_exhaustive()
    }
}

impl ReloadHook {
    /// `take` is called at every reload, because files that a key names may have changed while the key has not; when it
    /// fails, its part keeps what it had. `keys` are key paths or the tables above them; `*` is any entry of a list.
    pub fn new(
        name: &'static str,
        keys: &[&'static str],
        take: impl Fn(&Config) -> Result<(), ServerError> + Send + Sync + 'static,
    ) -> Self {
        ReloadHook { name, keys: keys.to_vec(), take: Box::new(take) }
    }

    fn takes(&self, path: &str) -> bool {
        self.keys.iter().any(|key| covers(key, path))
    }
}

/// Whether `key`, a path with `*` for any step, is `path` or a table above it.
fn covers(key: &str, path: &str) -> bool {
    let mut steps = path.split('.');
    key.split('.').all(|wanted| steps.next().is_some_and(|step| wanted == "*" || wanted == step))
}

/// What a reload came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// Keys whose new value holds.
    pub taken: Vec<String>,
    /// Parts whose new values are not good, and why; what they had holds.
    pub kept: Vec<String>,
    /// Keys that have changed and want a restart.
    pub restart: Vec<String>,
}

/// What can change, and what holds.
#[derive(Default)]
pub(crate) struct Reloader {
    hooks: Mutex<Vec<ReloadHook>>,
    reread: Mutex<Option<Reread>>,
    /// What holds: what the server started with, and what was taken since.
    holds: Mutex<BTreeMap<String, String>>,
}

impl Reloader {
    pub(crate) fn new(config: &Config, hooks: Vec<ReloadHook>) -> Self {
        Reloader { hooks: Mutex::new(hooks), reread: Mutex::default(), holds: Mutex::new(leaves(config)) }
    }

    pub(crate) fn add(&self, hook: ReloadHook) {
        self.hooks.lock().push(hook);
    }

    /// From where to read it again.
    pub(crate) fn reread_with(&self, reread: Reread) {
        *self.reread.lock() = Some(reread);
    }

    /// Reads the configuration again and takes it. None: nobody said from where. Blocks.
    ///
    /// # Errors
    /// The configuration is broken: nothing was taken.
    pub(crate) fn again(&self) -> Option<Result<Reloaded, ConfigError>> {
        let reread = self.reread.lock();
        let config = reread.as_ref()?();
        Some(match config {
            Ok(config) => Ok(self.take(&config)),
            Err(error) => {
                tracing::error!(%error, "the configuration was not read again; the old one holds");
                Err(error)
            }
        })
    }

    /// Takes what can change of `config`, and says what came of it.
    pub(crate) fn take(&self, config: &Config) -> Reloaded {
        let hooks = self.hooks.lock();
        let mut holds = self.holds.lock();
        let mut wanted = leaves(config);
        let mut reloaded = Reloaded::default();
        let mut changed: Vec<String> =
            wanted.iter().filter(|(key, value)| holds.get(*key) != Some(value)).map(|(key, _)| key.clone()).collect();
        changed.extend(holds.keys().filter(|key| !wanted.contains_key(*key)).cloned());
        let mut failed = Vec::new();
        for hook in hooks.iter() {
            if let Err(error) = (hook.take)(config) {
                tracing::error!(part = hook.name, %error, "not taken; what was there holds");
                reloaded.kept.push(format!("{}: {error}", hook.name));
                failed.push(hook);
            }
        }
        for key in changed {
            if failed.iter().any(|hook| hook.takes(&key)) {
                continue;
            }
            if !hooks.iter().any(|hook| hook.takes(&key)) {
                reloaded.restart.push(key);
                continue;
            }
            match wanted.remove(&key) {
                Some(value) => holds.insert(key.clone(), value),
                None => holds.remove(&key),
            };
            reloaded.taken.push(key);
        }
        let (taken, restart) = (reloaded.taken.join(", "), reloaded.restart.join(", "));
        tracing::info!(taken, kept = reloaded.kept.len(), restart, "the configuration was read again");
        reloaded
    }
}

/// Every value by its path. Secrets are not in it: an account is compared by its name only, and taken all the same.
fn leaves(config: &Config) -> BTreeMap<String, String> {
    let mut leaves = Vec::new();
    config.leaves("", &mut leaves);
    leaves.into_iter().collect()
}

macro_rules! live_limits {
    ($($key:ident)*) => {
        /// Limits that a running server takes; connections that are there keep those they began with.
        pub(crate) const LIVE_LIMITS: &[&str] = &[$(concat!("limits.", stringify!($key))),*];

        /// `old`, with what may change taken from `new`.
        pub(crate) fn live_limits(old: &Limits, new: &Limits) -> Limits {
            Limits { $($key: new.$key.clone(),)* ..old.clone() }
        }
    };
}
live_limits! {
    connections connections_per_address first_byte_timeout write_timeout output_buffer_bytes mailbox_bytes
    drain_timeout accepts_per_second logins_per_second proxy_header_timeout rate_connection_messages
    rate_connection_bytes rate_user_messages rate_user_bytes rate_address_messages rate_address_bytes rate_burst
    disk_free_min memory_max vhost_disk_max vhost_memory_max
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    #[test]
    fn a_hook_takes_its_keys_and_the_others_want_a_restart() {
        let seen = Arc::new(AtomicU32::new(0));
        let sees = seen.clone();
        let hook = ReloadHook::new("limits", &["limits.connections"], move |config| {
            sees.store(config.limits.connections, Ordering::Relaxed);
            Ok(())
        });
        let mut config = Config::default();
        let reloader = Reloader::new(&config, vec![hook]);
        config.limits.connections = 7;
        config.limits.sessions = 8;
        config.mqtt.keep_alive_max = Some(Duration::from_secs(9));
        let reloaded = reloader.take(&config);
        assert_eq!(reloaded.taken, ["limits.connections"]);
        assert_eq!(reloaded.restart, ["limits.sessions", "mqtt.keep_alive_max"]);
        assert_eq!(seen.load(Ordering::Relaxed), 7);
        let again = reloader.take(&config);
        assert!(again.taken.is_empty(), "what holds has not changed");
        assert_eq!(again.restart, reloaded.restart, "until the restart it is said each time");
        config.mqtt.keep_alive_max = None;
        assert_eq!(reloader.take(&config).restart, ["limits.sessions"], "taken back is not changed");
    }

    #[test]
    fn a_part_that_fails_keeps_what_it_had_and_the_others_go_on() {
        let error = || ServerError::User { key: "user.0".into(), what: "has no password".into() };
        let hooks = vec![
            ReloadHook::new("users", &["user"], move |_| Err(error())),
            ReloadHook::new("log", &["log.level"], |_| Ok(())),
        ];
        let mut config = Config::default();
        let reloader = Reloader::new(&config, hooks);
        config.user = vec![crate::config::User { name: "ann".into(), ..crate::config::User::default() }];
        config.log.level = crate::config::LogLevel::Debug;
        let reloaded = reloader.take(&config);
        assert_eq!(reloaded.taken, ["log.level"]);
        assert_eq!(reloaded.kept, ["users: user.0: has no password"]);
        assert_eq!(reloaded.restart, [""; 0]);
    }

    #[test]
    fn a_broken_configuration_changes_nothing() {
        let reloader = Reloader::new(&Config::default(), Vec::new());
        assert!(reloader.again().is_none(), "nobody said from where");
        let mut sources = crate::config::Sources::default();
        sources.set("limits.conections=7").unwrap();
        reloader.reread_with(Box::new(move || crate::config::load(&sources).map(|loaded| loaded.config)));
        let error = reloader.again().unwrap().unwrap_err().to_string();
        assert!(error.contains("did you mean `limits.connections`?"), "{error}");
    }

    #[test]
    fn keys_of_a_list_are_covered_entry_by_entry() {
        assert!(covers("listener.*.tls", "listener.3.tls.certificate"));
        assert!(covers("user", "user.0.name"));
        assert!(!covers("listener.*.tls", "listener.3.address"));
        assert!(!covers("limits.connections", "limits.connections_per_address"));
    }

    #[test]
    fn limits_that_are_live_come_from_the_new_and_the_rest_from_the_old() {
        let new = Limits { connections: 5, sessions: 6, ..Limits::default() };
        let live = live_limits(&Limits::default(), &new);
        assert_eq!((live.connections, live.sessions), (5, Limits::default().sessions));
        let page = include_str!("../../../docs/reload.md");
        for key in LIVE_LIMITS {
            assert!(page.contains(&format!("`{key}`")), "docs/reload.md does not name {key}");
        }
    }
}
