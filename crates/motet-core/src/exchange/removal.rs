//! What goes, and what goes with it.

use bytes::Bytes;

use super::kind::text_of;
use super::table::BindingId;
use super::topology::Role;
use super::{Arguments, BindError, Change, DeleteError, ExchangeKey, Target, Topology};

impl<Q> Topology<Q> {
    /// Ends exactly this binding of a queue; one that does not exist is ended already, as in RabbitMQ. True when it existed.
    ///
    /// # Errors
    /// [`BindError::NoExchange`], [`BindError::NoQueue`], [`BindError::DefaultExchange`].
    pub fn unbind_queue(
        &mut self,
        exchange: &[u8],
        queue: &[u8],
        key: &[u8],
        arguments: &Arguments,
        changes: &mut Vec<Change>,
    ) -> Result<bool, BindError> {
        let target = self.queue_target(queue)?;
        self.unbind(exchange, target, key, arguments, changes)
    }

    /// Ends exactly this binding of an exchange; see [`Topology::unbind_queue`].
    ///
    /// # Errors
    /// [`BindError::NoExchange`], [`BindError::DefaultExchange`].
    pub fn unbind_exchange(
        &mut self,
        source: &[u8],
        destination: &[u8],
        key: &[u8],
        arguments: &Arguments,
        changes: &mut Vec<Change>,
    ) -> Result<bool, BindError> {
        let target = self.exchange_target(destination)?;
        self.unbind(source, target, key, arguments, changes)
    }

    fn unbind(
        &mut self,
        source: &[u8],
        target: Target,
        key: &[u8],
        arguments: &Arguments,
        changes: &mut Vec<Change>,
    ) -> Result<bool, BindError> {
        let source = self.bindable(source)?;
        let id = BindingId { target, key: Bytes::copy_from_slice(key), arguments: arguments.clone() };
        let existed = self.exchanges[&source].table.contains(&id);
        if existed {
            self.remove_binding(source, &id, changes);
            self.collect(vec![source], changes);
        }
        Ok(existed)
    }

    /// Forgets a queue, ends its bindings, and lets auto-delete exchanges go. Gives back what the caller kept.
    pub fn remove_queue(&mut self, name: &[u8], changes: &mut Vec<Change>) -> Option<Q> {
        let key = self.find_queue(name)?;
        let sources = self.remove_bindings_to(Target::Queue(key), changes);
        self.queue_names.remove(name);
        let node = self.queues.remove(&key).expect("a named queue exists");
        self.epoch += 1;
        self.collect(sources, changes);
        Some(node.value)
    }

    /// Deletes an exchange and its bindings, those to it and those from it. True when it existed.
    ///
    /// # Errors
    /// [`DeleteError::Reserved`]; with `if_unused`, [`DeleteError::InUse`] when it is the source of bindings.
    pub fn delete_exchange(
        &mut self,
        name: &[u8],
        if_unused: bool,
        changes: &mut Vec<Change>,
    ) -> Result<bool, DeleteError> {
        let Some(&key) = self.exchange_names.get(name) else { return Ok(false) };
        let exchange = &self.exchanges[&key];
        if exchange.role != Role::Declared {
            return Err(DeleteError::Reserved);
        }
        if if_unused && exchange.table.len() > 0 {
            return Err(DeleteError::InUse(exchange.table.len()));
        }
        let sources = self.remove_exchange(key, changes);
        self.collect(sources, changes);
        Ok(true)
    }

    /// Deletes, one after the other, the auto-delete exchanges that have lost their last binding.
    fn collect(&mut self, mut lost: Vec<ExchangeKey>, changes: &mut Vec<Change>) {
        while let Some(key) = lost.pop() {
            let goes = |exchange: &super::topology::Exchange| {
                exchange.config.auto_delete && exchange.role == Role::Declared && exchange.table.len() == 0
            };
            if self.exchanges.get(&key).is_some_and(goes) {
                lost.extend(self.remove_exchange(key, changes));
            }
        }
    }

    /// The exchange and all its bindings go; those that led to it are given back.
    fn remove_exchange(&mut self, key: ExchangeKey, changes: &mut Vec<Change>) -> Vec<ExchangeKey> {
        let own: Vec<BindingId> = self.exchanges[&key].table.ids().cloned().collect();
        for id in own {
            self.remove_binding(key, &id, changes);
        }
        let sources = self.remove_bindings_to(Target::Exchange(key), changes);
        let exchange = self.exchanges.remove(&key).expect("a key the topology holds");
        self.exchange_names.remove(&exchange.name);
        self.epoch += 1;
        changes.push(Change::ExchangeDeleted { name: exchange.name, durable: exchange.config.durable });
        sources
    }

    fn remove_bindings_to(&mut self, target: Target, changes: &mut Vec<Change>) -> Vec<ExchangeKey> {
        let sources: Vec<ExchangeKey> = self.sources.get(&target).into_iter().flatten().copied().collect();
        for source in &sources {
            let ids: Vec<BindingId> = self.exchanges[source].table.ids_to(target).cloned().collect();
            for id in ids {
                self.remove_binding(*source, &id, changes);
            }
        }
        sources
    }

    fn remove_binding(&mut self, source: ExchangeKey, id: &BindingId, changes: &mut Vec<Change>) {
        changes.push(Change::Unbound(self.view(source, id)));
        let exchange = self.exchanges.get_mut(&source).expect("a key the topology holds");
        if let Some(pattern) = exchange.table.remove(id) {
            changes.push(Change::TreeUnbind(pattern, id.target));
        }
        if exchange.table.ids_to(id.target).next().is_none()
            && let Some(sources) = self.sources.get_mut(&id.target)
        {
            sources.remove(&source);
            if sources.is_empty() {
                self.sources.remove(&id.target);
            }
        }
        self.epoch += 1;
    }
}

impl<Q> Topology<Q> {
    /// How many bindings an exchange is the source of.
    ///
    /// # Errors
    /// [`BindError::NoExchange`].
    pub fn binding_count(&self, exchange: &[u8]) -> Result<usize, BindError> {
        let key = self.exchange_names.get(exchange).ok_or_else(|| BindError::NoExchange(text_of(exchange)))?;
        Ok(self.exchanges[key].table.len())
    }
}
