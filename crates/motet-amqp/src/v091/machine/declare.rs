//! Exchanges and queues: declare, bind, purge, delete.

use super::inbound::DIRECT_REPLY_TO;
use super::refusal;
use super::running::Running;
use crate::v091::config::Config;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::mapping;
use crate::v091::packet::{FieldTable, exchange, queue};
use motet_core::access::Action;
use motet_core::core::JoinRefused;
use motet_core::core::broker::{Declared, NamedQueue, QueueDeclaration};
use motet_core::engine::{Engine, Position};
use motet_core::exchange::{Arguments, BindError, DeleteError, ExchangeConfig};
use motet_core::machine::Context;
use motet_core::message::Value;
use motet_core::spelling::mqtt;
use std::sync::Arc;

fn arguments(table: FieldTable<'_>) -> Vec<(Box<str>, Value)> {
    mapping::fields(table).map(|(name, value)| (name.into(), value)).collect()
}

/// Where what is declared sends messages on to, with the rights of who declares.
fn sends_on<'a>(arguments: &'a [(Box<str>, Value)], argument: &str) -> Option<&'a str> {
    arguments.iter().find(|(name, _)| **name == *argument).and_then(|(_, value)| match value {
        Value::Text(exchange) => Some(exchange.as_str()),
        _ => None,
    })
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// What the name of a group's queue begins with.
const GROUPS: &str = "$share/";

/// It is the name of a queue that shares a subscription.
fn is_group(name: &str) -> bool {
    name.starts_with(GROUPS)
}

/// Names are taken without line ends, as RabbitMQ does.
fn clean(name: &str) -> String {
    name.replace(['\r', '\n'], "")
}

impl Running {
    /// The queue of this name, to take messages out of it. Whether the client may is asked first: whoever may not is not
    /// told whether it exists.
    pub(super) fn queue_to_take<E: Engine>(
        &mut self,
        cx: &Context<'_, E>,
        number: u16,
        name: &str,
    ) -> Result<Arc<NamedQueue>, Failure> {
        let name = self.meant(number, name)?;
        self.may_consume(cx, &name)?;
        self.queue_named(cx, &name)
    }

    /// The name, or, for the empty one, that of the queue that the channel declared last.
    fn meant(&mut self, number: u16, name: &str) -> Result<Box<str>, Failure> {
        match name {
            "" => self.channel(number).last_queue.clone().ok_or_else(no_last_queue),
            name => Ok(clean(name).into()),
        }
    }

    fn queue_named<E: Engine>(&self, cx: &Context<'_, E>, name: &str) -> Result<Arc<NamedQueue>, Failure> {
        let declared = cx.core.check_queue(cx.now, &self.vhost, name.as_bytes(), self.id);
        declared.map(|declared| declared.queue).map_err(|error| refusal::queue(&self.vhost, name, error, None, None))
    }

    pub(super) fn exchange_method<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        method: exchange::Method<'_>,
    ) -> Result<(), Failure> {
        match method {
            exchange::Method::Declare(declare) => self.declare_exchange(cx, number, declare),
            exchange::Method::Delete(delete) => self.delete_exchange(cx, number, delete),
            exchange::Method::Bind(bind) => {
                let arguments = Arguments::new(arguments(bind.arguments));
                self.check_exchanges(bind.source, bind.destination)?;
                let (source, destination) = (clean(bind.source), clean(bind.destination));
                self.may_with_exchange(cx, Action::Publish, &destination)?;
                self.may_bind_to(cx, &source, bind.routing_key)?;
                let position = cx
                    .core
                    .bind_exchange(
                        &self.vhost,
                        source.as_bytes(),
                        destination.as_bytes(),
                        bind.routing_key,
                        arguments.clone(),
                    )
                    .map_err(|error| refusal::bind(&self.vhost, error, arguments.fields()))?;
                self.answer(cx, number, bind.no_wait, position, &exchange::BindOk {});
                Ok(())
            }
            exchange::Method::Unbind(unbind) => {
                let arguments = Arguments::new(arguments(unbind.arguments));
                self.check_exchanges(unbind.source, unbind.destination)?;
                let (source, destination) = (clean(unbind.source), clean(unbind.destination));
                self.may_with_exchange(cx, Action::Publish, &destination)?;
                self.may_bind_to(cx, &source, unbind.routing_key)?;
                let (source, destination) = (source.as_bytes(), destination.as_bytes());
                let unbound = cx.core.unbind_exchange(&self.vhost, source, destination, unbind.routing_key, &arguments);
                let position = self.unbound(unbound, &arguments)?;
                self.answer(cx, number, unbind.no_wait, position, &exchange::UnbindOk {});
                Ok(())
            }
            _ => Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method")),
        }
    }

    /// A binding whose ends are not there is ended already, as in RabbitMQ.
    fn unbound(
        &self,
        unbound: Result<Option<Position>, BindError>,
        arguments: &Arguments,
    ) -> Result<Option<Position>, Failure> {
        match unbound {
            Err(BindError::NoExchange(_) | BindError::NoQueue(_)) => Ok(None),
            unbound => unbound.map_err(|error| refusal::bind(&self.vhost, error, arguments.fields())),
        }
    }

    /// The default exchange is neither bound nor bound to.
    fn check_exchanges(&self, source: &str, destination: &str) -> Result<(), Failure> {
        if source.is_empty() || destination.is_empty() { Err(refusal::default_exchange()) } else { Ok(()) }
    }

    fn answer<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        no_wait: bool,
        position: Option<Position>,
        method: &impl crate::v091::packet::MethodFields,
    ) {
        // Without an answer too: whatever is staged is waited for.
        self.pause_behind(cx, number, position);
        if !no_wait {
            self.reply(cx, number, position, method);
        }
    }

    fn declare_exchange<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        declare: exchange::Declare<'_>,
    ) -> Result<(), Failure> {
        let name = clean(declare.exchange);
        if name.is_empty() {
            return Err(refusal::default_exchange());
        }
        let vhost = self.vhost.clone();
        let refused = |error| refusal::exchange(&vhost, &name, error, &[]);
        if declare.passive {
            vhost.topology().check_exchange(name.as_bytes()).map_err(refused)?;
            self.answer(cx, number, declare.no_wait, None, &exchange::DeclareOk {});
            return Ok(());
        }
        let arguments = arguments(declare.arguments);
        self.may_with_exchange(cx, Action::Configure, &name)?;
        let is_new = vhost.topology().check_exchange(name.as_bytes()).is_err();
        if let Some(exchange) = sends_on(&arguments, "alternate-exchange").filter(|_| is_new) {
            self.may_with_exchange(cx, Action::Subscribe, &name)?;
            self.may_with_exchange(cx, Action::Publish, exchange)?;
        }
        let config = ExchangeConfig::from_arguments(declare.kind, &arguments);
        let mut config = config.map_err(|error| refusal::exchange(&vhost, &name, error, &arguments))?;
        config.durable = declare.durable;
        config.auto_delete = declare.auto_delete;
        config.internal = declare.internal;
        let (_, position) = cx.core.declare_exchange(cx.now, &vhost, name.as_bytes(), config).map_err(refused)?;
        self.answer(cx, number, declare.no_wait, position, &exchange::DeclareOk {});
        Ok(())
    }

    fn delete_exchange<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        delete: exchange::Delete<'_>,
    ) -> Result<(), Failure> {
        let name = clean(delete.exchange);
        if name.is_empty() {
            return Err(refusal::default_exchange());
        }
        self.may_with_exchange(cx, Action::Configure, &name)?;
        if name.starts_with("amq.") {
            return Err(refusal::delete(&self.vhost, &name, &DeleteError::Reserved));
        }
        let (_, position) = cx
            .core
            .delete_exchange(&self.vhost, name.as_bytes(), delete.if_unused)
            .map_err(|error| refusal::delete(&self.vhost, &name, &error))?;
        self.answer(cx, number, delete.no_wait, position, &exchange::DeleteOk {});
        Ok(())
    }

    pub(super) fn queue_method<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        method: queue::Method<'_>,
    ) -> Result<(), Failure> {
        match method {
            queue::Method::Declare(declare) => self.declare_queue(cx, number, declare),
            queue::Method::Bind(bind) => self.bind_queue(cx, number, bind),
            queue::Method::Unbind(unbind) => self.unbind_queue(cx, number, unbind),
            queue::Method::Purge(purge) => {
                let queue = self.queue_to_take(cx, number, purge.queue)?;
                if queue.queue_type() == "stream" {
                    return Err(self.not_of_streams(&queue, "queue.purge"));
                }
                let (purged, position) = cx.core.purge_queue(cx.now, &queue);
                let message_count = count(purged);
                self.answer(cx, number, purge.no_wait, position, &queue::PurgeOk { message_count });
                Ok(())
            }
            queue::Method::Delete(delete) => self.delete_queue(config, cx, number, delete),
            _ => Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method")),
        }
    }

    fn declare_queue<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        declare: queue::Declare<'_>,
    ) -> Result<(), Failure> {
        let name = clean(declare.queue);
        if name.starts_with(DIRECT_REPLY_TO) {
            return self.declare_reply_queue(cx, number, &name, declare.no_wait);
        }
        let declaration = QueueDeclaration {
            // What goes with its connection has nothing to survive; RabbitMQ compares it so, too.
            durable: declare.durable && !declare.exclusive,
            exclusive: declare.exclusive.then_some(self.id),
            auto_delete: declare.auto_delete,
            arguments: arguments(declare.arguments),
        };
        if !declare.passive && is_group(&name) {
            return self.declare_group(cx, number, &name, declare.no_wait);
        }
        let declaration = cx.core.with_default_type(&self.vhost, declaration);
        if !declare.passive {
            // A name of ours begins like this.
            let configured = if name.is_empty() { "amq.gen-" } else { &name };
            self.may_with_queue(cx, Action::Configure, configured)?;
            let is_new = name.is_empty() || cx.core.find_queue(&self.vhost, name.as_bytes()).is_none();
            if let Some(exchange) = sends_on(&declaration.arguments, "x-dead-letter-exchange").filter(|_| is_new) {
                self.may_with_queue(cx, Action::Consume, configured)?;
                self.may_with_exchange(cx, Action::Publish, exchange)?;
            }
        }
        let declared = match declare.passive {
            true => cx.core.check_queue(cx.now, &self.vhost, name.as_bytes(), self.id),
            false => cx.core.declare_queue(cx.now, &self.vhost, name.as_bytes(), declaration.clone(), self.id),
        };
        let declared = declared.map_err(|error| {
            let known = cx.core.find_queue(&self.vhost, name.as_bytes());
            refusal::queue(&self.vhost, &name, error, known.as_deref(), Some(&declaration))
        })?;
        let name = String::from_utf8_lossy(declared.queue.name()).into_owned();
        self.channel(number).last_queue = Some(name.as_str().into());
        let declare_ok = queue::DeclareOk {
            queue: &name,
            message_count: count(declared.messages),
            consumer_count: count(declared.consumers),
        };
        self.answer(cx, number, declare.no_wait, declared.position, &declare_ok);
        Ok(())
    }

    /// The queue of a group that shares a subscription, `$share/<group>/<filter>`: made here it hears what matches the filter,
    /// and stays until it is deleted. Its arguments are the group's own.
    fn declare_group<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        name: &str,
        no_wait: bool,
    ) -> Result<(), Failure> {
        self.may_with_queue(cx, Action::Configure, name)?;
        self.may_consume(cx, name)?;
        let declared = self.open_group(cx, name, true)?;
        self.channel(number).last_queue = Some(name.into());
        let (message_count, consumer_count) = (count(declared.messages), count(declared.consumers));
        let declare_ok = queue::DeclareOk { queue: name, message_count, consumer_count };
        self.answer(cx, number, no_wait, declared.position, &declare_ok);
        Ok(())
    }

    /// The queue to consume from; that of a group is made when it is not there, and goes with its last consumer.
    pub(super) fn queue_to_consume<E: Engine>(
        &mut self,
        cx: &Context<'_, E>,
        number: u16,
        name: &str,
    ) -> Result<Arc<NamedQueue>, Failure> {
        if !is_group(name) || cx.core.find_queue(&self.vhost, name.as_bytes()).is_some() {
            return self.queue_to_take(cx, number, name);
        }
        self.may_consume(cx, name)?;
        Ok(self.open_group(cx, name, false)?.queue)
    }

    fn open_group<E: Engine>(&self, cx: &Context<'_, E>, name: &str, is_kept: bool) -> Result<Declared, Failure> {
        let filter = name.strip_prefix(GROUPS).and_then(|rest| rest.split_once('/')).map(|(_, filter)| filter);
        let pattern = filter.and_then(|filter| mqtt::decode_pattern(filter).ok());
        let what = refusal::queue_name(&self.vhost, name);
        let Some(pattern) = pattern else {
            let text = format!("{what} names no group and filter to share");
            return Err(Failure::new(ReplyCode::PreconditionFailed, text));
        };
        cx.core.open_group(cx.now, &self.vhost, name.as_bytes(), &pattern, is_kept).map_err(|error| match error {
            JoinRefused::Queue(error) => refusal::queue(&self.vhost, name, error, None, None),
            other => Failure::new(ReplyCode::PreconditionFailed, format!("{what}: {other}")),
        })
    }

    /// The queues behind `amq.rabbitmq.reply-to` are there as long as somebody waits for replies; whoever is to reply may look.
    fn declare_reply_queue<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        name: &str,
        no_wait: bool,
    ) -> Result<(), Failure> {
        if name != DIRECT_REPLY_TO && cx.core.find_queue(&self.vhost, name.as_bytes()).is_none() {
            return Err(refusal::no_queue(&self.vhost, name));
        }
        let declare_ok = queue::DeclareOk { queue: name, message_count: 0, consumer_count: 1 };
        self.answer(cx, number, no_wait, None, &declare_ok);
        Ok(())
    }

    /// An empty name means the queue declared last; with an empty key as well, its name is the key too
    /// [queue.bind, routing-key].
    fn key_for<'a>(&self, queue: &str, key: &'a [u8], meant: &'a str) -> &'a [u8] {
        if queue.is_empty() && key.is_empty() { meant.as_bytes() } else { key }
    }

    fn bind_queue<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        bind: queue::Bind<'_>,
    ) -> Result<(), Failure> {
        let (source, name) = (clean(bind.exchange), self.meant(number, bind.queue)?);
        self.may_with_queue(cx, Action::Publish, &name)?;
        if source.is_empty() {
            return Err(refusal::default_exchange());
        }
        let key = self.key_for(bind.queue, bind.routing_key, &name).to_vec();
        self.may_bind_to(cx, &source, &key)?;
        let queue = match self.queue_named(cx, &name) {
            // Of two that are not there RabbitMQ names the exchange.
            Err(failure) if failure.code == ReplyCode::NotFound && !bind.queue.is_empty() => {
                let known = self.vhost.topology().check_exchange(source.as_bytes()).is_ok();
                return Err(if known { failure } else { refusal::no_exchange(&self.vhost, &source) });
            }
            queue => queue?,
        };
        let arguments = Arguments::new(arguments(bind.arguments));
        let position = cx
            .core
            .bind_queue(cx.now, &self.vhost, source.as_bytes(), &queue, &key, arguments.clone())
            .map_err(|error| refusal::bind(&self.vhost, error, arguments.fields()))?;
        self.answer(cx, number, bind.no_wait, position, &queue::BindOk {});
        Ok(())
    }

    fn unbind_queue<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        unbind: queue::Unbind<'_>,
    ) -> Result<(), Failure> {
        let (source, name) = (clean(unbind.exchange), self.meant(number, unbind.queue)?);
        self.may_with_queue(cx, Action::Publish, &name)?;
        if source.is_empty() {
            return Err(refusal::default_exchange());
        }
        let key = self.key_for(unbind.queue, unbind.routing_key, &name).to_vec();
        self.may_bind_to(cx, &source, &key)?;
        let queue = match self.queue_named(cx, &name) {
            Err(failure) if failure.code == ReplyCode::NotFound && !unbind.queue.is_empty() => {
                self.answer(cx, number, false, None, &queue::UnbindOk {});
                return Ok(());
            }
            queue => queue?,
        };
        let arguments = Arguments::new(arguments(unbind.arguments));
        let unbound = cx.core.unbind_queue(&self.vhost, source.as_bytes(), queue.name(), &key, &arguments);
        let position = self.unbound(unbound, &arguments)?;
        self.answer(cx, number, false, position, &queue::UnbindOk {});
        Ok(())
    }

    fn delete_queue<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        delete: queue::Delete<'_>,
    ) -> Result<(), Failure> {
        let name = self.meant(number, delete.queue)?;
        self.may_with_queue(cx, Action::Configure, &name)?;
        let queue = match self.queue_named(cx, &name) {
            Ok(queue) => queue,
            // RabbitMQ deletes what is not there, so that deleting twice is no mistake.
            Err(failure) if failure.code == ReplyCode::NotFound && !delete.queue.is_empty() => {
                self.answer(cx, number, delete.no_wait, None, &queue::DeleteOk { message_count: 0 });
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        for key in self.consumers_of(&queue) {
            self.hand_over(config, cx, key);
        }
        let (messages, position) = cx
            .core
            .delete_queue(cx.now, &queue, delete.if_unused, delete.if_empty)
            .map_err(|error| refusal::queue(&self.vhost, &name, error, None, None))?;
        let message_count = count(messages);
        self.answer(cx, number, delete.no_wait, position, &queue::DeleteOk { message_count });
        Ok(())
    }
}

impl Running {
    /// The keys of this connection's consumers of a queue, in the order of their channels.
    fn consumers_of(&self, queue: &Arc<NamedQueue>) -> Vec<u64> {
        let consumers = self.channels.values().flat_map(|channel| &channel.consumers);
        let mut keys: Vec<_> = consumers.filter(|c| Arc::ptr_eq(&c.queue, queue)).map(|c| c.key).collect();
        keys.sort_unstable();
        keys
    }
}

fn no_last_queue() -> Failure {
    Failure::new(ReplyCode::NotFound, "no previously declared queue")
}
