//! Who is let in, how quickly, and what a reload changes.

use super::*;
use crate::accounts::Origin;
use crate::password::{RabbitAlgorithm, RabbitHash, quick_phc};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

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
            let attempt = Attempt { user, password, client: None, peer: None, loopback, secure: None };
            assert_eq!(house.directory.check(attempt, 7, &mailbox()), Some(expected.clone()), "{anonymous:?}");
        }
    }
}

#[test]
fn half_a_login_is_refused_even_where_the_anonymous_are_welcome() {
    let config = AuthConfig { anonymous: Anonymous::Always, ..strict() };
    let house = House::new(config, accounts([("alice", StoredPassword::from_plain(b"swordfish").expect("short"))]));
    for (user, password) in [(Some("alice"), None), (None, Some(&b"swordfish"[..]))] {
        let attempt = Attempt { user, password, client: None, peer: None, loopback: true, secure: None };
        assert_eq!(house.directory.check(attempt, 7, &mailbox()), Some(Err(Denied::BadCredentials)));
    }
}

#[test]
fn without_accounts_a_login_says_nothing_but_guest_is_guest_on_loopback_and_has_a_password() {
    for (anonymous, loopback, stranger, guest) in [
        (Anonymous::Loopback, true, Err(Denied::BadCredentials), named("guest")),
        (Anonymous::Loopback, false, Err(Denied::AnonymousForbidden), Err(Denied::AnonymousForbidden)),
        (Anonymous::Always, false, Ok(Principal::anonymous()), Ok(Principal::anonymous())),
        (Anonymous::Never, true, Err(Denied::AnonymousForbidden), Err(Denied::AnonymousForbidden)),
    ] {
        let house = House::new(AuthConfig { anonymous, ..strict() }, Accounts::new());
        let nobody = if guest == named("guest") { Ok(Principal::anonymous()) } else { stranger.clone() };
        for (user, password, expected) in
            [("guest", &b"guess"[..], &stranger), ("guest", b"guest", &guest), ("whoever", b"guess", &nobody)]
        {
            let attempt = Attempt {
                user: Some(user),
                password: Some(password),
                client: Some("device"),
                peer: None,
                loopback,
                secure: None,
            };
            assert_eq!(house.directory.check(attempt, 7, &mailbox()), Some(expected.clone()), "{anonymous:?}");
        }
        assert_eq!(house.directory.tags("guest", loopback) != Tags::NONE, guest == named("guest"));
    }
}

#[test]
fn the_first_account_ends_guest() {
    let house = House::new(strict(), Accounts::new());
    let (there, attempt) = (mailbox(), |password| Attempt {
        user: Some("guest"),
        password: Some(password),
        client: None,
        peer: None,
        loopback: true,
        secure: None,
    });
    assert_eq!(house.directory.check(attempt(b"guest"), 7, &there), Some(named("guest")));
    house.directory.change(|accounts| accounts.set("alice", plain("swordfish"), Tags::NONE)).unwrap();
    assert!(was_put_out(&there));
    assert_eq!(house.directory.check(attempt(b"guest"), 7, &there), Some(Err(Denied::BadCredentials)));
}

#[test]
fn who_has_another_password_or_no_account_any_more_is_put_out_and_nobody_else() {
    for disconnect_changed in [true, false] {
        let config = AuthConfig { disconnect_changed, ..strict() };
        let users = [("alice", slow("swordfish")), ("bob", plain("hunter2")), ("carol", plain("xyzzy"))];
        let house = House::new(config, accounts(users.clone()));
        let at: Vec<_> = [("alice", "swordfish"), ("bob", "hunter2"), ("carol", "xyzzy")]
            .iter()
            .map(|(user, password)| {
                let there = mailbox();
                let answer = house.directory.check(attempt(user, password, HOME), 7, &there);
                assert_eq!(answer.unwrap_or_else(|| answered(&there)), named(user));
                there
            })
            .collect();
        // Nothing has changed: a plain password is the same one though it was read anew.
        house.directory.reload(accounts([users[0].clone(), ("bob", plain("hunter2")), ("carol", plain("xyzzy"))]));
        assert!(!at.iter().any(was_put_out));
        house.directory.reload(accounts([("alice", slow("swordfisH")), ("bob", plain("hunter2"))]));
        assert_eq!(at.iter().map(was_put_out).collect::<Vec<_>>(), [disconnect_changed, false, disconnect_changed]);
        let put_out = house.directory.counters().put_out.load(Ordering::Relaxed);
        assert_eq!(put_out, if disconnect_changed { 2 } else { 0 });
    }
}

#[test]
fn a_certificate_is_its_user_unless_another_is_named_or_a_password_is_needed_too() {
    let house = alice_and_bob();
    let ask = |user: Option<&str>, password: Option<&str>, password_needed| {
        let identity = Identity { name: "bob".into(), password_needed };
        let secure = Secure { identity: Some(identity), ..Secure::default() };
        let password = password.map(str::as_bytes);
        let attempt = Attempt { user, password, client: None, peer: None, loopback: false, secure: Some(&secure) };
        let mailbox = mailbox();
        house.directory.check(attempt, 7, &mailbox).unwrap_or_else(|| answered(&mailbox))
    };
    for (user, password) in [(None, None), (Some(""), None), (Some("bob"), None), (Some("bob"), Some("unread"))] {
        assert_eq!(ask(user, password, false), named("bob"));
    }
    assert_eq!(ask(Some("alice"), Some("swordfish"), false), Err(Denied::BadCredentials));
    for (user, password, expected) in [
        (None, Some("hunter2"), named("bob")),
        (Some("bob"), Some("hunter2"), named("bob")),
        (Some("bob"), Some("hunter3"), Err(Denied::BadCredentials)),
        (Some("bob"), None, Err(Denied::BadCredentials)),
        (None, None, Err(Denied::BadCredentials)),
        (Some("alice"), Some("swordfish"), Err(Denied::BadCredentials)),
    ] {
        assert_eq!(ask(user, password, true), expected, "{user:?} {password:?}");
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
            StoredPassword::Scram(keys) => format!("{keys:?}"),
            StoredPassword::Mosquitto(hash) => format!("{hash:?}"),
            StoredPassword::Rabbit(hash) => format!("{hash:?}"),
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
fn a_reconnect_storm_costs_one_verification() {
    let house = alice_and_bob();
    assert_eq!(house.login("alice", "swordfish", HOME), named("alice"));
    let mailbox = mailbox();
    for _ in 0..1_000 {
        assert!(house.directory.check(attempt("alice", "swordfish", HOME), 7, &mailbox).is_some());
    }
    assert_eq!(house.verified(), 1);
}

#[test]
fn another_servers_hash_is_told_with_its_password_and_renewed_without_putting_anybody_out() {
    let rabbit = || {
        let salted = [&[1, 2, 3, 4][..], &Sha256::digest(b"\x01\x02\x03\x04swordfish")].concat();
        StoredPassword::Rabbit(RabbitHash::new(RabbitAlgorithm::Sha256, &STANDARD.encode(salted)).unwrap())
    };
    let mut users = Accounts::new();
    users.add_with("alice", rabbit(), Tags::NONE, Origin::Made).unwrap();
    users.add("bob", rabbit()).unwrap();
    let house = House::new(strict(), users);
    let (found, told) = sync_channel(9);
    house.directory.on_outdated(move |outdated| found.send(outdated).unwrap());
    let mailbox = mailbox();
    assert_eq!(house.directory.check(attempt("alice", "swordfish", HOME), 7, &mailbox), None);
    assert_eq!(answered(&mailbox), named("alice"));
    assert_eq!(house.login("alice", "wrong", HOME), Err(Denied::BadCredentials));
    assert_eq!(house.login("bob", "swordfish", HOME), named("bob"), "he is the configuration's");
    let outdated = told.recv().unwrap();
    assert_eq!((&*outdated.user, &*outdated.password), ("alice", &b"swordfish"[..]));
    assert!(told.try_recv().is_err());
    let renew = |former| house.directory.renew("alice", former, slow("swordfish"));
    assert!(renew(&outdated.stored) && !renew(&outdated.stored), "it is another one by now");
    assert_eq!(house.directory.stored("alice").unwrap().kind(), "argon2id");
    assert!(!was_put_out(&mailbox));
    assert_eq!(house.login("alice", "swordfish", HOME), named("alice"));
    assert!(told.try_recv().is_err());
}

#[test]
fn another_configuration_holds_from_the_next_login_on() {
    let house = House::new(strict(), accounts([("alice", plain("swordfish"))]));
    let ask = || {
        let stranger = Attempt { user: None, password: None, client: None, peer: None, loopback: false, secure: None };
        house.directory.check(stranger, 7, &mailbox())
    };
    assert_eq!(ask(), Some(Err(Denied::AnonymousForbidden)));
    let open = AuthConfig { anonymous: Anonymous::Always, failures_before_ban: 2, verify_threads: 99, ..strict() };
    house.directory.reconfigure(&open);
    assert_eq!(ask(), Some(Ok(Principal::anonymous())));
    for guess in ["a", "b"] {
        assert_eq!(house.login("alice", guess, "192.0.2.66:1"), Err(Denied::BadCredentials));
    }
    assert_eq!(
        house.login("alice", "swordfish", "192.0.2.66:1"),
        Err(Denied::Busy),
        "banned after two, no longer twenty"
    );
}
