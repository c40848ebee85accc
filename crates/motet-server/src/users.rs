//! Accounts: those of the configuration, and those that operators make while the server runs. The latter are records of
//! the core's registry, so they are in the journal and in every backup.
//!
//! What is in the configuration wins, and changes with it alone.

mod renew;
mod roster;

use crate::assemble::{Store, StoreControl, assemble};
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::error::ServerError;
use arc_swap::ArcSwap;
use motet_auth::{
    AccountError, Accounts, Anonymous, AuthConfig, Ban, Counters, Directory, Listed, Make, Origin, PasswordError,
    SaltKey, StoredPassword, Tags, record,
};
use motet_console::define::{Place, Roster};
use motet_core::core::{Core, RegistryKind};
use motet_core::engine::{Engine, Position};
use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The key of the secret that makes salts for who does not exist.
const SALTS: &[u8] = b"scram-salts";
/// The key of the record that says that definitions were taken.
const DEFINED: &[u8] = b"defined";
/// How long a change may take to be on disk.
const DURABLE_WITHIN: Duration = Duration::from_secs(10);
/// Keys that a reload of users takes: of `[login]` not the threads and the sizes.
pub(crate) const RELOADED: [&str; 12] = [
    "user",
    "access.anonymous",
    "login.keys",
    "login.scram_iterations",
    "login.cache_ttl",
    "login.failures_before_backoff",
    "login.backoff_first",
    "login.backoff_max",
    "login.failures_before_ban",
    "login.ban",
    "login.forget_after",
    "login.disconnect_changed",
];
/// Between two looks whether it is.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// What an operator wants changed.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// A new user; `keys` as in `login.keys`, or none for those.
    Add {
        /// The user.
        name: String,
        /// Its password.
        password: String,
        /// What it may do beyond its messages.
        tags: Tags,
        /// What to keep of the password.
        keys: Option<Vec<config::KeyKind>>,
    },
    /// A new password.
    Password {
        /// The user.
        name: String,
        /// Its password.
        password: String,
        /// What to keep of it.
        keys: Option<Vec<config::KeyKind>>,
    },
    /// Other tags.
    Tags {
        /// The user.
        name: String,
        /// All that it shall have.
        tags: Tags,
    },
    /// No such user any more.
    Remove {
        /// The user.
        name: String,
    },
}

impl Change {
    /// The user.
    pub fn name(&self) -> &str {
        match self {
            Change::Add { name, .. }
            | Change::Password { name, .. }
            | Change::Tags { name, .. }
            | Change::Remove { name } => name,
        }
    }
}

/// A password never reaches a log.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The name is not good, is taken, is unknown, or belongs to the configuration.
    #[error("{0}")]
    Account(#[from] AccountError),
    /// The password cannot be used.
    #[error("{0}")]
    Password(#[from] PasswordError),
    /// The record would be too big for the store.
    #[error("the name is too long for the store")]
    TooBig,
    /// It is in force after a restart at the latest, or never.
    #[error("the disk takes nothing: whether the change holds is known after a restart; repeat it")]
    NotDurable,
}

/// What a server must know of its accounts.
pub trait AccountControl: Send + Sync {
    /// All of them, by name.
    fn list(&self) -> Vec<Listed>;
    /// How many there are.
    fn count(&self) -> usize {
        self.list().len()
    }
    /// Makes a change durable, then puts it in force. Blocks: for a slow hash, and for the disk.
    ///
    /// # Errors
    /// See [`UserError`].
    fn change(&self, change: &Change) -> Result<(), UserError>;
    /// What was answered to logins so far.
    fn counters(&self) -> &Counters;
    /// What a user may do beyond its messages; `loopback` as in [`Directory::tags`].
    fn tags(&self, user: &str, loopback: bool) -> Tags;
    /// Addresses from which no login is checked for now.
    fn bans(&self) -> Vec<Ban> {
        Vec::new()
    }
    /// Lets an address try again at once; true when it had to wait.
    fn lift(&self, address: IpAddr) -> bool {
        let _ = address;
        false
    }
    /// As the management API sees them, where they can be seen so.
    fn roster(self: Arc<Self>) -> Option<Arc<dyn Roster>> {
        None
    }
}

/// The accounts of a server over its store.
pub(crate) struct Users<E: Engine> {
    core: Arc<Core<E>>,
    directory: Arc<Directory>,
    /// What new passwords become: kinds and iterations of the configuration.
    login: ArcSwap<config::Login>,
    /// One change after the other.
    turn: Mutex<()>,
}

impl<E: Engine> Users<E> {
    /// Over a core that has recovered.
    pub(crate) fn open(config: &Config, core: Arc<Core<E>>) -> Result<Self, ServerError> {
        let clock = Clock::new();
        let auth = AuthConfig { salt_key: Some(salt_key(&core)?), ..auth_config(config) };
        let directory = Directory::new(auth, accounts(config, &core)?, move || clock.now().instant);
        let directory = directory.map_err(|error| ServerError::System(std::io::Error::other(error)))?;
        Ok(Users {
            core,
            directory: Arc::new(directory),
            login: ArcSwap::from_pointee(config.login.clone()),
            turn: Mutex::new(()),
        })
    }

    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Takes the users of a configuration that was read again, and what [`RELOADED`] names.
    pub(crate) fn reload(&self, config: &Config) -> Result<(), ServerError> {
        let _turn = self.turn.lock();
        let accounts = accounts(config, &self.core)?;
        self.directory.reconfigure(&auth_config(config));
        self.directory.reload(accounts);
        self.login.store(Arc::new(config.login.clone()));
        Ok(())
    }

    fn make(&self, password: &str, keys: Option<&[config::KeyKind]>) -> Result<StoredPassword, PasswordError> {
        let login = self.login.load();
        let how = keys.map_or_else(|| login.make(), |keys| config::make(keys, login.scram_iterations));
        StoredPassword::make(password, &how)
    }

    /// What the account will be.
    fn wanted(&self, change: &Change) -> Result<Option<(StoredPassword, Tags)>, UserError> {
        let known = |name: &str| self.directory.list().into_iter().find(|user| *user.name == *name);
        let unknown = |name: &str| AccountError::Unknown { name: name.into() };
        Ok(match change {
            Change::Add { name, .. } if known(name).is_some_and(|user| user.origin == Origin::Made) => {
                return Err(AccountError::Twice { name: name.clone() }.into());
            }
            Change::Add { password, tags, keys, .. } => Some((self.make(password, keys.as_deref())?, *tags)),
            Change::Password { name, password, keys } => {
                let user = known(name).ok_or_else(|| unknown(name))?;
                Some((self.make(password, keys.as_deref())?, user.tags))
            }
            Change::Tags { name, tags } => Some((self.directory.stored(name).ok_or_else(|| unknown(name))?, *tags)),
            Change::Remove { .. } => None,
        })
    }

    /// Writes the record and waits until it is on disk.
    fn keep(&self, name: &str, wanted: Option<&(StoredPassword, Tags)>) -> Result<(), UserError> {
        let record = wanted.and_then(|(stored, tags)| record::encode(stored, *tags));
        let position = match record {
            Some(record) => self.core.registry_put(RegistryKind::ACCOUNT, name.as_bytes(), &record),
            None => Ok(self.core.registry_delete(RegistryKind::ACCOUNT, name.as_bytes()).unwrap_or(Position(0))),
        };
        wait_durable(&self.core, position.map_err(|_| UserError::TooBig)?)
    }
}

pub(crate) fn wait_durable<E: Engine>(core: &Core<E>, position: Position) -> Result<(), UserError> {
    let begun = Instant::now();
    while core.durable() < position {
        if begun.elapsed() > DURABLE_WITHIN {
            return Err(UserError::NotDurable);
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

impl<E: Engine> AccountControl for Users<E> {
    fn list(&self) -> Vec<Listed> {
        self.directory.list()
    }

    fn count(&self) -> usize {
        self.directory.count()
    }

    fn change(&self, change: &Change) -> Result<(), UserError> {
        let _turn = self.turn.lock();
        let (name, wanted) = (change.name(), self.wanted(change)?);
        let apply = |accounts: &mut Accounts| match &wanted {
            Some((stored, tags)) => accounts.set(name, stored.clone(), *tags),
            None => accounts.remove(name),
        };
        // Once to see whether it is allowed, once for good: what is in force is on disk.
        self.directory.try_change(apply)?;
        self.keep(name, wanted.as_ref())?;
        if wanted.is_none() {
            // Told in these words, before the directory says that they are not welcome any more.
            self.core.kick_user(name);
        }
        self.directory.change(apply)?;
        if wanted.is_none() {
            self.core.registry_delete(RegistryKind::ACCOUNT_ABOUT, name.as_bytes());
            self.core.forget_user(name);
            self.core.kick_user(name);
        }
        Ok(())
    }

    fn counters(&self) -> &Counters {
        self.directory.counters()
    }

    fn tags(&self, user: &str, loopback: bool) -> Tags {
        self.directory.tags(user, loopback)
    }

    fn bans(&self) -> Vec<Ban> {
        self.directory.bans()
    }

    fn lift(&self, address: IpAddr) -> bool {
        self.directory.lift(address)
    }

    fn roster(self: Arc<Self>) -> Option<Arc<dyn Roster>> {
        Some(self)
    }
}

/// The accounts of a store that no server uses.
pub struct OfflineUsers {
    users: Arc<dyn AccountControl>,
    core: Arc<Core<Store>>,
    store: Box<dyn StoreControl>,
}

impl OfflineUsers {
    /// Opens the store of `config`. Blocks while the journal is read.
    ///
    /// # Errors
    /// [`ServerError::InUse`] while a server runs: then ask it. Otherwise see [`ServerError`].
    pub fn open(config: &Config) -> Result<Self, ServerError> {
        let (parts, _): (crate::Parts<Store>, _) = assemble(config)?;
        Ok(OfflineUsers { users: parts.accounts, core: parts.core, store: parts.store })
    }

    /// The accounts.
    pub fn users(&self) -> &dyn AccountControl {
        &*self.users
    }

    /// Works on everything that definitions are made of, and waits until it is durable.
    ///
    /// # Errors
    /// The disk takes nothing.
    pub fn define<T>(&self, work: impl FnOnce(Place<'_, Store>) -> T) -> Result<T, UserError> {
        let roster = self.users.clone().roster().expect("the accounts of a store can be seen");
        let done = work(Place { core: &self.core, roster: &*roster, now: Clock::new().now() });
        // Whatever was staged before this is durable when this is.
        let position = self.core.registry_put(RegistryKind::SECRET, DEFINED, &[]).map_err(|_| UserError::TooBig)?;
        wait_durable(&self.core, position)?;
        Ok(done)
    }
}

impl Drop for OfflineUsers {
    fn drop(&mut self) {
        self.store.close();
    }
}

impl std::fmt::Debug for OfflineUsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OfflineUsers").finish_non_exhaustive()
    }
}

/// What to write into a configuration instead of this password.
///
/// # Errors
/// See [`PasswordError`].
pub fn hash_password(
    password: &str,
    keys: Option<&[config::KeyKind]>,
    login: &config::Login,
) -> Result<String, PasswordError> {
    let how: Make = keys.map_or_else(|| login.make(), |keys| config::make(keys, login.scram_iterations));
    Ok(StoredPassword::make(password, &how)?.to_text().expect("what is made of a password has a text"))
}

/// The accounts of `[[user]]`. The text of a refusal names the key and never the password.
pub(crate) fn configured(config: &Config) -> Result<Accounts, ServerError> {
    let mut accounts = Accounts::new();
    for (at, user) in config.user.iter().enumerate() {
        let wrong = |what: String| ServerError::User { key: format!("user.{at}"), what };
        let stored = match (&user.password, &user.password_hash) {
            (Some(password), _) => StoredPassword::from_plain(password.reveal().as_bytes()),
            (None, Some(hash)) => StoredPassword::from_text(hash.reveal()),
            (None, None) => continue,
        };
        let stored = stored.map_err(|error| wrong(error.to_string()))?;
        let tags = Tags::read(&user.tags.join(",")).map_err(|error| wrong(error.to_string()))?;
        let added = accounts.add_with(&user.name, stored, tags, Origin::Configured);
        added.map_err(|error| wrong(error.to_string()))?;
    }
    Ok(accounts)
}

/// Those of the configuration, then those of the store.
fn accounts<E: Engine>(config: &Config, core: &Core<E>) -> Result<Accounts, ServerError> {
    let mut accounts = configured(config)?;
    for (name, value) in core.registry_list(RegistryKind::ACCOUNT) {
        let name = String::from_utf8_lossy(&name);
        let added = record::decode(&value).and_then(|(stored, tags)| {
            accounts.add_with(&name, stored, tags, Origin::Made).map_err(|error| error.to_string())
        });
        if let Err(error) = added {
            tracing::warn!(user = %name, %error, "a user that was made while a server ran is left out");
        }
    }
    let guest = b"guest";
    accounts.keep_guest(
        core.registry_get(RegistryKind::ACCOUNT_ABOUT, guest).is_some()
            && core.registry_get(RegistryKind::ACCOUNT, guest).is_none(),
    );
    Ok(accounts)
}

/// Made at the first start, and the same ever after.
fn salt_key<E: Engine>(core: &Core<E>) -> Result<SaltKey, ServerError> {
    let known = core.registry_get(RegistryKind::SECRET, SALTS);
    if let Some(key) = known.as_deref().and_then(|key| <[u8; 32]>::try_from(key).ok()) {
        return Ok(SaltKey(key));
    }
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| ServerError::System(std::io::Error::other(error.to_string())))?;
    // Not waited for: until it is on disk, a power cut only gives strangers other salts.
    let _ = core.registry_put(RegistryKind::SECRET, SALTS, &key);
    Ok(SaltKey(key))
}

fn auth_config(config: &Config) -> AuthConfig {
    let login = &config.login;
    let defaults = AuthConfig::default();
    AuthConfig {
        anonymous: match config.access.anonymous {
            config::Anonymous::Loopback => Anonymous::Loopback,
            config::Anonymous::Never => Anonymous::Never,
            config::Anonymous::Always => Anonymous::Always,
        },
        verify_threads: match login.verify_threads {
            0 => defaults.verify_threads,
            threads => threads as usize,
        },
        verify_queue_max: login.verify_queue as usize,
        cache_entries: login.cache_entries as usize,
        cache_ttl: login.cache_ttl,
        failures_before_backoff: login.failures_before_backoff,
        backoff_first: login.backoff_first,
        backoff_max: login.backoff_max,
        failures_before_ban: login.failures_before_ban,
        ban: login.ban,
        forget_after: login.forget_after,
        guard_entries: login.guard_entries as usize,
        scram_iterations: login.scram_iterations,
        salt_key: None,
        disconnect_changed: login.disconnect_changed,
    }
}

#[cfg(test)]
mod tests;
