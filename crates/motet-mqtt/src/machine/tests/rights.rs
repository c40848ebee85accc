use super::bench::*;
use crate::packet::{Place, Properties, PropertiesBuf, Property, QoS, Version::*};
use motet_core::access::{
    AccessRules, Action, Actions, Authority, Places, Question, Rule, SignatureCheck, Template, Who,
};
use motet_core::mailbox::Mailbox;
use motet_core::name::Name;
use motet_core::spelling::mqtt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn rule(actions: &[Action], filters: &[&str], allow: bool) -> Rule {
    let template = |filter: &&str| Template::new(&mqtt::decode_pattern(filter).unwrap()).unwrap();
    Rule {
        number: 1,
        who: vec![Who::Everyone],
        actions: actions.iter().copied().collect(),
        places: Places { names: filters.iter().map(template).collect(), ..Places::default() },
        vhosts: vec![],
        allow,
    }
}

fn only(filters: &[&str]) -> AccessRules {
    AccessRules::new(vec![rule(&Action::ALL, filters, true)], false)
}

#[test]
fn what_is_not_allowed_is_refused_in_each_versions_own_words() {
    let mut bench = Bench::new();
    bench.core.set_access(only(&["mine/%c/#"]));
    let mut ann = bench.join(hello(V5, "ann", true));
    assert_eq!(bench.subscribe(&mut ann, "mine/ann/+", QoS::AtLeastOnce), ["SUBACK [GrantedQoS1]"]);
    assert_eq!(bench.subscribe(&mut ann, "mine/#", QoS::AtLeastOnce), ["SUBACK [NotAuthorized]"]);
    assert_eq!(bench.say(&mut ann, &message(QoS::AtLeastOnce, 1, "mine/bob", "x")), ["PUBACK 1 NotAuthorized"]);
    assert_eq!(bench.say(&mut ann, &message(QoS::ExactlyOnce, 2, "mine/bob", "x")), ["PUBREC 2 NotAuthorized"]);
    let mut bob = bench.join(hello(V311, "bob", true));
    // 3.9.3 of 3.1.1: 0x80, which is told as this.
    assert_eq!(bench.subscribe(&mut bob, "mine/ann/a", QoS::AtMostOnce), ["SUBACK [UnspecifiedError]"]);
    assert_eq!(bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "mine/ann/a", "x")), ["PUBACK 1"]);
    assert!(bench.hear(&mut ann).is_empty(), "it was acknowledged and not delivered");
    let mut connect = hello(V5, "eve", true);
    connect.will = Some(will("mine/ann/a", "gone", Properties::EMPTY));
    let mut eve = bench.peer(V5);
    assert_eq!(bench.say(&mut eve, &connect), ["CONNACK NotAuthorized", "closed"]);
}

#[test]
fn new_rules_end_subscriptions_and_not_the_connection() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V5, "ann", true));
    for filter in ["a", "b"] {
        bench.subscribe(&mut ann, filter, QoS::AtMostOnce);
    }
    let mut bob = bench.join(hello(V5, "bob", true));
    bench.core.set_access(AccessRules::new(vec![rule(&[Action::Subscribe], &["b"], false)], true));
    bench.nudge(&mut ann);
    bench.say(&mut bob, &message(QoS::AtMostOnce, 0, "a", "x"));
    bench.say(&mut bob, &message(QoS::AtMostOnce, 0, "b", "x"));
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q0 a=x"]);
}

#[test]
fn a_resumed_session_keeps_only_what_its_owner_may_hear() {
    let mut bench = Bench::new();
    let mut ann = bench.join(hello(V311, "ann", false));
    bench.subscribe(&mut ann, "secret", QoS::AtLeastOnce);
    bench.cut(&mut ann);
    bench.core.set_access(AccessRules::new(vec![rule(&[Action::Subscribe], &["secret"], false)], true));
    let mut ann = bench.join(hello(V311, "ann", false));
    let mut bob = bench.join(hello(V311, "bob", true));
    bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "secret", "x"));
    assert!(bench.hear(&mut ann).is_empty());
}

#[test]
fn what_came_while_the_client_was_away_is_held_against_the_rules_of_now() {
    for version in [V311, V5] {
        let mut bench = Bench::new();
        let mut connect = hello(version, "ann", false);
        let expiry = properties(Place::Connect, &[Property::SessionExpiryInterval(100)]);
        if version == V5 {
            connect.properties = expiry.as_properties();
        }
        let mut ann = bench.join(connect);
        for filter in ["secret", "open/+"] {
            bench.subscribe(&mut ann, filter, QoS::ExactlyOnce);
        }
        let mut bob = bench.join(hello(V311, "bob", true));
        bench.say(&mut bob, &message(QoS::AtLeastOnce, 1, "secret", "sent"));
        assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #1 secret=sent"]);
        bench.cut(&mut ann);
        bench.say(&mut bob, &message(QoS::AtLeastOnce, 2, "secret", "before"));
        bench.core.set_access(AccessRules::new(vec![rule(&[Action::Subscribe], &["secret"], false)], true));
        for (number, topic) in [(3, "secret"), (4, "open/a"), (5, "secret"), (6, "open/b")] {
            bench.say(&mut bob, &message(QoS::AtLeastOnce, number, topic, "x"));
        }
        let mut ann = bench.peer(version);
        // What was sent before is finished; the rest of it goes to nobody.
        let said = bench.say(&mut ann, &connect);
        let heard: Vec<_> = said.into_iter().chain(bench.hear(&mut ann)).collect();
        let expected = ["PUBLISH q1 #1 dup secret=sent", "PUBLISH q1 #4 open/a=x", "PUBLISH q1 #6 open/b=x"];
        assert_eq!(heard[1..], expected, "{version:?}");
        [1, 4, 6].into_iter().for_each(|number| assert!(bench.puback(&mut ann, number).is_empty()));
        // And the queue is empty: nothing comes the next time.
        bench.cut(&mut ann);
        let mut ann = bench.join(connect);
        assert!(bench.hear(&mut ann).is_empty());
    }
}

#[test]
fn what_waits_for_a_client_that_is_there_is_held_against_new_rules_too() {
    let mut bench = Bench::new();
    let mut connect = hello(V5, "ann", true);
    let one = properties(Place::Connect, &[Property::ReceiveMaximum(std::num::NonZeroU16::MIN)]);
    connect.properties = one.as_properties();
    let mut ann = bench.join(connect);
    bench.subscribe(&mut ann, "secret", QoS::AtLeastOnce);
    let mut bob = bench.join(hello(V5, "bob", true));
    (1..=3).for_each(|n| drop(bench.say(&mut bob, &message(QoS::AtLeastOnce, n, "secret", "x"))));
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q1 #1 secret=x"]);
    bench.core.set_access(AccessRules::new(vec![rule(&[Action::Subscribe], &["secret"], false)], true));
    bench.nudge(&mut ann);
    assert!(bench.puback(&mut ann, 1).is_empty());
    assert!(bench.hear(&mut ann).is_empty());
}

/// Answers when it is told to.
#[derive(Debug, Default)]
struct Slow {
    answer: Mutex<Option<bool>>,
    waiting: Mutex<Vec<Arc<Mailbox>>>,
}

impl Slow {
    fn answer(&self, answer: bool) {
        *self.answer.lock().unwrap() = Some(answer);
        self.waiting.lock().unwrap().drain(..).for_each(|mailbox| mailbox.nudge());
    }
}

impl Authority for Slow {
    fn ask(&self, _: Question<'_>, tell: Option<&Arc<Mailbox>>) -> Option<bool> {
        let answer = *self.answer.lock().unwrap();
        if answer.is_none() {
            self.waiting.lock().unwrap().extend(tell.cloned());
        }
        answer
    }
}

#[test]
fn what_somebody_has_to_be_asked_about_waits_in_its_place() {
    let mut bench = Bench::new();
    let slow = Arc::new(Slow::default());
    bench.core.set_access(only(&["open"]));
    let mut ann = bench.join(hello(V5, "ann", true));
    bench.subscribe(&mut ann, "open", QoS::AtMostOnce);
    bench.core.set_authority(Some(slow.clone()));
    let mut bob = bench.join(hello(V5, "bob", true));
    // The message before is out; the one in question and what follows it wait.
    assert!(bench.say(&mut bob, &message(QoS::AtMostOnce, 0, "open", "1")).is_empty());
    assert!(bench.say(&mut bob, &message(QoS::ExactlyOnce, 7, "asked", "2")).is_empty());
    assert!(!bob.wants_input());
    assert!(bench.say(&mut bob, &message(QoS::AtMostOnce, 0, "open", "3")).is_empty());
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q0 open=1"]);
    slow.answer(true);
    bench.hear(&mut bob);
    assert!(bob.wants_input());
    assert_eq!(bench.send(&mut bob, b""), ["PUBREC 7 NoMatchingSubscribers"]);
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q0 open=3"]);
}

#[test]
fn a_filter_and_a_will_wait_for_the_answer_too() {
    let mut bench = Bench::new();
    let slow = Arc::new(Slow::default());
    bench.core.set_access(only(&["open"]));
    bench.core.set_authority(Some(slow.clone()));
    let mut connect = hello(V5, "ann", true);
    connect.will = Some(will("asked", "gone", Properties::EMPTY));
    let mut ann = bench.peer(V5);
    assert!(bench.say(&mut ann, &connect).is_empty());
    slow.answer(true);
    assert_eq!(bench.hear(&mut ann), ["CONNACK Success"]);
    *slow.answer.lock().unwrap() = None;
    assert!(bench.subscribe(&mut ann, "asked/#", QoS::AtMostOnce).is_empty());
    slow.answer(false);
    bench.hear(&mut ann);
    assert_eq!(bench.send(&mut ann, b""), ["SUBACK [NotAuthorized]"]);
}

/// The signature of anything to `signed` is "right".
#[derive(Debug)]
struct Right;

impl SignatureCheck for Right {
    fn is_required(&self, name: &Name) -> bool {
        name.first() == b"signed"
    }
    fn verify(&self, _: &Name, _: &[u8], signature: Option<&[u8]>) -> bool {
        signature == Some(b"right")
    }
}

#[test]
fn an_address_that_asks_for_signatures_takes_nothing_else() {
    let mut bench = Bench::new();
    bench.core.set_signatures(Some(Arc::new(Right)));
    let mut ann = bench.join(hello(V5, "ann", true));
    bench.subscribe(&mut ann, "signed", QoS::AtMostOnce);
    let mut bob = bench.join(hello(V5, "bob", true));
    let signed = |value: &str| {
        let mut properties = PropertiesBuf::new();
        properties.push(Place::Publish, Property::UserProperty("x-signature", value)).unwrap();
        properties
    };
    let (right, wrong) = (signed("right"), signed("wrong"));
    for (number, properties, answer) in [
        (1, &right, "PUBACK 1"),
        (2, &wrong, "PUBACK 2 NotAuthorized"),
        (3, &PropertiesBuf::new(), "PUBACK 3 NotAuthorized"),
        (4, &right, "PUBACK 4"),
    ] {
        let text = number.to_string();
        let mut publish = message(QoS::AtLeastOnce, number, "signed", &text);
        publish.properties = properties.as_properties();
        assert_eq!(bench.say(&mut bob, &publish), [answer]);
    }
    assert_eq!(bench.hear(&mut ann), ["PUBLISH q0 signed=1", "PUBLISH q0 signed=4"]);
    assert_eq!(bench.core.refused_unsigned(), 2);
    let mut connect = hello(V5, "eve", true);
    connect.will = Some(will("signed", "gone", Properties::EMPTY));
    let mut eve = bench.peer(V5);
    assert_eq!(bench.say(&mut eve, &connect), ["CONNACK NotAuthorized", "closed"]);
}

#[test]
fn all_actions_are_in_the_set_of_all() {
    assert_eq!(Action::ALL.into_iter().collect::<Actions>(), Actions::ALL);
}

#[test]
fn a_connection_ends_with_what_its_client_showed() {
    let mut bench = Bench::new();
    let mut connect = hello(V5, "ann", true);
    // The door of the bench lets this user in for ten seconds.
    connect.user_name = Some("for ten seconds");
    let mut ann = bench.join(connect);
    assert!(bench.timeout(&mut ann).is_empty());
    bench.pass(Duration::from_secs(10));
    assert!(ann.deadline().is_some_and(|at| at <= bench.now.instant));
    assert_eq!(bench.timeout(&mut ann), ["DISCONNECT MaximumConnectTime", "closed"]);
}

#[test]
fn no_way_round_by_a_share_a_queue_or_a_delay() {
    let mut bench = Bench::new();
    bench.core.set_access(only(&["mine/#"]));
    let mut ann = bench.join(hello(V5, "ann", true));
    for filter in ["$share/g/other", "$share/g/#", "$queue/work", "$stream/log@first"] {
        assert_eq!(bench.subscribe(&mut ann, filter, QoS::AtLeastOnce), ["SUBACK [NotAuthorized]"], "{filter}");
    }
    assert_eq!(bench.subscribe(&mut ann, "$share/g/mine/a", QoS::AtLeastOnce), ["SUBACK [GrantedQoS1]"]);
    let refused = bench.say(&mut ann, &message(QoS::AtLeastOnce, 1, "$delayed/1/other", "x"));
    assert_eq!(refused, ["PUBACK 1 NotAuthorized"]);
    assert_eq!(bench.say(&mut ann, &message(QoS::AtLeastOnce, 2, "$delayed/1/mine/a", "x")), ["PUBACK 2"]);
    // New rules end a membership too.
    bench.core.set_access(only(&["nothing"]));
    bench.nudge(&mut ann);
    assert!(bench.core.queues(bench.core.vhost()).iter().all(|queue| !queue.name().starts_with(b"$share")));
}
