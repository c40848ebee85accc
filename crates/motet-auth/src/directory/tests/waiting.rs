//! Logins that wait for a thread, when it is held, when the queue is full, when the peer or the directory goes.

use super::*;
use std::sync::mpsc::channel;

/// The only thread of the pool, held while it rings a bell that nobody hears, until the receiver looks.
fn hold_the_thread(house: &House) -> (Arc<Mailbox>, Receiver<()>) {
    let (waker, rung) = bell(0);
    let held = mailbox();
    assert_eq!(held.poll_ready(&waker), Poll::Pending);
    assert_eq!(house.directory.check(attempt("alice", "swordfish", HOME), 7, &held), None);
    // A deadline for a bug, far beyond what a busy machine needs.
    let hangs_at = std::time::Instant::now() + Duration::from_secs(120);
    while house.directory.counters().accepted.load(Ordering::Relaxed) == 0 {
        assert!(std::time::Instant::now() < hangs_at, "the login is never answered");
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
    let desk = Arc::downgrade(&house.directory.0.desk);
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
