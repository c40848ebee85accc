//! SASL mechanisms over accounts: what is offered, who gets in, what a stranger can learn.

use super::*;
use crate::config::SaltKey;
use crate::password::Make;
use crate::sasl::scram::tests::client_final;

const BARE: &str = "n=alice,r=abc";

fn scram(password: &str) -> StoredPassword {
    StoredPassword::make(password, &Make::Scram(vec![ScramHash::Sha256], 4096)).unwrap()
}

fn opening<'a>(from: &str) -> Opening<'a> {
    Opening { user: None, peer: Some(from.parse().unwrap()), loopback: false, secure: None, again: None }
}

fn text(step: Option<Step>) -> String {
    match step {
        Some(Step::Challenge(challenge)) => String::from_utf8(challenge.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Logs in with SCRAM-SHA-256.
fn exchange(house: &House, user: &str, password: &str, opening: Opening<'_>) -> Result<Step, Denied> {
    let mut dialogue = house.directory.begin("SCRAM-SHA-256", opening)?;
    let (mailbox, bare) = (mailbox(), format!("n={user},r=abc"));
    match dialogue.step(Some(format!("n,,{bare}").as_bytes()), 1, &mailbox) {
        Some(Step::Challenge(challenge)) => {
            let server_first = std::str::from_utf8(&challenge).unwrap();
            let last = client_final(ScramHash::Sha256, password, &bare, server_first, b"n,,");
            Ok(dialogue.step(Some(last.as_bytes()), 2, &mailbox).expect("SCRAM answers at once"))
        }
        other => Ok(other.expect("SCRAM answers at once")),
    }
}

fn login(house: &House, user: &str, password: &str, from: &str) -> Answer {
    match exchange(house, user, password, opening(from)) {
        Ok(Step::Accepted { principal, data }) => {
            assert!(data.unwrap().starts_with(b"v="));
            Ok(principal)
        }
        Ok(Step::Denied(denied)) | Err(denied) => Err(denied),
        Ok(other) => panic!("{other:?}"),
    }
}

fn with_scram() -> House {
    House::new(strict(), accounts([("alice", scram("swordfish")), ("bob", plain("hunter2")), ("carol", slow("xyzzy"))]))
}

#[test]
fn who_has_keys_or_a_plain_password_can_use_scram_and_who_has_argon2_cannot() {
    let house = with_scram();
    assert_eq!(login(&house, "alice", "swordfish", HOME), named("alice"));
    assert_eq!(login(&house, "bob", "hunter2", HOME), named("bob"));
    assert_eq!(login(&house, "carol", "xyzzy", HOME), Err(Denied::BadCredentials));
    assert_eq!(login(&house, "alice", "swordfisH", ELSEWHERE), Err(Denied::BadCredentials));
    assert_eq!(house.directory.counters().accepted.load(Ordering::Relaxed), 2);
    assert_eq!(house.directory.counters().refused.load(Ordering::Relaxed), 2);
}

#[test]
fn a_plain_login_is_verified_against_scram_keys_by_the_pool_and_then_remembered() {
    let house = House::new(strict(), accounts([("alice", scram("swordfish"))]));
    assert_eq!(house.ask("alice", "swordfish", HOME), (named("alice"), false));
    assert_eq!(house.ask("alice", "swordfish", HOME), (named("alice"), true));
    assert_eq!(house.ask("alice", "guess", HOME), (Err(Denied::BadCredentials), false));
    assert_eq!(house.ask("nobody", "guess", HOME), (Err(Denied::BadCredentials), false), "as slow as for somebody");
}

#[test]
fn who_does_not_exist_is_told_a_salt_that_outlives_a_restart_and_looks_like_any_other() {
    let told = |user: &str| {
        let config = AuthConfig { salt_key: Some(SaltKey([7; 32])), scram_iterations: 4096, ..strict() };
        let house = House::new(config, accounts([("alice", scram("swordfish"))]));
        let mut dialogue = house.directory.begin("SCRAM-SHA-256", opening(HOME)).unwrap();
        let first = text(dialogue.step(Some(format!("n,,n={user},r=abc").as_bytes()), 1, &mailbox()));
        let (nonce, rest) = first.split_once(",s=").unwrap();
        (nonce.len(), rest.to_owned())
    };
    assert_eq!(told("nobody"), told("nobody"));
    assert_ne!(told("nobody"), told("somebody"));
    let ((nonce, salt), (known_nonce, known_salt)) = (told("nobody"), told("alice"));
    assert_eq!((nonce, salt.len()), (known_nonce, known_salt.len()));
    assert!(salt.ends_with(",i=4096") && known_salt.ends_with(",i=4096"));
}

#[test]
fn guessing_by_scram_makes_wait_and_bans_as_any_guessing_does() {
    let house = with_scram();
    for guess in ["a", "b", "c"] {
        assert_eq!(login(&house, "bob", guess, HOME), Err(Denied::BadCredentials));
    }
    assert_eq!(login(&house, "alice", "swordfish", HOME), Err(Denied::Busy), "the address waits");
    assert_eq!(house.login("bob", "hunter2", ELSEWHERE), Err(Denied::Busy), "and so does the user");
    house.after(1);
    assert_eq!(login(&house, "bob", "hunter2", HOME), named("bob"));
    assert!(house.directory.counters().waiting.load(Ordering::Relaxed) >= 2);
}

#[test]
fn a_user_under_attack_still_gets_in_by_scram_from_where_he_was() {
    let house = with_scram();
    assert_eq!(login(&house, "alice", "swordfish", HOME), named("alice"));
    for host in 1..=3 {
        assert_eq!(login(&house, "alice", "guess", &format!("203.0.113.{host}:1")), Err(Denied::BadCredentials));
    }
    assert_eq!(login(&house, "alice", "swordfish", HOME), named("alice"));
    assert_eq!(login(&house, "alice", "swordfish", ELSEWHERE), Err(Denied::Busy));
}

#[test]
fn many_exchanges_begun_at_once_are_not_many_guesses() {
    let house = with_scram();
    let begun: Vec<_> = (0..20)
        .map(|_| {
            let mut dialogue = house.directory.begin("SCRAM-SHA-256", opening(HOME)).unwrap();
            let first = text(dialogue.step(Some(format!("n,,{BARE}").as_bytes()), 1, &mailbox()));
            (dialogue, first)
        })
        .collect();
    let answers = begun.into_iter().map(|(mut dialogue, first)| {
        let last = client_final(ScramHash::Sha256, "guess", BARE, &first, b"n,,");
        dialogue.step(Some(last.as_bytes()), 2, &mailbox()).unwrap()
    });
    let wrong = answers.filter(|step| *step == Step::Denied(Denied::BadCredentials)).count();
    assert_eq!(wrong, 3);
}

#[test]
fn a_password_that_changes_during_an_exchange_ends_it() {
    let house = with_scram();
    let mut dialogue = house.directory.begin("SCRAM-SHA-256", opening(HOME)).unwrap();
    let first = text(dialogue.step(Some(format!("n,,{BARE}").as_bytes()), 1, &mailbox()));
    house.directory.reload(accounts([("alice", scram("new"))]));
    let last = client_final(ScramHash::Sha256, "swordfish", BARE, &first, b"n,,");
    assert_eq!(dialogue.step(Some(last.as_bytes()), 2, &mailbox()), Some(Step::Denied(Denied::Busy)));
}

#[test]
fn what_breaks_the_rules_is_malformed_and_counts_as_no_guess() {
    let house = with_scram();
    for _ in 0..10 {
        let mut dialogue = house.directory.begin("SCRAM-SHA-256", opening(HOME)).unwrap();
        assert_eq!(dialogue.step(None, 1, &mailbox()), Some(Step::Challenge(Default::default())));
        assert_eq!(dialogue.step(Some(b"hello"), 2, &mailbox()), Some(Step::Denied(Denied::Malformed)));
        assert_eq!(dialogue.step(Some(b"again"), 3, &mailbox()), Some(Step::Denied(Denied::Malformed)));
    }
    assert_eq!(login(&house, "alice", "swordfish", HOME), named("alice"));
}

#[test]
fn who_is_known_already_can_only_be_the_same_once_more() {
    let house = with_scram();
    let (alice, bob) = (Principal::named("alice"), Principal::named("bob"));
    let again = |who| Opening { again: Some(who), ..opening(HOME) };
    assert!(matches!(exchange(&house, "alice", "swordfish", again(&alice)), Ok(Step::Accepted { .. })));
    let other = exchange(&house, "alice", "swordfish", again(&bob));
    assert_eq!(other, Ok(Step::Denied(Denied::BadCredentials)));
    let beside = Opening { user: Some("bob"), ..opening(HOME) };
    assert_eq!(exchange(&house, "alice", "swordfish", beside), Ok(Step::Denied(Denied::BadCredentials)));
    let both = Opening { user: Some("alice"), ..again(&bob) };
    assert_eq!(exchange(&house, "alice", "swordfish", both), Err(Denied::BadCredentials));
}

#[test]
fn methods_are_those_that_somebody_can_use_strongest_first() {
    let house = with_scram();
    let all = ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];
    assert_eq!(house.directory.methods(opening(HOME)), all);
    let argon2 = House::new(strict(), accounts([("carol", slow("xyzzy"))]));
    assert_eq!(argon2.directory.methods(opening(HOME)), ["PLAIN"]);
    assert_eq!(argon2.directory.begin("SCRAM-SHA-256", opening(HOME)).err(), Some(Denied::UnknownMethod));
    let only_256 = House::new(strict(), accounts([("alice", scram("swordfish"))]));
    let identity = Identity { name: "alice".into(), password_needed: false };
    let bindings = vec![("tls-exporter", vec![7; 32].into())];
    let secure = Secure { identity: Some(identity), bindings, ..Secure::default() };
    let bound = Opening { secure: Some(&secure), loopback: true, ..opening(HOME) };
    let expected = ["EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN", "ANONYMOUS"];
    assert_eq!(only_256.directory.methods(bound), expected);
    assert_eq!(house.directory.begin("scram-sha-256", opening(HOME)).err(), Some(Denied::UnknownMethod));
}

#[test]
fn a_bound_exchange_lets_in_who_is_at_the_other_end_of_this_tls() {
    let house = with_scram();
    let bindings = vec![("tls-exporter", vec![7; 32].into())];
    let secure = Secure { bindings, ..Secure::default() };
    for (data, expected) in [([7; 32], true), ([8; 32], false)] {
        let bound = Opening { secure: Some(&secure), ..opening(HOME) };
        let mut dialogue = house.directory.begin("SCRAM-SHA-256-PLUS", bound).unwrap();
        let first = text(dialogue.step(Some(format!("p=tls-exporter,,{BARE}").as_bytes()), 1, &mailbox()));
        let input = [&b"p=tls-exporter,,"[..], &data].concat();
        let last = client_final(ScramHash::Sha256, "swordfish", BARE, &first, &input);
        let step = dialogue.step(Some(last.as_bytes()), 2, &mailbox()).unwrap();
        assert_eq!(matches!(step, Step::Accepted { .. }), expected, "{step:?}");
    }
}

#[test]
fn mechanisms_of_one_message_answer_at_once_or_by_ticket() {
    let house = with_scram();
    let say = |method: &str, message: &[u8], opening: Opening<'_>| {
        let mailbox = mailbox();
        let mut dialogue = house.directory.begin(method, opening)?;
        let step = dialogue.step(Some(message), 7, &mailbox).unwrap_or_else(|| stepped(&mailbox));
        match step {
            Step::Accepted { principal, data: None } => Ok(principal),
            Step::Denied(denied) => Err(denied),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(say("PLAIN", b"\0bob\0hunter2", opening(HOME)), named("bob"));
    assert_eq!(say("PLAIN", b"\0carol\0xyzzy", opening(HOME)), named("carol"));
    assert_eq!(say("PLAIN", b"root\0carol\0xyzzy", opening(HOME)), Err(Denied::BadCredentials));
    assert_eq!(say("PLAIN", b"carol", opening(HOME)), Err(Denied::Malformed));
    let table = b"\x05LOGINS\0\0\0\x03bob\x08PASSWORDS\0\0\0\x07hunter2";
    assert_eq!(say("AMQPLAIN", table, opening(HOME)), named("bob"));
    assert_eq!(say("ANONYMOUS", b"", opening(HOME)), Err(Denied::UnknownMethod));
    assert_eq!(say("ANONYMOUS", b"", Opening { loopback: true, ..opening(HOME) }), Ok(Principal::anonymous()));
    assert_eq!(say("EXTERNAL", b"", opening(HOME)), Err(Denied::UnknownMethod));
    let identity = Identity { name: "device-7".into(), password_needed: false };
    let secure = Secure { identity: Some(identity), ..Secure::default() };
    let certified = Opening { secure: Some(&secure), ..opening(HOME) };
    assert_eq!(say("EXTERNAL", b"", certified), named("device-7"));
    assert_eq!(say("EXTERNAL", b"device-7", certified), named("device-7"));
    assert_eq!(say("EXTERNAL", b"device-8", certified), Err(Denied::BadCredentials));
    assert_eq!(say("PLAIN", b"\0bob\0hunter2", certified), Err(Denied::BadCredentials));
}

/// Waits for the answer to step 7.
fn stepped(mailbox: &Mailbox) -> Step {
    let (waker, rung) = bell(1);
    if mailbox.poll_ready(&waker) == Poll::Pending {
        rung.recv_timeout(Duration::from_secs(20)).expect("an answer within 20 seconds");
    }
    let mut pulled = Pulled::default();
    mailbox.pull(&mut pulled);
    match pulled.notices.pop() {
        Some(Notice::Stepped(7, step)) => step,
        other => panic!("{other:?}"),
    }
}
