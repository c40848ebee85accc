//! The tree against a plain list and the reference matcher.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::spelling::{amqp, mqtt};

type TestTree = Tree<u32, &'static str, u32>;

fn name(topic: &str) -> Name {
    mqtt::decode_name(topic).unwrap()
}

fn filter(filter: &str) -> Pattern {
    mqtt::decode_pattern(filter).unwrap()
}

fn matching<V, R>(tree: &Tree<u32, V, R>, name: &Name) -> Vec<u32> {
    let mut keys = Vec::new();
    tree.for_each_match(name, |&key, _| keys.push(key));
    keys.sort_unstable();
    keys
}

/// All retained values a pattern finds, in pages of `limit`.
fn all_pages<K, V>(tree: &Tree<K, V, u32>, pattern: &Pattern, limit: usize) -> Vec<(Name, u32)> {
    let mut found = Vec::new();
    let mut cursor = None;
    loop {
        let before = found.len();
        cursor = tree.retained_after(pattern, cursor.as_ref(), limit, |name, &value| found.push((name.clone(), value)));
        assert!(found.len() - before <= limit);
        if cursor.is_none() {
            return found;
        }
    }
}

/// Subscribes 0, 1, 2, ... to `filters` and says who receives `topic`.
fn check(filters: &[&str], topic: &str, receivers: &[u32]) {
    let mut tree = TestTree::new();
    for (key, text) in filters.iter().enumerate() {
        tree.insert(&filter(text), key as u32, "");
    }
    assert_eq!(matching(&tree, &name(topic)), receivers, "{filters:?} {topic}");
}

#[test]
fn filters_receive_what_the_specification_says() {
    check(&["a/b", "a/+", "a/#", "#", "+", "+/+", "a/b/#", "b"], "a/b", &[0, 1, 2, 3, 5, 6]);
    check(&["a/#", "a", "+", "a/+"], "a", &[0, 1, 2]);
    check(&["#", "+/a", "$SYS/#", "$SYS/+", "+/#"], "$SYS/a", &[2, 3]);
    check(&["+", "/+", "+/+", "#", "/#"], "/a", &[1, 2, 3, 4]);
}

#[test]
fn a_subscription_is_shown_once_however_many_ways_lead_to_it() {
    let mut tree = TestTree::new();
    for (key, text) in ["#.a.#", "#.#", "#.#.a", "#.*.#.a", "#.a.#.a.#"].iter().enumerate() {
        tree.insert(&amqp::decode_pattern(text.as_bytes()).unwrap(), key as u32, "");
    }
    assert_eq!(matching(&tree, &name("a/a/a/a")), [0, 1, 2, 3, 4]);
    assert_eq!(matching(&tree, &name("a")), [0, 1, 2]);
    assert_eq!(matching(&tree, &name("$a/a")), []);
}

#[test]
fn a_second_insert_replaces_the_value() {
    let mut tree = TestTree::new();
    assert_eq!(tree.insert(&filter("a/#"), 1, "first"), None);
    assert_eq!(tree.insert(&filter("a/#"), 1, "second"), Some("first"));
    assert_eq!(tree.subscriptions(), 1);
    assert_eq!(tree.get(&filter("a/#"), &1), Some(&"second"));
    assert_eq!(tree.get(&filter("a"), &1), None);
    assert_eq!(tree.remove(&filter("a/#"), &1), Some("second"));
    assert_eq!(tree.remove(&filter("a/#"), &1), None);
}

#[test]
fn nothing_is_left_when_all_is_removed() {
    let mut tree = TestTree::new();
    let patterns: Vec<_> =
        ["#", "a.#.b", "a.*.b", "a.b", "*.#", ""].map(|text| amqp::decode_pattern(text.as_bytes()).unwrap()).into();
    for pattern in &patterns {
        tree.insert(pattern, 1, "");
    }
    tree.set_retained(&name("a/b"), 1);
    tree.set_retained(&name("a/b/c/d"), 2);
    assert_eq!((tree.subscriptions(), tree.retained()), (6, 2));
    for pattern in &patterns {
        assert_eq!(tree.remove(pattern, &1), Some(""));
    }
    assert_eq!(tree.nodes(), 4);
    assert_eq!(tree.remove_retained(&name("a/b/c")), None);
    assert_eq!(tree.remove_retained(&name("a/b/c/d")), Some(2));
    assert_eq!(tree.nodes(), 2);
    assert_eq!(tree.remove_retained(&name("a/b")), Some(1));
    assert_eq!((tree.subscriptions(), tree.retained(), tree.nodes()), (0, 0, 0));
}

#[test]
fn names_as_deep_as_can_be_are_walked_and_dropped() {
    let deep = Name::from_segments(vec![""; 65_536]).unwrap();
    let mut tree = TestTree::new();
    tree.set_retained(&deep, 7);
    tree.insert(&Pattern::from_name(&deep), 1, "");
    tree.insert(&filter(&"+/".repeat(32_000)), 2, "");
    tree.insert(&filter("/#"), 3, "");
    tree.insert(&amqp::decode_pattern(b"#.*.#.").unwrap(), 4, "");
    assert_eq!(matching(&tree, &deep), [1, 3, 4]);
    assert_eq!(matching(&tree, &name(&"/".repeat(32_000))), [2, 3, 4]);
    assert_eq!(all_pages(&tree, &amqp::decode_pattern(b"#.").unwrap(), 10), [(deep.clone(), 7)]);
    assert_eq!(tree.remove(&Pattern::from_name(&deep), &1), Some(""));
    assert_eq!(tree.remove_retained(&deep), Some(7));
    assert!(tree.nodes() < 32_100);
}

#[test]
fn ten_thousand_keys_share_a_pattern_cheaply() {
    let mut tree = TestTree::new();
    for key in 0..10_000 {
        tree.insert(&filter("a/+"), key, "");
    }
    assert_eq!(matching(&tree, &name("a/b")).len(), 10_000);
    for key in (0..10_000).step_by(2).chain((1..10_000).step_by(2).rev()) {
        assert_eq!(tree.remove(&filter("a/+"), &key), Some(""));
    }
    assert_eq!((tree.subscriptions(), tree.nodes()), (0, 0));
}

#[test]
fn a_hundred_thousand_retained_values_come_in_pages_and_in_order() {
    let mut tree = Tree::<u32, (), u32>::new();
    for index in 0..100_000 {
        tree.set_retained(&name(&format!("site/{index}/temp")), index);
    }
    assert_eq!(tree.retained(), 100_000);
    let found = all_pages(&tree, &filter("site/+/temp"), 1_000);
    assert_eq!(found.len(), 100_000);
    assert!(found.is_sorted_by(|a, b| a.0.segments().lt(b.0.segments())));
    // Finds one value by looking at few nodes, not at all of them.
    let mut shown = 0;
    assert_eq!(tree.retained_after(&filter("site/77777/#"), None, 10, |_, _| shown += 1), None);
    assert_eq!(shown, 1);
}

#[test]
fn a_pattern_that_finds_nothing_gives_way_after_a_bounded_page() {
    let mut tree = Tree::<u32, (), u32>::new();
    for index in 0..10_000 {
        tree.set_retained(&name(&format!("{index}/a")), index);
    }
    let mut pages = 0;
    let mut cursor = None;
    loop {
        cursor = tree.retained_after(&filter("+/b"), cursor.as_ref(), 10, |_, _| panic!("nothing matches"));
        pages += 1;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(pages, 10_000 / VISITS_PER_PAGE_MAX + 1);
}

#[test]
fn a_cursor_survives_the_removal_of_what_it_names() {
    let mut tree = TestTree::new();
    for (value, topic) in ["a", "a/b", "a/b/c", "a/d", "b"].iter().enumerate() {
        tree.set_retained(&name(topic), value as u32);
    }
    let mut found = Vec::new();
    let cursor = tree.retained_after(&filter("#"), None, 2, |_, &value| found.push(value));
    assert_eq!((&found[..], &cursor), (&[0, 1][..], &Some(name("a/b"))));
    tree.remove_retained(&name("a/b"));
    tree.remove_retained(&name("a/b/c"));
    tree.set_retained(&name("a/a"), 8);
    tree.set_retained(&name("a/c"), 9);
    assert_eq!(tree.retained_after(&filter("#"), cursor.as_ref(), 9, |_, &value| found.push(value)), None);
    assert_eq!(found, [0, 1, 9, 3, 4]);
}

#[test]
fn reserved_trees_stay_out_of_wildcard_pages() {
    let mut tree = TestTree::new();
    tree.set_retained(&name("$SYS/a"), 1);
    tree.set_retained(&name("a"), 2);
    let values =
        |pattern| all_pages(&tree, &filter(pattern), 1).into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(values("#"), [2]);
    assert_eq!(values("+/a"), []);
    assert_eq!(values("$SYS/#"), [1]);
    let mut shown = 0;
    tree.retained_after(&filter("#"), Some(&name("$SYS")), 9, |_, _| shown += 1);
    assert_eq!(shown, 1, "a cursor does not open what the pattern leaves closed");
}

#[test]
fn a_node_is_small() {
    let bytes = size_of::<Node<u64, u64, std::sync::Arc<()>>>() + size_of::<(children::Segment, NodeId)>();
    assert!(bytes <= 80, "{bytes}");
}

#[derive(Debug, Clone)]
enum Change {
    Insert(Pattern, u32),
    Remove(Pattern, u32),
    Retain(Name),
    Forget(Name),
}

fn any_name() -> impl Strategy<Value = Name> {
    vec(select(vec!["a", "b", "", "$s", "c", "d", "e", "f", "g", "h"]), 1..5)
        .prop_map(|list| Name::from_segments(list).unwrap())
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    vec(select(vec!["a", "b", "c", "", "$s", "*", "*", "#", "#"]), 1..6)
        .prop_map(|list| amqp::decode_pattern(list.join(".").as_bytes()).unwrap())
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        4 => (any_pattern(), 0..3_u32).prop_map(|(pattern, key)| Change::Insert(pattern, key)),
        2 => (any_pattern(), 0..3_u32).prop_map(|(pattern, key)| Change::Remove(pattern, key)),
        4 => any_name().prop_map(Change::Retain),
        2 => any_name().prop_map(Change::Forget),
    ]
}

/// A list of what the tree should hold. Retained names are kept as segment lists, whose order is the walk's.
#[derive(Default)]
struct Model {
    subscriptions: BTreeMap<(Pattern, u32), u32>,
    retained: BTreeMap<Vec<Vec<u8>>, (Name, u32)>,
}

impl Model {
    fn apply(&mut self, tree: &mut Tree<u32, u32, u32>, step: u32, change: Change) {
        let listed = |name: &Name| name.segments().map(<[u8]>::to_vec).collect::<Vec<_>>();
        match change {
            Change::Insert(pattern, key) => {
                assert_eq!(tree.insert(&pattern, key, step), self.subscriptions.insert((pattern, key), step));
            }
            Change::Remove(pattern, key) => {
                assert_eq!(tree.remove(&pattern, &key), self.subscriptions.remove(&(pattern, key)));
            }
            Change::Retain(name) => {
                let before = self.retained.insert(listed(&name), (name.clone(), step));
                assert_eq!(tree.set_retained(&name, step), before.map(|(_, value)| value));
            }
            Change::Forget(name) => {
                let before = self.retained.remove(&listed(&name));
                assert_eq!(tree.remove_retained(&name), before.map(|(_, value)| value));
            }
        }
    }

    fn matching(&self, name: &Name) -> Vec<(u32, u32)> {
        let matched = self.subscriptions.iter().filter(|((pattern, _), _)| pattern.matches(name));
        let mut matched: Vec<_> = matched.map(|((_, key), &value)| (*key, value)).collect();
        matched.sort_unstable();
        matched
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn the_tree_agrees_with_a_plain_list(
        changes in vec(any_change(), 1..60),
        names in vec(any_name(), 1..8),
        patterns in vec(any_pattern(), 1..8),
        limit in 1..5_usize,
    ) {
        let mut tree = Tree::new();
        let mut model = Model::default();
        for (step, change) in changes.into_iter().enumerate() {
            model.apply(&mut tree, step as u32, change);
        }
        prop_assert_eq!(tree.subscriptions(), model.subscriptions.len());
        prop_assert_eq!(tree.retained(), model.retained.len());
        for name in &names {
            let mut matched = Vec::new();
            tree.for_each_match(name, |&key, &value| matched.push((key, value)));
            matched.sort_unstable();
            prop_assert_eq!(matched, model.matching(name));
        }
        for pattern in &patterns {
            let expected: Vec<_> = model.retained.values().filter(|(name, _)| pattern.matches(name)).cloned().collect();
            prop_assert_eq!(all_pages(&tree, pattern, limit), expected);
        }
        for (pattern, key) in model.subscriptions.keys() {
            prop_assert!(tree.remove(pattern, key).is_some());
        }
        for (name, value) in model.retained.values() {
            prop_assert_eq!(tree.get_retained(name), Some(value));
            prop_assert!(tree.remove_retained(name).is_some());
        }
        prop_assert_eq!((tree.nodes(), tree.subscriptions(), tree.retained()), (0, 0, 0));
    }

    #[test]
    fn pages_show_what_stays_exactly_once_while_the_tree_changes(
        stays in vec(any_name(), 1..12),
        comes_and_goes in vec((any_name(), any::<bool>()), 1..30),
        pattern in any_pattern(),
    ) {
        let mut tree = Tree::<u32, (), u32>::new();
        for name in &stays {
            tree.set_retained(name, 1);
        }
        let mut shown: Vec<Name> = Vec::new();
        let mut cursor = None;
        let mut changes = comes_and_goes.iter().filter(|(name, _)| !stays.contains(name));
        loop {
            cursor = tree.retained_after(&pattern, cursor.as_ref(), 1, |name, _| shown.push(name.clone()));
            match changes.next() {
                Some((name, true)) => drop(tree.set_retained(name, 2)),
                Some((name, false)) => drop(tree.remove_retained(name)),
                None => {}
            }
            if cursor.is_none() {
                break;
            }
        }
        prop_assert!(shown.is_sorted_by(|a, b| a.segments().lt(b.segments())));
        for name in stays.iter().filter(|name| pattern.matches(name)) {
            prop_assert!(shown.contains(name), "{:?} is missing", name);
        }
    }
}
