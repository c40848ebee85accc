use super::*;
use crate::config::{Secret, User};
use motet_auth::Tag;

fn config(dir: &std::path::Path) -> Config {
    let mut config = Config { data_dir: dir.into(), ..Config::default() };
    config.login.scram_iterations = 4096;
    config.user.push(User { name: "carl".into(), password: Some(Secret::new("configured")), ..User::default() });
    config
}

fn add(name: &str, password: &str) -> Change {
    Change::Add { name: name.into(), password: password.into(), tags: Tags::NONE.with(Tag::Management), keys: None }
}

#[test]
fn a_user_that_was_made_outlives_a_restart_and_ends_when_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let offline = OfflineUsers::open(&config).unwrap();
    assert!(matches!(OfflineUsers::open(&config), Err(ServerError::InUse(_))));
    let users = offline.users();
    users.change(&add("alice", "swordfish")).unwrap();
    let again = users.change(&add("alice", "other")).unwrap_err().to_string();
    assert!(again.contains("twice"), "{again}");
    let argon2 = Some(vec![config::KeyKind::Argon2id]);
    users.change(&Change::Password { name: "alice".into(), password: "new".into(), keys: argon2 }).unwrap();
    drop(offline);

    let offline = OfflineUsers::open(&config).unwrap();
    let users = offline.users();
    let listed: Vec<_> = users
        .list()
        .into_iter()
        .map(|user| (user.name.to_string(), user.kind, user.tags.to_string(), user.origin))
        .collect();
    assert_eq!(
        listed,
        [
            ("alice".into(), "argon2id".into(), "management".into(), Origin::Made),
            ("carl".into(), "plain".into(), String::new(), Origin::Configured)
        ]
    );
    users.change(&Change::Tags { name: "alice".into(), tags: Tags::NONE.with(Tag::Administrator) }).unwrap();
    assert!(users.tags("alice", false).has(Tag::Administrator));
    users.change(&Change::Remove { name: "alice".into() }).unwrap();
    drop(offline);
    assert_eq!(OfflineUsers::open(&config).unwrap().users().count(), 1);
}

#[test]
fn what_cannot_be_done_is_told_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let offline = OfflineUsers::open(&config).unwrap();
    let (users, name) = (offline.users(), |name: &str| name.to_owned());
    for (change, part) in [
        (add("carl", "x"), "is in the configuration, which wins"),
        (Change::Remove { name: name("carl") }, "is in the configuration, which wins"),
        (Change::Tags { name: name("carl"), tags: Tags::NONE }, "is in the configuration, which wins"),
        (Change::Remove { name: name("nobody") }, "there is no user"),
        (Change::Password { name: name("nobody"), password: name("x"), keys: None }, "there is no user"),
        (add("", "x"), "needs a name"),
        (add("a\nb", "x"), "control characters"),
        (add("alice", ""), "is empty"),
        (add("alice", "a\u{7}"), "cannot be used with SCRAM"),
    ] {
        let error = users.change(&change).unwrap_err().to_string();
        assert!(error.contains(part), "{change:?}: {error}");
    }
    assert_eq!(users.count(), 1);
}

#[test]
fn a_user_of_both_is_the_configurations() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    let offline = OfflineUsers::open(&config).unwrap();
    offline.users().change(&add("alice", "swordfish")).unwrap();
    drop(offline);
    config.user.push(User { name: "alice".into(), password: Some(Secret::new("configured")), ..User::default() });
    let offline = OfflineUsers::open(&config).unwrap();
    assert!(offline.users().list().iter().all(|user| user.origin == Origin::Configured));
}

#[test]
fn what_is_hashed_for_a_configuration_can_be_configured() {
    for keys in [None, Some(&[config::KeyKind::Argon2id][..])] {
        let text = hash_password("swordfish", keys, &config::Login::default()).unwrap();
        assert!(StoredPassword::from_text(&text).is_ok(), "{text}");
    }
}

#[test]
fn a_hash_of_another_server_is_replaced_when_its_password_is_seen() {
    use motet_auth::{RabbitAlgorithm, RabbitHash};
    use motet_core::machine::Attempt;
    use motet_core::mailbox::{Mailbox, Overflow};

    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let offline = OfflineUsers::open(&config).unwrap();
    // Of "swordfish" with the salt 1, 2, 3, 4.
    let hash = RabbitHash::new(RabbitAlgorithm::Sha256, "AQIDBHeMPYBJsUw1+Sst4dt3oOWWy67JzC/xpcOcgsDmpLSh").unwrap();
    let record = record::encode(&StoredPassword::Rabbit(hash), Tags::NONE.with(Tag::Monitoring)).unwrap();
    let position = offline.core.registry_put(RegistryKind::ACCOUNT, b"alice", &record).unwrap();
    wait_durable(&offline.core, position).unwrap();
    drop(offline);

    let (parts, _): (crate::Parts<Store>, _) = assemble(&config).unwrap();
    let kind = || parts.accounts.list().into_iter().find(|user| &*user.name == "alice").map(|user| user.kind).unwrap();
    assert_eq!(kind(), "rabbitmq");
    let mailbox = Mailbox::new(1 << 10, Overflow::default());
    let (user, password) = (Some("alice"), Some(&b"swordfish"[..]));
    let attempt = Attempt { user, password, client: None, peer: None, loopback: false, secure: None };
    assert!(parts.auth.check(attempt, 1, &mailbox).is_none(), "a thread looks");
    // Ends when the other thread has done it; without it, with the test's own patience.
    while kind() == "rabbitmq" {
        std::thread::yield_now();
    }
    assert_eq!((kind().as_str(), parts.accounts.tags("alice", false).has(Tag::Monitoring)), ("scram-sha-256", true));
    let position = parts.core.registry_put(RegistryKind::SECRET, DEFINED, &[]).unwrap();
    wait_durable(&parts.core, position).unwrap();
    parts.store.close(true);
    drop(parts);
    let again = OfflineUsers::open(&config).unwrap();
    assert!(again.users().list().iter().any(|user| user.kind == "scram-sha-256"));
}
