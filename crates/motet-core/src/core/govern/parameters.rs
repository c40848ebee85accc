//! Settings that other parts read: the core keeps their bytes and gives them no meaning.

use super::record;
use crate::core::{Core, RecordTooBig, RegistryKind};
use crate::engine::{Engine, Position};
use bytes::Bytes;

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The part that reads it; `None` is everybody.
    pub component: Option<String>,
    /// The vhost it is for; empty for everybody's.
    pub vhost: String,
    /// Its name.
    pub name: String,
    /// As it was given.
    pub value: Bytes,
}

fn key(component: Option<&str>, vhost: &str, name: &str) -> Vec<u8> {
    match component {
        Some(component) => record::key(&[component, vhost, name]),
        None => record::key(&[name]),
    }
}

impl<E: Engine> Core<E> {
    /// Sets a parameter of a component in a vhost, or one of nobody in particular. Whether it is new, and when that is
    /// durable.
    ///
    /// # Errors
    /// [`RecordTooBig`]; nothing was changed.
    pub fn set_parameter(
        &self,
        component: Option<&str>,
        vhost: &str,
        name: &str,
        value: &[u8],
    ) -> Result<(bool, Position), RecordTooBig> {
        let key = key(component, vhost, name);
        let is_new = self.registry_get(RegistryKind::PARAMETER, &key).is_none();
        Ok((is_new, self.registry_put(RegistryKind::PARAMETER, &key, value)?))
    }

    /// Removes a parameter; `None` when there is none.
    pub fn clear_parameter(&self, component: Option<&str>, vhost: &str, name: &str) -> Option<Position> {
        self.registry_delete(RegistryKind::PARAMETER, &key(component, vhost, name))
    }

    /// All parameters.
    pub fn parameters(&self) -> Vec<Parameter> {
        let list = self.registry_list(RegistryKind::PARAMETER);
        let read = |(key, value): (Bytes, Bytes)| {
            let mut parts = record::parts(&key)?.into_iter();
            Some(match parts.len() {
                1 => Parameter { component: None, vhost: String::new(), name: parts.next()?, value },
                3 => Parameter { component: parts.next(), vhost: parts.next()?, name: parts.next()?, value },
                _ => return None,
            })
        };
        list.into_iter().filter_map(read).collect()
    }
}
