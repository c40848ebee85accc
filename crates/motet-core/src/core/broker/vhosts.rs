//! Vhosts are made, found and deleted. Each is a record of the registry that names the objects it is made of.

use super::VhostError;
use super::error::VHOST_NAME_BYTES_MAX;
use crate::core::vhost::VhostObjects;
use crate::core::{Core, ROOT_VHOST, RegistryKind, Vhost};
use crate::engine::{Engine, ObjectId, Position, Stage};
use crate::time::Now;
use std::sync::Arc;
use std::sync::atomic::Ordering;

const VERSION: u8 = 1;

fn encode(objects: &VhostObjects) -> Vec<u8> {
    let mut out = vec![VERSION];
    for id in [objects.directory, objects.retained, objects.topology] {
        out.extend_from_slice(&id.0.to_le_bytes());
    }
    out
}

pub(super) fn decode(value: &[u8]) -> Option<VhostObjects> {
    let (&VERSION, rest) = value.split_first()? else { return None };
    let (ids, _) = rest.as_chunks::<8>();
    let [directory, retained, topology] = ids else { return None };
    let id = |bytes: &[u8; 8]| ObjectId(u64::from_le_bytes(*bytes));
    Some(VhostObjects { directory: id(directory), retained: id(retained), topology: id(topology) })
}

impl<E: Engine> Core<E> {
    /// All vhosts by name.
    pub fn vhosts(&self) -> Vec<Arc<Vhost>> {
        self.vhosts.read().values().cloned().collect()
    }

    /// The vhost of this name.
    pub fn find_vhost(&self, name: &str) -> Option<Arc<Vhost>> {
        self.vhosts.read().get(name).cloned()
    }

    /// Makes a vhost, or finds the one that is there. When it is durable.
    ///
    /// # Errors
    /// [`VhostError::Name`] and [`VhostError::Limit`].
    pub fn create_vhost(&self, name: &str) -> Result<(Arc<Vhost>, Position), VhostError> {
        if name.is_empty() || name.len() > VHOST_NAME_BYTES_MAX {
            return Err(VhostError::Name);
        }
        // Before the stage: the engine may have to write down that it gives numbers out.
        let allot = || self.engine.allot_object();
        let objects = VhostObjects { directory: allot(), retained: allot(), topology: allot() };
        let mut stage = self.engine.stage_release();
        if let Some(known) = self.find_vhost(name) {
            return Ok((known, stage.finish()));
        }
        let mut vhosts = self.vhosts.write();
        if vhosts.len() >= self.limits.vhosts {
            return Err(VhostError::Limit(self.limits.vhosts));
        }
        let vhost = Arc::new(Vhost::new(name, objects, self.guard.clone()));
        self.put_default_quota_in_force(&vhost);
        self.stage_registry_put(&mut stage, RegistryKind::VHOST, name.as_bytes(), &encode(&objects));
        self.objects.insert_vhost(&vhost);
        vhosts.insert(vhost.name().clone(), vhost.clone());
        drop(vhosts);
        Ok((vhost, stage.finish()))
    }

    /// Deletes a vhost with everything in it. Connections in it are told as far as they have sessions or consumers; the
    /// others find out by [`Vhost::is_deleted`]. When that is durable.
    ///
    /// # Errors
    /// [`VhostError::Root`] and [`VhostError::NotFound`].
    pub fn delete_vhost(&self, now: Now, name: &str) -> Result<Position, VhostError> {
        if name == ROOT_VHOST {
            return Err(VhostError::Root);
        }
        let vhost = self.vhosts.write().remove(name).ok_or_else(|| VhostError::NotFound(name.into()))?;
        vhost.deleted.store(true, Ordering::Release);
        self.kick_vhost(name);
        for queue in self.queues(&vhost).into_iter().chain(super::super::delayed::rooms(&vhost)) {
            let deleted = self.delete_queue(now, &queue, false, false);
            debug_assert!(deleted.is_ok(), "an unconditional deletion is not refused");
        }
        for shard in &vhost.sessions {
            let clients: Vec<Box<str>> = shard.lock().iter().map(|session| session.client().into()).collect();
            for client in clients {
                self.remove_session_of(now, &vhost, &client);
            }
        }
        self.forget_vhost(name);
        // Last of all, so that what a crash leaves behind belongs to a vhost that is still there.
        let mut stage = self.engine.stage_release();
        self.stage_registry_delete(&mut stage, RegistryKind::VHOST, name.as_bytes());
        for object in [vhost.objects.directory, vhost.objects.retained, vhost.objects.topology] {
            stage.drop_object(object);
            self.objects.remove(object);
        }
        Ok(stage.finish())
    }
}
