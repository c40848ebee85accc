//! The core: names in every spelling, and messages as they are stored.

use super::script::Script;
use motet_core::core::{Core, CoreLimits, Recovery};
use motet_core::engine::{Engine, ObjectId, Stage, StagedBody};
use motet_core::fake::FakeEngine;
use motet_core::message::{MessageRef, decode_stored, encode_stored_head};
use motet_core::name::Name;
use motet_core::spelling::{amqp, mqtt, nats};
use motet_core::time::{Instant, Now, WallMillis};
use std::time::Duration;

/// A spelling that decodes comes back as it was, and crosses every other face and back.
///
/// # Panics
/// If it doesn't.
pub fn names(data: &[u8]) {
    if let Ok(topic) = std::str::from_utf8(data) {
        if let Ok(name) = mqtt::decode_name(topic) {
            let mut back = Vec::new();
            if mqtt::encode_name(&name, &mut back).is_ok() {
                assert_eq!(back, data, "a topic comes back as it was");
            }
            crosses(&name);
        }
        if let Ok(pattern) = mqtt::decode_pattern(topic) {
            let mut back = Vec::new();
            if mqtt::encode_pattern(&pattern, &mut back).is_ok() {
                let again = std::str::from_utf8(&back).expect("a filter is UTF-8");
                assert_eq!(mqtt::decode_pattern(again).ok(), Some(pattern), "a filter means what it meant");
            }
        }
    }
    if let Ok(name) = amqp::decode_name(data) {
        crosses(&name);
    }
    if let Ok(name) = nats::decode_name(data) {
        crosses(&name);
    }
    let _ = (amqp::decode_pattern(data), nats::decode_pattern(data));
}

/// Every face that can hold the name gives the same name back.
fn crosses(name: &Name) {
    let mut spelled = Vec::new();
    if mqtt::encode_name(name, &mut spelled).is_ok() {
        let topic = std::str::from_utf8(&spelled).expect("a topic is UTF-8");
        assert_eq!(mqtt::decode_name(topic).as_ref(), Ok(name));
    }
    spelled.clear();
    amqp::encode_name(name, &mut spelled);
    assert_eq!(amqp::decode_name(&spelled).as_ref(), Ok(name));
    spelled.clear();
    if nats::encode_name(name, &mut spelled).is_ok() {
        assert_eq!(nats::decode_name(&spelled).as_ref(), Ok(name));
    }
}

/// A stored message is read or refused; what is read is stored in a form that reads the same.
///
/// # Panics
/// If it isn't.
pub fn stored_message(data: &[u8]) {
    let Ok(message) = decode_stored(data) else { return };
    let stored = store(&message);
    let again = decode_stored(&stored).expect("what we store can be read");
    assert_eq!(stored, store(&again));
    assert_eq!((message.address(), message.payload()), (again.address(), again.payload()));
}

fn store(message: &MessageRef) -> Vec<u8> {
    let mut stored = Vec::new();
    encode_stored_head(message, &mut stored);
    stored.extend_from_slice(message.payload());
    stored
}

/// The core's own objects, and some of those that belong to sessions and queues.
const OBJECTS: [u64; 9] = [1, 2, 3, 4, 5, 16, 17, 18, 19];

/// A start makes something of any records, whatever is in them, and can start again from what it made of them.
pub fn core_records(data: &[u8]) {
    let engine = FakeEngine::default();
    let mut script = Script(data);
    let mut stage = engine.stage_release();
    for seq in 1.. {
        if script.is_over() {
            break;
        }
        let object = ObjectId(script.pick(&OBJECTS));
        let (is_entry, first, second) = (script.yes(), script.bytes(), script.bytes());
        if is_entry {
            stage.enqueue(object, seq, first, StagedBody::Inline(&[second]));
        } else {
            // A key is written once: who writes it again has to name the place of the one before.
            stage.put(object, &[first, &[seq as u8]].concat(), second, None);
        }
        if seq == 200 {
            break;
        }
    }
    stage.finish();
    let mut now = Now { instant: Instant::from_nanos(1), wall: WallMillis(1_000_000) };
    let mut engine = engine;
    for _ in 0..2 {
        engine = FakeEngine::over(engine.power_cut(usize::MAX), Default::default(), 0);
        let core = Core::new(engine.clone(), CoreLimits::default());
        let mut recovery = Recovery::new();
        engine.replay(&mut recovery);
        core.recover(now, recovery);
        for _ in 0..3 {
            now = Now { instant: now.instant + Duration::from_secs(90), wall: now.wall.after(Duration::from_secs(90)) };
            core.on_time(now);
            for completion in engine.step() {
                core.complete(completion);
            }
        }
        let mut names = Vec::new();
        core.for_each_session(|session| names.push(session.client));
        for vhost in core.vhosts() {
            for name in &names {
                core.remove_session_of(now, &vhost, name);
            }
        }
    }
}
