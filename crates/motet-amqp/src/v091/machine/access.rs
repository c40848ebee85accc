//! What a client may: as RabbitMQ asks for it, in its words.
//!
//! | method | configure | write | read |
//! |---|---|---|---|
//! | declare, delete | the queue, the exchange | | |
//! | bind, unbind | | the destination | the source, for `amq.topic` with the binding key |
//! | publish | | the exchange, with the key | |
//! | consume, get, purge | | | the queue; of a shared subscription: what is shared |
//! | a dead-letter or alternate exchange is named | | that exchange | the queue, the exchange |

use super::running::Running;
use crate::v091::error::{Failure, ReplyCode};
use motet_core::access::{Action, Resource, SIGNATURE_HEADER};
use motet_core::core::Decision;
use motet_core::core::broker::PublishError;
use motet_core::engine::Engine;
use motet_core::exchange::sender_selected_keys;
use motet_core::machine::Context;
use motet_core::message::{MessageParts, Value};
use motet_core::route::KnownName;
use motet_core::spelling::{amqp, mqtt};

/// The exchange that is the topic tree.
const TOPIC: &str = "amq.topic";

impl Running {
    /// Whether the client may. While somebody is still being asked, the frame stays where it is and nothing has happened:
    /// so handlers ask before they act.
    fn may<E: Engine>(
        &mut self,
        cx: &Context<'_, E>,
        action: Action,
        resource: Resource<'_>,
        what: &str,
    ) -> Result<(), Failure> {
        match self.vhost.permit(self.publisher.principal(), action, resource, Some(cx.mailbox)) {
            Decision::Allowed => Ok(()),
            Decision::Refused(_) => Err(self.refused(action, what)),
            Decision::Later => Err(self.later()),
        }
    }

    /// The answer whether the client may is still to come.
    pub(super) fn later(&mut self) -> Failure {
        self.waits = true;
        Failure::new(ReplyCode::InternalError, "the answer is still to come")
    }

    /// The text of a refusal.
    pub(super) fn refused(&self, action: Action, what: &str) -> Failure {
        let permission = match action {
            Action::Configure => "configure",
            Action::Publish => "write",
            Action::Subscribe | Action::Consume => "read",
        };
        let (vhost, user) = (self.vhost.name(), &self.publisher.principal().name);
        let text = format!("{permission} access to {what} in vhost '{vhost}' refused for user '{user}'");
        Failure::new(ReplyCode::AccessRefused, text)
    }

    pub(super) fn may_with_queue<E: Engine>(
        &mut self,
        cx: &Context<'_, E>,
        action: Action,
        name: &str,
    ) -> Result<(), Failure> {
        self.may(cx, action, Resource::Queue(name.as_bytes()), &format!("queue '{name}'"))
    }

    /// Consumers of a shared subscription hear what its members do, so they need the members' right.
    pub(super) fn may_consume<E: Engine>(&mut self, cx: &Context<'_, E>, name: &str) -> Result<(), Failure> {
        let filter = name.strip_prefix("$share/").and_then(|rest| rest.split_once('/')).map(|(_, filter)| filter);
        match filter.map(mqtt::decode_pattern) {
            Some(Ok(pattern)) => {
                self.may(cx, Action::Subscribe, Resource::Pattern(&pattern), &format!("queue '{name}'"))
            }
            _ => self.may_with_queue(cx, Action::Consume, name),
        }
    }

    pub(super) fn may_with_exchange<E: Engine>(
        &mut self,
        cx: &Context<'_, E>,
        action: Action,
        name: &str,
    ) -> Result<(), Failure> {
        let what = format!("exchange '{}'", super::refusal::spoken_exchange(name));
        self.may(cx, action, Resource::Exchange(name.as_bytes()), &what)
    }

    /// A binding hears what its source is told under its key.
    pub(super) fn may_bind_to<E: Engine>(
        &mut self,
        cx: &Context<'_, E>,
        source: &str,
        key: &[u8],
    ) -> Result<(), Failure> {
        if source == TOPIC
            && let Ok(pattern) = amqp::decode_pattern(key)
        {
            let what = format!("topic '{}' in exchange '{TOPIC}'", String::from_utf8_lossy(key));
            return self.may(cx, Action::Subscribe, Resource::Pattern(&pattern), &what);
        }
        self.may_with_exchange(cx, Action::Subscribe, source)
    }

    /// Nothing can be published there. Whoever may not is not told why.
    pub(super) fn no_route(&self, exchange: &str, error: PublishError) -> Failure {
        let asked = Resource::Exchange(exchange.as_bytes());
        match self.vhost.permit(self.publisher.principal(), Action::Publish, asked, None) {
            Decision::Refused(_) => {
                let what = format!("exchange '{}'", super::refusal::spoken_exchange(exchange));
                self.refused(Action::Publish, &what)
            }
            Decision::Allowed | Decision::Later => super::refusal::publish(&self.vhost, error),
        }
    }

    /// Whether this message may also go where its headers CC and BCC say. Where somebody else would have to be asked
    /// first, it may not.
    pub(super) fn check_further_keys(&mut self, exchange: &str, parts: &MessageParts<'_>) -> Result<(), Failure> {
        let headers = parts.properties.as_deref().map_or(&[][..], |properties| &properties.headers);
        let Ok(keys) = sender_selected_keys(headers) else { return Ok(()) }; // routing says what is wrong with them
        for key in keys {
            if let Ok(known) = self.publisher.exchange(exchange.as_bytes(), key).cloned() {
                self.check_rights(exchange, key, &known, parts)?;
            }
        }
        Ok(())
    }

    /// Whether this message may go where it is to go.
    pub(super) fn check_rights(
        &self,
        exchange: &str,
        key: &[u8],
        known: &KnownName,
        parts: &MessageParts<'_>,
    ) -> Result<(), Failure> {
        let of_exchange = || {
            let asked = Resource::Exchange(exchange.as_bytes());
            self.vhost.permit(self.publisher.principal(), Action::Publish, asked, None)
        };
        let what = || match exchange {
            TOPIC if matches!(of_exchange(), Decision::Allowed) => {
                format!("topic '{}' in exchange '{TOPIC}'", String::from_utf8_lossy(key))
            }
            _ => format!("exchange '{}'", super::refusal::spoken_exchange(exchange)),
        };
        if !known.is_signed() {
            return if known.allowed() { Ok(()) } else { Err(self.refused(Action::Publish, &what())) };
        }
        let headers = parts.properties.as_deref().map_or(&[][..], |properties| &properties.headers);
        let signature =
            headers.iter().find(|(name, _)| &**name == SIGNATURE_HEADER).and_then(|(_, value)| match value {
                Value::Text(text) => Some(text.as_bytes()),
                Value::Bytes(bytes) => Some(&bytes[..]),
                _ => None,
            });
        if known.verify(parts.payload, signature) {
            return Ok(());
        }
        self.vhost.count_unsigned();
        let text = format!("{} takes messages with a good signature only", what());
        Err(Failure::new(ReplyCode::AccessRefused, text))
    }
}
