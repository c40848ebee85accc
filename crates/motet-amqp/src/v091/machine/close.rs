//! Every way to end: what is said, and what goes back to whom.

use super::running::Running;
use super::{Connection, Flow, State};
use crate::v091::error::{Failure, ReplyCode, Scope};
use crate::v091::packet::{Frame, FrameKind, Method, channel, connection, put_method};
use motet_core::conversation::Conversation;
use motet_core::engine::Engine;
use motet_core::machine::{CloseCause, Context};
use motet_core::mailbox::{KickReason, Notice, Pulled};
use motet_core::queue::Leaving;

/// What a peer is told whose connection we end.
pub(super) fn kicked(reason: KickReason, conversation: Option<&Conversation>) -> Failure {
    let farewell = conversation.and_then(|conversation| conversation.farewell.get());
    if let (KickReason::Administrative, Some(text)) = (reason, farewell) {
        return Failure::new(ReplyCode::ConnectionForced, &**text);
    }
    let text = match reason {
        KickReason::ServerShuttingDown => "broker forced connection closure with reason 'shutdown'",
        KickReason::Administrative => "Closed via management plugin",
        KickReason::UserDeleted => "the user is deleted",
        KickReason::VhostDeleted => "the vhost is deleted",
        KickReason::CertificateRevoked => "the client's certificate is revoked",
        KickReason::SlowConsumer => "the client did not read what it asked for",
    };
    Failure::new(ReplyCode::ConnectionForced, text)
}

/// Whether this frame ends the drain after our connection.close.
pub(super) fn is_over<E: Engine>(cx: &mut Context<'_, E>, frame: Frame<'_>) -> Flow {
    if frame.channel != 0 || frame.kind != FrameKind::Method.number() {
        return Flow::Continue;
    }
    match Method::decode(frame.payload) {
        Ok(Method::Connection(connection::Method::CloseOk(_))) => Flow::Ended,
        Ok(Method::Connection(connection::Method::Close(_))) => {
            put_method(cx.out.tail(), 0, &connection::CloseOk {});
            Flow::Continue
        }
        _ => Flow::Continue,
    }
}

fn put_close<E: Engine>(cx: &mut Context<'_, E>, failure: &Failure) {
    let text = failure.reply_text();
    let close = connection::Close {
        reply_code: failure.code.number(),
        reply_text: &text,
        class_id: failure.method.class,
        method_id: failure.method.method,
    };
    put_method(cx.out.tail(), 0, &close);
}

impl Connection {
    /// Tells the peer what went wrong, and ends what has to end.
    pub(super) fn fail<E: Engine>(&mut self, cx: &mut Context<'_, E>, channel: u16, failure: Failure) {
        tracing::debug!(peer = ?cx.peer, channel, %failure, "amqp error");
        match std::mem::replace(&mut self.state, State::Done) {
            State::Running(mut running) => {
                if failure.scope == Scope::Channel && channel != 0 {
                    running.fail_channel(cx, channel, &failure);
                    self.state = State::Running(running);
                    return;
                }
                running.finish(cx, Leaving::Orderly);
                put_close(cx, &failure);
                self.state = State::Closing { deadline: cx.now.instant + self.config.close_timeout };
            }
            State::Handshake(handshake) if handshake.hears(&failure) => {
                put_close(cx, &failure);
                self.state = State::Closing { deadline: cx.now.instant + self.config.close_timeout };
            }
            State::Closing { deadline } => self.state = State::Closing { deadline },
            State::Handshake(_) | State::AwaitHeader { .. } | State::Done => self.done(cx),
        }
    }

    /// Nothing more is said; the driver closes.
    pub(super) fn done<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        self.state = State::Done;
        cx.mailbox.close();
        cx.close();
    }

    /// The peer gave no sign of life.
    pub(super) fn silent<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        if let State::Running(mut running) = std::mem::replace(&mut self.state, State::Done) {
            running.finish(cx, Leaving::Broken);
        }
        self.done(cx);
    }

    /// Empties the mailbox of a connection that does not talk yet, or no more.
    pub(super) fn unserved<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let mut pulled = Pulled::default();
        cx.mailbox.pull(&mut pulled);
        if pulled.notices.iter().any(|notice| matches!(notice, Notice::Kicked(_))) {
            self.done(cx);
        }
    }

    pub(super) fn carrier_closed<E: Engine>(&mut self, cx: &mut Context<'_, E>, how: CloseCause) {
        if let State::Running(mut running) = std::mem::replace(&mut self.state, State::Done) {
            let leaving = match how {
                CloseCause::Ours | CloseCause::Drain => Leaving::Orderly,
                CloseCause::PeerClosed | CloseCause::CarrierFailed => Leaving::Broken,
            };
            running.finish(cx, leaving);
        }
        cx.mailbox.close();
    }
}

impl Running {
    /// Ends a channel from our side; what it was in the middle of is forgotten, what it said before holds.
    pub(super) fn fail_channel<E: Engine>(&mut self, cx: &mut Context<'_, E>, number: u16, failure: &Failure) {
        self.flush(cx);
        let text = failure.reply_text();
        let close = channel::Close {
            reply_code: failure.code.number(),
            reply_text: &text,
            class_id: failure.method.class,
            method_id: failure.method.method,
        };
        put_method(cx.out.tail(), number, &close);
        if let Some(channel) = self.channels.get_mut(&number) {
            self.partial_bytes -= channel.content.announced();
            channel.release_all(cx, Leaving::Orderly);
            channel.is_closing = true;
            self.conversation.close(&channel.books);
        }
        self.waiting.remove(&number);
    }

    /// Ends everything the connection holds, in the order of what it said.
    pub(super) fn finish<E: Engine>(&mut self, cx: &mut Context<'_, E>, leaving: Leaving) {
        self.flush(cx);
        for channel in self.channels.values_mut() {
            channel.release_all(cx, leaving);
            self.conversation.close(&channel.books);
        }
        self.channels.clear();
        self.waiting.clear();
        cx.core.delete_exclusive(cx.now, &self.vhost, self.id);
    }
}
