use super::*;
use crate::{Accounts, AuthConfig, Directory, Front, StoredPassword};
use motet_core::access::{Action, Resource};
use motet_core::machine::{Authenticator, Identity, Secure};
use motet_core::mailbox::{Overflow, Pulled};
use motet_core::spelling::mqtt;
use parking_lot::Mutex;
use serde_json::Value;
use std::task::{Poll, Waker};

type Waiting = Box<dyn FnOnce(Option<HookReply>) + Send>;

/// Keeps what is asked until the test answers.
#[derive(Default)]
struct Stand {
    asked: Mutex<Vec<(HookPurpose, Value, Waiting)>>,
}

impl Courier for Stand {
    fn post(&self, purpose: HookPurpose, body: Vec<u8>, answer: Waiting) {
        self.asked.lock().push((purpose, serde_json::from_slice(&body).unwrap(), answer));
    }
}

impl Stand {
    /// Answers the oldest question; says what it was.
    fn answer(&self, reply: Option<(u16, &str)>) -> Value {
        let (_, body, answer) = self.asked.lock().remove(0);
        answer(reply.map(|(status, body)| HookReply { status, body: body.into() }));
        body
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }
}

struct House {
    stand: Arc<Stand>,
    hook: Hook,
    front: Front,
    secs: Arc<AtomicU64>,
    mailbox: Arc<Mailbox>,
}

fn house(config: HookConfig) -> House {
    let secs = Arc::new(AtomicU64::new(1_000));
    let time = secs.clone();
    let clocks: Clocks = Arc::new(move || {
        let secs = time.load(Ordering::Relaxed);
        (Instant::from_nanos(secs * 1_000_000_000), WallMillis(secs * 1000))
    });
    let stand = Arc::new(Stand::default());
    let hook = Hook::new(config, stand.clone(), clocks.clone()).unwrap();
    let mut accounts = Accounts::new();
    accounts.add("local", StoredPassword::from_plain(b"swordfish").unwrap()).unwrap();
    let directory = Directory::new(AuthConfig::default(), accounts, || Instant::START).unwrap();
    let front = Front::new(Arc::new(directory), clocks);
    front.set_hook(Some(hook.clone()));
    House { stand, hook, front, secs, mailbox: Mailbox::new(1024, Overflow::DropNewest) }
}

fn both() -> HookConfig {
    HookConfig { authenticates: true, authorizes: true, ..HookConfig::default() }
}

impl House {
    fn log_in(&self, user: &str) -> Option<Result<Principal, Denied>> {
        let attempt = Attempt {
            user: Some(user),
            password: Some(b"swordfish"),
            client: Some("c"),
            peer: Some("192.0.2.7:999".parse().unwrap()),
            loopback: false,
            secure: None,
        };
        self.front.check(attempt, 7, &self.mailbox)
    }

    fn heard(&self) -> Result<Principal, Denied> {
        let mut pulled = Pulled::default();
        self.mailbox.pull(&mut pulled);
        match pulled.notices.as_slice() {
            [Notice::Authenticated(7, answer)] => answer.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn may(&self, topic: &str) -> Option<bool> {
        let name = mqtt::decode_name(topic).unwrap();
        let who = Principal::named("ann").on("c");
        let question = Question { who: &who, action: Action::Publish, resource: Resource::Name(&name) };
        self.hook.ask(question, Some(&self.mailbox))
    }

    fn is_nudged(&self) -> bool {
        self.mailbox.poll_ready(Waker::noop()) == Poll::Ready(())
    }
}

#[test]
fn a_login_is_asked_once_and_then_remembered() {
    let house = house(both());
    assert_eq!(house.log_in("ann"), None);
    let asked =
        house.stand.answer(Some((200, r#"{"result":"allow","groups":["g"],"expires_at":2000,"acl":{"pub":["a"]}}"#)));
    assert_eq!(
        asked.to_string(),
        r#"{"action":"authenticate","address":"192.0.2.7","client":"c","encrypted":false,"password":"swordfish","user":"ann"}"#
    );
    let ann = house.heard().unwrap();
    assert_eq!((&*ann.name, ann.groups().len(), ann.expires_at()), ("ann", 1, Some(WallMillis(2_000_000))));
    assert_eq!(ann.rules().unwrap().rules.len(), 1);
    assert_eq!(house.log_in("ann"), Some(Ok(ann)));
    house.secs.fetch_add(60, Ordering::Relaxed);
    assert_eq!(house.log_in("ann"), None, "not for ever");
    house.stand.answer(Some((403, "")));
    assert_eq!(house.heard(), Err(Denied::BadCredentials));
    assert_eq!(house.log_in("ann"), Some(Err(Denied::BadCredentials)));
}

#[test]
fn accounts_of_ours_are_not_asked_about() {
    let house = house(both());
    assert_eq!(house.log_in("local"), Some(Ok(Principal::named("local"))));
    assert_eq!(house.stand.asked(), 0);
}

#[test]
fn a_certificate_of_one_user_is_not_asked_about_as_another() {
    let house = house(both());
    let secure = Secure { identity: Some(Identity { name: "bob".into(), password_needed: true }), ..Secure::default() };
    let check = |user| {
        let attempt = Attempt {
            user: Some(user),
            password: Some(b"swordfish"),
            client: None,
            peer: None,
            loopback: false,
            secure: Some(&secure),
        };
        house.front.check(attempt, 7, &house.mailbox)
    };
    assert!(matches!(check("ann"), Some(Err(_))));
    assert_eq!(house.stand.asked(), 0);
    assert_eq!(check("bob"), None);
    assert_eq!(house.stand.asked(), 1);
}

#[test]
fn whatever_is_not_as_documented_is_a_failure_and_not_a_wrong_password() {
    let house = house(both());
    for reply in [None, Some((500, "")), Some((200, "yes")), Some((200, r#"{"result":true}"#)), Some((204, ""))] {
        assert_eq!(house.log_in("ann"), None, "{reply:?}");
        house.stand.answer(reply);
        assert_eq!(house.heard(), Err(Denied::Busy), "{reply:?}");
    }
    assert_eq!(house.hook.counters().failed.load(Ordering::Relaxed), 5);
}

#[test]
fn who_waits_for_a_right_is_nudged_and_finds_the_answer() {
    let house = house(both());
    assert_eq!(house.may("a/b"), None);
    assert_eq!(house.may("a/b"), None);
    assert_eq!(house.stand.asked(), 1, "a question on its way is not asked again");
    assert!(!house.is_nudged());
    let asked = house.stand.answer(Some((200, r#"{"result":"allow","ttl":5}"#)));
    assert_eq!(asked.to_string(), r#"{"action":"publish","client":"c","groups":[],"topic":"a/b","user":"ann"}"#);
    assert!(house.is_nudged());
    assert_eq!(house.may("a/b"), Some(true));
    house.secs.fetch_add(5, Ordering::Relaxed);
    assert_eq!(house.may("a/b"), None);
    house.stand.answer(Some((200, r#"{"result":"deny","ttl":0}"#)));
    assert_eq!(house.may("a/b"), Some(false), "for a second at least");
}

#[test]
fn a_failure_is_a_no_for_a_second() {
    let house = house(both());
    assert_eq!(house.may("a"), None);
    house.stand.answer(None);
    assert!(house.is_nudged());
    assert_eq!(house.may("a"), Some(false));
    house.secs.fetch_add(1, Ordering::Relaxed);
    assert_eq!(house.may("a"), None);
    let open = self::house(HookConfig { on_failure: true, ..both() });
    assert_eq!(open.may("a"), None);
    open.stand.answer(None);
    assert_eq!(open.may("a"), Some(true));
}

#[test]
fn questions_on_their_way_are_bounded() {
    let house = house(HookConfig { in_flight_max: 1, ..both() });
    assert_eq!(house.may("a"), None);
    assert_eq!(house.may("b"), Some(false));
    assert_eq!(house.log_in("ann"), Some(Err(Denied::Busy)));
    house.stand.answer(Some((200, r#"{"result":"allow"}"#)));
    assert_eq!(house.may("a"), Some(true));
    assert_eq!(house.log_in("ann"), None);
}
