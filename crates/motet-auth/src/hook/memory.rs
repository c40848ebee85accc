//! What the service answered lately, and who waits for what it is asked now.

use crate::generations::Generations;
use crate::mac::{Digest, Keyed};
use motet_core::machine::Attempt;
use motet_core::mailbox::Mailbox;
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Publishers look here each time they turn to another topic: no lock of it is everybody's.
const SHARDS: usize = 16;

type Login = (Result<Principal, Denied>, Instant);

pub(super) struct Memory {
    mac: Keyed,
    logins: Mutex<Generations<Digest, Login>>,
    shards: Box<[Mutex<Shard>]>,
}

struct Shard {
    answers: Generations<Digest, (bool, Instant)>,
    /// Whom to nudge for each question on its way; as many questions as may be on their way.
    waiting: HashMap<Digest, Vec<Arc<Mailbox>>>,
}

impl Memory {
    pub(super) fn new(entries_max: usize) -> std::io::Result<Self> {
        let shard = || {
            let answers = Generations::new((entries_max / SHARDS).max(2));
            Mutex::new(Shard { answers, waiting: HashMap::new() })
        };
        Ok(Memory {
            mac: Keyed::random().map_err(|error| std::io::Error::other(error.to_string()))?,
            logins: Mutex::new(Generations::new(entries_max)),
            shards: (0..SHARDS).map(|_| shard()).collect(),
        })
    }

    /// Nothing that tells the password.
    pub(super) fn login_key(&self, attempt: &Attempt<'_>) -> Digest {
        let from = attempt.peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        self.mac.digest(&[
            attempt.user.unwrap_or_default().as_bytes(),
            attempt.password.unwrap_or_default(),
            attempt.client.unwrap_or_default().as_bytes(),
            from.as_bytes(),
            &[u8::from(attempt.secure.is_some())],
        ])
    }

    pub(super) fn login(&self, key: &Digest, now: Instant) -> Option<Result<Principal, Denied>> {
        let mut logins = self.logins.lock();
        let (answer, until) = logins.get_mut(key)?;
        (*until > now).then(|| answer.clone())
    }

    pub(super) fn remember_login(&self, key: Digest, answer: Result<Principal, Denied>, until: Instant) {
        self.logins.lock().insert(key, (answer, until));
    }

    pub(super) fn question_key(&self, body: &[u8]) -> Digest {
        self.mac.digest(&[body])
    }

    fn shard(&self, key: &Digest) -> &Mutex<Shard> {
        &self.shards[usize::from(key.as_ref()[0]) % SHARDS]
    }

    /// The answer when it is known; `Some(None)` when the question is on its way already and `tell` has joined those who
    /// wait; `None` when it must be asked now, and `tell` is the first to wait.
    pub(super) fn answer_or_join(
        &self,
        key: &Digest,
        now: Instant,
        tell: Option<&Arc<Mailbox>>,
    ) -> Option<Option<bool>> {
        let mut shard = self.shard(key).lock();
        if let Some((answer, until)) = shard.answers.get_mut(key)
            && *until > now
        {
            return Some(Some(*answer));
        }
        let on_its_way = shard.waiting.contains_key(key);
        let waiting = shard.waiting.entry(*key).or_default();
        if let Some(tell) = tell
            && !waiting.iter().any(|known| Arc::ptr_eq(known, tell))
        {
            waiting.push(tell.clone());
        }
        on_its_way.then_some(None)
    }

    /// Remembers, and nudges whoever waits.
    pub(super) fn remember_answer(&self, key: &Digest, answer: bool, until: Instant) {
        let mut shard = self.shard(key).lock();
        shard.answers.insert(*key, (answer, until));
        let waiting = shard.waiting.remove(key).unwrap_or_default();
        drop(shard);
        waiting.iter().for_each(|mailbox| mailbox.nudge());
    }
}
