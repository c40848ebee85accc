//! Who gets which message, and when they are woken.

use super::*;

#[test]
fn competing_consumers_are_served_round_robin() {
    let mut bench = with(|_| ());
    for id in 1..=3 {
        bench.consumer(id, None);
    }
    bench.fill(7);
    assert_eq!(bench.woken(), [1, 2, 3], "each once, when it turned from idle to allotted");
    assert_eq!(bench.take(2, 2), [1, 2]);
    assert_eq!(bench.take(1, 3), [3, 4, 5]);
    assert_eq!(bench.take(3, 9), [6, 7]);
}

#[test]
fn an_idle_consumer_is_woken_once_until_it_has_taken() {
    let mut bench = with(|_| ());
    bench.consumer(1, None);
    bench.fill(3);
    assert_eq!(bench.woken(), [1]);
    let mut out = Vec::new();
    let first = bench.queue.take(0, ConsumerId(1), 2, usize::MAX, &mut out, &mut bench.fx);
    assert_eq!(first, Taking { taken: 2, more: true, ..Taking::default() });
    let second = bench.queue.take(0, ConsumerId(1), 2, usize::MAX, &mut out, &mut bench.fx);
    assert_eq!(second, Taking { taken: 1, more: false, ..Taking::default() });
    assert!(bench.woken().is_empty());
    bench.fill(1);
    assert_eq!(bench.woken(), [1]);
}

#[test]
fn prefetch_bounds_what_a_consumer_holds_and_each_ack_frees_one() {
    let mut bench = with(|_| ());
    bench.fill(10);
    bench.consumer(1, Some(3));
    assert_eq!(bench.take(1, 99), [1, 2, 3]);
    assert!(bench.take(1, 99).is_empty());
    bench.effects();
    bench.ack(1, 2);
    assert_eq!(bench.woken(), [1]);
    assert_eq!(bench.take(1, 99), [4]);
    bench.queue.set_credit(ConsumerId(1), Some(5), &mut bench.fx);
    assert_eq!(bench.take(1, 99), [5, 6]);
    bench.queue.set_credit(ConsumerId(1), Some(0), &mut bench.fx);
    bench.ack(1, 1);
    assert!(bench.take(1, 99).is_empty());
}

#[test]
fn a_byte_bound_stops_a_turn_but_never_all_progress() {
    let mut bench = with(|_| ());
    bench.fill(5);
    bench.consumer(1, None);
    let mut out = Vec::new();
    assert_eq!(
        bench.queue.take(0, ConsumerId(1), 9, 25, &mut out, &mut bench.fx),
        Taking { taken: 2, more: true, ..Taking::default() }
    );
    assert_eq!(
        bench.queue.take(0, ConsumerId(1), 9, 1, &mut out, &mut bench.fx),
        Taking { taken: 1, more: true, ..Taking::default() }
    );
}

#[test]
fn the_allotment_of_a_consumer_that_leaves_or_pauses_goes_to_the_others() {
    let mut bench = with(|_| ());
    for id in 1..=3 {
        bench.consumer(id, Some(10));
    }
    bench.fill(6);
    bench.effects();
    bench.queue.remove_consumer(0, ConsumerId(1), None, &mut bench.fx);
    bench.queue.pause(ConsumerId(2), &mut bench.fx);
    assert!(bench.take(2, 99).is_empty());
    assert_eq!(bench.take(3, 99), [1, 2, 3, 4, 5, 6]);
    bench.fill(5);
    bench.queue.resume(ConsumerId(2), &mut bench.fx);
    assert_eq!(bench.take(2, 99), [7], "an allotment is a count: one message, and whoever comes first takes the head");
    assert_eq!(bench.take(3, 99), [8, 9, 10, 11]);
}

#[test]
fn a_higher_consumer_priority_is_served_first_while_it_has_credit() {
    let mut bench = with(|_| ());
    bench.consumer(1, None);
    let high = ConsumerOptions { credit: Some(2), priority: 10, ..options() };
    bench.queue.add_consumer(ConsumerId(2), high, &mut bench.fx).unwrap();
    bench.fill(3);
    assert_eq!(bench.woken(), [2, 1]);
    assert_eq!((bench.take(2, 99), bench.take(1, 99)), (vec![1, 2], vec![3]));
    bench.ack(2, 1);
    bench.fill(2);
    assert_eq!((bench.take(2, 99), bench.take(1, 99)), (vec![4], vec![5]));
}

#[test]
fn an_exclusive_consumer_stands_alone() {
    let mut bench = with(|_| ());
    let exclusive = ConsumerOptions { exclusive: true, ..options() };
    let add = |bench: &mut Bench, id, options| bench.queue.add_consumer(ConsumerId(id), options, &mut bench.fx);
    assert_eq!(add(&mut bench, 1, exclusive), Ok(()));
    assert_eq!(add(&mut bench, 2, options()), Err(ConsumeError::ExclusivelyUsed));
    assert_eq!(add(&mut bench, 1, options()), Err(ConsumeError::Exists));
    bench.queue.remove_consumer(0, ConsumerId(1), None, &mut bench.fx);
    assert_eq!(add(&mut bench, 2, options()), Ok(()));
    assert_eq!(add(&mut bench, 3, exclusive), Err(ConsumeError::InUse));
    assert_eq!(bench.queue.consumer_count(), 1);
}

#[test]
fn the_single_active_consumer_hands_over_when_it_leaves() {
    let mut bench = with(|config| config.single_active_consumer = true);
    for (id, priority) in [(1, 0), (2, 0), (3, 5)] {
        let options = ConsumerOptions { priority, credit: Some(2), ..options() };
        bench.queue.add_consumer(ConsumerId(id), options, &mut bench.fx).unwrap();
    }
    bench.fill(4);
    assert_eq!(bench.effects(), [Effect::Activated(ConsumerId(1)), Effect::Wake(ConsumerId(1))]);
    assert_eq!(bench.take(1, 99), [1, 2]);
    assert!(bench.take(2, 99).is_empty() && bench.take(3, 99).is_empty());
    bench.queue.remove_consumer(0, ConsumerId(1), Some(Leaving::Orderly), &mut bench.fx);
    assert_eq!(bench.effects(), [Effect::Activated(ConsumerId(3)), Effect::Wake(ConsumerId(3))]);
    assert_eq!(bench.take(3, 99), [1, 2]);
    bench.queue.remove_consumer(0, ConsumerId(3), Some(Leaving::Orderly), &mut bench.fx);
    assert_eq!(bench.queue.active_consumer(), Some(ConsumerId(2)));
    assert_eq!(bench.take(2, 99), [1, 2]);
}

#[test]
fn taking_is_settling_for_an_automatic_consumer() {
    let mut bench = with(|_| ());
    bench.put(NewEntry { persistent: true, ..message(1) });
    bench.queue.placed(1, 77);
    bench
        .queue
        .add_consumer(ConsumerId(1), ConsumerOptions { ack: AckMode::Auto, ..options() }, &mut bench.fx)
        .unwrap();
    bench.effects();
    assert_eq!(bench.take(1, 9), [1]);
    assert_eq!(bench.effects(), [Effect::Settled { seq: 1, locator: Some(77) }]);
    assert_eq!(bench.queue.stats().messages(), 0);
}

#[test]
fn a_fetch_takes_the_head_whatever_the_credit_and_is_no_consumer() {
    let mut bench = with(|_| ());
    bench.fill(3);
    let fetch = ConsumerOptions { fetch_only: true, ..options() };
    bench.queue.add_consumer(ConsumerId(9), fetch, &mut bench.fx).unwrap();
    bench.consumer(1, None);
    assert_eq!(bench.queue.consumer_count(), 1);
    assert_eq!(bench.queue.get(0, ConsumerId(9), &mut bench.fx).unwrap().seq, 1);
    assert_eq!(bench.take(1, 9), [2, 3], "the allotment of three finds two");
    assert!(bench.queue.get(0, ConsumerId(9), &mut bench.fx).is_none());
    bench.ack(9, 1);
}
