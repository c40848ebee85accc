//! Exchanges and bindings, kept in the topology, the topic tree and the journal alike.

use super::{NamedQueue, records};
use crate::core::{Core, Vhost};
use crate::engine::{Engine, Position, Refused, Stage};
use crate::exchange::{
    Arguments, BindError, BindingView, Bound, Change, DeclareError, DeleteError, ExchangeConfig, Topology,
};
use crate::message::{MessageRef, Value};
use crate::pattern::Pattern;
use crate::route::NamedTarget;
use crate::time::Now;
use crate::topics::{RetainedCursor, Subscription};
use bytes::Bytes;
use std::sync::Arc;

/// Last values enqueued in one group for a binding that asks for them.
const RETAINED_PAGE: usize = 64;

impl<E: Engine> Core<E> {
    /// Declares an exchange. Whether it is new, and when that is durable.
    ///
    /// # Errors
    /// Any [`DeclareError`].
    pub fn declare_exchange(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        name: &[u8],
        config: ExchangeConfig,
    ) -> Result<(bool, Option<Position>), DeclareError> {
        if name.len() > super::error::NAME_BYTES_MAX {
            return Err(DeclareError::Argument { name: "exchange", wants: "a shorter name" });
        }
        if config.delayed {
            // Before the stage: it may have to be written down.
            self.open_waiting_room(now, vhost)?;
        }
        let mut stage = config.durable.then(|| self.engine.stage()).transpose();
        let value = records::encode_exchange(&config);
        let created = vhost.change(|topology| {
            // One that is there already costs nothing.
            if stage.is_err() && topology.check_exchange(name).is_err() {
                return Err(DeclareError::StoreFull);
            }
            let created = topology.declare_exchange(Bytes::copy_from_slice(name), config)?;
            if created && let Some(alternate) = vhost.exchange_governed(name).alternate() {
                topology.govern_exchange(name, Some(alternate));
            }
            Ok::<_, DeclareError>(created)
        })?;
        if let (true, Ok(Some(stage))) = (created, &mut stage) {
            vhost.stage_record(stage, records::exchange_key(name), &value);
        }
        // Whoever declared it first may still wait for it to be durable.
        let stage = stage.unwrap_or_else(|Refused| Some(self.engine.stage_release()));
        Ok((created, stage.map(Stage::finish)))
    }

    /// Deletes an exchange with its bindings. Whether it existed, and when that is durable.
    ///
    /// # Errors
    /// Any [`DeleteError`].
    pub fn delete_exchange(
        &self,
        vhost: &Vhost,
        name: &[u8],
        if_unused: bool,
    ) -> Result<(bool, Option<Position>), DeleteError> {
        let mut stage = self.engine.stage_release();
        let mut changes = Vec::new();
        let existed = vhost.change(|topology| {
            let books = topology.exchange_books(name).cloned();
            let existed = topology.delete_exchange(name, if_unused, &mut changes)?;
            if let Some(books) = books.filter(|_| existed) {
                vhost.books().bury_exchange(books.figures());
            }
            Ok::<_, DeleteError>(existed)
        })?;
        self.carry_out_changes(vhost, changes, Some(&mut stage));
        Ok((existed, Some(stage.finish())))
    }

    /// Binds a queue. When that is durable. With the argument `x-retained` (true), a binding of the topic tree brings
    /// the last values that match.
    ///
    /// # Errors
    /// Any [`BindError`].
    pub fn bind_queue(
        &self,
        now: Now,
        vhost: &Vhost,
        exchange: &[u8],
        queue: &Arc<NamedQueue>,
        key: &[u8],
        arguments: Arguments,
    ) -> Result<Option<Position>, BindError> {
        let wants_retained = arguments.get("x-retained") == Some(&Value::Bool(true));
        let name = queue.name().clone();
        let (bound, position) = self.bind(vhost, exchange, &name, false, key, arguments, |topology, arguments| {
            topology.bind_queue(exchange, &name, key, arguments)
        })?;
        if let (true, true, Some((pattern, _))) = (wants_retained, bound.changed, bound.tree) {
            self.enqueue_last_values(now, vhost, queue, pattern);
        }
        Ok(position)
    }

    /// Binds an exchange to another. When that is durable.
    ///
    /// # Errors
    /// Any [`BindError`].
    pub fn bind_exchange(
        &self,
        vhost: &Vhost,
        source: &[u8],
        destination: &[u8],
        key: &[u8],
        arguments: Arguments,
    ) -> Result<Option<Position>, BindError> {
        let bound = self.bind(vhost, source, destination, true, key, arguments, |topology, arguments| {
            topology.bind_exchange(source, destination, key, arguments)
        })?;
        Ok(bound.1)
    }

    #[expect(clippy::too_many_arguments, reason = "what makes a binding itself")]
    fn bind(
        &self,
        vhost: &Vhost,
        source: &[u8],
        target: &[u8],
        to_exchange: bool,
        key: &[u8],
        arguments: Arguments,
        bind: impl FnOnce(&mut Topology<Arc<NamedQueue>>, Arguments) -> Result<Bound, BindError>,
    ) -> Result<(Bound, Option<Position>), BindError> {
        let grows = vhost.topology().binds_durably(source, target, to_exchange);
        let mut stage = match grows {
            true => self.engine.stage().map_err(|Refused| BindError::StoreFull)?,
            false => self.engine.stage_release(),
        };
        let bound = vhost.change(|topology| {
            let bound = bind(topology, arguments.clone())?;
            if let Some((pattern, target)) = &bound.tree {
                vhost.topics.subscribe(pattern, Subscription::Bound(*target));
            }
            Ok::<_, BindError>(bound)
        })?;
        if bound.changed && bound.durable {
            let [source, target, key] = [source, target, key].map(Bytes::copy_from_slice);
            let view = BindingView { source, target, to_exchange, key, arguments, durable: true };
            vhost.stage_record(&mut stage, records::binding_key(&view), &[]);
        }
        let position = stage.finish();
        let durable = bound.durable;
        Ok((bound, durable.then_some(position)))
    }

    /// Ends a binding of a queue; one that is not there is ended already. When that is durable.
    ///
    /// # Errors
    /// Any [`BindError`].
    pub fn unbind_queue(
        &self,
        vhost: &Vhost,
        exchange: &[u8],
        queue: &[u8],
        key: &[u8],
        arguments: &Arguments,
    ) -> Result<Option<Position>, BindError> {
        self.unbind(vhost, |topology, changes| topology.unbind_queue(exchange, queue, key, arguments, changes))
    }

    /// Ends a binding of an exchange; one that is not there is ended already. When that is durable.
    ///
    /// # Errors
    /// Any [`BindError`].
    pub fn unbind_exchange(
        &self,
        vhost: &Vhost,
        source: &[u8],
        destination: &[u8],
        key: &[u8],
        arguments: &Arguments,
    ) -> Result<Option<Position>, BindError> {
        self.unbind(vhost, |topology, changes| topology.unbind_exchange(source, destination, key, arguments, changes))
    }

    fn unbind(
        &self,
        vhost: &Vhost,
        unbind: impl FnOnce(&mut Topology<Arc<NamedQueue>>, &mut Vec<Change>) -> Result<bool, BindError>,
    ) -> Result<Option<Position>, BindError> {
        let mut stage = self.engine.stage_release();
        let mut changes = Vec::new();
        vhost.change(|topology| unbind(topology, &mut changes))?;
        self.carry_out_changes(vhost, changes, Some(&mut stage));
        Ok(Some(stage.finish()))
    }

    /// What ended together with something else ends in the topic tree and in the journal too.
    pub(super) fn carry_out_changes(&self, vhost: &Vhost, changes: Vec<Change>, stage: Option<&mut E::Stage<'_>>) {
        let durable = changes.iter().any(|change| match change {
            Change::Unbound(view) => view.durable,
            Change::ExchangeDeleted { durable, .. } => *durable,
            Change::TreeUnbind(..) => false,
        });
        match stage {
            // A transient queue may have been the last that a durable exchange was bound to.
            None if durable => write_changes(vhost, changes, &mut self.engine.stage_release()),
            None => changes.iter().for_each(|change| unsubscribe(vhost, change)),
            Some(stage) => write_changes(vhost, changes, stage),
        }
    }

    /// The bindings of a vhost, those of the default exchange aside.
    pub fn bindings(&self, vhost: &Vhost) -> Vec<BindingView> {
        let topology = vhost.topology();
        let mut names: Vec<_> = topology.exchange_names().collect();
        names.sort();
        names.into_iter().flat_map(|name| topology.bindings_of(name)).collect()
    }

    /// The exchanges of a vhost by name, with how they were declared.
    pub fn exchanges(&self, vhost: &Vhost) -> Vec<(Bytes, ExchangeConfig)> {
        let topology = vhost.topology();
        let mut all: Vec<_> = topology.exchange_names().cloned().collect();
        all.sort();
        all.into_iter().filter_map(|name| topology.exchange(&name).cloned().map(|config| (name, config))).collect()
    }

    fn enqueue_last_values(&self, now: Now, vhost: &Vhost, queue: &Arc<NamedQueue>, pattern: Pattern) {
        let target = NamedTarget { queue: queue.clone(), delay_ms: 0 };
        let mut cursor = RetainedCursor::new(pattern);
        loop {
            let mut values: Vec<MessageRef> = Vec::new();
            let more = vhost.topics.retained_page(&mut cursor, RETAINED_PAGE, |value| {
                values.push(value.message.clone());
            });
            values.retain(|message| message.message().expires_at.is_none_or(|at| at > now.wall));
            self.enqueue_values(now, &target, &values);
            if !more {
                return;
            }
        }
    }
}

fn write_changes<S: Stage>(vhost: &Vhost, changes: Vec<Change>, stage: &mut S) {
    for change in changes {
        unsubscribe(vhost, &change);
        match change {
            Change::Unbound(view) if view.durable => {
                vhost.unstage_record(stage, &records::binding_key(&view));
            }
            Change::ExchangeDeleted { name, durable: true } => {
                vhost.unstage_record(stage, &records::exchange_key(&name));
            }
            _ => {}
        }
    }
}

/// Ends the subscription of a binding that is gone.
fn unsubscribe(vhost: &Vhost, change: &Change) {
    if let Change::TreeUnbind(pattern, target) = change {
        vhost.topics.unbind(pattern, *target);
    }
}
