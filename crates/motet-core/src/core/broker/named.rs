//! A queue with a name: how it was declared, and what of that a policy has changed.

use super::arguments::{Shape, read};
use super::error::ArgumentError;
use super::{QueueError, StreamPart};
use crate::core::govern::Governed;
use crate::core::{Vhost, delayed};
use crate::engine::ObjectId;
use crate::exchange::{ID_BYTES_MAX, identifier};
use crate::message::{Message, Properties, Reliability, Value};
use crate::queue::{ConsumerId, Departures, Queue, QueueConfig, QueueStats};
use crate::queues::{Inner, QueueCell, Queued};
use bytes::Bytes;
use parking_lot::RwLock;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// What a declaration says about a queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueDeclaration {
    /// It survives a restart; with an owner it does not, as the owner does not.
    pub durable: bool,
    /// The connection that alone may use it, and with which it goes.
    pub exclusive: Option<u64>,
    /// It goes when its last consumer goes.
    pub auto_delete: bool,
    /// The arguments as they were written, in their order.
    pub arguments: Vec<(Box<str>, Value)>,
}

/// See the module's page.
#[derive(Debug)]
pub struct NamedQueue {
    name: Bytes,
    vhost: Weak<Vhost>,
    cell: Arc<QueueCell>,
    declared: QueueDeclaration,
    shape: RwLock<Arc<Shape>>,
    /// The policies in force, for listings.
    governed: RwLock<Arc<Governed>>,
    had_consumer: AtomicBool,
    keeps_transient: bool,
}

impl NamedQueue {
    /// A queue of `shape`; `fill` makes its inside, empty or recovered.
    pub(super) fn new(
        name: Bytes,
        vhost: &Arc<Vhost>,
        id: ObjectId,
        declared: QueueDeclaration,
        shape: Shape,
        fill: impl FnOnce(&Shape, QueueConfig) -> (Queue<Queued>, Option<StreamPart>),
    ) -> Arc<Self> {
        let durable = declared.is_kept();
        let (queue, stream) = fill(&shape, shape.config(&declared));
        Arc::new_cyclic(|this| NamedQueue {
            name,
            vhost: Arc::downgrade(vhost),
            cell: Arc::new(QueueCell::of_named(id, durable, queue, stream, this.clone(), vhost.quota())),
            declared,
            keeps_transient: shape.queue_type == "quorum",
            shape: RwLock::new(Arc::new(shape)),
            governed: RwLock::default(),
            had_consumer: AtomicBool::new(false),
        })
    }

    /// Its name in its vhost.
    pub fn name(&self) -> &Bytes {
        &self.name
    }

    /// Messages wait here for their time: it is the core's own, and nobody else's.
    pub(crate) fn is_waiting_room(&self) -> bool {
        delayed::is_room(&self.name)
    }

    /// The vhost it is in; `None` once that is gone.
    pub fn vhost(&self) -> Option<Arc<Vhost>> {
        self.vhost.upgrade()
    }

    /// The queue itself, to take from.
    pub fn cell(&self) -> &Arc<QueueCell> {
        &self.cell
    }

    /// As it was declared.
    pub fn declared(&self) -> &QueueDeclaration {
        &self.declared
    }

    /// The policies in force and what they say together.
    pub fn governed(&self) -> Arc<Governed> {
        self.governed.read().clone()
    }

    /// The word of `x-queue-type`: `classic`, `quorum` or `stream`.
    pub fn queue_type(&self) -> &'static str {
        self.shape().queue_type
    }

    /// How it behaves now: its declaration and its policy together.
    pub fn config(&self) -> QueueConfig {
        self.cell.inner.lock().queue.config().clone()
    }

    /// It writes down what was published as transient, too, as quorum queues of RabbitMQ do; no policy changes that.
    pub(crate) fn keeps_transient(&self) -> bool {
        self.keeps_transient
    }

    /// Whether it writes this message down.
    pub(crate) fn writes_down(&self, message: &Message) -> bool {
        self.cell.is_durable() && (self.keeps_transient || message.reliability > Reliability::AtMostOnce)
    }

    /// Gauges and totals.
    pub fn stats(&self) -> QueueStats {
        self.cell.inner.lock().stats()
    }

    /// How messages left, where it was not to a consumer that acknowledges.
    pub fn departures(&self) -> Departures {
        self.cell.inner.lock().departures()
    }

    /// Both at one moment.
    pub fn figures(&self) -> (QueueStats, Departures) {
        let inner = self.cell.inner.lock();
        (inner.stats(), inner.departures())
    }

    /// Consumers now, readers of a stream among them.
    pub fn consumers(&self) -> u64 {
        self.cell.inner.lock().consumer_count()
    }

    /// Of a queue with a single active consumer: the one that receives.
    pub fn active_consumer(&self) -> Option<ConsumerId> {
        self.cell.inner.lock().queue.active_consumer()
    }

    /// When it was last declared, fetched from or consumed from, in milliseconds since the Unix epoch.
    pub fn last_used_ms(&self) -> u64 {
        self.cell.inner.lock().queue.last_used_ms()
    }

    /// The first offset a stream has and the next it will give; `None` when it is no stream.
    pub fn offsets(&self) -> Option<(u64, u64)> {
        let inner = self.cell.inner.lock();
        inner.stream.as_ref().map(|part| (part.stream.first_offset(), part.stream.next_offset()))
    }

    /// It belongs to another connection than this. // AMQP 0-9-1: 405 RESOURCE_LOCKED
    pub fn is_locked_for(&self, connection: u64) -> bool {
        self.declared.exclusive.is_some_and(|owner| owner != connection)
    }

    /// It was deleted.
    pub fn is_gone(&self) -> bool {
        self.cell.inner.lock().gone
    }

    /// Where its dead letters go, and under which key instead of their own.
    pub fn dead_letter(&self) -> Option<(Bytes, Option<Bytes>)> {
        let shape = self.shape();
        shape.dead_letter_exchange.clone().map(|exchange| (exchange, shape.dead_letter_key.clone()))
    }

    pub(super) fn shape(&self) -> Arc<Shape> {
        self.shape.read().clone()
    }

    pub(super) fn note_consumer(&self) {
        self.had_consumer.store(true, Ordering::Relaxed);
    }

    /// It goes once it has no consumer.
    pub(super) fn goes_with_consumers(&self) -> bool {
        self.declared.auto_delete && self.had_consumer.load(Ordering::Relaxed)
    }

    /// Under which name a message is a duplicate of another: the header the queue looks at, else, within a window, the message's own id.
    pub(crate) fn dedup_id<'a>(&self, properties: &'a Properties) -> Option<Cow<'a, [u8]>> {
        let shape = self.shape.read();
        let header = shape.dedup_header.as_deref()?;
        let value = properties.headers.iter().find(|(name, _)| **name == *header).map(|(_, value)| value);
        match value.and_then(identifier) {
            Some(id) => Some(id),
            None if !shape.dedup_by_id => None,
            None => {
                properties.message_id.as_deref().map(|id| Cow::Borrowed(&id.as_bytes()[..id.len().min(ID_BYTES_MAX)]))
            }
        }
    }

    /// A policy takes hold, or an empty one lets go. Arguments of the declaration come first; of two limits the lower.
    ///
    /// # Errors
    /// [`ArgumentError`]; nothing was changed.
    pub(super) fn govern(&self, governed: Governed) -> Result<(), ArgumentError> {
        check_policy(&governed.definition)?;
        let shape = read(&super::arguments::governed(&self.declared.arguments, &governed.definition))?;
        let config = shape.config(&self.declared);
        let mut inner = self.cell.inner.lock();
        self.cell.set_moves_letters(config.dead_letter);
        if let Some(part) = &mut inner.stream {
            part.stream.reconfigure(shape.stream_config());
        }
        let Inner { queue, fx, .. } = &mut *inner;
        queue.awake().reconfigure(config, fx);
        *self.shape.write() = Arc::new(shape);
        *self.governed.write() = Arc::new(governed);
        Ok(())
    }

    /// Whether a second declaration agrees with the first.
    ///
    /// # Errors
    /// [`QueueError::Mismatch`] with the first property that differs.
    pub(super) fn agrees(&self, asked: &QueueDeclaration) -> Result<(), QueueError> {
        let known = &self.declared;
        let flags = [
            ("exclusive", known.exclusive.is_some(), asked.exclusive.is_some()),
            ("durable", known.durable, asked.durable),
            ("auto_delete", known.auto_delete, asked.auto_delete),
        ];
        let differs = |property: &str, declared: String, asked: String| QueueError::Mismatch {
            queue: String::from_utf8_lossy(&self.name).into_owned(),
            property: property.into(),
            declared,
            asked,
        };
        for (property, declared, asked) in flags {
            if declared != asked {
                return Err(differs(property, format!("'{declared}'"), format!("'{asked}'")));
            }
        }
        match super::arguments::first_difference(&known.arguments, &asked.arguments) {
            Some((name, declared, asked)) => Err(differs(&format!("argument '{name}'"), declared, asked)),
            None => Ok(()),
        }
    }
}

/// Whether these are settings that can be put in force.
///
/// # Errors
/// [`ArgumentError`] for the first that is not of its form.
pub(in crate::core) fn check_policy(definition: &[(Box<str>, Value)]) -> Result<(), ArgumentError> {
    read(&super::arguments::governed(&[], definition)).map(drop)
}

impl QueueDeclaration {
    /// It is written down.
    pub(super) fn is_kept(&self) -> bool {
        self.durable && self.exclusive.is_none()
    }
}
