//! The sessions of a vhost by their clients' names: the session itself is the key, so that its name is kept once.

use crate::session::Session;
use foldhash::quality::RandomState;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A session that is found by its client's name.
#[derive(Debug)]
struct ByClient(Arc<Session>);

impl Borrow<str> for ByClient {
    fn borrow(&self) -> &str {
        self.0.client()
    }
}

impl Hash for ByClient {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.client().hash(state);
    }
}

impl PartialEq for ByClient {
    fn eq(&self, other: &Self) -> bool {
        self.0.client() == other.0.client()
    }
}

impl Eq for ByClient {}

/// One session for each name.
#[derive(Debug, Default)]
pub(crate) struct SessionMap {
    set: HashSet<ByClient, RandomState>,
}

impl SessionMap {
    pub(crate) fn get(&self, client: &str) -> Option<&Arc<Session>> {
        self.set.get(client).map(|found| &found.0)
    }

    /// Puts a session in the place of the one that has its name.
    pub(crate) fn insert(&mut self, session: Arc<Session>) {
        self.set.replace(ByClient(session));
    }

    pub(crate) fn remove(&mut self, client: &str) {
        self.set.remove(client);
    }

    /// In no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Session>> {
        self.set.iter().map(|entry| &entry.0)
    }
}
