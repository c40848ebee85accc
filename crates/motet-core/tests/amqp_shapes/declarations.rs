//! Declared, found again, locked, deleted.

use motet_core::core::Outcome;
use motet_core::core::broker::{QueueDeclaration, QueueError, VhostError};
use motet_core::exchange::{Arguments, BindError, DeclareError, ExchangeConfig, ExchangeKind};
use motet_core::mailbox::Notice;
use motet_core::message::Value;

use crate::bench::{Bench, credit, text};

fn refusal(bench: &Bench, name: &str, declaration: QueueDeclaration, connection: u64) -> String {
    let vhost = bench.core.vhost();
    bench.core.declare_queue(bench.now(), vhost, name.as_bytes(), declaration, connection).unwrap_err().to_string()
}

#[test]
fn a_second_declaration_agrees_or_names_what_differs() {
    let bench = Bench::default();
    let durable = || QueueDeclaration { durable: true, ..QueueDeclaration::default() };
    let first = bench.queue("q", &[("x-max-length", Value::Int(5)), ("note", text("not compared"))]);
    let again = bench.queue("q", &[("x-max-length", Value::UInt(5))]);
    assert!(std::sync::Arc::ptr_eq(&first, &again));
    let transient = QueueDeclaration { durable: false, arguments: first.declared().arguments.clone(), ..durable() };
    assert_eq!(refusal(&bench, "q", transient, 1), "queue 'q' has durable 'true', the declaration asks for 'false'");
    assert_eq!(
        refusal(&bench, "q", durable(), 1),
        "queue 'q' has argument 'x-max-length' '5', the declaration asks for none"
    );
    let wrong = QueueDeclaration { arguments: vec![("x-expires".into(), text("soon"))], ..durable() };
    assert_eq!(refusal(&bench, "new", wrong, 1), "argument 'x-expires' is 'soon', it wants a number of at least 1");
    assert_eq!(refusal(&bench, "amq.mine", durable(), 1), "names that begin with 'amq.' are reserved");
}

#[test]
fn an_exclusive_queue_is_its_connection_s_and_goes_with_it() {
    let bench = Bench::default();
    let mine = QueueDeclaration { durable: true, exclusive: Some(1), ..QueueDeclaration::default() };
    let queue = bench.declare("", mine.clone());
    let name = std::str::from_utf8(queue.name()).unwrap().to_owned();
    assert!(name.starts_with("amq.gen-"));
    assert!(refusal(&bench, &name, mine, 2).contains("exclusive to another connection"));
    bench.sync();
    let again = bench.power_cut(0);
    assert!(again.core.queues(again.core.vhost()).is_empty(), "its connection did not survive");
    assert_eq!(bench.core.delete_exclusive(bench.now(), bench.core.vhost(), 1), 1);
    assert!(bench.core.find_queue(bench.core.vhost(), queue.name()).is_none() && queue.is_gone());
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer_and_takes_its_exchange_along() {
    let mut bench = Bench::default();
    let config = ExchangeConfig { auto_delete: true, ..ExchangeConfig::durable(ExchangeKind::Fanout) };
    bench.exchange_with("brief", config);
    bench.declare("q", QueueDeclaration { auto_delete: true, ..QueueDeclaration::default() });
    bench.bind("brief", "q", "");
    bench.consumer("q", 1, credit(1));
    bench.consumer("q", 2, credit(1));
    bench.leave("q", 1);
    assert_eq!(bench.publish("brief", "", "x"), Outcome::Accepted);
    bench.leave("q", 2);
    assert!(bench.core.queues(bench.core.vhost()).is_empty());
    assert!(bench.core.vhost().topology().exchange(b"brief").is_none());
    bench.sync();
    assert!(bench.power_cut(0).core.vhost().topology().exchange(b"brief").is_none());
}

#[test]
fn a_deleted_queue_tells_its_consumers_and_is_never_found_again() {
    let mut bench = Bench::default();
    let queue = bench.queue("q", &[]);
    bench.publish("", "q", "x");
    bench.consumer("q", 5, credit(1));
    let delete = |if_unused, if_empty| bench.core.delete_queue(bench.now(), &queue, if_unused, if_empty);
    assert!(matches!(delete(true, false), Err(QueueError::NotDeleted(_))));
    assert!(matches!(delete(false, true), Err(QueueError::NotDeleted(_))));
    let (_, position) = delete(false, false).unwrap();
    assert!(position.is_some());
    assert_eq!(bench.notices(), [Notice::ConsumerCancelled(5)]);
    assert_eq!(bench.publish("", "q", "y"), Outcome::Unroutable);
    bench.sync();
    assert!(bench.power_cut(0).core.queues(bench.core.vhost()).is_empty());
}

#[test]
fn what_grows_is_refused_while_the_store_takes_nothing() {
    let bench = Bench::default();
    let vhost = bench.core.vhost();
    bench.queue("old", &[]);
    bench.exchange("old", ExchangeKind::Direct);
    bench.core.engine().set_stalled(true);
    let durable = || QueueDeclaration { durable: true, ..QueueDeclaration::default() };
    assert_eq!(refusal(&bench, "new", durable(), 1), "the store takes nothing for now");
    bench.declare("transient", QueueDeclaration::default());
    let declare = |name: &[u8]| {
        bench.core.declare_exchange(bench.now(), vhost, name, ExchangeConfig::durable(ExchangeKind::Direct))
    };
    assert_eq!(declare(b"new"), Err(DeclareError::StoreFull));
    assert!(matches!(declare(b"old"), Ok((false, Some(_)))), "it is there already");
    let bind = |queue: &str| {
        let queue = bench.named(queue);
        bench.core.bind_queue(bench.now(), vhost, b"old", &queue, b"key", Arguments::default())
    };
    assert_eq!(bind("old"), Err(BindError::StoreFull));
    assert_eq!(bind("transient"), Ok(None), "nothing of it is kept");
    assert!(
        bench.core.delete_queue(bench.now(), &bench.named("old"), false, false).is_ok(),
        "what frees room is taken"
    );
}

#[test]
fn a_great_purge_lets_others_stage_between_its_slices() {
    let mut bench = Bench::default();
    let queue = bench.queue("q", &[]);
    (0..3_000).for_each(|_| assert_eq!(bench.publish("", "q", "x"), Outcome::Accepted));
    bench.sync();
    let (purged, position) = bench.core.purge_queue(bench.now(), &queue);
    assert_eq!((purged, bench.core.engine().pending_groups()), (3_000, 3));
    bench.sync();
    assert!(position.is_some_and(|at| at <= bench.core.durable()));
    assert_eq!(bench.power_cut(0).stats("q").messages(), 0);
}

#[test]
fn a_purge_drops_what_waits_for_good() {
    let mut bench = Bench::default();
    let queue = bench.queue("q", &[]);
    bench.publish("", "q", "x");
    bench.publish("", "q", "y");
    bench.consumer("q", 1, credit(1));
    bench.take("q", 1, 1);
    assert_eq!(bench.core.purge_queue(bench.now(), &queue).0, 1);
    bench.sync();
    assert_eq!(bench.power_cut(0).holds("q"), ["x"]);
}

#[test]
fn an_unused_queue_goes_after_its_time() {
    let mut bench = Bench::default();
    bench.queue("q", &[("x-expires", Value::Int(100))]);
    bench.pass(60);
    bench.queue("q", &[("x-expires", Value::Int(100))]);
    bench.pass(99);
    bench.named("q");
    bench.pass(2);
    assert!(bench.core.queues(bench.core.vhost()).is_empty());
}

#[test]
fn a_policy_governs_until_it_lets_go() {
    let mut bench = Bench::default();
    let queue = bench.queue("q", &[("x-max-length", Value::Int(3))]);
    bench.core.govern_queue(bench.now(), &queue, &[("max-length".into(), Value::Int(1))]).unwrap();
    for text in ["a", "b"] {
        bench.publish("", "q", text);
    }
    assert_eq!(bench.holds("q"), ["b"]);
    assert!(bench.core.govern_queue(bench.now(), &queue, &[("max-length".into(), text("x"))]).is_err());
    bench.core.govern_queue(bench.now(), &queue, &[]).unwrap();
    assert_eq!(queue.config().max_messages, Some(3));
}

#[test]
fn vhosts_are_spaces_of_their_own_and_survive() {
    let bench = Bench::default();
    let (other, position) = bench.core.create_vhost("other").unwrap();
    assert!(position.0 > 0 && bench.core.create_vhost("").is_err());
    let declaration = QueueDeclaration { durable: true, ..QueueDeclaration::default() };
    let declared = bench.core.declare_queue(bench.now(), &other, b"q", declaration, 1).unwrap();
    bench.core.bind_queue(bench.now(), &other, b"amq.fanout", &declared.queue, b"", Arguments::default()).unwrap();
    assert!(bench.core.find_queue(bench.core.vhost(), b"q").is_none());
    bench.sync();
    let bench = bench.power_cut(0);
    let other = bench.core.find_vhost("other").expect("it survived");
    assert_eq!((bench.core.queues(&other).len(), bench.core.bindings(&other).len()), (1, 1));
    assert_eq!(bench.core.delete_vhost(bench.now(), "/").unwrap_err(), VhostError::Root);
    bench.core.delete_vhost(bench.now(), "other").unwrap();
    assert!(other.is_deleted() && bench.core.find_vhost("other").is_none());
    bench.sync();
    assert_eq!(bench.power_cut(0).core.vhosts().len(), 1);
}
