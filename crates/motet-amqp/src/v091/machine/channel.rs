//! A channel's books, and its answers that wait for the disk.

use super::confirm::Confirms;
use super::consume::{Consumer, Fetcher};
use super::content::Content;
use super::running::Running;
use super::transaction::Tx;
use super::unacked::Unacked;
use crate::v091::packet::{MethodFields, put_method};
use bytes::BytesMut;
use motet_core::conversation::ChannelBooks;
use motet_core::engine::{Engine, Position};
use motet_core::machine::Context;
use motet_core::queue::Leaving;
use motet_core::rope::Rope;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A channel that is open, or that we have closed and whose goodbye has not been answered.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) number: u16,
    /// For operators.
    pub(super) books: Arc<ChannelBooks>,
    /// We said channel.close: all but the answer is ignored.
    pub(super) is_closing: bool,
    pub(super) content: Content,
    pub(super) mode: Mode,
    pub(super) consumers: Vec<Consumer>,
    /// Who fetches for basic.get.
    pub(super) fetcher: Option<Fetcher>,
    pub(super) unacked: Unacked,
    /// Messages on their way per new consumer; 0 is any number.
    pub(super) prefetch: u16,
    /// Messages on their way in the channel as a whole; 0 is any number.
    pub(super) prefetch_global: u16,
    /// The queue that an empty name means.
    pub(super) last_queue: Option<Box<str>>,
    replies: VecDeque<Reply>,
    /// Consumers that have something and may not be served yet.
    pub(super) held: Vec<u64>,
    /// The consumer of replies that come without a queue of their own.
    pub(super) reply_consumer: Option<u64>,
}

/// How publications of a channel are answered.
#[derive(Debug)]
pub(super) enum Mode {
    /// Not at all.
    Plain,
    /// Each, by confirms.
    Confirm(Confirms),
    /// All of a transaction at once.
    Tx(Box<Tx>),
}

/// An answer that waits its turn.
#[derive(Debug)]
enum Reply {
    /// Frames, and what must be durable first.
    Frames(Position, BytesMut),
    /// A fetch whose message is being read.
    Fetch,
}

impl Channel {
    pub(super) fn new(number: u16, books: Arc<ChannelBooks>) -> Self {
        Channel {
            number,
            books,
            is_closing: false,
            content: Content::None,
            mode: Mode::Plain,
            consumers: Vec::new(),
            fetcher: None,
            unacked: Unacked::default(),
            prefetch: 0,
            prefetch_global: 0,
            last_queue: None,
            replies: VecDeque::new(),
            held: Vec::new(),
            reply_consumer: None,
        }
    }

    pub(super) fn confirms(&mut self) -> Option<&mut Confirms> {
        match &mut self.mode {
            Mode::Confirm(confirms) => Some(confirms),
            Mode::Plain | Mode::Tx(_) => None,
        }
    }

    /// Tells operators how many deliveries wait.
    pub(super) fn note_unacked(&self) {
        self.books.unacked.store(self.unacked.len() as u64, Ordering::Relaxed);
    }

    pub(super) fn consumer(&mut self, key: u64) -> Option<&mut Consumer> {
        self.consumers.iter_mut().find(|consumer| consumer.key == key)
    }

    /// Answers wait: deliveries must not overtake them.
    pub(super) fn holds_back(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Answers and confirms that wait.
    pub(super) fn backlog(&self) -> usize {
        let confirms = match &self.mode {
            Mode::Confirm(confirms) => confirms.backlog(),
            Mode::Plain | Mode::Tx(_) => 0,
        };
        self.replies.len() + confirms
    }

    /// What the next answer or confirm waits for.
    pub(super) fn next_position(&self) -> Option<Position> {
        let reply = self.replies.front().and_then(|reply| match reply {
            Reply::Frames(position, _) => Some(*position),
            Reply::Fetch => None,
        });
        let confirm = match &self.mode {
            Mode::Confirm(confirms) => confirms.next_position(),
            _ => None,
        };
        reply.into_iter().chain(confirm).min()
    }

    /// Writes frames now, or behind what waits and once `position` is durable. True when they wait.
    pub(super) fn put<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        position: Option<Position>,
        write: impl FnOnce(&mut Rope, u16),
    ) -> bool {
        let due = position.is_none_or(|position| position <= cx.core.durable());
        if due && self.replies.is_empty() {
            write(cx.out, self.number);
            return false;
        }
        let mut rope = Rope::new();
        write(&mut rope, self.number);
        let frames = BytesMut::from(rope.take_bytes());
        self.replies.push_back(Reply::Frames(position.unwrap_or_default(), frames));
        true
    }

    /// The place of a fetch in the order of answers.
    pub(super) fn await_fetch(&mut self) {
        self.replies.push_back(Reply::Fetch);
    }

    /// The message of the fetch that was awaited has come.
    pub(super) fn fetched(&mut self, write: impl FnOnce(&mut Rope, u16)) {
        if let Some(reply) = self.replies.iter_mut().find(|reply| matches!(reply, Reply::Fetch)) {
            let mut rope = Rope::new();
            write(&mut rope, self.number);
            *reply = Reply::Frames(Position::default(), BytesMut::from(rope.take_bytes()));
        }
    }

    pub(super) fn awaits_fetch(&self) -> bool {
        self.replies.iter().any(|reply| matches!(reply, Reply::Fetch))
    }

    pub(super) fn release_replies(&mut self, durable: Position, out: &mut Rope) {
        while let Some(Reply::Frames(position, _)) = self.replies.front()
            && *position <= durable
        {
            if let Some(Reply::Frames(_, frames)) = self.replies.pop_front() {
                out.put_shared(frames.freeze());
            }
        }
    }

    /// Everything the channel holds goes back; what it was in the middle of is forgotten.
    pub(super) fn release_all<E: Engine>(&mut self, cx: &mut Context<'_, E>, leaving: Leaving) {
        let mut holders: Vec<_> = self.consumers.drain(..).map(|consumer| (consumer.queue, consumer.id)).collect();
        holders.extend(self.fetcher.take().map(|fetcher| (fetcher.queue, fetcher.id)));
        if let Mode::Tx(tx) = &mut self.mode {
            // Settlements that were never committed have not happened.
            self.unacked.restore(tx.take_settled());
        }
        // Those who were cancelled still hold what they were given.
        let mut known: HashSet<_> = holders.iter().map(|(_, id)| *id).collect();
        for entry in self.unacked.drain() {
            if known.insert(entry.consumer) {
                holders.push((entry.queue, entry.consumer));
            }
        }
        for (queue, consumer) in holders {
            cx.core.leave(cx.now, &queue, consumer, leaving);
        }
        (self.content, self.mode) = (Content::None, Mode::Plain);
        self.replies.clear();
        self.held.clear();
        self.reply_consumer = None;
    }
}

impl Running {
    /// The channel a frame is for. It was looked up when the frame came, and handlers do not close it meanwhile.
    pub(super) fn channel(&mut self, number: u16) -> &mut Channel {
        self.channels.get_mut(&number).expect("the channel of a method is open while the method is handled")
    }

    /// Answers a method now, or behind what waits and once `position` is durable.
    pub(super) fn reply<E: Engine>(
        &mut self,
        cx: &mut Context<'_, E>,
        number: u16,
        position: Option<Position>,
        method: &impl MethodFields,
    ) {
        let waits = self.channel(number).put(cx, position, |out, number| put_method(out.tail(), number, method));
        if waits {
            self.backlog += 1;
            self.waiting.insert(number);
        }
    }
}
