//! Logins from the outside: what is answered, at once or by ticket. Time is a number the tests turn.

mod answers;
mod dialogues;
mod failures;
mod waiting;

use super::*;
use crate::config::Anonymous;
use crate::password::{StoredPassword, quick_phc};
use motet_core::machine::{Identity, Step};
use motet_core::mailbox::{KickReason, Notice, Overflow, Pulled};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

const HOME: &str = "192.0.2.1:1000";
const ELSEWHERE: &str = "198.51.100.7:1000";

/// A directory whose clock stands still until it is turned.
struct House {
    directory: Directory,
    clock: Arc<AtomicU64>,
}

impl House {
    fn new(config: AuthConfig, accounts: Accounts) -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let hand = clock.clone();
        let now = move || Instant::START + Duration::from_secs(hand.load(Ordering::SeqCst));
        House { directory: Directory::new(config, accounts, now).unwrap(), clock }
    }

    fn after(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The answer and whether it came at once.
    fn ask(&self, user: &str, password: &str, from: &str) -> (Answer, bool) {
        let mailbox = mailbox();
        match self.directory.check(attempt(user, password, from), 7, &mailbox) {
            Some(answer) => (answer, true),
            None => (answered(&mailbox), false),
        }
    }

    fn login(&self, user: &str, password: &str, from: &str) -> Answer {
        self.ask(user, password, from).0
    }

    fn verified(&self) -> u64 {
        self.directory.counters().verified.load(Ordering::Relaxed)
    }
}

type Answer = Result<Principal, Denied>;

fn mailbox() -> Arc<Mailbox> {
    Mailbox::new(1024, Overflow::DropNewest)
}

fn attempt<'a>(user: &'a str, password: &'a str, from: &str) -> Attempt<'a> {
    let peer: SocketAddr = from.parse().unwrap();
    Attempt {
        user: Some(user),
        password: Some(password.as_bytes()),
        client: None,
        peer: Some(peer),
        loopback: false,
        secure: None,
    }
}

/// Wakes whoever waits at the other end; with no room there, the waking thread is held until somebody looks.
struct Bell(SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

fn bell(room: usize) -> (Waker, Receiver<()>) {
    let (ring, rung) = sync_channel(room);
    (Waker::from(Arc::new(Bell(ring))), rung)
}

/// Waits for the answer to ticket 7.
fn answered(mailbox: &Mailbox) -> Answer {
    let (waker, rung) = bell(1);
    if mailbox.poll_ready(&waker) == Poll::Pending {
        rung.recv_timeout(Duration::from_secs(20)).expect("an answer within 20 seconds");
    }
    let mut pulled = Pulled::default();
    mailbox.pull(&mut pulled);
    match pulled.notices.pop() {
        Some(Notice::Authenticated(7, answer)) if pulled.notices.is_empty() => answer,
        other => panic!("{other:?}"),
    }
}

/// The connection at this mailbox was told to go.
fn was_put_out(mailbox: &Arc<Mailbox>) -> bool {
    let mut pulled = Pulled::default();
    mailbox.pull(&mut pulled);
    pulled.notices.contains(&Notice::Kicked(KickReason::Administrative))
}

fn plain(password: &str) -> StoredPassword {
    StoredPassword::from_plain(password.as_bytes()).unwrap()
}

fn slow(password: &str) -> StoredPassword {
    StoredPassword::from_phc(&quick_phc(password.as_bytes())).unwrap()
}

fn accounts<const N: usize>(users: [(&str, StoredPassword); N]) -> Accounts {
    let mut accounts = Accounts::new();
    for (name, stored) in users {
        accounts.add(name, stored).unwrap();
    }
    accounts
}

/// Alice's hash is slow, bob's quick; waits after 3 failures, bans an address after 6.
fn alice_and_bob() -> House {
    House::new(strict(), accounts([("alice", slow("swordfish")), ("bob", plain("hunter2"))]))
}

fn strict() -> AuthConfig {
    AuthConfig { failures_before_backoff: 3, failures_before_ban: 6, verify_threads: 1, ..AuthConfig::default() }
}

fn named(name: &str) -> Answer {
    Ok(Principal::named(name))
}
