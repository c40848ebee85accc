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
