//! Permissions that operators give while the server runs.
//!
//! Whoever was given one, or is [confined](Core::confine), has what its permissions say and nothing else; for all others
//! the access rules decide alone.

use super::record;
use crate::access::{Permission, PermissionError, Permissions, TopicPermission};
use crate::core::{Core, RegistryKind, Vhost};
use crate::engine::{Engine, Position};
use crate::message::Value;
use crate::principal::Principal;
use std::sync::Arc;

/// What a user may in a vhost, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// The user.
    pub user: String,
    /// The vhost.
    pub vhost: String,
    /// What it may make, change and remove.
    pub configure: String,
    /// What it may publish to, and bind.
    pub write: String,
    /// What it may take from.
    pub read: String,
}

/// What a user may publish to and hear from a topic exchange, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPermitted {
    /// The user.
    pub user: String,
    /// The vhost.
    pub vhost: String,
    /// The exchange.
    pub exchange: String,
    /// The keys it may publish under.
    pub write: String,
    /// The keys it may bind with.
    pub read: String,
}

/// Why a permission was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PermissionRefused {
    /// See [`PermissionError`].
    #[error(transparent)]
    Expression(#[from] PermissionError),
    /// The names are too long to be written down.
    #[error("the names are too long")]
    TooBig,
}

const PERMISSION: RegistryKind = RegistryKind::PERMISSION;
const TOPIC: RegistryKind = RegistryKind::TOPIC_PERMISSION;

impl Vhost {
    /// Whether the user may use the vhost at all. Who has no permissions anywhere is not stopped here.
    pub fn may_enter(&self, who: &Principal) -> bool {
        self.access().permissions().may_enter(&who.name, self.name()) != Some(false)
    }
}

impl<E: Engine> Core<E> {
    /// Gives or replaces a permission. Whether it is new, and when that is durable.
    ///
    /// # Errors
    /// See [`PermissionRefused`]; nothing was changed.
    pub fn set_permission(&self, permitted: &Permitted) -> Result<(bool, Position), PermissionRefused> {
        let Permitted { user, vhost, configure, write, read } = permitted;
        let permission = Permission::new(configure, write, read)?;
        let key = record::key(&[user, vhost]);
        let text = |name: &str, text: &String| (name.to_owned(), Value::Text(text.clone()));
        let value = record::encode(vec![text("configure", configure), text("write", write), text("read", read)]);
        let is_new = self.registry_get(PERMISSION, &key).is_none();
        self.confine(user)?;
        let position = self.registry_put(PERMISSION, &key, &value).map_err(|_| PermissionRefused::TooBig)?;
        self.change_permissions(|all| all.set(user, vhost, Some(permission)));
        Ok((is_new, position))
    }

    /// Takes a permission away; `None` when there is none.
    pub fn clear_permission(&self, user: &str, vhost: &str) -> Option<Position> {
        let position = self.registry_delete(PERMISSION, &record::key(&[user, vhost]))?;
        self.change_permissions(|all| all.set(user, vhost, None));
        Some(position)
    }

    /// Gives or replaces a permission on a topic exchange. Whether it is new, and when that is durable.
    ///
    /// # Errors
    /// See [`PermissionRefused`]; nothing was changed.
    pub fn set_topic_permission(&self, permitted: &TopicPermitted) -> Result<(bool, Position), PermissionRefused> {
        let TopicPermitted { user, vhost, exchange, write, read } = permitted;
        let topic = TopicPermission::new(exchange, write, read)?;
        self.try_change_permissions(|all| all.set_topic(user, vhost, topic))?;
        let key = record::key(&[user, vhost, exchange]);
        let text = |name: &str, text: &String| (name.to_owned(), Value::Text(text.clone()));
        let value = record::encode(vec![text("write", write), text("read", read)]);
        let is_new = self.registry_get(TOPIC, &key).is_none();
        let position = self.registry_put(TOPIC, &key, &value).map_err(|_| PermissionRefused::TooBig)?;
        Ok((is_new, position))
    }

    /// Takes away a user's permissions on this topic exchange, or on all of a vhost; `None` when there are none.
    pub fn clear_topic_permissions(&self, user: &str, vhost: &str, exchange: Option<&str>) -> Option<Position> {
        let gone = self.topic_permissions().into_iter().filter(|one| {
            one.user == user && one.vhost == vhost && exchange.is_none_or(|exchange| exchange == one.exchange)
        });
        let keys = gone.map(|one| record::key(&[&one.user, &one.vhost, &one.exchange]));
        let position = keys.filter_map(|key| self.registry_delete(TOPIC, &key)).max()?;
        self.change_permissions(|all| all.clear_topics(user, vhost, exchange));
        Some(position)
    }

    /// From now on the user has what its permissions say, and nothing else.
    ///
    /// # Errors
    /// [`PermissionRefused::TooBig`].
    pub fn confine(&self, user: &str) -> Result<(), PermissionRefused> {
        if self.is_confined(user) {
            return Ok(());
        }
        self.registry_put(PERMISSION, &record::key(&[user]), &[]).map_err(|_| PermissionRefused::TooBig)?;
        self.change_permissions(|all| all.confine(user));
        Ok(())
    }

    /// Whether the user has what its permissions say, and nothing else.
    pub fn is_confined(&self, user: &str) -> bool {
        self.guard.rules().permissions().is_confined(user)
    }

    /// Everything about a user is forgotten, as the user is: permissions and limits. When that is durable.
    pub fn forget_user(&self, user: &str) -> Position {
        let mut position = Position::default();
        for kind in [PERMISSION, TOPIC] {
            position = position.max(self.forget_records(kind, 0, user));
        }
        let of = super::LimitOf::User(user);
        let limits = self.set_limits(of, &std::collections::BTreeMap::new()).expect("a deletion is never too big");
        self.change_permissions(|all| all.forget_user(user));
        position.max(limits)
    }

    /// Everything about a vhost is forgotten, as the vhost is.
    pub(in crate::core) fn forget_vhost(&self, vhost: &str) {
        for (kind, part) in [
            (PERMISSION, 1),
            (TOPIC, 1),
            (RegistryKind::POLICY, 0),
            (RegistryKind::OPERATOR_POLICY, 0),
            (RegistryKind::PARAMETER, 1),
        ] {
            self.forget_records(kind, part, vhost);
        }
        let of = super::LimitOf::Vhost(vhost);
        self.set_limits(of, &std::collections::BTreeMap::new()).expect("a deletion is never too big");
        self.registry_delete(RegistryKind::VHOST_ABOUT, vhost.as_bytes());
        self.change_permissions(|all| all.forget_vhost(vhost));
    }

    /// Removes the records of a kind whose key has this name at this place.
    fn forget_records(&self, kind: RegistryKind, part: usize, name: &str) -> Position {
        let ours = |key: &[u8]| record::parts(key).is_some_and(|parts| parts.get(part).is_some_and(|is| is == name));
        let keys = self.registry_list(kind).into_iter().map(|(key, _)| key).filter(|key| ours(key));
        keys.filter_map(|key| self.registry_delete(kind, &key)).max().unwrap_or_default()
    }

    /// All permissions by user and vhost.
    pub fn permissions(&self) -> Vec<Permitted> {
        let read = |(key, value): (bytes::Bytes, bytes::Bytes)| {
            let [user, vhost]: [String; 2] = record::parts(&key)?.try_into().ok()?;
            let fields = record::decode(&value)?;
            let text = |name| record::text(&fields, name).map(ToOwned::to_owned);
            Some(Permitted { user, vhost, configure: text("configure")?, write: text("write")?, read: text("read")? })
        };
        self.registry_list(PERMISSION).into_iter().filter_map(read).collect()
    }

    /// All permissions on topic exchanges by user, vhost and exchange.
    pub fn topic_permissions(&self) -> Vec<TopicPermitted> {
        let read = |(key, value): (bytes::Bytes, bytes::Bytes)| {
            let [user, vhost, exchange]: [String; 3] = record::parts(&key)?.try_into().ok()?;
            let fields = record::decode(&value)?;
            let text = |name| record::text(&fields, name).map(ToOwned::to_owned);
            Some(TopicPermitted { user, vhost, exchange, write: text("write")?, read: text("read")? })
        };
        self.registry_list(TOPIC).into_iter().filter_map(read).collect()
    }

    fn change_permissions(&self, change: impl FnOnce(&mut Permissions)) {
        let changed: Result<(), std::convert::Infallible> = self.try_change_permissions(|all| {
            change(all);
            Ok(())
        });
        changed.unwrap_or_else(|never| match never {});
    }

    fn try_change_permissions<X>(&self, change: impl FnOnce(&mut Permissions) -> Result<(), X>) -> Result<(), X> {
        self.guard.change_rules(|rules| {
            let mut permissions = rules.permissions().as_ref().clone();
            change(&mut permissions)?;
            *rules = Arc::new(rules.as_ref().clone().with_permissions(Arc::new(permissions)));
            Ok(())
        })
    }

    /// A start has found the records.
    pub(in crate::core) fn restore_permissions(&self) -> u64 {
        let confined = self.registry_list(PERMISSION).into_iter().filter_map(|(key, _)| {
            let [user]: [String; 1] = record::parts(&key)?.try_into().ok()?;
            Some(user)
        });
        let mut damaged = 0;
        self.change_permissions(|all| {
            confined.for_each(|user| all.confine(&user));
            for Permitted { user, vhost, configure, write, read } in self.permissions() {
                match Permission::new(&configure, &write, &read) {
                    Ok(permission) => all.set(&user, &vhost, Some(permission)),
                    Err(_) => damaged += 1,
                }
            }
            for TopicPermitted { user, vhost, exchange, write, read } in self.topic_permissions() {
                let topic = TopicPermission::new(&exchange, &write, &read);
                damaged += u64::from(topic.and_then(|topic| all.set_topic(&user, &vhost, topic)).is_err());
            }
        });
        damaged
    }
}
