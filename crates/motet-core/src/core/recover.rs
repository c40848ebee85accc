//! A start: from what the engine found to sessions, queues and last values.

use super::records::{DirectoryEntry, decode_directory, key};
use super::registry::REGISTRY;
use super::retain::is_over;
use super::{Core, Vhost};
use crate::engine::{Engine, Found, Locator, ObjectId, Stage};
use crate::message::decode_stored;
use crate::pattern::Pattern;
use crate::queue::{Queue, RecoveredEntry};
use crate::queues::{QueueCell, decode_head};
use crate::session::{Expiry, Session, SubscribeOptions, Will};
use crate::time::Now;
use crate::topics::{Retained, Subscription};
use bytes::Bytes;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sessions in one group, so that a start with very many stages no group without a bound.
const NOTED_AT_ONCE: usize = 1_000;

/// Collects what the engine finds; [`Core::recover`] makes the core of it.
#[derive(Debug, Default)]
pub struct Recovery {
    objects: HashMap<u64, Object, foldhash::fast::RandomState>,
    registry: Vec<(Bytes, Bytes, Locator)>,
    damaged: u64,
}

#[derive(Debug, Default)]
pub(super) struct Object {
    pub(super) entries: Vec<RecoveredEntry>,
    keyed: Vec<(Bytes, Bytes, Locator)>,
    /// When a message that is still there came, and under which name it is a duplicate of another.
    pub(super) dedup: Vec<(u64, u64, Bytes)>,
    /// When each entry was appended, if the object is a stream.
    pub(super) appended: Vec<u64>,
    pub(super) last_seq: u64,
}

/// What a start brought back, for the start page and the log.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// Sessions.
    pub sessions: u64,
    /// Queues with a name.
    pub queues: u64,
    /// Messages in queues, those of sessions too.
    pub messages: u64,
    /// Last values.
    pub retained: u64,
    /// Records whose object nobody knows: left over from deletions, to be dropped.
    pub garbage: u64,
    /// Records that could not be understood.
    pub damaged: u64,
}

impl Recovery {
    /// Takes one thing the engine found.
    pub fn found(&mut self, found: Found<'_>) {
        match found {
            Found::Entry { queue, seq, head, body_len, at, mark } => {
                let Some(head) = decode_head(head) else {
                    self.damaged += 1;
                    return;
                };
                let object = self.objects.entry(queue.0).or_default();
                object.last_seq = object.last_seq.max(seq);
                object.dedup.extend(head.extras.dedup.map(|(came, id)| (came, seq, Bytes::copy_from_slice(id))));
                object.appended.extend(head.extras.appended_ms);
                object.entries.push(RecoveredEntry {
                    seq,
                    locator: at.0.get(),
                    bytes: head.extras.counted.unwrap_or(body_len),
                    priority: head.priority,
                    expires_at_ms: head.extras.expires_at_ms,
                    deliver_at_ms: head.extras.deliver_at_ms,
                    delivery_count: mark.and_then(|m| m.first_chunk::<2>()).map_or(0, |m| u16::from_le_bytes(*m)),
                    may_have_been_sent: true,
                });
            }
            Found::Keyed { object: REGISTRY, key, value, at } => {
                self.registry.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value), at));
            }
            Found::Keyed { object, key, value, at } => {
                let object = self.objects.entry(object.0).or_default();
                object.keyed.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value), at));
            }
            Found::Object { object, last_seq } => {
                let object = self.objects.entry(object.0).or_default();
                object.last_seq = object.last_seq.max(last_seq);
            }
        }
    }
}

impl<E: Engine> Core<E> {
    /// Fills an empty core. Every connected session counts as disconnected now; nothing is delivered yet.
    pub fn recover(&self, now: Now, mut recovery: Recovery) -> Recovered {
        self.clock.store(now.wall.0, Ordering::Relaxed);
        let mut report = Recovered { damaged: recovery.damaged, ..Recovered::default() };
        for (key, value, at) in std::mem::take(&mut recovery.registry) {
            self.registry.recovered(key, value, at);
        }
        self.restore_vhosts(&mut report);
        report.damaged += self.restore_policies() + self.restore_permissions();
        self.restore_limits();
        let mut cut_off = Vec::new();
        for vhost in self.vhosts() {
            self.recover_retained(now, &vhost, &mut recovery, &mut report);
            let topology = recovery.take(vhost.objects.topology).keyed;
            self.restore_topology(now, &vhost, topology, &mut recovery, &mut report);
            self.recover_sessions(now, &vhost, &mut recovery, &mut report, &mut cut_off);
            self.end_empty_groups(now, &vhost);
            self.resume_delayed(now, &vhost);
        }
        self.restore_governed(now);
        self.drop_garbage(recovery, &mut report);
        self.note_disconnections(&cut_off);
        report
    }

    /// Writes down since when they are without a connection: a server that dies again and again would else begin to
    /// count anew each time, and neither they nor their wills would ever be due.
    fn note_disconnections(&self, sessions: &[Arc<Session>]) {
        for some in sessions.chunks(NOTED_AT_ONCE) {
            let mut stage = self.engine.stage_release();
            for session in some {
                Self::stage_directory(session, &mut session.state.lock(), None, &mut stage);
            }
            stage.finish();
        }
    }

    fn recover_retained(&self, now: Now, vhost: &Vhost, recovery: &mut Recovery, report: &mut Recovered) {
        for (key, value, at) in recovery.take(vhost.objects.retained).keyed {
            match decode_stored(&value) {
                Ok(message) if is_over(&message, now) => {
                    self.engine.stage_release().delete(vhost.objects.retained, &key, at);
                }
                Ok(message) => {
                    let name = message.address().clone();
                    vhost.topics.set_retained(&name, Retained { message, locator: Some(at) });
                    report.retained += 1;
                }
                Err(_) => report.damaged += 1,
            }
        }
    }

    /// Those that time does something to, and that had a connection when it stopped, are `cut_off`.
    fn recover_sessions(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        recovery: &mut Recovery,
        report: &mut Recovered,
        cut_off: &mut Vec<Arc<Session>>,
    ) {
        let mut known = HashSet::<_, foldhash::fast::RandomState>::default();
        for (client, value, at) in recovery.take(vhost.objects.directory).keyed {
            let client = std::str::from_utf8(&client).ok();
            // The core's own objects are nobody's session, and one object is not the session of two.
            let entry =
                decode_directory(&value).filter(|entry| entry.id.0 >= super::FIRST_OBJECT && known.insert(entry.id));
            let Some((client, entry)) = client.zip(entry) else {
                report.damaged += 1;
                continue;
            };
            let DirectoryEntry { id, expiry, disconnected_at, sent } = entry;
            let mut object = recovery.take(id);
            // Nobody had the session when it stopped: what was sent is known.
            if let Some(sent) = sent {
                object.entries.iter_mut().for_each(|entry| entry.may_have_been_sent = sent.was_sent(entry.seq));
            }
            report.sessions += 1;
            report.messages += object.entries.len() as u64;
            let session = self.recover_session(now, vhost, client, id, expiry, object, &mut report.damaged);
            let mut state = session.state.lock();
            state.directory = Some(at);
            state.disconnected_at = Some(disconnected_at.unwrap_or(now.wall));
            self.arm(&session, &state);
            if disconnected_at.is_none() && (matches!(state.expiry, Expiry::After(_)) || state.will.is_some()) {
                cut_off.push(session.clone());
            }
            drop(state);
            if let Some(cell) = session.queue() {
                self.arm_queue(cell, &cell.inner.lock());
            }
            vhost.session_shard(client).lock().insert(session);
            vhost.session_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "what a session is made of")]
    fn recover_session(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        client: &str,
        id: ObjectId,
        expiry: Expiry,
        object: Object,
        damaged: &mut u64,
    ) -> Arc<Session> {
        let queue = Queue::recover(self.session_queue_config(true), object.entries, object.last_seq, now.wall.0);
        let cell = Arc::new(QueueCell::with_queue(id, true, queue, vhost.quota()));
        // Written once, where the session began; without it nobody said a name.
        let owner = object.keyed.iter().find(|(k, ..)| k.first() == Some(&key::OWNER));
        let owner = owner.map_or_else(|| Arc::from(""), |(_, name, _)| String::from_utf8_lossy(name).into());
        let owner = self.owners.enter(&owner, u64::MAX).expect("a bound that nobody reaches");
        let session = Arc::new(Session::new(vhost.clone(), id, client, owner, true, expiry));
        session.set_queue(|| cell);
        self.objects.insert(id, super::objects::Object::Session(session.clone()));
        let mut state = session.state.lock();
        for (k, value, at) in object.keyed {
            match k.first() {
                Some(&key::SUBSCRIPTION) => {
                    let decoded = Pattern::from_flat(&k[1..]).ok().zip(SubscribeOptions::decode(&value));
                    let Some((pattern, options)) = decoded else {
                        *damaged += 1;
                        continue;
                    };
                    state.subscriptions_made = state.subscriptions_made.max(options.order);
                    vhost.topics.subscribe(&pattern, Subscription::Session(session.clone(), options));
                    state.subscriptions.insert(pattern, (options, Some(at)));
                }
                Some(&key::WILL) => {
                    state.will = decode_will(&value);
                    state.will_locator = Some(at);
                    *damaged += u64::from(state.will.is_none());
                }
                Some(&key::NOTE) => {
                    state.record.insert(k, (value, Some(at)));
                }
                Some(&key::OWNER) => {}
                Some(&key::SHARE) => {
                    let found = self.recover_membership(&session, &mut state, k.slice(1..), &value, at);
                    *damaged += u64::from(found.is_none());
                }
                _ => *damaged += 1,
            }
        }
        drop(state);
        session
    }

    /// Records of objects that the directory does not know are left over from a deletion that was cut short.
    fn drop_garbage(&self, recovery: Recovery, report: &mut Recovered) {
        let mut stage = self.engine.stage_release();
        for (id, object) in recovery.objects {
            let records = object.entries.len() + object.keyed.len();
            if records > 0 && id >= super::FIRST_OBJECT {
                report.garbage += records as u64;
                stage.drop_object(ObjectId(id));
            }
        }
        stage.finish();
    }
}

fn decode_will(value: &[u8]) -> Option<Will> {
    let (delay, rest) = value.split_first_chunk::<4>()?;
    let (expiry, stored) = rest.split_first_chunk::<4>()?;
    let expiry_secs = Some(u32::from_le_bytes(*expiry)).filter(|&secs| secs != u32::MAX);
    let message = decode_stored(stored).ok()?;
    Some(Will { batch: message.batch().clone(), delay_secs: u32::from_le_bytes(*delay), expiry_secs })
}

impl Recovery {
    /// An empty collection.
    pub fn new() -> Self {
        Recovery::default()
    }

    /// What was found of an object.
    pub(super) fn take(&mut self, id: ObjectId) -> Object {
        self.objects.remove(&id.0).unwrap_or_default()
    }
}
