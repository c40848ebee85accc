//! Bindings: made, ended, listed.

use bytes::Bytes;

use super::kind::text_of;
use super::table::BindingId;
use super::topology::Role;
use super::{Arguments, BindError, ExchangeKey, QueueKey, Topology};
use crate::pattern::Pattern;
use crate::spelling::amqp;

/// Where a binding leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Into a queue.
    Queue(QueueKey),
    /// On to another exchange.
    Exchange(ExchangeKey),
}

/// What one vhost may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Exchanges, the pre-declared ones included.
    pub exchanges: usize,
    /// Bindings of one exchange.
    pub bindings: usize,
}

impl Default for Limits {
    /// More than a system somebody understands has, and few enough to fit in memory.
    fn default() -> Self {
        Self { exchanges: 100_000, bindings: 1_000_000 }
    }
}

/// What a bind or unbind did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Something changed: a binding was made, or ended.
    pub changed: bool,
    /// Both ends are durable, and so is the binding: the caller's record of it.
    pub durable: bool,
    /// The exchange is the topic tree: the caller subscribes this target there, or ends that. Also when nothing changed.
    pub tree: Option<(Pattern, Target)>,
}

/// What ended together with something else, for the caller to carry out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A binding is gone.
    Unbound(BindingView),
    /// It was one of the topic tree: its subscription ends. Not said while another key of the target has the same pattern.
    TreeUnbind(Pattern, Target),
    /// An exchange is gone.
    ExchangeDeleted {
        /// Its name.
        name: Bytes,
        /// Whether a record of it exists.
        durable: bool,
    },
}

/// A binding as people name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingView {
    /// The exchange it is on.
    pub source: Bytes,
    /// The queue or exchange it leads to.
    pub target: Bytes,
    /// Whether `target` is an exchange.
    pub to_exchange: bool,
    /// The binding key.
    pub key: Bytes,
    /// The arguments.
    pub arguments: Arguments,
    /// Whether a record of it exists.
    pub durable: bool,
}

impl<Q> Topology<Q> {
    /// Binds `queue` to `exchange`.
    ///
    /// # Errors
    /// Any [`BindError`].
    pub fn bind_queue(
        &mut self,
        exchange: &[u8],
        queue: &[u8],
        key: &[u8],
        arguments: Arguments,
    ) -> Result<Bound, BindError> {
        self.bind(exchange, self.queue_target(queue)?, key, arguments)
    }

    /// Binds `destination` to `source`: what `source` matches goes on through `destination`.
    ///
    /// # Errors
    /// Any [`BindError`].
    pub fn bind_exchange(
        &mut self,
        source: &[u8],
        destination: &[u8],
        key: &[u8],
        arguments: Arguments,
    ) -> Result<Bound, BindError> {
        self.bind(source, self.exchange_target(destination)?, key, arguments)
    }

    /// The keys of a queue as a binding's target.
    ///
    /// # Errors
    /// [`BindError::NoQueue`].
    pub(super) fn queue_target(&self, name: &[u8]) -> Result<Target, BindError> {
        self.find_queue(name).map(Target::Queue).ok_or_else(|| BindError::NoQueue(text_of(name)))
    }

    pub(super) fn exchange_target(&self, name: &[u8]) -> Result<Target, BindError> {
        self.bindable(name).map(Target::Exchange)
    }

    /// The exchange of this name, which must not be the default one.
    pub(super) fn bindable(&self, name: &[u8]) -> Result<ExchangeKey, BindError> {
        let key = self.exchange_names.get(name).ok_or_else(|| BindError::NoExchange(text_of(name)))?;
        if self.exchanges[key].role == Role::Default { Err(BindError::DefaultExchange) } else { Ok(*key) }
    }

    fn bind(&mut self, source: &[u8], target: Target, key: &[u8], arguments: Arguments) -> Result<Bound, BindError> {
        let source = self.bindable(source)?;
        let id = BindingId { target, key: Bytes::copy_from_slice(key), arguments };
        let mut bound = self.bound(source, &id)?;
        let name = self.target_name(target).clone();
        let exchange = self.exchanges.get_mut(&source).expect("a key just found");
        if exchange.table.contains(&id) {
            return Ok(bound);
        }
        if exchange.table.len() >= self.limits.bindings {
            return Err(BindError::Limit(self.limits.bindings));
        }
        exchange.table.insert(id, &name)?;
        self.sources.entry(target).or_default().insert(source);
        self.epoch += 1;
        bound.changed = true;
        Ok(bound)
    }

    /// What there is to say about a binding, changed or not.
    pub(super) fn bound(&self, source: ExchangeKey, id: &BindingId) -> Result<Bound, BindError> {
        let is_tree = self.exchanges[&source].role == Role::TopicTree;
        let tree = if is_tree { Some((amqp::decode_pattern(&id.key)?, id.target)) } else { None };
        Ok(Bound { changed: false, durable: self.is_durable(source, id.target), tree })
    }

    /// The bindings of an exchange, by destination and key.
    pub fn bindings_of(&self, exchange: &[u8]) -> impl Iterator<Item = BindingView> {
        let key = self.exchange_names.get(exchange).copied();
        key.into_iter().flat_map(move |key| self.exchanges[&key].table.ids().map(move |id| self.view(key, id)))
    }

    pub(super) fn view(&self, source: ExchangeKey, id: &BindingId) -> BindingView {
        BindingView {
            source: self.exchanges[&source].name.clone(),
            target: self.target_name(id.target).clone(),
            to_exchange: matches!(id.target, Target::Exchange(_)),
            key: id.key.clone(),
            arguments: id.arguments.clone(),
            durable: self.is_durable(source, id.target),
        }
    }

    /// Whether a binding of these two would be durable; false when one of them is not there.
    pub fn binds_durably(&self, source: &[u8], target: &[u8], to_exchange: bool) -> bool {
        let target = if to_exchange { self.exchange_target(target) } else { self.queue_target(target) };
        self.bindable(source).and_then(|source| Ok(self.is_durable(source, target?))).unwrap_or(false)
    }

    fn is_durable(&self, source: ExchangeKey, target: Target) -> bool {
        let target = match target {
            Target::Queue(key) => self.queues[&key].durable,
            Target::Exchange(key) => self.exchanges[&key].config.durable,
        };
        self.exchanges[&source].config.durable && target
    }

    fn target_name(&self, target: Target) -> &Bytes {
        match target {
            Target::Queue(key) => &self.queues[&key].name,
            Target::Exchange(key) => &self.exchanges[&key].name,
        }
    }
}
