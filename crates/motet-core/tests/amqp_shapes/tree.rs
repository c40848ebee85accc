//! `amq.topic` is the topic tree: sessions, queues and exchanges meet there.

use std::convert::Infallible;

use motet_core::core::{Core, Outcome, Publisher};
use motet_core::exchange::{Arguments, ExchangeKind};
use motet_core::fake::FakeEngine;
use motet_core::mailbox::Pulled;
use motet_core::message::{BatchBuilder, FaceId, MessageParts, Reliability, Value};
use motet_core::principal::Principal;
use motet_core::session::{Expiry, OpenSession, SessionHandle, SubscribeOptions};
use motet_core::spelling::mqtt;

use crate::bench::Bench;

fn session(bench: &Bench, filter: &str, reliability: Reliability) -> SessionHandle {
    let open = OpenSession {
        owner: &std::sync::Arc::from(""),
        vhost: bench.core.vhost(),
        client: "ann",
        clean_start: true,
        expiry: Expiry::Never,
        credit: 10,
        will: None,
        mailbox: &bench.mailbox,
    };
    let handle = bench.core.open_session(bench.now(), open).unwrap().handle;
    let mut options = SubscribeOptions::default();
    options.reliability = reliability;
    bench.core.subscribe(&handle, &[(mqtt::decode_pattern(filter).unwrap(), options)]);
    handle
}

/// Publishes as MQTT does.
fn publish(core: &Core<FakeEngine>, topic: &str, text: &str, retain: bool) -> Outcome {
    let mut publisher = Publisher::new(core, Principal::anonymous(), None);
    let known = publisher.known(topic.as_bytes(), || Ok::<_, Infallible>(mqtt::decode_name(topic).unwrap())).unwrap();
    let known = known.clone();
    let mut builder = BatchBuilder::new();
    let reliability = Reliability::AtLeastOnce;
    builder.push(MessageParts { payload: text.as_bytes(), reliability, retain, ..MessageParts::default() });
    let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
    core.publish(crate::bench::at(1_000), &publisher, &known, batch, None).outcome
}

#[test]
fn a_topic_reaches_the_queues_bound_to_it_and_a_key_the_subscribers_of_its_topic() {
    let mut bench = Bench::default();
    bench.queue("q", &[]);
    bench.bind("amq.topic", "q", "cities.*");
    let handle = session(&bench, "cities/+", Reliability::AtLeastOnce);
    assert_eq!(publish(&bench.core, "cities/london", "from a topic", false), Outcome::Accepted);
    assert_eq!(bench.publish("amq.topic", "cities.paris", "from a key"), Outcome::Accepted);
    assert_eq!(bench.holds("q"), ["from a topic", "from a key"]);
    let mut taken = Vec::new();
    bench.core.take(bench.now(), &handle, 10, usize::MAX, &mut taken);
    let addresses: Vec<_> = taken.iter().map(|d| d.queued.message.address().clone()).collect();
    assert_eq!(addresses, ["cities/london", "cities/paris"].map(|topic| mqtt::decode_name(topic).unwrap()));
}

#[test]
fn a_binding_that_ended_receives_nothing_more() {
    let mut bench = Bench::default();
    let queue = bench.queue("q", &[]);
    bench.bind("amq.topic", "q", "a.#");
    bench.publish("amq.topic", "a.b", "1");
    bench.core.delete_queue(bench.now(), &queue, false, false).unwrap();
    assert_eq!(bench.publish("amq.topic", "a.b", "2"), Outcome::Unroutable);
    assert_eq!(publish(&bench.core, "a/b", "3", false), Outcome::Unroutable);
}

#[test]
fn an_exchange_bound_to_the_tree_passes_on_what_it_hears() {
    let bench = Bench::default();
    bench.queue("q", &[]);
    bench.exchange("x", ExchangeKind::Direct);
    let vhost = bench.core.vhost();
    bench.core.bind_exchange(vhost, b"amq.topic", b"x", b"#", Arguments::default()).unwrap();
    bench.bind("x", "q", "a.b");
    assert_eq!(publish(&bench.core, "a/b", "heard", false), Outcome::Accepted);
    assert_eq!(publish(&bench.core, "a/c", "not for q", false), Outcome::Unroutable);
    assert_eq!(bench.holds("q"), ["heard"]);
}

#[test]
fn the_tree_bound_behind_an_exchange_shows_the_key_as_topic() {
    let mut bench = Bench::default();
    bench.exchange("x", ExchangeKind::Fanout);
    let vhost = bench.core.vhost().clone();
    bench.core.bind_exchange(&vhost, b"x", b"amq.topic", b"", Arguments::default()).unwrap();
    session(&bench, "a/b", Reliability::AtMostOnce);
    assert_eq!(bench.publish("x", "a.b", "1"), Outcome::Accepted);
    let mut pulled = Pulled::default();
    bench.mailbox.pull(&mut pulled);
    assert_eq!(pulled.direct[0].batch.address(), &mqtt::decode_name("a/b").unwrap());
}

#[test]
fn queues_and_exchanges_are_published_to_by_name() {
    let bench = Bench::default();
    bench.queue("q", &[]);
    bench.exchange("x", ExchangeKind::Direct);
    bench.bind("x", "q", "a.b");
    assert_eq!(publish(&bench.core, "$queue/q", "1", true), Outcome::Accepted);
    assert_eq!(publish(&bench.core, "$exchange/x/a/b", "2", false), Outcome::Accepted);
    assert_eq!(publish(&bench.core, "$queue/none", "3", false), Outcome::Unroutable);
    assert_eq!(publish(&bench.core, "$exchange/none/a", "4", false), Outcome::Unroutable);
    assert_eq!(bench.holds("q"), ["1", "2"]);
    assert_eq!(bench.core.retained_count(), 0, "a queue has no last value");
}

#[test]
fn last_values_come_with_a_binding_that_asks_for_them() {
    let bench = Bench::default();
    bench.queue("q", &[]);
    bench.queue("plain", &[]);
    publish(&bench.core, "a/b", "last", true);
    bench.bind("amq.topic", "plain", "a.*");
    bench.bind_with("amq.topic", "q", "a.*", Arguments::new([("x-retained".into(), Value::Bool(true))]));
    assert_eq!(bench.holds("q"), ["last"]);
    assert_eq!(bench.stats("plain").messages(), 0);
}

#[test]
fn bindings_of_the_tree_survive_a_power_cut() {
    let bench = Bench::default();
    bench.queue("q", &[]);
    bench.bind("amq.topic", "q", "a.#");
    bench.sync();
    let bench = bench.power_cut(0);
    assert_eq!(publish(&bench.core, "a/b/c", "heard", false), Outcome::Accepted);
    let queue = bench.named("q");
    assert_eq!(queue.stats().ready, 1);
    assert!(bench.holds("q").iter().eq(["heard"].iter()));
}
