//! What the core writes about sessions: the directory's entries, the keys inside a session's object, and where they went.

use super::{Core, Vhost};
use crate::engine::{Engine, Locator, ObjectId, Stage};
use crate::message::{MessageRef, encode_stored_head};
use crate::pattern::Pattern;
use crate::queue::SentMarks;
use crate::session::{Expiry, Session, State};
use crate::time::WallMillis;
use bytes::Bytes;

/// Keys inside a session's object, by first byte: what the core writes for itself and what the protocol writes.
pub(super) mod key {
    pub(in crate::core) const SUBSCRIPTION: u8 = b's';
    pub(in crate::core) const WILL: u8 = b'w';
    pub(in crate::core) const NOTE: u8 = b'n';
    pub(in crate::core) const OWNER: u8 = b'o';
    pub(in crate::core) const SHARE: u8 = b'g';
    /// In the object of a queue with a name.
    pub(in crate::core) const SENT: u8 = b'd';
}

pub(super) fn prefixed(prefix: u8, key: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(key.len() + 1);
    out.push(prefix);
    out.extend_from_slice(key);
    Bytes::from(out)
}

/// The directory's entry of a session: version, object, expiry, when it was disconnected (zero while connected), and
/// while nobody has it, which of its messages were sent ([`SentMarks`]). Entries without that say: any of them.
pub(super) fn encode_directory(
    id: ObjectId,
    expiry: Expiry,
    disconnected_at: Option<WallMillis>,
    sent: Option<&SentMarks>,
) -> Vec<u8> {
    let mut out = vec![1; 21];
    out[1..9].copy_from_slice(&id.0.to_le_bytes());
    out[9..13].copy_from_slice(&expiry.to_secs().to_le_bytes());
    out[13..].copy_from_slice(&disconnected_at.map_or(0, |at| at.0).to_le_bytes());
    if let (Some(_), Some(sent)) = (disconnected_at, sent) {
        sent.encode(&mut out);
    }
    out
}

/// What [`encode_directory`] wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DirectoryEntry {
    pub(super) id: ObjectId,
    pub(super) expiry: Expiry,
    pub(super) disconnected_at: Option<WallMillis>,
    pub(super) sent: Option<SentMarks>,
}

pub(super) fn decode_directory(bytes: &[u8]) -> Option<DirectoryEntry> {
    let [1, rest @ ..] = bytes else { return None };
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (expiry, rest) = rest.split_first_chunk::<4>()?;
    let (at, sent) = rest.split_first_chunk::<8>()?;
    let at = u64::from_le_bytes(*at);
    Some(DirectoryEntry {
        id: ObjectId(u64::from_le_bytes(*id)),
        expiry: Expiry::from_secs(u32::from_le_bytes(*expiry)),
        disconnected_at: (at != 0).then_some(WallMillis(at)),
        sent: SentMarks::decode(sent),
    })
}

impl<E: Engine> Core<E> {
    pub(super) fn stage_directory<S: Stage>(
        session: &Session,
        state: &mut State,
        sent: Option<&SentMarks>,
        stage: &mut S,
    ) {
        let value = encode_directory(session.id(), state.expiry, state.disconnected_at, sent);
        let directory = session.vhost().objects.directory;
        state.directory = Some(stage.put(directory, session.client().as_bytes(), &value, state.directory));
    }

    pub(super) fn stage_will<S: Stage>(session: &Session, state: &mut State, stage: &mut S) {
        match (&state.will, state.will_locator) {
            (Some(will), before) => {
                let message = MessageRef::new(will.batch.clone(), 0);
                let mut value = will.delay_secs.to_le_bytes().to_vec();
                value.extend_from_slice(&will.expiry_secs.unwrap_or(u32::MAX).to_le_bytes());
                encode_stored_head(&message, &mut value);
                value.extend_from_slice(message.payload());
                state.will_locator = Some(stage.put(session.id(), &[key::WILL], &value, before));
            }
            (None, Some(before)) => {
                stage.delete(session.id(), &[key::WILL], before);
                state.will_locator = None;
            }
            (None, None) => {}
        }
    }

    pub(super) fn session_moved(&self, vhost: &Vhost, client: &Bytes, old: Locator, new: Locator) {
        let Ok(client) = std::str::from_utf8(client) else { return };
        let session = vhost.session_shard(client).lock().get(client).cloned();
        if let Some(session) = session {
            relocate(&mut session.state.lock().directory, old, new);
        }
    }

    pub(super) fn key_moved(&self, session: &Session, key: &Bytes, old: Locator, new: Locator) {
        let moved = |at: &mut Option<Locator>| relocate(at, old, new);
        let mut state = session.state.lock();
        match key.first() {
            Some(&key::SUBSCRIPTION) => {
                if let Ok(pattern) = Pattern::from_flat(&key[1..])
                    && let Some((_, at)) = state.subscriptions.get_mut(&pattern)
                {
                    moved(at);
                }
            }
            Some(&key::SHARE) => state.share_moved(&key[1..], moved),
            Some(&key::WILL) => moved(&mut state.will_locator),
            Some(&key::NOTE) => {
                if let Some((_, at)) = state.record.get_mut(key) {
                    moved(at);
                }
            }
            _ => {}
        }
    }
}

fn relocate(at: &mut Option<Locator>, old: Locator, new: Locator) {
    if *at == Some(old) {
        *at = Some(new);
    }
}
