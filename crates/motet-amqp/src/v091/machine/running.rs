//! A connection whose vhost is open: frames to channels, the end of a turn, heartbeats.

use super::Flow;
use super::channel::Channel;
use super::encode::Spelled;
use super::handshake::{Capabilities, TICKET};
use super::inbound::{Run, Stalled};
use crate::v091::config::Config;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::{
    Frame, FrameKind, Method, MethodId, Reserved, access, channel, connection, put_heartbeat, put_method, snippet, tx,
};
use motet_core::authentication::Attempt;
use motet_core::conversation::Conversation;
use motet_core::core::broker::Settle;
use motet_core::core::govern::Seat;
use motet_core::core::{Delivery, Pressure, Publisher, Vhost};
use motet_core::engine::{Engine, Position};
use motet_core::machine::Context;
use motet_core::mailbox::{KickReason, Notice, Pulled};
use motet_core::principal::{Denied, Principal};
use motet_core::queue::Leaving;
use motet_core::time::{Instant, Now};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often a publisher whose message the store refused is offered again.
pub(super) const RETRY_EVERY: Duration = Duration::from_millis(200);
/// Answers that wait before we stop reading: the client asks faster than the disk takes it.
const BACKLOG_MAX: usize = 16 * 1024;
/// Parts of bodies that a connection may have announced, in messages of the largest size.
const PARTIAL_MESSAGES_MAX: u64 = 2;

/// What was agreed at connection.tune.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    pub(super) frame_max: u32,
    pub(super) channel_max: u16,
    pub(super) heartbeat_secs: u16,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) terms: Terms,
    pub(super) capabilities: Capabilities,
    pub(super) vhost: Arc<Vhost>,
    pub(super) publisher: Publisher,
    /// Its connection and its channels count for its vhost and its user.
    pub(super) seat: Seat,
    /// For operators.
    pub(super) conversation: Arc<Conversation>,
    /// By which exclusive queues are this connection's.
    pub(super) id: u64,
    pub(super) channels: HashMap<u16, Box<Channel>, foldhash::fast::RandomState>,
    pub(super) run: Option<Box<Run>>,
    /// A run that the store refused: offered again before anything else is read.
    pub(super) stalled: Option<Box<Stalled>>,
    pub(super) blocked_said: bool,
    /// The alarm of the server that keeps it from being read, or will once it publishes.
    pub(super) alarm: Option<Box<str>>,
    /// A subscriber is slow: confirms wait for it.
    pub(super) held: Option<Pressure>,
    /// Answers that wait.
    pub(super) backlog: usize,
    /// Nothing is read until this is durable.
    pub(super) paused: Option<Position>,
    /// Acknowledgements of this turn.
    pub(super) settles: Vec<Settle>,
    /// Channels with answers that wait for the disk.
    pub(super) waiting: BTreeSet<u16>,
    /// The position whose durability will wake us.
    registered: Position,
    pulled: Pulled,
    /// Consumers that have something, in the order to serve them.
    pub(super) ready: VecDeque<u64>,
    pub(super) taken: Vec<Delivery>,
    pub(super) spelled: Spelled,
    /// The number of the consumer that came last; never used twice.
    pub(super) last_consumer: u64,
    /// Messages published so far, refused ones too.
    pub(super) messages_in: u64,
    /// Bytes of bodies that have been announced and not arrived.
    pub(super) partial_bytes: u64,
    /// Bytes not yet durable beyond which a publisher of durable messages pauses.
    pub(super) pending_bytes_high: u64,
    /// A frame lies at the front of the input until somebody has answered whether the client may.
    pub(super) waits: bool,
    /// When to look whether what the client showed has ended.
    expiry: Option<Instant>,
    /// A new secret is being checked.
    updating: bool,
    pub(super) last_input: Instant,
    last_output: Instant,
    /// A consumer has waited too long for something; looked at when the time has come.
    next_ack_check: Option<Instant>,
}

impl Running {
    pub(super) fn new(
        pending_bytes_high: u64,
        terms: Terms,
        capabilities: Capabilities,
        vhost: Arc<Vhost>,
        publisher: Publisher,
        (conversation, seat): (Arc<Conversation>, Seat),
        now: Now,
    ) -> Self {
        Running {
            terms,
            capabilities,
            vhost,
            conversation,
            id: publisher.id().0,
            channels: HashMap::default(),
            run: None,
            stalled: None,
            blocked_said: false,
            alarm: None,
            held: None,
            backlog: 0,
            paused: None,
            settles: Vec::new(),
            waiting: BTreeSet::new(),
            registered: Position::default(),
            pulled: Pulled::default(),
            ready: VecDeque::new(),
            taken: Vec::new(),
            spelled: Spelled::default(),
            last_consumer: 0,
            messages_in: 0,
            partial_bytes: 0,
            pending_bytes_high,
            waits: false,
            expiry: publisher.principal().expiry_deadline(now),
            updating: false,
            last_input: now.instant,
            last_output: now.instant,
            next_ack_check: None,
            publisher,
            seat,
        }
    }

    pub(super) fn takes_more(&self) -> bool {
        self.stalled.is_none() && self.paused.is_none() && !self.updating && !self.waits && self.backlog < BACKLOG_MAX
    }

    pub(super) fn has_more(&self) -> bool {
        !self.ready.is_empty()
    }

    pub(super) fn partial_bytes_max(config: &Config) -> u64 {
        config.message_bytes_max.saturating_mul(PARTIAL_MESSAGES_MAX)
    }

    /// Handles a frame; `rest` is what follows it in the buffer. Answers how many bytes of `rest` were taken along.
    pub(super) fn frame<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        frame: Frame<'_>,
        rest: &[u8],
    ) -> Result<(Flow, usize), Failure> {
        let Some(kind) = FrameKind::from_wire(frame.kind) else { return Err(unknown_frame(frame)) };
        match kind {
            FrameKind::Method if frame.channel == 0 => self.connection_method(cx, frame).map(|flow| (flow, 0)),
            FrameKind::Method => self.channel_method(config, cx, frame, rest).map(|more| (Flow::Continue, more)),
            FrameKind::Heartbeat if !frame.payload.is_empty() => Err(unknown_frame(frame)),
            FrameKind::Heartbeat if frame.channel == 0 => Ok((Flow::Continue, 0)),
            FrameKind::Header | FrameKind::Body if frame.channel != 0 => {
                self.content_frame(config, cx, kind, frame).map(|()| (Flow::Continue, 0))
            }
            _ => {
                let text = format!("type {}, {}", frame.kind, snippet(frame.payload));
                Err(Failure::new(ReplyCode::UnexpectedFrame, text))
            }
        }
    }

    fn connection_method<E: Engine>(&mut self, cx: &mut Context<'_, E>, frame: Frame<'_>) -> Result<Flow, Failure> {
        let id = MethodId::peek(frame.payload)?;
        match Method::decode(frame.payload).map_err(|error| Failure::from(error).by(id))? {
            Method::Connection(connection::Method::Close(_)) => {
                self.finish(cx, Leaving::Orderly);
                put_method(cx.out.tail(), 0, &connection::CloseOk {});
                Ok(Flow::Ended)
            }
            Method::Connection(connection::Method::UpdateSecret(update)) => {
                self.update_secret(cx, update.new_secret.0).map(|()| Flow::Continue)
            }
            _ => Err(Failure::new(ReplyCode::ChannelError, "unexpected method in connection state running").by(id)),
        }
    }

    /// New credentials for the same user; nothing is read until they are judged.
    fn update_secret<E: Engine>(&mut self, cx: &mut Context<'_, E>, secret: &[u8]) -> Result<(), Failure> {
        // A password has no end that a new one could put off: as in RabbitMQ any is taken, and changes nothing.
        if self.publisher.principal().expires_at().is_none() && self.publisher.principal().rules().is_none() {
            put_method(cx.out.tail(), 0, &connection::UpdateSecretOk {});
            return Ok(());
        }
        let attempt = Attempt {
            user: Some(&self.publisher.principal().name),
            password: Some(secret),
            client: None,
            peer: cx.peer,
            loopback: cx.loopback,
            secure: cx.secure,
        };
        match cx.auth.check(attempt, TICKET, cx.mailbox) {
            Some(answer) => self.secret_judged(cx, answer),
            None => {
                self.updating = true;
                Ok(())
            }
        }
    }

    fn secret_judged<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        answer: Result<Principal, Denied>,
    ) -> Result<(), Failure> {
        self.updating = false;
        let Ok(principal) = answer else {
            let failure = Failure::new(ReplyCode::NotAllowed, "New secret was refused by one of the backends");
            return Err(failure.by(MethodId::of::<connection::UpdateSecret<'_>>()));
        };
        self.expiry = principal.expiry_deadline(cx.now);
        self.publisher.renew(principal);
        put_method(cx.out.tail(), 0, &connection::UpdateSecretOk {});
        Ok(())
    }

    fn channel_method<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        frame: Frame<'_>,
        rest: &[u8],
    ) -> Result<usize, Failure> {
        let (number, id) = (frame.channel, MethodId::peek(frame.payload)?);
        let known = self.channels.get(&number);
        if known.is_some_and(|channel| channel.is_closing) {
            self.closing_channel(cx, number, frame.payload);
            return Ok(0);
        }
        let method = Method::decode(frame.payload).map_err(|error| Failure::from(error).by(id))?;
        let Some(known) = known else {
            return match method {
                Method::Channel(channel::Method::Open(_)) => self.open_channel(config, cx, number).map(|()| 0),
                // Ours and the peer's goodbye have crossed.
                Method::Channel(channel::Method::CloseOk(_)) => Ok(0),
                _ => Err(Failure::new(ReplyCode::ChannelError, "expected 'channel.open'").by(id)),
            };
        };
        if let Some(failure) = known.content.unexpected_method() {
            return Err(failure);
        }
        if let Method::Basic(crate::v091::packet::basic::Method::Publish(publish)) = method {
            return self.publish(config, cx, number, publish, rest).map_err(|failure| by(failure, id));
        }
        self.other_method(config, cx, number, method).map_err(|failure| by(failure, id))?;
        Ok(0)
    }

    /// A channel that we closed hears only the end of it.
    fn closing_channel<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16, payload: &[u8]) {
        match Method::decode(payload) {
            Ok(Method::Channel(channel::Method::CloseOk(_))) => {
                self.forget_channel(number);
            }
            Ok(Method::Channel(channel::Method::Close(_))) => {
                put_method(cx.out.tail(), number, &channel::CloseOk {});
            }
            _ => {}
        }
    }

    fn open_channel<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
    ) -> Result<(), Failure> {
        let (open, max) = (self.channels.len(), usize::from(self.terms.channel_max.min(config.channels_max)));
        if open >= max {
            let text = format!("number of channels opened ({open}) has reached the negotiated channel_max ({max})");
            return Err(Failure::new(ReplyCode::NotAllowed, text));
        }
        self.seat.open_channel().map_err(|limit| {
            let user = &self.publisher.principal().name;
            let text = format!(
                "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})"
            );
            Failure::new(ReplyCode::NotAllowed, text)
        })?;
        self.channels.insert(number, Box::new(Channel::new(number, self.conversation.open(number))));
        put_method(cx.out.tail(), number, &channel::OpenOk { reserved_1: Reserved::NONE });
        Ok(())
    }

    fn other_method<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        method: Method<'_>,
    ) -> Result<(), Failure> {
        use crate::v091::packet::basic::Method as Basic;
        match method {
            // Acknowledgements and publications of a turn don't cut one another short.
            Method::Basic(Basic::Ack(ack)) => return self.ack(cx, number, ack),
            Method::Basic(Basic::Nack(nack)) => return self.nack(cx, number, nack),
            Method::Basic(Basic::Reject(reject)) => return self.reject(cx, number, reject),
            _ => self.flush(cx),
        }
        let intent = self.intent(cx, &method);
        let done = self.settled_method(config, cx, number, method);
        self.tell(cx, number, intent, &done);
        done
    }

    /// A method for which everything before it has been carried out.
    fn settled_method<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        method: Method<'_>,
    ) -> Result<(), Failure> {
        use crate::v091::packet::{channel::Method as Chan, confirm::Method as Conf};
        match method {
            Method::Channel(Chan::Open(_)) => Err(Failure::new(ReplyCode::ChannelError, "second 'channel.open' seen")),
            Method::Channel(Chan::Close(_)) => {
                self.close_channel(cx, number);
                Ok(())
            }
            Method::Channel(Chan::CloseOk(_)) => Ok(()),
            Method::Channel(Chan::Flow(flow)) if flow.active => {
                self.reply(cx, number, None, &channel::FlowOk { active: true });
                Ok(())
            }
            Method::Channel(Chan::Flow(_)) => Err(Failure::new(ReplyCode::NotImplemented, "active=false")),
            Method::Access(access::Method::Request(_)) => {
                self.reply(cx, number, None, &access::RequestOk { ticket: 1 });
                Ok(())
            }
            Method::Exchange(method) => self.exchange_method(cx, number, method),
            Method::Queue(method) => self.queue_method(config, cx, number, method),
            Method::Basic(method) => self.basic_method(config, cx, number, method),
            Method::Confirm(Conf::Select(select)) => self.confirm_select(cx, number, select),
            Method::Tx(tx::Method::Select(_)) => self.tx_select(cx, number),
            Method::Tx(tx::Method::Commit(_)) => self.tx_commit(cx, number),
            Method::Tx(tx::Method::Rollback(_)) => self.tx_rollback(cx, number),
            _ => Err(Failure::new(ReplyCode::CommandInvalid, "unimplemented method")),
        }
    }

    fn close_channel<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16) {
        if let Some(mut channel) = self.forget_channel(number) {
            self.partial_bytes -= channel.content.announced();
            channel.release_all(cx, Leaving::Orderly);
            self.conversation.close(&channel.books);
        }
        self.waiting.remove(&number);
        put_method(cx.out.tail(), number, &channel::CloseOk {});
    }

    /// The channel counts no more.
    pub(super) fn forget_channel(&mut self, number: u16) -> Option<Box<Channel>> {
        let channel = self.channels.remove(&number)?;
        self.seat.close_channel();
        Some(channel)
    }

    /// The end of the connection that somebody else decided on.
    fn kicked(&self, reason: KickReason) -> Failure {
        let text = match reason {
            KickReason::UserDeleted => format!("user '{}' is deleted", self.publisher.principal().name),
            KickReason::VhostDeleted => format!("vhost '{}' is deleted", self.vhost.name()),
            _ => return super::close::kicked(reason, Some(&self.conversation)),
        };
        Failure::new(ReplyCode::ConnectionForced, text)
    }

    /// What was published and settled so far goes to the core, in that order: who publishes, then acknowledges, has
    /// published first.
    pub(super) fn flush<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        self.flush_run(cx);
        self.flush_settles(cx);
    }

    /// Everything of a turn that waits for its end.
    pub(super) fn end_turn<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>) -> Result<(), Failure> {
        self.flush(cx);
        self.release_replies(cx);
        self.note_output(cx);
        self.next_ack_check = self.oldest_delivery(config);
        Ok(())
    }

    /// Everything that waits in the mailbox, as far as the output has room.
    pub(super) fn pump<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>) -> Result<(), Failure> {
        cx.mailbox.pull(&mut self.pulled);
        self.waits = false;
        let mut pulled = std::mem::take(&mut self.pulled);
        pulled.direct.clear();
        for notice in pulled.notices.drain(..) {
            match notice {
                Notice::Kicked(reason) => return Err(self.kicked(reason)),
                Notice::Authenticated(TICKET, answer) if self.updating => self.secret_judged(cx, answer)?,
                Notice::ConsumerCancelled(tag) => self.consumer_cancelled(cx, tag),
                _ => {}
            }
        }
        for ready in pulled.ready.drain(..) {
            self.announced(cx, ready.tag);
        }
        self.pulled = pulled;
        if self.paused.is_some_and(|position| position <= cx.core.durable()) {
            self.paused = None;
        }
        self.retry_stalled(cx);
        self.release_replies(cx);
        self.deliver(config, cx);
        self.end_turn(config, cx)
    }

    /// Reads nothing more until `position` is durable, when too much is staged already.
    pub(super) fn pause_behind<E: Engine>(&mut self, cx: &Context<'_, E>, number: u16, position: Option<Position>) {
        if let Some(position) = position
            && cx.core.engine().pending_bytes() > self.pending_bytes_high
        {
            self.paused = self.paused.max(Some(position));
            self.waiting.insert(number);
        }
    }

    /// Writes the answers whose time has come, and asks to be woken for the next.
    pub(super) fn release_replies<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let durable = cx.core.durable();
        let mut next = self.paused;
        if self.held.as_ref().is_some_and(|pressure| pressure.is_over(cx.now)) {
            self.held = None;
        }
        self.backlog = 0;
        let waiting = std::mem::take(&mut self.waiting);
        for number in waiting {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            channel.release_replies(durable, cx.out);
            // Back-pressure: what would ask for more messages waits while a subscriber is slow.
            if let Some(confirms) = channel.confirms().filter(|_| self.held.is_none()) {
                confirms.release(durable, number, cx.out.tail());
                let (confirmed, waiting) = (confirms.told(), confirms.untold());
                channel.books.totals.confirmed.store(confirmed, Ordering::Relaxed);
                channel.books.unconfirmed.store(waiting, Ordering::Relaxed);
            }
            if !channel.holds_back() {
                self.ready.extend(channel.held.drain(..));
            }
            let left = channel.backlog();
            if left > 0 {
                self.backlog += left;
                self.waiting.insert(number);
            }
            if let Some(position) = channel.next_position().filter(|position| *position > durable) {
                next = Some(next.map_or(position, |next| next.min(position)));
            }
        }
        if let Some(position) = next.filter(|position| *position != self.registered) {
            self.registered = position;
            cx.core.wake_when_durable(position, cx.mailbox);
        }
    }

    fn note_output<E: Engine>(&mut self, cx: &Context<'_, E>) {
        if !cx.out.is_empty() {
            self.last_output = cx.now.instant;
        }
    }

    fn heartbeat(&self) -> Option<Duration> {
        (self.terms.heartbeat_secs > 0).then(|| Duration::from_secs(self.terms.heartbeat_secs.into()))
    }

    /// Nothing was heard for two intervals. While we do not read, nothing can be heard.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.takes_more() && self.heartbeat().is_some_and(|every| now.since(self.last_input) >= every * 2)
    }

    /// When time alone makes a difference.
    pub(super) fn next_deadline(&self, _config: &Config) -> Option<Instant> {
        let beat = self.heartbeat().map(|every| self.last_output + every / 2);
        let silence = self.heartbeat().filter(|_| self.takes_more()).map(|every| self.last_input + every * 2);
        let retry = self.stalled.as_ref().map(|stalled| stalled.retry_at);
        let held = self.held.as_ref().filter(|_| self.backlog > 0).map(Pressure::until);
        [beat, silence, retry, held, self.expiry, self.next_ack_check].into_iter().flatten().min()
    }

    pub(super) fn on_time<E: Engine>(&mut self, config: &Config, cx: &mut Context<'_, E>) -> Result<(), Failure> {
        let now = cx.now.instant;
        if self.heartbeat().is_some_and(|every| now.since(self.last_output) >= every / 2) {
            put_heartbeat(cx.out.tail());
            self.last_output = now;
        }
        if self.stalled.as_ref().is_some_and(|stalled| now >= stalled.retry_at) {
            self.retry_stalled(cx);
        }
        if self.publisher.principal().has_expired(cx.now) {
            return Err(Failure::new(ReplyCode::ConnectionForced, "credential expired"));
        }
        // The wall clock may have been set.
        self.expiry = self.publisher.principal().expiry_deadline(cx.now);
        if self.next_ack_check.is_some_and(|at| now >= at) {
            self.check_ack_timeouts(config, cx);
        }
        self.end_turn(config, cx)
    }
}

/// A failure names the method that caused it, unless it already names one.
fn by(failure: Failure, id: MethodId) -> Failure {
    if failure.method == MethodId::NONE { failure.by(id) } else { failure }
}

fn unknown_frame(frame: Frame<'_>) -> Failure {
    let text = format!("type {}, {}: unknown_frame", frame.kind, snippet(frame.payload));
    Failure::new(ReplyCode::FrameError, text)
}
