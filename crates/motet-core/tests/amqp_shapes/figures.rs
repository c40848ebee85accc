//! What is counted for operators.

use crate::bench::{Bench, credit};
use motet_core::core::broker::Got;
use motet_core::exchange::ExchangeKind;
use motet_core::queue::{AckMode, ConsumerOptions, Departures};
use motet_core::traffic::ExchangeFigures;

fn exchange(bench: &Bench, name: &str) -> ExchangeFigures {
    bench.core.vhost().topology().exchange_books(name.as_bytes()).unwrap().figures()
}

#[test]
fn an_exchange_counts_what_is_published_to_it_and_how_often_that_goes_on() {
    let mut bench = Bench::default();
    bench.exchange("x", ExchangeKind::Fanout);
    for queue in ["one", "two"] {
        bench.queue(queue, &[]);
        bench.bind("x", queue, "");
    }
    bench.publish("x", "", "to both");
    bench.publish("", "one", "to one");
    bench.publish("", "nobody", "to nobody");
    let figures = |published_in, published_out, unroutable| ExchangeFigures { published_in, published_out, unroutable };
    assert_eq!(exchange(&bench, "x"), figures(1, 2, 0));
    assert_eq!(exchange(&bench, ""), figures(2, 1, 1));
}

#[test]
fn what_is_deleted_still_counts_in_its_vhost() {
    let mut bench = Bench::default();
    bench.exchange("x", ExchangeKind::Fanout);
    let queue = bench.queue("q", &[]);
    bench.bind("x", "q", "");
    bench.publish("x", "", "a");
    bench.core.delete_exchange(bench.core.vhost(), b"x", false).unwrap();
    bench.core.delete_queue(bench.now(), &queue, false, false).unwrap();
    let past = bench.core.vhost().books().past();
    assert_eq!((past.exchanges.published_in, past.exchanges.published_out, past.enqueued), (1, 1, 1));
}

#[test]
fn each_way_out_of_a_queue_has_its_own_figure() {
    let mut bench = Bench::default();
    let queue = bench.queue("q", &[]);
    for n in 0..6 {
        bench.publish("", "q", &n.to_string());
    }
    let fetch_only = ConsumerOptions { fetch_only: true, ..ConsumerOptions::default() };
    bench.consumer("q", 1, fetch_only);
    bench.consumer("q", 2, ConsumerOptions { ack: AckMode::Auto, ..fetch_only });
    for number in [1, 2, 2] {
        let id = bench.id("q", number);
        assert!(matches!(bench.core.get(bench.now(), &queue, id), Got::Message(..)));
    }
    bench.consumer("q", 3, credit(1));
    assert_eq!(bench.texts("q", 3, 9).len(), 1);
    bench.leave("q", 3);
    bench.consumer("q", 4, ConsumerOptions { ack: AckMode::Auto, ..ConsumerOptions::default() });
    assert_eq!(bench.texts("q", 4, 9).len(), 3);
    let id = bench.id("q", 1);
    assert!(matches!(bench.core.get(bench.now(), &queue, id), Got::Empty));
    let (stats, departures) = queue.figures();
    assert_eq!(departures, Departures { delivered_settled: 3, fetched: 1, fetched_settled: 2, fetched_nothing: 1 });
    assert_eq!((stats.delivered_total, stats.acked_total, stats.redelivered_total), (7, 5, 1));
}
