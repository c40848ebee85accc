//! What is told of declarations to whoever keeps a record of them.

use super::bench::*;
use crate::v091::packet::{exchange, queue};
use std::sync::{Arc, Mutex};

fn heard(bench: &Bench) -> Arc<Mutex<Vec<String>>> {
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let hears = heard.clone();
    bench.core.deeds().report_to(move |deed| {
        let line = format!("{} {} {:?} by {} in {}", deed.action, deed.what, deed.outcome, deed.user, deed.vhost);
        hears.lock().unwrap().push(line);
    });
    heard
}

#[test]
fn what_a_client_makes_and_removes_is_told_once() {
    let mut bench = Bench::new();
    let heard = heard(&bench);
    let mut peer = bench.join();
    for _ in 0..2 {
        bench.declare(&mut peer, "q", true);
        bench.say(&mut peer, 1, &exchange_declaration("x", "fanout"));
        bench.bind(&mut peer, "q", "x", "k");
    }
    bench.say(&mut peer, 1, &queue::Declare { passive: true, ..declaration("q") });
    bench.say(&mut peer, 1, &queue::Purge { reserved_1: Default::default(), queue: "", no_wait: false });
    let delete = exchange::Delete { reserved_1: Default::default(), exchange: "x", if_unused: true, no_wait: false };
    bench.say(&mut peer, 1, &delete);
    let lines = heard.lock().unwrap();
    assert_eq!(
        lines[..],
        [
            "queue.declare q Done by guest in /",
            "exchange.declare x Done by guest in /",
            "queue.bind x -> q (k) Done by guest in /",
            "queue.purge q Done by guest in /",
            "exchange.delete x Failed by guest in /",
        ]
    );
}
