use super::*;
use crate::name::Name;
use crate::spelling::{amqp, mqtt};
use proptest::prelude::*;

fn template(filter: &str) -> Template {
    Template::new(&mqtt::decode_pattern(filter).unwrap()).unwrap()
}

fn ann() -> Principal {
    Principal::named("ann").on("phone")
}

fn covers(rule: &str, filter: &str) -> bool {
    let pattern = mqtt::decode_pattern(filter).unwrap();
    template(rule).covers(&ann(), &pattern.tokens().collect::<Asked<'_>>())
}

fn intersects(rule: &str, filter: &str) -> bool {
    let pattern = mqtt::decode_pattern(filter).unwrap();
    template(rule).intersects(&ann(), &pattern.tokens().collect::<Asked<'_>>())
}

fn fits(rule: &str, who: &Principal, topic: &str) -> bool {
    let name = mqtt::decode_name(topic).unwrap();
    template(rule).covers(who, &name.segments().map(Token::Literal).collect::<Asked<'_>>())
}

#[test]
fn a_filter_is_covered_only_as_a_whole() {
    for (rule, filter) in [
        ("#", "a/#"),
        ("#", "+"),
        ("a/#", "a"),
        ("a/#", "a/+/b"),
        ("a/+", "a/b"),
        ("a/+", "a/+"),
        ("+/b/#", "a/b"),
        ("a/%u/#", "a/ann/+"),
        ("a/x-%c-y", "a/x-phone-y"),
        ("$SYS/#", "$SYS/+/b"),
        ("+/#", "+/#"),
    ] {
        assert!(covers(rule, filter), "{rule} covers {filter}");
    }
    for (rule, filter) in [
        ("a/+", "a/#"),
        ("a/b", "a/+"),
        ("a/+/b", "a/#"),
        ("+", "#"),
        ("a", "a/#"),
        ("a/%u", "a/+"),
        ("a/%u", "a/bob"),
        ("#", "$SYS/#"),
        ("+/x", "$SYS/x"),
        ("$SYS/#", "#"),
        ("a/%c/#", "a/ann/b"),
    ] {
        assert!(!covers(rule, filter), "{rule} does not cover {filter}");
    }
}

#[test]
fn two_patterns_meet_where_a_name_is_among_both() {
    for (rule, filter) in
        [("a/secret/#", "a/#"), ("a/secret", "+/secret"), ("+/b", "a/+"), ("a/#", "#"), ("a/%u", "a/+"), ("a/#", "a")]
    {
        assert!(intersects(rule, filter), "{rule} meets {filter}");
    }
    for (rule, filter) in
        [("a/secret", "b/#"), ("a/b", "a/c"), ("$SYS/#", "#"), ("#", "$SYS/a"), ("a/%u", "a/bob"), ("a/+/b", "a/b")]
    {
        assert!(!intersects(rule, filter), "{rule} does not meet {filter}");
    }
}

#[test]
fn a_value_with_separators_or_wildcards_is_one_segment_and_nothing_else() {
    for name in ["a/b", "#", "+", "*", "a.b", "%2F"] {
        let who = Principal::named(name).on(name);
        assert!(!fits("home/%u/#", &who, "home/bob/door"), "{name}");
        assert!(!fits("home/%u", &who, "home/a/b"), "{name}");
        assert!(!fits("home/x%c", &who, "home/xbob"), "{name}");
    }
    // The segment that holds the separator itself is written with an escape.
    assert!(fits("home/%u", &Principal::named("a/b"), "home/a%2Fb"));
    assert!(fits("home/%u", &Principal::named("+"), "home/%2B"));
}

#[test]
fn an_empty_value_fits_nothing() {
    for rule in ["home/%u", "home/x%u", "home/%c", "%u/#"] {
        for topic in ["home/", "home/x", "home", "/a"] {
            assert!(!fits(rule, &Principal::anonymous(), topic), "{rule} {topic}");
        }
    }
}

#[test]
fn a_user_called_like_a_reserved_tree_does_not_get_it() {
    let who = Principal::named("$SYS").on("$SYS");
    assert!(!fits("%u/#", &who, "$SYS/uptime"));
    assert!(!fits("%c/#", &who, "$SYS/uptime"));
    assert!(fits("users/%u/#", &who, "users/$SYS/a"));
}

#[test]
fn a_doubled_percent_is_one_percent() {
    assert!(fits("a/%%u", &ann(), "a/%u"));
    assert!(!fits("a/%%u", &ann(), "a/ann"));
    assert!(fits("a/%u%c", &ann(), "a/annphone"));
    assert!(fits("a/5%", &ann(), "a/5%"));
}

#[test]
fn a_rule_has_a_bounded_number_of_steps() {
    let long = mqtt::decode_pattern(&"a/".repeat(TEMPLATE_STEPS_MAX)).unwrap();
    assert_eq!(Template::new(&long), Err(TooManySteps));
}

/// Patterns over a small alphabet, in the spelling that has every wildcard.
fn any_pattern(words: &'static [&'static str]) -> impl Strategy<Value = Pattern> {
    prop::collection::vec(prop::sample::select(words), 1..5)
        .prop_map(|words| amqp::decode_pattern(words.join(".").as_bytes()).unwrap())
}

const FILTER: &[&str] = &["a", "b", "*", "#"];
const RULE: &[&str] = &["a", "b", "*", "#", "%u"];

fn any_name() -> impl Strategy<Value = Name> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ann", "c"]), 1..6)
        .prop_map(|words| Name::from_segments(words).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn names_tell_the_same_as_patterns(rule in any_pattern(RULE), filter in any_pattern(FILTER), name in any_name()) {
        let who = Principal::named("ann");
        let rule = Template::new(&rule).unwrap();
        let asked: Asked<'_> = filter.tokens().collect();
        let literal: Asked<'_> = name.segments().map(Token::Literal).collect();
        let (in_rule, in_filter) = (rule.covers(&who, &literal), filter.matches(&name));
        prop_assert_eq!(in_rule, rule.intersects(&who, &literal));
        if rule.covers(&who, &asked) {
            prop_assert!(in_rule || !in_filter, "covered, yet a name is outside");
        }
        if in_rule && in_filter {
            prop_assert!(rule.intersects(&who, &asked), "a name is among both");
        }
    }

    #[test]
    fn a_template_without_placeholders_takes_what_its_pattern_does(pattern in any_pattern(FILTER), name in any_name()) {
        let template = Template::new(&pattern).unwrap();
        let literal: Asked<'_> = name.segments().map(Token::Literal).collect();
        prop_assert_eq!(template.covers(&Principal::named("ann"), &literal), pattern.matches(&name));
    }
}
