//! The registry: small durable records by kind and key, for what an operator names: accounts, permissions, policies.
//!
//! The core keeps the bytes and gives them no meaning. Records are few and change rarely, so all of them are in memory.

use super::Core;
use crate::engine::{Engine, Locator, ObjectId, Position, Stage};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::BTreeMap;

/// The object whose keyed records the registry is.
pub(crate) const REGISTRY: ObjectId = ObjectId(4);

/// What a record of the registry is about; the first byte of its key in the journal, so never given another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryKind(pub u8);

impl RegistryKind {
    /// Accounts by user name.
    pub const ACCOUNT: RegistryKind = RegistryKind(b'u');
    /// Permissions by vhost and user name.
    pub const PERMISSION: RegistryKind = RegistryKind(b'p');
    /// Permissions on topics by vhost, user name and exchange.
    pub const TOPIC_PERMISSION: RegistryKind = RegistryKind(b't');
    /// Policies by vhost and name.
    pub const POLICY: RegistryKind = RegistryKind(b'y');
    /// Operator policies by vhost and name.
    pub const OPERATOR_POLICY: RegistryKind = RegistryKind(b'o');
    /// Run-time parameters by component, vhost and name.
    pub const PARAMETER: RegistryKind = RegistryKind(b'r');
    /// Limits by vhost or user name.
    pub const LIMIT: RegistryKind = RegistryKind(b'l');
    /// Secrets of the server that outlive it, by their use.
    pub const SECRET: RegistryKind = RegistryKind(b's');
    /// What is said of a vhost, by its name.
    pub const VHOST_ABOUT: RegistryKind = RegistryKind(b'a');
    /// What is said of an account, by its user name.
    pub const ACCOUNT_ABOUT: RegistryKind = RegistryKind(b'b');
    /// Vhosts by name.
    pub const VHOST: RegistryKind = RegistryKind(b'v');
}

/// A record's key and value are at most this many bytes each.
pub const REGISTRY_RECORD_MAX: usize = 64 << 10;

/// A record is too big; see [`REGISTRY_RECORD_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of the registry is at most {REGISTRY_RECORD_MAX} bytes")]
pub struct RecordTooBig;

#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By kind and key, as in the journal.
    records: Mutex<BTreeMap<Bytes, (Bytes, Option<Locator>)>>,
}

impl Registry {
    /// Takes a record that a start found.
    pub(super) fn recovered(&self, key: Bytes, value: Bytes, at: Locator) {
        self.records.lock().insert(key, (value, Some(at)));
    }

    pub(super) fn moved(&self, key: &Bytes, old: Locator, new: Locator) {
        if let Some((_, at)) = self.records.lock().get_mut(key)
            && *at == Some(old)
        {
            *at = Some(new);
        }
    }
}

fn whole_key(kind: RegistryKind, key: &[u8]) -> Bytes {
    super::records::prefixed(kind.0, key)
}

impl<E: Engine> Core<E> {
    /// Sets a record. It is in force at once; answer whoever asked when the position is durable.
    ///
    /// # Errors
    /// [`RecordTooBig`]; nothing was changed.
    pub fn registry_put(&self, kind: RegistryKind, key: &[u8], value: &[u8]) -> Result<Position, RecordTooBig> {
        if key.len() >= REGISTRY_RECORD_MAX || value.len() > REGISTRY_RECORD_MAX {
            return Err(RecordTooBig);
        }
        let mut stage = self.engine.stage_release();
        self.stage_registry_put(&mut stage, kind, key, value);
        Ok(stage.finish())
    }

    /// Sets a record as part of a stage.
    pub(super) fn stage_registry_put(&self, stage: &mut E::Stage<'_>, kind: RegistryKind, key: &[u8], value: &[u8]) {
        let key = whole_key(kind, key);
        let mut records = self.registry.records.lock();
        let previous = records.get(&key).and_then(|(_, at)| *at);
        let at = stage.put(REGISTRY, &key, value, previous);
        records.insert(key, (Bytes::copy_from_slice(value), Some(at)));
    }

    /// Removes a record as part of a stage.
    pub(super) fn stage_registry_delete(&self, stage: &mut E::Stage<'_>, kind: RegistryKind, key: &[u8]) {
        let key = whole_key(kind, key);
        if let Some((_, Some(at))) = self.registry.records.lock().remove(&key) {
            stage.delete(REGISTRY, &key, at);
        }
    }

    /// Removes a record; `None` when there is none.
    pub fn registry_delete(&self, kind: RegistryKind, key: &[u8]) -> Option<Position> {
        let key = whole_key(kind, key);
        let mut stage = self.engine.stage_release();
        let mut records = self.registry.records.lock();
        let (_, at) = records.remove(&key)?;
        if let Some(at) = at {
            stage.delete(REGISTRY, &key, at);
        }
        drop(records);
        Some(stage.finish())
    }

    /// The value of a record.
    pub fn registry_get(&self, kind: RegistryKind, key: &[u8]) -> Option<Bytes> {
        self.registry.records.lock().get(&whole_key(kind, key)).map(|(value, _)| value.clone())
    }

    /// All records of a kind in the order of their keys.
    pub fn registry_list(&self, kind: RegistryKind) -> Vec<(Bytes, Bytes)> {
        let records = self.registry.records.lock();
        let from = Bytes::copy_from_slice(&[kind.0]);
        let of_kind = records.range(from..).take_while(|(key, _)| key.first() == Some(&kind.0));
        of_kind.map(|(key, (value, _))| (key.slice(1..), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{CoreLimits, Recovery};
    use crate::fake::{FakeEngine, Plan};
    use crate::time::Now;

    #[test]
    fn what_is_durable_is_there_after_a_power_cut() {
        let core = Core::new(FakeEngine::default(), CoreLimits::default());
        core.registry_put(RegistryKind::ACCOUNT, b"ann", b"1").expect("small");
        core.registry_put(RegistryKind::ACCOUNT, b"bob", b"1").expect("small");
        core.registry_put(RegistryKind::ACCOUNT, b"ann", b"2").expect("small");
        core.registry_put(RegistryKind::POLICY, b"ann", b"3").expect("small");
        assert!(core.registry_delete(RegistryKind::ACCOUNT, b"bob").is_some());
        assert!(core.registry_delete(RegistryKind::ACCOUNT, b"bob").is_none());
        core.engine().sync();
        core.registry_put(RegistryKind::ACCOUNT, b"late", b"4").expect("small");

        let engine = FakeEngine::over(core.engine().power_cut(0), Plan::default(), 0);
        let mut recovery = Recovery::new();
        engine.replay(&mut recovery);
        let again = Core::new(engine, CoreLimits::default());
        again.recover(Now::default(), recovery);
        assert_eq!(again.registry_list(RegistryKind::ACCOUNT), [(Bytes::from("ann"), Bytes::from("2"))]);
        assert_eq!(again.registry_get(RegistryKind::POLICY, b"ann"), Some(Bytes::from("3")));
    }

    #[test]
    fn a_record_that_is_too_big_changes_nothing() {
        let core = Core::new(FakeEngine::default(), CoreLimits::default());
        let big = vec![0; REGISTRY_RECORD_MAX + 1];
        assert_eq!(core.registry_put(RegistryKind::LIMIT, b"ann", &big), Err(RecordTooBig));
        assert_eq!(core.registry_get(RegistryKind::LIMIT, b"ann"), None);
    }
}
