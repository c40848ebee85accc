use super::*;
use crate::core::{Core, CoreLimits};
use crate::engine::{Stage, StagedBody};

const QUEUE: ObjectId = ObjectId(20);

fn enqueue(engine: &FakeEngine, seq: u64, body: &[u8]) -> Locator {
    let mut stage = engine.stage().expect("room");
    let at = stage.enqueue(QUEUE, seq, b"head", StagedBody::Inline(&[body]));
    stage.finish();
    at
}

fn seqs(engine: &FakeEngine) -> Vec<u64> {
    engine.state.lock().living.objects.get(&QUEUE).map_or(Vec::new(), |o| o.entries.keys().copied().collect())
}

#[test]
fn a_power_cut_keeps_a_prefix_of_whole_groups() {
    let engine = FakeEngine::default();
    enqueue(&engine, 1, b"one");
    engine.step();
    enqueue(&engine, 2, b"two");
    enqueue(&engine, 3, b"three");
    assert_eq!(engine.pending_groups(), 2);
    for (keep, expected) in [(0, &[1][..]), (1, &[1, 2]), (9, &[1, 2, 3])] {
        let again = FakeEngine::over(engine.power_cut(keep), Plan::default(), 0);
        assert_eq!(seqs(&again), expected, "kept {keep}");
    }
}

#[test]
fn after_a_power_cut_the_old_core_talks_to_nobody() {
    let old = FakeEngine::default();
    enqueue(&old, 1, b"one");
    old.step();
    let new = FakeEngine::over(old.power_cut(0), Plan::default(), 0);
    assert!(old.stage().is_err());
    old.stage_release().drop_object(QUEUE);
    assert!(old.step().is_empty());
    assert_eq!(seqs(&new), [1]);
}

#[test]
fn a_read_brings_the_length_of_the_head_the_head_and_the_stored_message() {
    let engine = FakeEngine::default();
    let at = enqueue(&engine, 1, b"body");
    engine.read(QUEUE, vec![(1, at), (2, at)]);
    let read = engine.step().pop();
    let Some(Completion::Read { queue: QUEUE, entries }) = read else { panic!("{read:?}") };
    assert_eq!(entries, [(1, Some(Bytes::from_static(b"\x04\0headbody"))), (2, None)]);
}

#[test]
fn a_stall_refuses_and_ends() {
    let engine = FakeEngine::default();
    engine.set_stalled(true);
    assert!(engine.stage().is_err());
    engine.stage_release().put(QUEUE, b"k", b"v", None);
    assert!(matches!(engine.step()[..], [Completion::Stalled]));
    engine.set_stalled(false);
    assert!(matches!(engine.step()[..], [Completion::Recovered, Completion::Durable(Position(1))]));
}

#[test]
fn object_ids_and_sequences_are_not_used_twice_after_a_crash() {
    let engine = FakeEngine::default();
    let id = engine.allot_object();
    let at = enqueue(&engine, 7, b"x");
    engine.stage_release().settle(QUEUE, 7, at);
    engine.step();
    let again = FakeEngine::over(engine.power_cut(0), Plan::default(), 0);
    assert!(again.allot_object() > id);
    let mut recovery = Recovery::new();
    again.replay(&mut recovery);
    assert_eq!(again.state.lock().living.objects[&QUEUE].entries.len(), 0);
    let core = Core::new(again, CoreLimits::default());
    assert_eq!(core.recover(Default::default(), recovery).garbage, 0, "a sequence alone is no garbage");
}

#[test]
fn a_moved_record_is_found_at_its_new_place() {
    let engine = FakeEngine::over(FakeLog::default(), Plan { moved_one_in: 1, ..Plan::default() }, 1);
    let at = enqueue(&engine, 1, b"x");
    let moved = engine.step().pop();
    let Some(Completion::Moved { object: QUEUE, what: MovedRecord::Entry(1), old, new }) = moved else {
        panic!("{moved:?}")
    };
    assert_eq!(old, at);
    engine.stage_release().settle(QUEUE, 1, new);
    assert!(seqs(&engine).is_empty());
}
