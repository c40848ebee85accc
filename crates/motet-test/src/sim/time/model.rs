//! What was sent, and what may have become of it.

use motet_core::engine::Position;

/// How long a message lives in the queue `ttl`, in milliseconds.
pub(super) const TTL_MS: u64 = 2_000;
/// How long an unused queue `gone` lives.
pub(super) const GONE_MS: u64 = 3_000;
/// How long the queue `once` remembers an identifier.
pub(super) const WINDOW_MS: u64 = 5_000;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Ttl,
    Own {
        life: u64,
    },
    /// Through an exchange that delays.
    Late {
        pause: u64,
    },
    /// Published for later.
    Later {
        pause: u64,
    },
    Once {
        identifier: usize,
    },
    Log,
    Deep,
}

/// Whether a message is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Confirmed: it must be somewhere.
    Certain,
    /// Durable with this position.
    Pending(Position),
    /// A power cut came before it was confirmed.
    Unknown,
}

#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) name: String,
    pub(super) vhost: usize,
    pub(super) kind: Kind,
    pub(super) at: u64,
    pub(super) fate: Fate,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) sent: Vec<Sent>,
    /// Earliest and latest moment of the last use of the expiring queues.
    pub(super) used: (u64, u64),
    /// Messages behind this one are `Pending`.
    settled: usize,
}

impl Model {
    pub(super) fn next_name(&self) -> String {
        format!("m{}", self.sent.len())
    }

    pub(super) fn published(&self) -> u64 {
        self.sent.len() as u64
    }

    /// A message was taken; without a position it touched nothing durable.
    pub(super) fn sent(&mut self, at: u64, vhost: usize, kind: Kind, name: String, position: Option<Position>) {
        let fate = position.map_or(Fate::Unknown, Fate::Pending);
        self.sent.push(Sent { name, vhost, kind, at, fate });
    }

    /// Everything up to `durable` is on disk.
    pub(super) fn confirm(&mut self, durable: Position) {
        while let Some(sent) = self.sent.get_mut(self.settled) {
            match sent.fate {
                Fate::Pending(at) if at > durable => return,
                Fate::Pending(_) => sent.fate = Fate::Certain,
                _ => {}
            }
            self.settled += 1;
        }
    }

    /// The power failed: nobody knows of what was not confirmed, nor whether a use was the last.
    pub(super) fn crashed(&mut self, now: u64) {
        for sent in &mut self.sent[self.settled..] {
            sent.fate = Fate::Unknown;
        }
        self.settled = self.sent.len();
        // A declaration that was not on disk is gone, and a restart counts as a use.
        self.used = (0, now);
    }

    pub(super) fn touched(&mut self, now: u64) {
        self.used = (now, now);
    }
}
