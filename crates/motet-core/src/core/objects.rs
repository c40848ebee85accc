//! Which thing of the core an object of the journal is, for completions and timers.

use super::broker::NamedQueue;
use super::{Core, Vhost};
use crate::engine::{Engine, Locator, MovedRecord, ObjectId};
use crate::queues::QueueCell;
use crate::session::Session;
use foldhash::quality::RandomState;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;

/// What an object is.
#[derive(Debug, Clone)]
pub(super) enum Object {
    /// A durable session: its queue and its records.
    Session(Arc<Session>),
    /// A queue with a name, durable or not.
    Queue(Arc<NamedQueue>),
    /// The names of a vhost's sessions.
    Directory(Arc<Vhost>),
    /// The last values of a vhost.
    Retained(Arc<Vhost>),
    /// The exchanges, queues and bindings of a vhost.
    Topology(Arc<Vhost>),
}

/// Objects by their numbers.
#[derive(Debug, Default)]
pub(super) struct Objects {
    map: RwLock<HashMap<u64, Object, RandomState>>,
}

impl Objects {
    pub(super) fn with_vhost(vhost: &Arc<Vhost>) -> Self {
        let objects = Objects::default();
        objects.insert_vhost(vhost);
        objects
    }

    pub(super) fn insert_vhost(&self, vhost: &Arc<Vhost>) {
        self.insert(vhost.objects.directory, Object::Directory(vhost.clone()));
        self.insert(vhost.objects.retained, Object::Retained(vhost.clone()));
        self.insert(vhost.objects.topology, Object::Topology(vhost.clone()));
    }

    pub(super) fn insert(&self, id: ObjectId, object: Object) {
        self.map.write().insert(id.0, object);
    }

    pub(super) fn remove(&self, id: ObjectId) {
        self.map.write().remove(&id.0);
    }

    fn get(&self, id: ObjectId) -> Option<Object> {
        self.map.read().get(&id.0).cloned()
    }
}

impl<E: Engine> Core<E> {
    /// The queue that an object is, or has.
    pub(super) fn queue(&self, id: ObjectId) -> Option<Arc<QueueCell>> {
        match self.objects.get(id)? {
            Object::Session(session) => session.queue().cloned(),
            Object::Queue(queue) => Some(queue.cell().clone()),
            Object::Directory(_) | Object::Retained(_) | Object::Topology(_) => None,
        }
    }

    /// The durable session that an object is.
    pub(super) fn session_of(&self, id: ObjectId) -> Option<Arc<Session>> {
        match self.objects.get(id)? {
            Object::Session(session) => Some(session),
            _ => None,
        }
    }

    /// A record has moved in the journal.
    pub(super) fn moved(&self, object: ObjectId, what: &MovedRecord, old: Locator, new: Locator) {
        let key = match what {
            MovedRecord::Entry(seq) => {
                if let Some(cell) = self.queue(object) {
                    let mut inner = cell.inner.lock();
                    match &mut inner.stream {
                        Some(part) => part.stream.relocated(seq.saturating_sub(1), new.0.get()),
                        None => inner.queue.relocated(*seq, new.0.get()),
                    }
                }
                return;
            }
            MovedRecord::Key(key) => key,
        };
        if object == super::registry::REGISTRY {
            return self.registry.moved(key, old, new);
        }
        match self.objects.get(object) {
            Some(Object::Session(session)) => self.key_moved(&session, key, old, new),
            Some(Object::Directory(vhost)) => self.session_moved(&vhost, key, old, new),
            Some(Object::Retained(vhost)) => Self::retained_moved(&vhost, key, old, new),
            Some(Object::Topology(vhost)) => vhost.record_moved(key, old, new),
            // A queue has entries only.
            Some(Object::Queue(_)) | None => {}
        }
    }
}
