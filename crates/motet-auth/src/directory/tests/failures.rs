//! What wrong logins cost, and whom they keep out for how long.

use super::*;

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
fn a_new_password_ends_the_users_wait() {
    let house = alice_and_bob();
    for guess in ["a", "b", "c"] {
        assert_eq!(house.login("alice", guess, HOME), Err(Denied::BadCredentials));
    }
    assert_eq!(house.login("alice", "swordfish", ELSEWHERE), Err(Denied::Busy));
    house.directory.reload(accounts([("alice", slow("new"))]));
    assert_eq!(house.login("alice", "new", ELSEWHERE), named("alice"));
}
