//! A start: from records to exchanges, queues and bindings.

use super::arguments::read;
use super::records::{BINDING, EXCHANGE, QUEUE, decode_binding, decode_exchange, decode_queue};
use super::{NamedQueue, StreamPart, vhosts};
use crate::core::objects::Object;
use crate::core::recover::{Object as Found, Recovered, Recovery};
use crate::core::{Core, ROOT_VHOST, RegistryKind, Vhost};
use crate::engine::{Engine, Locator, ObjectId};
use crate::exchange::BindingView;
use crate::queue::Queue;
use crate::stream::{Epoch, RecoveredStreamEntry, Stream, StreamConfig};
use crate::time::Now;
use crate::topics::Subscription;
use bytes::Bytes;
use std::sync::Arc;

type Record = (Bytes, Bytes, Locator);

impl<E: Engine> Core<E> {
    /// The vhosts that the registry names.
    pub(in crate::core) fn restore_vhosts(&self, report: &mut Recovered) {
        for (name, value) in self.registry_list(RegistryKind::VHOST) {
            let name = std::str::from_utf8(&name).ok();
            let Some((name, objects)) = name.zip(vhosts::decode(&value)).filter(|(name, _)| *name != ROOT_VHOST) else {
                report.damaged += 1;
                continue;
            };
            let vhost = Arc::new(Vhost::new(name, objects, self.guard.clone()));
            self.put_default_quota_in_force(&vhost);
            self.objects.insert_vhost(&vhost);
            self.vhosts.write().insert(vhost.name().clone(), vhost);
        }
    }

    /// Exchanges, then queues with what they hold, then the bindings between them.
    pub(in crate::core) fn restore_topology(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        records: Vec<Record>,
        recovery: &mut Recovery,
        report: &mut Recovered,
    ) {
        let of = |kind: u8| records.iter().filter(move |(key, ..)| key.first() == Some(&kind));
        for (key, value, _) in of(EXCHANGE) {
            let declared = decode_exchange(value).is_some_and(|config| {
                vhost.change(|topology| topology.declare_exchange(key.slice(1..), config)).is_ok()
            });
            report.damaged += u64::from(!declared);
        }
        for (key, value, _) in of(QUEUE) {
            if self.restore_queue(now, vhost, key.slice(1..), value, recovery, report).is_none() {
                report.damaged += 1;
            }
        }
        for (key, ..) in of(BINDING) {
            let bound = decode_binding(key).is_some_and(|view| restore_binding(vhost, view));
            report.damaged += u64::from(!bound);
        }
        let known = [QUEUE, EXCHANGE, BINDING];
        report.damaged +=
            records.iter().filter(|(key, ..)| key.first().is_none_or(|k| !known.contains(k))).count() as u64;
        for (key, _, at) in records {
            vhost.recovered_record(key, at);
        }
    }

    fn restore_queue(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        name: Bytes,
        value: &[u8],
        recovery: &mut Recovery,
        report: &mut Recovered,
    ) -> Option<()> {
        let (id, declared) = decode_queue(value)?;
        let shape = read(&declared.arguments).ok()?;
        let found = recovery.take(id);
        report.queues += 1;
        report.messages += found.entries.len() as u64;
        let queue = NamedQueue::new(name.clone(), vhost, id, declared, shape, |shape, config| {
            if shape.is_stream() {
                return (Queue::new(config, now.wall.0), Some(restore_stream(shape.stream_config(), id, found)));
            }
            let mut queue = Queue::recover(config, found.entries, found.last_seq, now.wall.0);
            for (came, seq, id) in &found.dedup {
                queue.remember(*came, now.wall.0, *seq, id);
            }
            (queue, None)
        });
        vhost.change(|topology| topology.add_queue(name, true, queue.clone())).ok()?;
        self.arm_queue(queue.cell(), &queue.cell().inner.lock());
        self.objects.insert(id, Object::Queue(queue));
        Some(())
    }
}

fn restore_stream(config: StreamConfig, id: ObjectId, found: Found) -> StreamPart {
    let entries = found.entries.iter().zip(found.appended).map(|(entry, at_ms)| RecoveredStreamEntry {
        offset: entry.seq.saturating_sub(1),
        locator: entry.locator,
        bytes: entry.bytes,
        at_ms,
    });
    // Sequences begin at 1, offsets at 0: the last sequence is the next offset.
    StreamPart::new(Stream::recover(config, Epoch(id.0), entries, found.last_seq))
}

fn restore_binding(vhost: &Vhost, view: BindingView) -> bool {
    let BindingView { source, target, to_exchange, key, arguments, .. } = view;
    vhost.change(|topology| {
        let bound = if to_exchange {
            topology.bind_exchange(&source, &target, &key, arguments)
        } else {
            topology.bind_queue(&source, &target, &key, arguments)
        };
        let Ok(bound) = bound else { return false };
        if let Some((pattern, target)) = &bound.tree {
            vhost.topics.subscribe(pattern, Subscription::Bound(*target));
        }
        true
    })
}
