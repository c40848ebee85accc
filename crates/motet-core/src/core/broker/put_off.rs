//! What a delayed exchange holds back: into the queue where it waits, and on its way when its time has come.
//!
//! A message waits as it was published, under the address of the exchange that holds it back. Bindings are asked when the
//! time has come, and its own time to live counts from then: until then it is kept whole beside
//! [`Properties::deliver_at`], which stays with the message afterwards as the sign that it was held back.

use super::address::{address_of, exchange_and_key, without_bcc};
use super::route_exchange;
use crate::core::after::After;
use crate::core::fanout::{BodyAt, Offer};
use crate::core::{Core, Vhost};
use crate::engine::Engine;
use crate::exchange::{DELAY_HEADER, delay_ms};
use crate::message::{Batch, MessageParts, MessageRef, Properties, Value};
use crate::queue::Verdict;
use crate::queues::Queued;
use crate::route::{PutOff, Route};
use crate::time::{Now, WallMillis};
use std::sync::Arc;

impl<E: Engine> Core<E> {
    /// Puts the batch where it waits, once for each exchange of the route that holds it back; true when it was refused.
    /// It is written down even when it is transient: a delay outlives a restart, as with RabbitMQ's plugin.
    pub(in crate::core) fn put_off(
        &self,
        now: Now,
        route: &Route,
        batch: &Arc<Batch>,
        mut stage: Option<&mut E::Stage<'_>>,
        after: &mut After,
    ) -> bool {
        let mut refused = false;
        for put_off in &route.put_off {
            let cell = put_off.room.cell();
            let mut inner = cell.inner.lock();
            if inner.gone {
                continue; // With its vhost.
            }
            for index in 0..batch.messages().len() {
                let message = put_off.whole.clone().unwrap_or_else(|| MessageRef::new(batch.clone(), index));
                let due = now.wall.0.saturating_add(put_off.delay_ms);
                let Some(message) = held_back(now, put_off, &message, due) else { continue };
                let offer = Offer {
                    queued: Queued { message, grant: self.named_grant.clone(), retained: false },
                    deliver_at_ms: Some(due),
                    dedup_id: None,
                    persist: stage.is_some(),
                    stays: true,
                };
                let verdict = self.enqueue_one(now, cell, &mut inner, offer, stage.as_deref_mut(), |_| BodyAt::Inline);
                if matches!(verdict, Verdict::Rejected(_)) {
                    refused = true;
                    after.note_refused(index);
                }
            }
            self.carry_out_into(cell, &mut inner, stage.as_deref_mut(), after);
        }
        refused
    }
}

/// The message as it waits until `due`. `None` when its name has become too long to be one.
fn held_back(now: Now, put_off: &PutOff, message: &MessageRef, due: u64) -> Option<MessageRef> {
    let m = message.message();
    let (_, key) = exchange_and_key(message.address());
    let mut properties: Box<Properties> = m.properties.clone().unwrap_or_default();
    properties.deliver_at = Some(due);
    let address = address_of(&put_off.exchange, &key).ok()?;
    let expires_at = m.expires_at.map(|at| WallMillis(due.saturating_add(at.0.saturating_sub(now.wall.0))));
    Some(MessageRef::new(message.rewritten(address, parts(message, expires_at, properties)), 0))
}

/// The message as it goes on now that its time has come, and where to.
pub(in crate::core) fn set_off(now: Now, vhost: &Vhost, message: &MessageRef) -> (Route, Arc<Batch>) {
    let m = message.message();
    let mut properties: Box<Properties> = m.properties.clone().unwrap_or_default();
    let due = properties.deliver_at.unwrap_or(now.wall.0);
    for (_, value) in properties.headers.iter_mut().filter(|(name, _)| **name == *DELAY_HEADER) {
        let had = delay_ms(value);
        if had > 0 {
            // So that it is not held back again, and everybody sees that it was.
            *value = Value::Int(-had.cast_signed());
        }
    }
    let expires_at = m.expires_at.map(|at| now.wall.after(std::time::Duration::from_millis(at.0.saturating_sub(due))));
    let (exchange, key) = exchange_and_key(message.address());
    // Deleted meanwhile: nobody gets it.
    let route = route_exchange(now.wall.0, vhost, &exchange, &key, Some(&properties), false).map(|found| found.route);
    let route = route.unwrap_or_default();
    route.keep_claims();
    let batch = message.rewritten(message.address().clone(), parts(message, expires_at, properties));
    let batch = without_bcc(&MessageRef::new(batch.clone(), 0)).unwrap_or(batch);
    (route, batch)
}

fn parts(message: &MessageRef, expires_at: Option<WallMillis>, properties: Box<Properties>) -> MessageParts<'_> {
    let m = message.message();
    MessageParts {
        payload: message.payload(),
        origin: message.origin(),
        reliability: m.reliability,
        retain: m.retain,
        expires_at,
        properties: Some(properties),
    }
}
