//! What operators may see of sessions.

use super::Core;
use crate::engine::Engine;
use crate::mailbox::Mailbox;
use crate::pattern::Pattern;
use crate::queue::QueueStats;
use crate::session::{Expiry, Session, State, SubscribeOptions};
use crate::time::WallMillis;
use std::sync::Arc;

/// One session, for operators.
#[derive(Debug, Clone)]
pub struct SessionSummary {
    /// The client's name.
    pub client: String,
    /// Who made it; empty where nobody said a name.
    pub owner: String,
    /// The connection that has it, by its mailbox; `None` while the client is away.
    pub connection: Option<Arc<Mailbox>>,
    /// When that connection took it.
    pub connected_at: Option<WallMillis>,
    /// When the last connection ended.
    pub disconnected_at: Option<WallMillis>,
    /// It survives its connection.
    pub durable: bool,
    /// How long it lives without a connection.
    pub expiry: Expiry,
    /// How many patterns it subscribes to.
    pub subscriptions: usize,
    /// Its queue; all zero when it has none, because nothing it asked for is to be acknowledged.
    pub queue: QueueStats,
}

impl SessionSummary {
    fn new(session: &Session, state: &State) -> Self {
        SessionSummary {
            client: session.client().to_owned(),
            owner: session.owner().as_ref().to_owned(),
            connection: state.mailbox.clone(),
            connected_at: state.mailbox.as_ref().and(state.connected_at),
            disconnected_at: state.disconnected_at,
            durable: session.is_durable(),
            expiry: state.expiry,
            subscriptions: state.subscriptions.len(),
            queue: session.queue().map(|cell| cell.inner.lock().queue.stats()).unwrap_or_default(),
        }
    }
}

impl<E: Engine> Core<E> {
    /// Visits every session. For operators: takes each shard's lock in turn.
    pub fn for_each_session(&self, mut visit: impl FnMut(SessionSummary)) {
        let vhosts = self.vhosts();
        for shard in vhosts.iter().flat_map(|vhost| &vhost.sessions) {
            let sessions: Vec<_> = shard.lock().iter().cloned().collect();
            for session in sessions {
                let summary = SessionSummary::new(&session, &session.state.lock());
                visit(summary);
            }
        }
    }

    /// One session with its subscriptions, in the order in which they were made.
    pub fn session(&self, client: &str) -> Option<(SessionSummary, Vec<(Pattern, SubscribeOptions)>)> {
        let session = self.vhost.session_shard(client).lock().get(client).cloned()?;
        let state = session.state.lock();
        let patterns = state.subscriptions.patterns();
        let mut held: Vec<_> = patterns
            .filter_map(|pattern| state.subscriptions.get(pattern).map(|(options, _)| (pattern.clone(), *options)))
            .collect();
        held.sort_by_key(|(_, options)| options.order);
        Some((SessionSummary::new(&session, &state), held))
    }
}
