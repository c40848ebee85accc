//! What operators say holds at once, and again after a power cut.

use super::*;
use crate::access::{Action, Resource};
use crate::core::broker::{QueueDeclaration, QueueError};
use crate::core::{Core, CoreLimits, Recovery};
use crate::exchange::{ExchangeConfig, ExchangeKind};
use crate::fake::{FakeEngine, Plan};
use crate::mailbox::{KickReason, Mailbox, Notice, Overflow, Pulled};
use crate::message::Value;
use crate::principal::Principal;
use crate::time::Now;
use std::collections::BTreeMap;
use std::sync::Arc;

fn core() -> Core<FakeEngine> {
    Core::new(FakeEngine::default(), CoreLimits::default())
}

/// What is left of a core after a power cut.
fn again(core: &Core<FakeEngine>) -> Core<FakeEngine> {
    core.engine().sync();
    let engine = FakeEngine::over(core.engine().power_cut(0), Plan::default(), 0);
    let mut recovery = Recovery::new();
    engine.replay(&mut recovery);
    let again = Core::new(engine, CoreLimits::default());
    assert_eq!(again.recover(Now::default(), recovery).damaged, 0);
    again
}

fn policy(name: &str, pattern: &str, priority: i64, definition: &[(&str, Value)]) -> Policy {
    let definition = definition.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    Policy { name: name.into(), pattern: pattern.into(), apply_to: ApplyTo::All, priority, definition }
}

fn durable() -> QueueDeclaration {
    QueueDeclaration { durable: true, ..QueueDeclaration::default() }
}

fn permitted(user: &str, vhost: &str) -> Permitted {
    let [configure, write, read] = ["^a", ".*", ""].map(Into::into);
    Permitted { user: user.into(), vhost: vhost.into(), configure, write, read }
}

#[test]
fn the_policy_of_the_highest_priority_governs_queues_that_are_there_and_queues_that_come() {
    let (core, now) = (core(), Now::default());
    let vhost = core.vhost();
    let early = core.declare_queue(now, vhost, b"a1", durable(), 1).unwrap().queue;
    let set = |kind, policy| core.set_policy(now, vhost, kind, policy).unwrap().0;
    assert!(set(PolicyKind::Ordinary, policy("low", "^a", 1, &[("max-length", Value::Int(9))])));
    assert!(set(PolicyKind::Ordinary, policy("high", "^a1", 2, &[("max-length", Value::Int(5))])));
    assert!(!set(PolicyKind::Ordinary, policy("high", "^a1", 2, &[("max-length", Value::Int(6))])));
    let late = core.declare_queue(now, vhost, b"a2", durable(), 1).unwrap().queue;
    let other = core.declare_queue(now, vhost, b"b", durable(), 1).unwrap().queue;
    assert_eq!((early.config().max_messages, late.config().max_messages), (Some(6), Some(9)));
    assert_eq!(early.governed().policy.as_deref(), Some("high"));
    assert_eq!(*other.governed(), Governed::default());
    assert!(core.clear_policy(now, vhost, PolicyKind::Ordinary, "high").is_some());
    assert!(core.clear_policy(now, vhost, PolicyKind::Ordinary, "high").is_none());
    assert_eq!(early.config().max_messages, Some(9));
}

#[test]
fn an_operators_policy_only_makes_limits_tighter() {
    let (core, now) = (core(), Now::default());
    let vhost = core.vhost();
    let queue = core.declare_queue(now, vhost, b"q", durable(), 1).unwrap().queue;
    let ours = policy("p", "", 0, &[("max-length", Value::Int(6)), ("expires", Value::Int(50))]);
    core.set_policy(now, vhost, PolicyKind::Ordinary, ours).unwrap();
    let theirs = policy("o", "", 0, &[("max-length", Value::Int(9)), ("expires", Value::Int(40))]);
    core.set_policy(now, vhost, PolicyKind::Operator, theirs).unwrap();
    let governed = queue.governed();
    assert_eq!((governed.policy.as_deref(), governed.operator_policy.as_deref()), (Some("p"), Some("o")));
    assert_eq!(governed.definition, [("expires".into(), Value::Int(40)), ("max-length".into(), Value::Int(6))]);
    core.clear_policy(now, vhost, PolicyKind::Ordinary, "p");
    core.clear_policy(now, vhost, PolicyKind::Operator, "o");
    assert_eq!((queue.config().max_messages, queue.config().expires_ms), (None, None));
}

#[test]
fn a_policy_reaches_only_what_it_applies_to() {
    let (core, now) = (core(), Now::default());
    let vhost = core.vhost();
    let kind = |name: &str| vec![("x-queue-type".into(), Value::Text(name.into()))];
    let quorum = QueueDeclaration { arguments: kind("quorum"), ..durable() };
    let (quorum, classic) = (
        core.declare_queue(now, vhost, b"q1", quorum, 1).unwrap().queue,
        core.declare_queue(now, vhost, b"q2", durable(), 1).unwrap().queue,
    );
    let policy = Policy { apply_to: ApplyTo::QuorumQueues, ..policy("p", "^q", 0, &[("max-length", Value::Int(1))]) };
    core.set_policy(now, vhost, PolicyKind::Ordinary, policy).unwrap();
    assert_eq!((quorum.config().max_messages, classic.config().max_messages), (Some(1), None));
    assert_eq!(vhost.exchange_governed(b"q1"), Governed::default());
}

#[test]
fn an_exchange_sends_what_it_cannot_route_where_its_policy_says() {
    let (core, now) = (core(), Now::default());
    let vhost = core.vhost();
    core.declare_exchange(Now::default(), vhost, b"lost", ExchangeConfig::durable(ExchangeKind::Fanout)).unwrap();
    core.declare_exchange(Now::default(), vhost, b"x", ExchangeConfig::durable(ExchangeKind::Direct)).unwrap();
    let queue = core.declare_queue(now, vhost, b"q", durable(), 1).unwrap().queue;
    core.bind_queue(now, vhost, b"lost", &queue, b"", crate::exchange::Arguments::default()).unwrap();
    let alternate = policy("ae", "^x", 0, &[("alternate-exchange", Value::Text("lost".into()))]);
    core.set_policy(now, vhost, PolicyKind::Ordinary, alternate).unwrap();
    core.declare_exchange(Now::default(), vhost, b"x2", ExchangeConfig::durable(ExchangeKind::Direct)).unwrap();
    for core in [&core, &again(&core)] {
        for exchange in [&b"x"[..], b"x2"] {
            let mut publisher = crate::core::Publisher::new(core, Principal::anonymous(), None);
            let known = publisher.exchange(exchange, b"k").unwrap().clone();
            let mut builder = crate::message::BatchBuilder::new();
            builder.push(crate::message::MessageParts { payload: b"m", ..Default::default() });
            let batch = builder.finish(known.name.clone(), publisher.id(), crate::message::FaceId::NONE);
            let receipt = core.publish(now, &publisher, &known, batch, None);
            assert_eq!(receipt.outcome, crate::core::Outcome::Accepted);
        }
        assert_eq!(core.find_queue(core.vhost(), b"q").unwrap().stats().ready, 2);
    }
    assert_eq!(vhost.exchange_governed(b"x").policy.as_deref(), Some("ae"));
}

#[test]
fn what_cannot_be_taken_changes_nothing() {
    let (core, now) = (core(), Now::default());
    let refused = |policy| core.set_policy(now, core.vhost(), PolicyKind::Ordinary, policy).unwrap_err();
    assert!(matches!(refused(policy("p", "(", 0, &[])), PolicyError::Pattern(_)));
    assert!(matches!(refused(policy("p", "", 0, &[("max-length", Value::Null)])), PolicyError::Setting(_)));
    assert_eq!(core.vhost().policies(PolicyKind::Ordinary), []);
    assert!(core.set_permission(&Permitted { read: "(".into(), ..permitted("ann", "/") }).is_err());
    assert!(core.permissions().is_empty() && !core.is_confined("ann"));
}

#[test]
fn everything_an_operator_said_holds_again_after_a_power_cut() {
    let (core, now) = (core(), Now::default());
    let (vhost, _) = core.create_vhost("v").unwrap();
    core.declare_queue(now, &vhost, b"q", durable(), 1).unwrap();
    let about = VhostAbout { description: "d".into(), tags: vec!["t".into()], default_queue_type: None };
    core.set_vhost_about(&vhost, &about).unwrap();
    let mine = policy("p", "q", 7, &[("max-length", Value::Int(5)), ("overflow", Value::Text("drop-head".into()))]);
    core.set_policy(now, &vhost, PolicyKind::Ordinary, mine.clone()).unwrap();
    core.set_policy(now, &vhost, PolicyKind::Operator, policy("o", "q", 0, &[("expires", Value::Int(9))])).unwrap();
    core.set_permission(&permitted("ann", "v")).unwrap();
    core.confine("bob").unwrap();
    let [exchange, write, read] = ["amq.topic", "^x", "^y"].map(String::from);
    let topic = TopicPermitted { user: "ann".into(), vhost: "v".into(), exchange, write, read };
    assert!(core.set_topic_permission(&topic).unwrap().0);
    core.set_limits(LimitOf::Vhost("v"), &BTreeMap::from([("max-queues".into(), 1)])).unwrap();
    core.set_limits(LimitOf::User("ann"), &BTreeMap::from([("max-connections".into(), 1)])).unwrap();
    assert!(core.set_parameter(Some("c"), "v", "n", b"1").unwrap().0);
    core.set_parameter(None, "", "g", b"2").unwrap();

    let again = again(&core);
    let vhost = again.find_vhost("v").unwrap();
    assert_eq!(again.vhost_about(&vhost), about);
    assert_eq!(vhost.policies(PolicyKind::Ordinary), [mine]);
    let config = again.find_queue(&vhost, b"q").unwrap().config();
    assert_eq!((config.max_messages, config.expires_ms), (Some(5), Some(9)));
    assert_eq!(again.permissions(), [permitted("ann", "v")]);
    assert_eq!(again.topic_permissions(), [topic]);
    assert!(vhost.may_enter(&Principal::named("ann")) && !vhost.may_enter(&Principal::named("bob")));
    assert!(!again.vhost().may_enter(&Principal::named("ann")) && vhost.may_enter(&Principal::named("eve")));
    assert_eq!(again.declare_queue(now, &vhost, b"r", durable(), 1).unwrap_err(), QueueError::Limit(1));
    let mailbox = Mailbox::new(1 << 10, Overflow::DropNewest);
    let _seat = again.take_seat(&vhost, &"ann".into(), &mailbox).unwrap();
    assert_eq!(again.take_seat(&vhost, &"ann".into(), &mailbox).unwrap_err(), NoSeat::User(1));
    assert_eq!(again.parameters().len(), 2);
}

#[test]
fn a_vhost_takes_everything_that_was_said_of_it_along_and_ends_its_connections() {
    let (core, now) = (core(), Now::default());
    let (vhost, _) = core.create_vhost("v").unwrap();
    let mailbox = Mailbox::new(1 << 10, Overflow::DropNewest);
    let _seat = core.take_seat(&vhost, &"ann".into(), &mailbox).unwrap();
    core.set_policy(now, &vhost, PolicyKind::Ordinary, policy("p", "", 0, &[("expires", Value::Int(5))])).unwrap();
    core.set_permission(&permitted("ann", "v")).unwrap();
    core.set_limits(LimitOf::Vhost("v"), &BTreeMap::from([("max-queues".into(), 0)])).unwrap();
    core.set_parameter(Some("c"), "v", "n", b"1").unwrap();
    core.set_vhost_about(&vhost, &VhostAbout { description: "d".into(), ..VhostAbout::default() }).unwrap();
    core.delete_vhost(now, "v").unwrap();
    let mut pulled = Pulled::default();
    mailbox.pull(&mut pulled);
    assert_eq!(pulled.notices, [Notice::Kicked(KickReason::VhostDeleted)]);
    let nothing_is_left = |core: &Core<FakeEngine>| {
        let (vhost, _) = core.create_vhost("v").unwrap();
        assert_eq!(vhost.policies(PolicyKind::Ordinary), []);
        assert_eq!(core.vhost_about(&vhost), VhostAbout::default());
        assert!(core.permissions().is_empty() && core.parameters().is_empty());
        assert!(core.is_confined("ann"), "what a vhost's end takes away must not open all others");
        assert!(core.declare_queue(now, &vhost, b"q", durable(), 1).is_ok());
    };
    nothing_is_left(&core);
    core.delete_vhost(now, "v").unwrap();
    nothing_is_left(&again(&core));
}

#[test]
fn permissions_of_every_vhost_outlive_a_reload_of_the_rules() {
    let core = core();
    let (vhost, _) = core.create_vhost("v").unwrap();
    core.set_permission(&permitted("ann", "v")).unwrap();
    core.set_access(crate::access::AccessRules::new(Vec::new(), true));
    let may = |action, queue: &[u8]| {
        vhost.permit(&Principal::named("ann"), action, Resource::Queue(queue), None).is_allowed()
    };
    assert!(may(Action::Configure, b"a") && !may(Action::Configure, b"b") && !may(Action::Consume, b"a"));
    assert!(core.clear_permission("ann", "v").is_some() && core.clear_permission("ann", "v").is_none());
    assert!(!may(Action::Configure, b"a"));
    core.forget_user("ann");
    assert!(may(Action::Configure, b"b"), "whoever comes under this name is somebody else");
}

#[test]
fn connections_and_channels_are_counted_until_their_end() {
    let core = core();
    let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
    let mailbox = Mailbox::new(1 << 10, Overflow::DropNewest);
    core.set_limits(LimitOf::Vhost("/"), &BTreeMap::from([("max-connections".into(), 2)])).unwrap();
    core.set_limits(LimitOf::User("ann"), &BTreeMap::from([("max-channels".into(), 2)])).unwrap();
    let mut one = core.take_seat(core.vhost(), &ann, &mailbox).unwrap();
    let mut two = core.take_seat(core.vhost(), &ann, &mailbox).unwrap();
    assert_eq!(core.take_seat(core.vhost(), &bob, &mailbox).unwrap_err(), NoSeat::Vhost(2));
    assert_eq!((one.open_channel(), two.open_channel(), one.open_channel()), (Ok(()), Ok(()), Err(2)));
    one.close_channel();
    assert_eq!((two.open_channel(), one.open_channel()), (Ok(()), Err(2)));
    drop(two);
    assert_eq!((one.open_channel(), core.connections_in("/")), (Ok(()), 1));
    assert_eq!((core.kick_user("ann"), core.kick_user("bob")), (1, 0));
    assert!(core.take_seat(core.vhost(), &bob, &mailbox).is_ok());
}
