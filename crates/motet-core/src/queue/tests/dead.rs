//! Messages that leave by the back door.

use super::*;

#[test]
fn a_dead_letter_moves_in_one_batch() {
    let mut bench = with(|config| config.dead_letter = true);
    bench.put(NewEntry { persistent: true, ..message(1) });
    bench.queue.placed(1, 900);
    bench.consumer(1, None);
    bench.take(1, 1);
    bench.effects();
    bench.nack(1, 1, Nack::Reject);
    let letter = DeadLetter {
        seq: Some(1),
        body: Body::Resident(1),
        reason: DeadReason::Rejected,
        bytes: 10,
        delivery_count: 0,
        persistent: true,
    };
    assert_eq!(bench.effects(), [Effect::DeadLetter(letter)]);
    assert_eq!((bench.queue.stats().moving, bench.queue.stats().messages()), (1, 1));
    bench.queue.moved(1, &mut bench.fx);
    bench.queue.moved(1, &mut bench.fx); // harmless
    assert!(bench.effects().is_empty(), "the caller's batch settled it");
    assert_eq!(bench.queue.stats().messages(), 0);
}

#[test]
fn without_a_dead_letter_target_the_message_is_dropped() {
    let mut bench = with(|_| ());
    bench.put(NewEntry { persistent: true, ..message(1) });
    bench.consumer(1, None);
    bench.take(1, 1);
    bench.effects();
    bench.nack(1, 1, Nack::Reject);
    assert_eq!(bench.effects(), [Effect::Settled { seq: 1, locator: None }]);
    assert_eq!(bench.queue.stats().dropped_total, 1);
}
