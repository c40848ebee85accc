//! What becomes of a message that died: it moves to where its queue sends such, in the stage that ended it here.

use super::address::{address_of, exchange_and_key, further_keys};
use super::{NamedQueue, route_exchange};
use crate::core::Core;
use crate::core::after::After;
use crate::core::fanout::SharedBodies;
use crate::engine::{Engine, Stage};
use crate::message::{Batch, MessageParts, MessageRef, Properties};
use crate::queue::dead_letter::Death;
use crate::queue::{Body, DeadLetter, DeadReason};
use crate::queues::{Inner, Queued, locator};
use crate::route::Route;
use crate::time::Now;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How often one message may die within one stage: cycles end by their rule, so this is beyond any chain that was meant.
const HOPS_MAX: u32 = 64;

/// Bodies of dead letters asked for in one read.
const READ_BATCH: usize = 256;

/// A dead letter on its way.
#[derive(Debug)]
pub(in crate::core) struct Letter {
    pub(in crate::core) from: Arc<NamedQueue>,
    pub(in crate::core) letter: DeadLetter<Queued>,
    /// Deaths before this one within the stage.
    pub(in crate::core) hops: u32,
}

impl Letter {
    /// A letter whose body was on disk.
    pub(in crate::core) fn read(from: Arc<NamedQueue>, letter: DeadLetter<Queued>, body: Queued) -> Self {
        Letter { from, letter: DeadLetter { body: Body::Resident(body), ..letter }, hops: 0 }
    }
}

impl<E: Engine> Core<E> {
    /// Moves every letter, and what dies of that, within the stage that is open.
    pub(in crate::core) fn bury(&self, now: Now, after: &mut After, mut stage: Option<&mut E::Stage<'_>>) {
        let mut away: Vec<(Arc<NamedQueue>, Vec<DeadLetter<Queued>>)> = Vec::new();
        while let Some(Letter { from, letter, hops }) = after.letters.pop_front() {
            let body = match &letter.body {
                Body::Resident(body) => body.clone(),
                Body::Paged(_) if hops < HOPS_MAX => {
                    match away.last_mut() {
                        Some((queue, letters)) if Arc::ptr_eq(queue, &from) => letters.push(letter),
                        _ => away.push((from, vec![letter])),
                    }
                    continue;
                }
                Body::Paged(_) => {
                    self.end_letter(&from, &letter, after, stage.as_deref_mut());
                    continue;
                }
            };
            if hops < HOPS_MAX {
                let arrived = after.letters.len();
                self.deliver_letter(now, &from, &letter, &body.message, after, stage.as_deref_mut());
                after.letters.iter_mut().skip(arrived).for_each(|next| next.hops = hops + 1);
            }
            self.end_letter(&from, &letter, after, stage.as_deref_mut());
        }
        for (from, letters) in away {
            self.read_first(&from, letters);
        }
    }

    /// Their bodies are on disk: they wait in their queue until those are read.
    fn read_first(&self, from: &Arc<NamedQueue>, letters: Vec<DeadLetter<Queued>>) {
        let cell = from.cell();
        let mut inner = cell.inner.lock();
        if inner.gone {
            return;
        }
        let mut wanted = Vec::with_capacity(letters.len());
        for letter in letters {
            // Where it is now: it may have moved since it died.
            let Some((seq, at)) = letter.seq.and_then(|seq| Some((seq, inner.queue.awake().locator_of(seq)?))) else {
                continue;
            };
            wanted.push((seq, locator(at)));
            inner.pending.get_or_insert_default().dying.insert(seq, letter);
        }
        for batch in wanted.chunks(READ_BATCH) {
            self.engine.read(cell.id(), batch.to_vec());
        }
    }

    /// The letter is where it should be, or nowhere: its queue is done with it.
    fn end_letter(
        &self,
        from: &Arc<NamedQueue>,
        letter: &DeadLetter<Queued>,
        after: &mut After,
        mut stage: Option<&mut E::Stage<'_>>,
    ) {
        let Some(seq) = letter.seq else { return };
        let cell = from.cell();
        let mut inner = cell.inner.lock();
        let Inner { queue: q, fx, .. } = &mut *inner;
        if let (true, Some(at), Some(stage)) = (letter.persistent, q.awake().locator_of(seq), stage.as_deref_mut()) {
            stage.settle(cell.id(), seq, locator(at));
        }
        q.awake().moved(seq, fx);
        self.carry_out_into(cell, &mut inner, stage, after);
    }

    fn deliver_letter(
        &self,
        now: Now,
        from: &Arc<NamedQueue>,
        letter: &DeadLetter<Queued>,
        message: &MessageRef,
        after: &mut After,
        stage: Option<&mut E::Stage<'_>>,
    ) {
        let (Some((exchange, key)), Some(vhost)) = (from.dead_letter(), from.vhost()) else { return };
        let lost = || self.counters.dead_letters_refused.fetch_add(1, Ordering::Relaxed);
        let Some((batch, key)) = rewrite(now, from, letter.reason, message, &exchange, key) else {
            lost(); // Exchange and key together are too long a name.
            return;
        };
        let properties = batch.messages()[0].properties.as_deref();
        // An exchange that is not there drops what is sent to it, as in RabbitMQ.
        let walk = |properties: Option<&Properties>| {
            route_exchange(now.wall.0, &vhost, &exchange, &key, properties, false).ok()
        };
        let Some(mut found) = walk(properties) else { return };
        if let Some(told) = properties.filter(|_| found.by_message).and_then(with_deaths) {
            // What the first walk claimed is free again before the next.
            drop(found);
            // An exchange that looks at headers sees what receivers will see.
            let Some(again) = walk(Some(&told)) else { return };
            found = again;
        }
        let mut route = found.route;
        route.keep_claims();
        if let Some(deaths) = properties.and_then(|p| p.deaths.as_deref()) {
            route.named.retain(|target| !deaths.closes_a_cycle(letter.reason, target.queue.name()));
        }
        self.counters.dead_lettered.fetch_add(u64::from(!route.is_empty()), Ordering::Relaxed);
        let mut shared = SharedBodies::new(route.durable_queues);
        // As in RabbitMQ, it is not kept for a target that is at its bound.
        if self.enqueue_along(now, 0, &route, &batch, stage, &mut shared, after) {
            lost();
        }
        if has_subscribers(&route) {
            after.direct.push((Arc::new(route), batch));
        }
    }
}

/// The properties with the headers that tell of deaths; `None` without any.
fn with_deaths(properties: &Properties) -> Option<Properties> {
    let told = properties.deaths.as_deref()?.told();
    let mut all = properties.clone();
    all.headers.retain(|(name, _)| !told.iter().any(|(known, _)| known == name));
    all.headers.extend(told);
    Some(all)
}

fn has_subscribers(route: &Route) -> bool {
    !route.direct.is_empty() || !route.queues.is_empty()
}

/// The message as it leaves for `exchange`: with one more death, without its expiration, under the queue's key if it has
/// one (and then without the sender's further keys). Gives the key it goes under, too.
fn rewrite(
    now: Now,
    from: &NamedQueue,
    reason: DeadReason,
    message: &MessageRef,
    exchange: &[u8],
    key: Option<Bytes>,
) -> Option<(Arc<Batch>, Vec<u8>)> {
    let m = message.message();
    let (last_exchange, last_key) = exchange_and_key(message.address());
    let mut properties: Box<Properties> = m.properties.clone().unwrap_or_default();
    let further = further_keys(&properties.headers).unwrap_or_default();
    let mut routing_keys = vec![Bytes::copy_from_slice(&last_key)];
    routing_keys.extend(further.into_iter().map(Bytes::copy_from_slice));
    properties.deaths.get_or_insert_default().record(Death {
        queue: from.name().clone(),
        reason,
        count: 1,
        exchange: last_exchange,
        routing_keys,
        first_time_ms: now.wall.0,
        last_time_ms: now.wall.0,
        original_expiration_ms: m.expires_at.map(|at| at.0),
    });
    // Its own delay is over. What it asks of a delayed exchange and has not had, the next one may give.
    properties.deliver_at = None;
    if key.is_some() {
        properties.headers.retain(|(name, _)| &**name != "CC");
    }
    let key = key.map_or(last_key, |key| key.to_vec());
    let address = address_of(exchange, &key).ok()?;
    let parts = MessageParts {
        payload: message.payload(),
        origin: message.origin(),
        reliability: m.reliability,
        retain: false,
        expires_at: None,
        properties: Some(properties),
    };
    Some((message.rewritten(address, parts), key))
}
