//! Limits of a vhost and of a user, by name: a negative number is no limit.

use super::record;
use crate::core::{Core, RecordTooBig, RegistryKind, Vhost};
use crate::engine::{Engine, Position};
use crate::message::Value;
#[cfg(doc)]
use crate::quota::Resource;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// No limit.
pub const UNLIMITED: i64 = -1;
pub(super) const MAX_CONNECTIONS: &str = "max-connections";
const MAX_QUEUES: &str = "max-queues";
/// Ours: bytes of messages that the vhost's queues keep on disk.
const MAX_DISK_BYTES: &str = "max-disk-bytes";
/// Ours: bytes of messages that the vhost's queues hold in memory.
const MAX_MEMORY_BYTES: &str = "max-memory-bytes";
pub(super) const MAX_CHANNELS: &str = "max-channels";

/// Whose limits they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitOf<'a> {
    /// A vhost's: `max-connections`, `max-queues`, `max-disk-bytes`, `max-memory-bytes`.
    Vhost(&'a str),
    /// A user's: `max-connections`, `max-channels`.
    User(&'a str),
}

impl LimitOf<'_> {
    fn key(self) -> Vec<u8> {
        match self {
            LimitOf::Vhost(name) => record::key(&["vhost", name]),
            LimitOf::User(name) => record::key(&["user", name]),
        }
    }
}

fn encode(limits: &BTreeMap<String, i64>) -> Vec<u8> {
    record::encode(limits.iter().map(|(name, limit)| (name.clone(), Value::Int(*limit))).collect())
}

fn decode(value: &[u8]) -> BTreeMap<String, i64> {
    let fields = record::decode(value).unwrap_or_default();
    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, if let Value::Int(n) = value { n } else { return None })))
        .collect()
}

impl<E: Engine> Core<E> {
    /// All limits of a vhost or user.
    pub fn limits_of(&self, of: LimitOf<'_>) -> BTreeMap<String, i64> {
        self.registry_get(RegistryKind::LIMIT, &of.key()).map(|value| decode(&value)).unwrap_or_default()
    }

    /// Sets all limits of a vhost or user at once; none at all removes the record. What is over a limit already stays.
    ///
    /// # Errors
    /// [`RecordTooBig`]; nothing was changed.
    pub fn set_limits(&self, of: LimitOf<'_>, limits: &BTreeMap<String, i64>) -> Result<Position, RecordTooBig> {
        let position = if limits.is_empty() {
            self.registry_delete(RegistryKind::LIMIT, &of.key()).unwrap_or_default()
        } else {
            self.registry_put(RegistryKind::LIMIT, &of.key(), &encode(limits))?
        };
        self.put_limits_in_force(of, limits);
        Ok(position)
    }

    fn put_limits_in_force(&self, of: LimitOf<'_>, limits: &BTreeMap<String, i64>) {
        let limit = |name| limits.get(name).copied().unwrap_or(UNLIMITED);
        match of {
            LimitOf::Vhost(name) => {
                if let Some(vhost) = self.find_vhost(name) {
                    vhost.max_connections.store(limit(MAX_CONNECTIONS), Ordering::Relaxed);
                    vhost.max_queues.store(limit(MAX_QUEUES), Ordering::Relaxed);
                    let said = [MAX_DISK_BYTES, MAX_MEMORY_BYTES].map(|name| limits.get(name));
                    self.put_quota_in_force(&vhost, said);
                }
            }
            LimitOf::User(name) => self.seats.limit_user(name, limit(MAX_CONNECTIONS), limit(MAX_CHANNELS)),
        }
    }

    /// What was not said of a vhost is what holds for all; what is negative is no bound.
    fn put_quota_in_force(&self, vhost: &Vhost, said: [Option<&i64>; 2]) {
        let all = *self.vhost_quotas.lock();
        let bound = |at: usize| said[at].map_or(all[at], |bytes| u64::try_from(*bytes).ok());
        vhost.quota().set_max([bound(0), bound(1)]);
    }

    /// A vhost has just begun.
    pub(in crate::core) fn put_default_quota_in_force(&self, vhost: &Vhost) {
        self.put_quota_in_force(vhost, [None, None]);
    }

    /// Bytes that the queues of each vhost may hold for which nothing else was said, by [`Resource::ALL`]. In force at
    /// once.
    pub fn set_vhost_quotas(&self, bytes_max: [Option<u64>; 2]) {
        *self.vhost_quotas.lock() = bytes_max;
        for vhost in self.vhosts() {
            let of = LimitOf::Vhost(vhost.name());
            self.put_limits_in_force(of, &self.limits_of(of));
        }
    }

    /// A start has found the vhosts.
    pub(in crate::core) fn restore_limits(&self) {
        for (key, value) in self.registry_list(RegistryKind::LIMIT) {
            let parts = record::parts(&key).unwrap_or_default();
            let [kind, name] = &parts[..] else { continue };
            let of = if kind == "vhost" { LimitOf::Vhost(name) } else { LimitOf::User(name) };
            self.put_limits_in_force(of, &decode(&value));
        }
    }
}
