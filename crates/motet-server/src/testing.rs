//! What the tests of this crate stand on: an engine that is durable at once, a machine that echoes, an open door.

use crate::assemble::StoreControl;
use crate::audit::Audit;
use crate::config::Limits;
use crate::house::{House, Parts};
use crate::users::{AccountControl, Change, UserError};
use bytes::BytesMut;
use motet_core::core::{Core, CoreLimits};
use motet_core::engine::{Engine, Locator, ObjectId, Position, Refused, Stage, StagedBody};
use motet_core::machine::{Attempt, Authenticator, CloseCause, Context, Machine};
use motet_core::mailbox::{Mailbox, Notice, Pulled};
use motet_core::principal::{Denied, Principal};
use motet_core::time::Instant;
use parking_lot::Mutex;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Forgets everything and calls it durable.
#[derive(Debug, Default)]
pub(crate) struct Instantly(AtomicU64);

pub(crate) struct Nothing;

const SOMEWHERE: Locator = Locator(NonZeroU64::MIN);

impl Stage for Nothing {
    fn enqueue(&mut self, _: ObjectId, _: u64, _: &[u8], _: StagedBody<'_>) -> Locator {
        SOMEWHERE
    }
    fn body(&mut self, _: &[&[u8]]) -> Locator {
        SOMEWHERE
    }
    fn settle(&mut self, _: ObjectId, _: u64, _: Locator) {}
    fn mark(&mut self, _: ObjectId, _: u64, _: Locator, _: &[u8]) {}
    fn put(&mut self, _: ObjectId, _: &[u8], _: &[u8], _: Option<Locator>) -> Locator {
        SOMEWHERE
    }
    fn delete(&mut self, _: ObjectId, _: &[u8], _: Locator) {}
    fn drop_object(&mut self, _: ObjectId) {}
    fn finish(self) -> Position {
        Position(0)
    }
}

impl Engine for Instantly {
    type Stage<'a> = Nothing;
    fn stage(&self) -> Result<Nothing, Refused> {
        Ok(Nothing)
    }
    fn stage_release(&self) -> Nothing {
        Nothing
    }
    fn durable(&self) -> Position {
        Position(u64::MAX)
    }
    fn read(&self, _: ObjectId, _: Vec<(u64, Locator)>) {}
    fn pending_bytes(&self) -> u64 {
        0
    }
    fn allot_object(&self) -> ObjectId {
        ObjectId(16 + self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Never fails.
pub(crate) struct NoStore;

impl StoreControl for NoStore {
    fn is_failing(&self) -> bool {
        false
    }
    fn pending_bytes(&self) -> u64 {
        0
    }
    fn backup(&self, _: &std::path::Path) -> Result<u64, crate::BackupError> {
        Ok(7)
    }
    fn close(&self, _: bool) {}
}

/// Has no accounts.
#[derive(Debug, Default)]
pub(crate) struct NoAccounts(motet_auth::Counters);

impl AccountControl for NoAccounts {
    fn list(&self) -> Vec<motet_auth::Listed> {
        Vec::new()
    }
    fn change(&self, _: &Change) -> Result<(), UserError> {
        Ok(())
    }
    fn counters(&self) -> &motet_auth::Counters {
        &self.0
    }
    fn tags(&self, _: &str, _: bool) -> motet_auth::Tags {
        motet_auth::Tags::NONE
    }
}

/// Lets everybody in.
pub(crate) struct OpenDoor;

impl Authenticator for OpenDoor {
    fn check(&self, _: Attempt<'_>, _: u64, _: &Arc<Mailbox>) -> Option<Result<Principal, Denied>> {
        Some(Ok(Principal::anonymous()))
    }
}

/// What a test sees of its machine.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) ready: usize,
    pub(crate) timeouts: usize,
    pub(crate) closed: Vec<CloseCause>,
}

/// Frames are a big-endian u32 and so many bytes; each is echoed, while the output has room. Some words do more:
/// `close` asks to close, `panic` panics, `pause` wants no input until the next ready, `alarm` sets a deadline in
/// 10 seconds, `flood` holds 1000 deliveries of 1000 bytes that leave as the output has room, `login` asks who may come
/// in and answers in its place.
pub(crate) struct Echo {
    pub(crate) seen: Arc<Mutex<Seen>>,
    paused: bool,
    alarm: Option<Instant>,
    flood: usize,
    messages: u64,
    who: Option<Principal>,
    pulled: Pulled,
}

impl Echo {
    pub(crate) fn new(seen: &Arc<Mutex<Seen>>) -> Self {
        Echo {
            seen: seen.clone(),
            paused: false,
            alarm: None,
            flood: 0,
            messages: 0,
            who: None,
            pulled: Pulled::default(),
        }
    }

    fn login<E: Engine>(&mut self, cx: &mut Context<'_, E>) {
        let (user, password) = (Some("ann"), None);
        let attempt = Attempt { user, password, client: None, peer: cx.peer, loopback: cx.loopback, secure: cx.secure };
        match cx.auth.check(attempt, 1, cx.mailbox) {
            Some(Ok(principal)) => {
                self.who = Some(principal);
                cx.out.put_slice(&frame(b"accepted"));
            }
            Some(Err(denied)) => cx.out.put_slice(&frame(denied.to_string().as_bytes())),
            None => {}
        }
    }
}

pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

impl<E: Engine> Machine<E> for Echo {
    fn handle_input(&mut self, cx: &mut Context<'_, E>, input: &mut BytesMut) {
        while !self.paused && cx.action.is_none() && !cx.out_is_full() {
            let Some(head) = input.first_chunk::<4>() else { return };
            let len = 4 + u32::from_be_bytes(*head) as usize;
            if input.len() < len {
                return;
            }
            let bytes = input.split_to(len).freeze();
            self.messages += 1;
            match &bytes[4..] {
                b"close" => cx.close(),
                b"panic" => panic!("the test asked for it"),
                b"pause" => self.paused = true,
                b"alarm" => self.alarm = Some(cx.now.instant + Duration::from_secs(10)),
                b"flood" => self.flood = 1000,
                b"login" => {
                    self.messages -= 1;
                    self.login(cx);
                    continue;
                }
                _ => {}
            }
            self.seen.lock().frames.push(bytes[4..].to_vec());
            cx.out.put_shared(bytes);
        }
    }

    fn handle_ready(&mut self, cx: &mut Context<'_, E>) {
        self.paused = false;
        self.seen.lock().ready += 1;
        cx.mailbox.pull(&mut self.pulled);
        for notice in self.pulled.notices.drain(..) {
            if let Notice::Kicked(_) = notice {
                cx.out.put_slice(&frame(b"bye"));
                cx.close();
            }
        }
        while self.flood > 0 && !cx.out_is_full() {
            cx.out.put_slice(&frame(&[b'f'; 1000]));
            self.flood -= 1;
        }
    }

    fn handle_timeout(&mut self, cx: &mut Context<'_, E>) {
        self.alarm = None;
        self.seen.lock().timeouts += 1;
        cx.out.put_slice(&frame(b"alarm"));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.alarm
    }
    fn wants_input(&self) -> bool {
        !self.paused
    }
    fn wants_output(&self) -> bool {
        self.flood > 0
    }
    fn input_hint(&self) -> Option<usize> {
        None
    }
    fn principal(&self) -> Option<&Principal> {
        self.who.as_ref()
    }
    fn messages_in(&self) -> u64 {
        self.messages
    }
    fn excuse_silence(&mut self, now: Instant) {
        self.alarm = Some(now + Duration::from_secs(10));
    }

    fn handle_closed(&mut self, _: &mut Context<'_, E>, how: CloseCause) {
        self.seen.lock().closed.push(how);
    }
}

/// A house over nothing.
pub(crate) fn house(limits: Limits) -> Arc<House<Instantly>> {
    let core = Arc::new(Core::new(Instantly::default(), CoreLimits::default()));
    let accounts = Arc::new(NoAccounts::default());
    Arc::new(House::new(core, Arc::new(OpenDoor), accounts, Box::new(NoStore), limits, Audit::default()))
}

/// Parts of a server that echoes.
pub(crate) fn parts(seen: &Arc<Mutex<Seen>>) -> Parts<Instantly> {
    let seen = seen.clone();
    Parts {
        core: Arc::new(Core::new(Instantly::default(), CoreLimits::default())),
        auth: Arc::new(OpenDoor),
        front: None,
        accounts: Arc::new(NoAccounts::default()),
        amqp: Arc::new(|| Box::new(Echo::new(&Arc::default()))),
        mqtt: Arc::new(move || Box::new(Echo::new(&seen))),
        store: Box::new(NoStore),
        reload: Vec::new(),
    }
}
