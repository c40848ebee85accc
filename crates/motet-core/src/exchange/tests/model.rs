//! The index against the plainest matcher there is.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::spelling::amqp;

const QUEUES: [&str; 4] = ["a", "b", "c", "d"];

fn words(alphabet: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(alphabet), 1..5).prop_map(|words| words.join("."))
}

proptest! {
    #[test]
    fn a_topic_exchange_agrees_with_its_list_of_bindings_while_they_come_and_go(
        steps in prop::collection::vec((any::<bool>(), 0..4_usize, words(&["x", "y", "*", "#"])), 1..40),
        keys in prop::collection::vec(words(&["x", "y", "z"]), 1..8),
    ) {
        let mut topology = with_queues(&QUEUES);
        declare(&mut topology, "t", ExchangeKind::Topic);
        let mut bindings = BTreeSet::new();
        for (is_bind, queue, key) in steps {
            let name = QUEUES[queue].as_bytes();
            let changed = if is_bind {
                topology.bind_queue(b"t", name, key.as_bytes(), Arguments::default()).unwrap().changed
            } else {
                let none = Arguments::default();
                topology.unbind_queue(b"t", name, key.as_bytes(), &none, &mut Vec::new()).unwrap()
            };
            let expected =
                if is_bind { bindings.insert((queue, key)) } else { bindings.remove(&(queue, key)) };
            prop_assert_eq!(changed, expected);
        }
        for key in keys {
            let name = amqp::decode_name(key.as_bytes()).unwrap();
            let matches =
                |binding: &&(usize, String)| amqp::decode_pattern(binding.1.as_bytes()).unwrap().matches(&name);
            let expected: BTreeSet<&str> =
                bindings.iter().filter(matches).map(|(queue, _)| QUEUES[*queue]).collect();
            prop_assert_eq!(sent(&topology, "t", &key), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
