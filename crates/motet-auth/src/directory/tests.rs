//! Logins from the outside: what is answered, at once or by ticket. Time is a number the tests turn.

use super::*;
use crate::password::{StoredPassword, quick_phc};
use motet_core::mailbox::{Notice, Overflow, Pulled};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
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
    Attempt { user: Some(user), password: Some(password.as_bytes()), peer: Some(peer), loopback: false }
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

#[test]
fn the_anonymous_are_let_in_as_the_policy_says() {
    for (anonymous, loopback, expected) in [
        (Anonymous::Loopback, true, Ok(Principal::anonymous())),
        (Anonymous::Loopback, false, Err(Denied::AnonymousForbidden)),
        (Anonymous::Never, true, Err(Denied::AnonymousForbidden)),
        (Anonymous::Always, false, Ok(Principal::anonymous())),
    ] {
        let house = House::new(AuthConfig { anonymous, ..strict() }, Accounts::new());
        for (user, password) in [(None, None), (Some(""), None), (Some(""), Some(&b""[..]))] {
            let attempt = Attempt { user, password, peer: None, loopback };
            assert_eq!(house.directory.check(attempt, 7, &mailbox()), Some(expected.clone()), "{anonymous:?}");
        }
    }
}

#[test]
fn half_a_login_is_refused_even_where_the_anonymous_are_welcome() {
    let house = House::new(AuthConfig { anonymous: Anonymous::Always, ..strict() }, Accounts::new());
    for (user, password) in [(Some("alice"), None), (None, Some(&b"swordfish"[..]))] {
        let attempt = Attempt { user, password, peer: None, loopback: true };
        assert_eq!(house.directory.check(attempt, 7, &mailbox()), Some(Err(Denied::BadCredentials)));
    }
}

#[test]
fn a_slow_login_is_answered_by_ticket_and_from_then_on_at_once() {
    let house = alice_and_bob();
    assert_eq!(house.ask("alice", "swordfish", HOME), (named("alice"), false));
    for _ in 0..10 {
        assert_eq!(house.ask("alice", "swordfish", ELSEWHERE), (named("alice"), true));
    }
    assert_eq!(house.verified(), 1);
    assert_eq!(house.directory.counters().accepted.load(Ordering::Relaxed), 11);
}

#[test]
fn a_plain_account_is_let_in_at_once() {
    assert_eq!(alice_and_bob().ask("bob", "hunter2", HOME), (named("bob"), true));
}

#[test]
fn a_remembered_login_is_verified_again_when_its_time_is_over() {
    let house = alice_and_bob();
    assert_eq!(house.login("alice", "swordfish", HOME), named("alice"));
    house.after(24 * 3600);
    assert_eq!(house.ask("alice", "swordfish", HOME), (named("alice"), false));
}

#[test]
fn every_wrong_login_costs_one_slow_verification_whoever_is_named() {
    let house = alice_and_bob();
    for (count, user) in ["alice", "bob", "nobody"].into_iter().enumerate() {
        assert_eq!(house.verified(), count as u64);
        assert_eq!(house.ask(user, "wrong", HOME), (Err(Denied::BadCredentials), false));
    }
    assert_eq!(house.verified(), 3);
}

#[test]
fn where_no_account_is_slow_a_wrong_login_costs_nothing() {
    let house = House::new(strict(), accounts([("bob", plain("hunter2"))]));
    assert_eq!(house.ask("bob", "wrong", HOME), (Err(Denied::BadCredentials), true));
    assert_eq!(house.ask("nobody", "wrong", HOME), (Err(Denied::BadCredentials), true));
    assert_eq!(house.verified(), 0);
}

#[test]
fn a_device_that_insists_on_the_same_wrong_password_costs_one_verification_and_bans_nobody() {
    let house = alice_and_bob();
    for _ in 0..1000 {
        assert_eq!(house.login("alice", "old password", HOME), Err(Denied::BadCredentials));
    }
    assert_eq!(house.verified(), 1);
    assert_eq!(house.login("bob", "hunter2", HOME), named("bob"));
}

#[test]
fn guessing_makes_the_address_wait_then_bans_it() {
    let house = alice_and_bob();
    for guess in 0..3 {
        assert_eq!(house.login("nobody", &guess.to_string(), HOME), Err(Denied::BadCredentials));
    }
    assert_eq!(house.ask("bob", "hunter2", HOME), (Err(Denied::Busy), true));
    house.after(1);
    assert_eq!(house.login("bob", "hunter2", HOME), named("bob"));
    for (wait, guess) in [(2, "3"), (4, "4"), (600, "5")] {
        assert_eq!(house.login("nobody", guess, HOME), Err(Denied::BadCredentials));
        house.after(wait - 1);
        assert_eq!(house.login("bob", "hunter2", HOME), Err(Denied::Busy), "a remembered login is no way around");
        house.after(1);
    }
    assert_eq!(house.login("bob", "hunter2", HOME), named("bob"));
}

#[test]
fn a_user_under_attack_still_gets_in_from_where_he_was_and_nobody_else_does() {
    let house = alice_and_bob();
    assert_eq!(house.login("alice", "swordfish", HOME), named("alice"));
    for guess in ["a", "b", "c"] {
        let from = format!("203.0.113.{}:1", guess.as_bytes()[0]);
        assert_eq!(house.login("alice", guess, &from), Err(Denied::BadCredentials));
    }
    assert_eq!(house.ask("alice", "swordfish", HOME), (named("alice"), true));
    assert_eq!(house.login("alice", "swordfish", ELSEWHERE), Err(Denied::Busy), "or guesses would go on");
    house.after(1);
    assert_eq!(house.login("alice", "swordfish", ELSEWHERE), named("alice"));
}

#[test]
fn a_proxy_on_loopback_is_never_banned_for_its_clients() {
    let house = alice_and_bob();
    for guess in 0..50 {
        let answer = house.login(&format!("nobody{guess}"), "guess", "127.0.0.1:1000");
        assert_eq!(answer, Err(Denied::BadCredentials));
    }
    assert_eq!(house.login("bob", "hunter2", "127.0.0.1:1000"), named("bob"));
}

#[test]
fn a_reload_takes_back_what_was_remembered_of_the_changed_and_only_of_them() {
    let (same, former) = (slow("swordfish"), slow("xyzzy"));
    let house = House::new(strict(), accounts([("alice", same.clone()), ("carol", former.clone()), ("dave", former)]));
    for (user, password) in [("alice", "swordfish"), ("carol", "xyzzy"), ("dave", "xyzzy")] {
        assert_eq!(house.login(user, password, HOME), named(user));
    }
    assert_eq!(house.login("carol", "plugh", HOME), Err(Denied::BadCredentials));
    house.directory.reload(accounts([("alice", same), ("carol", slow("plugh"))]));
    assert_eq!(house.ask("alice", "swordfish", HOME), (named("alice"), true));
    assert_eq!(house.login("carol", "xyzzy", HOME), Err(Denied::BadCredentials));
    assert_eq!(house.login("carol", "plugh", HOME), named("carol"));
    assert_eq!(house.login("dave", "xyzzy", ELSEWHERE), Err(Denied::BadCredentials));
}

#[test]
fn a_new_password_ends_the_users_wait() {
    let house = alice_and_bob();
    for guess in ["a", "b", "c"] {
        assert_eq!(house.login("alice", guess, HOME), Err(Denied::BadCredentials));
    }
    assert_eq!(house.login("alice", "swordfish", ELSEWHERE), Err(Denied::Busy));
    house.directory.reload(accounts([("alice", slow("new"))]));
    assert_eq!(house.login("alice", "new", ELSEWHERE), named("alice"));
}

/// The only thread of the pool, held while it rings a bell that nobody hears, until the receiver looks.
fn hold_the_thread(house: &House) -> (Arc<Mailbox>, Receiver<()>) {
    let (waker, rung) = bell(0);
    let held = mailbox();
    assert_eq!(held.poll_ready(&waker), Poll::Pending);
    assert_eq!(house.directory.check(attempt("alice", "swordfish", HOME), 7, &held), None);
    while house.directory.counters().accepted.load(Ordering::Relaxed) == 0 {
        std::thread::yield_now();
    }
    (held, rung)
}

#[test]
fn a_full_queue_says_busy_at_once_and_those_that_wait_are_answered() {
    let accounts = accounts([("alice", slow("swordfish")), ("carol", slow("xyzzy"))]);
    let house = House::new(AuthConfig { verify_queue_max: 2, ..strict() }, accounts);
    let (_held, rung) = hold_the_thread(&house);
    let (first, second, third) = (mailbox(), mailbox(), mailbox());
    let carol = attempt("carol", "xyzzy", HOME);
    assert_eq!(house.directory.check(carol, 7, &first), None);
    assert_eq!(house.directory.check(carol, 7, &second), None);
    assert_eq!(house.directory.check(carol, 7, &third), Some(Err(Denied::Busy)));
    rung.recv().unwrap();
    assert_eq!(answered(&first), named("carol"));
    assert_eq!(answered(&second), named("carol"));
    assert_eq!(house.verified(), 2, "the second profits from the first");
    let mut nothing = Pulled::default();
    third.pull(&mut nothing);
    assert!(nothing.notices.is_empty(), "one ticket has one answer");
}

#[test]
fn a_burst_of_guesses_is_cut_off_when_the_first_have_failed() {
    let house = alice_and_bob();
    let (_held, rung) = hold_the_thread(&house);
    let guesses: Vec<_> = (0..100).map(|guess| (guess.to_string(), mailbox())).collect();
    for (guess, mailbox) in &guesses {
        assert_eq!(house.directory.check(attempt("nobody", guess, ELSEWHERE), 7, mailbox), None);
    }
    rung.recv().unwrap();
    let answers: Vec<Answer> = guesses.iter().map(|(_, mailbox)| answered(mailbox)).collect();
    assert!(answers[..3].iter().all(|answer| *answer == Err(Denied::BadCredentials)));
    assert!(answers[3..].iter().all(|answer| *answer == Err(Denied::Busy)));
    assert_eq!(house.verified(), 1 + 3);
}

#[test]
fn nothing_is_verified_for_a_peer_that_has_gone() {
    let house = alice_and_bob();
    let (_held, rung) = hold_the_thread(&house);
    assert_eq!(house.directory.check(attempt("nobody", "guess", ELSEWHERE), 7, &mailbox()), None);
    let last = mailbox();
    assert_eq!(house.directory.check(attempt("alice", "swordfish", HOME), 7, &last), Some(named("alice")));
    assert_eq!(house.directory.check(attempt("nobody", "another", ELSEWHERE), 7, &last), None);
    rung.recv().unwrap();
    assert_eq!(answered(&last), Err(Denied::BadCredentials));
    assert_eq!(house.verified(), 2);
}

#[test]
fn a_password_changed_while_it_waits_is_judged_by_the_new_account() {
    let house = alice_and_bob();
    let (_held, rung) = hold_the_thread(&house);
    let (old, new) = (mailbox(), mailbox());
    assert_eq!(house.directory.check(attempt("bob", "changed", HOME), 7, &new), None);
    assert_eq!(house.directory.check(attempt("carol", "xyzzy", HOME), 7, &old), None);
    house.directory.reload(accounts([("bob", slow("changed")), ("carol", slow("plugh"))]));
    rung.recv().unwrap();
    assert_eq!(answered(&new), named("bob"));
    assert_eq!(answered(&old), Err(Denied::BadCredentials));
}

#[test]
fn dropping_the_directory_ends_its_threads_and_answers_who_waits() {
    let house = alice_and_bob();
    let (_held, rung) = hold_the_thread(&house);
    let waiting = mailbox();
    assert_eq!(house.directory.check(attempt("nobody", "guess", HOME), 7, &waiting), None);
    let desk = Arc::downgrade(&house.directory.desk);
    let (dropped, is_dropped) = channel();
    let dropping = std::thread::spawn(move || {
        drop(house);
        dropped.send(()).unwrap();
    });
    assert_eq!(answered(&waiting), Err(Denied::Busy));
    rung.recv().unwrap();
    is_dropped.recv_timeout(Duration::from_secs(20)).expect("the threads end");
    dropping.join().unwrap();
    assert_eq!(desk.strong_count(), 0, "no thread holds anything any more");
}

#[test]
fn oversized_credentials_are_refused_unread() {
    let house = alice_and_bob();
    let long = "a".repeat(5000);
    assert_eq!(house.ask("alice", &long, HOME), (Err(Denied::BadCredentials), true));
    assert_eq!(house.ask(&long, "swordfish", HOME), (Err(Denied::BadCredentials), true));
    assert!(StoredPassword::from_plain(long.as_bytes()).is_err());
    assert!(crate::argon2id_phc(long.as_bytes()).is_err());
}

#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    let phc = quick_phc(b"swordfish");
    let hash = phc.rsplit('$').next().unwrap();
    let stored = || StoredPassword::from_phc(&phc).unwrap();
    let accounts = || accounts([("alice", stored()), ("bob", plain("swordfish"))]);
    let house = House::new(strict(), accounts());
    assert_eq!(house.login("alice", "swordfish", HOME), named("alice"));
    let mut shown = format!("{:#?}{:?}{:?}{:?}", accounts(), house.directory, house.directory.counters(), strict());
    for phc in [phc.replace("m=8", "m=4294967295"), phc.replace("v=19", "v=16"), "swordfish".into()] {
        let error = StoredPassword::from_phc(&phc).unwrap_err();
        shown += &format!("{error:?}{error}");
    }
    for stored in [stored(), plain("swordfish")] {
        shown += &match &stored {
            StoredPassword::Argon2id(hash) => format!("{hash:?}"),
            StoredPassword::Keyed(hash) => format!("{hash:?}"),
        };
        shown += &format!("{stored:?}");
    }
    let bytes = format!("{:?}", b"swordfish");
    for secret in ["swordfish", hash, &bytes[1..bytes.len() - 1]] {
        assert!(!shown.contains(secret), "{shown}");
    }
    assert!(shown.contains("alice"), "the test looks at something");
}

#[test]
fn a_reconnect_storm_costs_microseconds_each() {
    let house = alice_and_bob();
    assert_eq!(house.login("alice", "swordfish", HOME), named("alice"));
    let (mailbox, rounds) = (mailbox(), 50_000u32);
    let begun = std::time::Instant::now();
    for _ in 0..rounds {
        assert!(house.directory.check(attempt("alice", "swordfish", HOME), 7, &mailbox).is_some());
    }
    println!("a remembered login: {:?}", begun.elapsed() / rounds);
    assert_eq!(house.verified(), 1);
}
