//! Every face against every other, on the spellings that are known to go wrong elsewhere.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::name::{MAX_NAME_BYTES, Name};
use crate::pattern::{Pattern, Token};

fn mqtt_spelled(name: &Name) -> String {
    let mut out = Vec::new();
    mqtt::encode_name(name, &mut out).unwrap();
    String::from_utf8(out).expect("a topic is UTF-8")
}

fn amqp_spelled(name: &Name) -> Vec<u8> {
    let mut out = Vec::new();
    amqp::encode_name(name, &mut out);
    out
}

fn nats_spelled(name: &Name) -> Vec<u8> {
    let mut out = Vec::new();
    nats::encode_name(name, &mut out).unwrap();
    out
}

/// The topic and the key spell one name, and each comes back from it.
fn check(topic: &str, key: &[u8], subject: &str) {
    let name = mqtt::decode_name(topic).unwrap();
    assert_eq!(amqp::decode_name(key), Ok(name.clone()), "{topic}");
    assert_eq!(nats::decode_name(subject.as_bytes()), Ok(name.clone()), "{topic}");
    assert_eq!(mqtt_spelled(&name), topic);
    assert_eq!(amqp_spelled(&name).escape_ascii().to_string(), key.escape_ascii().to_string());
    assert_eq!(String::from_utf8_lossy(&nats_spelled(&name)), subject);
}

#[test]
fn the_faces_agree_on_what_they_spell() {
    check("cities/london", b"cities.london", "cities.london");
    check("spBv1.0/plant", b"spBv1%2E0.plant", "spBv1%2E0.plant");
    check("a%2Fb/c", b"a/b.c", "a/b.c");
    check("a//b", b"a..b", "a.%.b");
    check("/a", b".a", "%.a");
    check("a/", b"a.", "a.%");
    check("/", b".", "%.%");
    check("$SYS/x", b"$SYS.x", "$SYS.x");
    check("a b", b"a b", "a%20b");
    check("%2Ex", b"%252Ex", "%252Ex");
    check("%252F", b"%2F", "%2F");
}

#[test]
fn wildcard_characters_in_a_key_are_literals_everywhere() {
    check("a/%23/*", b"a.#.*", "a.#.%2A");
    check("a/>", b"a.>", "a.%3E");
    let name = amqp::decode_name(b"a.#").unwrap();
    assert!(mqtt::decode_pattern("a/+").unwrap().matches(&name));
    assert!(!mqtt::decode_pattern("a/x").unwrap().matches(&name));
}

#[test]
fn the_empty_key_is_the_percent_topic() {
    check("%", b"", "%");
    check("%25", b"%", "%25");
    check("%/a", b"%.a", "%25.a");
    assert!(mqtt::decode_pattern("%").unwrap().matches(&Name::empty()));
    assert!(mqtt::decode_pattern("+").unwrap().matches(&Name::empty()));
    assert!(amqp::decode_pattern(b"#").unwrap().matches(&Name::empty()));
    assert!(amqp::decode_pattern(b"").unwrap().matches(&Name::empty()));
}

#[test]
fn bytes_that_are_no_text_cross_to_mqtt_as_escapes() {
    let name = amqp::decode_name(b"a\xff.\0").unwrap();
    assert_eq!(mqtt_spelled(&name), "a%FF/%00");
    assert_eq!(mqtt::decode_name("a%FF/%00"), Ok(name));
    // These escapes spell no bytes of any key, so they are text, as MQTT clients see it.
    check("%C3%A9", b"%C3%A9", "%C3%A9");
    check("%25C3%25A9", b"%25C3%25A9", "%25C3%25A9");
}

#[test]
fn a_name_too_long_for_mqtt_is_reported_and_leaves_the_buffer_alone() {
    let name = Name::from_segments(["/".repeat(30_000)]).unwrap();
    let mut out = b"before".to_vec();
    assert_eq!(mqtt::encode_name(&name, &mut out), Err(SpellingError::TooLong));
    assert_eq!(out, b"before");
    assert_eq!(mqtt::decode_name(&"a".repeat(MAX_NAME_BYTES + 1)), Err(SpellingError::TooLong));
    assert_eq!(amqp::decode_name(&vec![b'.'; MAX_NAME_BYTES + 1]), Err(SpellingError::TooLong));
}

#[test]
fn a_long_key_is_cut_at_a_word() {
    let topic = format!("{}/{}/tail", "a".repeat(200), "b".repeat(54));
    let key = amqp_spelled(&mqtt::decode_name(&topic).unwrap());
    assert_eq!(key.len(), 260);
    assert_eq!(amqp::short_key(&key).len(), 255);
    assert_eq!(amqp::short_key(&key[..255]).len(), 255);
    assert_eq!(amqp::short_key(&key[..254]).len(), 254);
    assert_eq!(amqp::short_key(&[b'x'; 256]), b"");
    assert_eq!(mqtt_spelled(&amqp::decode_name(&key).unwrap()), topic);
}

#[test]
fn illegal_spellings_are_refused() {
    assert_eq!(mqtt::decode_name(""), Err(SpellingError::Empty));
    assert_eq!(mqtt::decode_name("a/+"), Err(SpellingError::Forbidden(b'+')));
    assert_eq!(mqtt::decode_name("a#"), Err(SpellingError::Forbidden(b'#')));
    assert_eq!(mqtt::decode_name("%/\0"), Err(SpellingError::Forbidden(0)));
    assert_eq!(mqtt::decode_pattern(""), Err(SpellingError::Empty));
    assert_eq!(mqtt::decode_pattern("a/b+"), Err(SpellingError::Forbidden(b'+')));
    assert_eq!(mqtt::decode_pattern("a#"), Err(SpellingError::Forbidden(b'#')));
    assert_eq!(mqtt::decode_pattern("#/a"), Err(SpellingError::AfterRest));
    assert_eq!(nats::decode_name(b"a..b"), Err(SpellingError::Empty));
    assert_eq!(nats::decode_name(b"a.>"), Err(SpellingError::Forbidden(b'>')));
    assert_eq!(nats::decode_pattern(b">.a"), Err(SpellingError::AfterRest));
}

#[test]
fn patterns_a_face_lacks_are_inexpressible() {
    let middle = amqp::decode_pattern(b"a.#.b").unwrap();
    assert_eq!(mqtt::encode_pattern(&middle, &mut Vec::new()), Err(SpellingError::Inexpressible));
    assert_eq!(nats::encode_pattern(&middle, &mut Vec::new()), Err(SpellingError::Inexpressible));
    let parent = mqtt::decode_pattern("a/#").unwrap();
    assert_eq!(nats::encode_pattern(&parent, &mut Vec::new()), Err(SpellingError::Inexpressible));
    let star = mqtt::decode_pattern("a/*").unwrap();
    assert_eq!(amqp::encode_pattern(&star, &mut Vec::new()), Err(SpellingError::Inexpressible));
}

#[test]
fn a_nats_rest_does_not_include_its_parent() {
    let pattern = nats::decode_pattern(b"a.>").unwrap();
    assert!(!pattern.matches(&nats::decode_name(b"a").unwrap()));
    assert!(pattern.matches(&nats::decode_name(b"a.b.c").unwrap()));
}

/// Segments made of what the escapes and separators are made of, so that collisions would be found.
fn any_segment() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&[u8]; 30] = [
        b"%",
        b"25",
        b"2E",
        b"2F",
        b"2B",
        b"23",
        b"00",
        b"C3",
        b"A9",
        b"FF",
        b"%C3",
        b"%A9",
        b"%25",
        b"%2E",
        b"\xc3",
        b"\xa9",
        b"\xff",
        "é".as_bytes(),
        b".",
        b"/",
        b"+",
        b"#",
        b"*",
        b">",
        b"\0",
        b" ",
        b"$",
        b"a",
        b"2",
        b"2e",
    ];
    let pieces = vec(select(&PIECES[..]), 0..7).prop_map(|pieces| pieces.concat());
    prop_oneof![8 => pieces, 1 => vec(any::<u8>(), 0..300)]
}

fn any_name() -> impl Strategy<Value = Name> {
    vec(any_segment(), 0..5).prop_map(|segments| Name::from_segments(segments).unwrap())
}

/// A legal MQTT topic, made of the same pieces.
fn any_topic() -> impl Strategy<Value = String> {
    const PIECES: [&str; 20] = [
        "%", "25", "2E", "2F", "2B", "00", "C3", "A9", "FF", "%C3", "%A9", "%25", "é", ".", "/", "*", "$", "a", "%2F",
        " ",
    ];
    vec(select(&PIECES[..]), 1..9).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn every_name_comes_back_from_every_face(name in any_name()) {
        prop_assert_eq!(mqtt::decode_name(&mqtt_spelled(&name)), Ok(name.clone()));
        prop_assert_eq!(amqp::decode_name(&amqp_spelled(&name)), Ok(name.clone()));
        prop_assert_eq!(nats::decode_name(&nats_spelled(&name)), Ok(name));
    }

    #[test]
    fn every_topic_survives_the_other_faces(topic in any_topic()) {
        let name = mqtt::decode_name(&topic).unwrap();
        prop_assert_eq!(mqtt_spelled(&name), topic.as_str());
        let there = amqp::decode_name(&amqp_spelled(&name)).unwrap();
        let back = nats::decode_name(&nats_spelled(&there)).unwrap();
        prop_assert_eq!(mqtt_spelled(&back), topic);
    }

    #[test]
    fn every_key_survives_the_other_faces(key in any_segment()) {
        let name = amqp::decode_name(&key).unwrap();
        prop_assert_eq!(&amqp_spelled(&name), &key);
        let there = mqtt::decode_name(&mqtt_spelled(&name)).unwrap();
        let back = nats::decode_name(&nats_spelled(&there)).unwrap();
        prop_assert_eq!(amqp_spelled(&back), key);
    }

    #[test]
    fn every_subject_survives_the_other_faces(subject in any_segment()) {
        if let Ok(name) = nats::decode_name(&subject) {
            prop_assert_eq!(&nats_spelled(&name), &subject);
            let there = mqtt::decode_name(&mqtt_spelled(&name)).unwrap();
            let back = amqp::decode_name(&amqp_spelled(&there)).unwrap();
            prop_assert_eq!(nats_spelled(&back), subject);
        }
    }

    #[test]
    fn different_names_are_spelled_differently(left in any_name(), right in any_name()) {
        prop_assert_eq!(left == right, mqtt_spelled(&left) == mqtt_spelled(&right));
        prop_assert_eq!(left == right, amqp_spelled(&left) == amqp_spelled(&right));
        prop_assert_eq!(left == right, nats_spelled(&left) == nats_spelled(&right));
    }

    #[test]
    fn every_legal_pattern_comes_back(spelled in any_segment(), wild in vec(select(vec!["+", "#", "*", ">", "a", ""]), 1..5)) {
        for spelled in [spelled, wild.join("/").into_bytes(), wild.join(".").into_bytes()] {
            let mut out = Vec::new();
            let pattern = amqp::decode_pattern(&spelled).unwrap();
            amqp::encode_pattern(&pattern, &mut out).unwrap();
            prop_assert_eq!(&out, &spelled);
            if let Some(pattern) = std::str::from_utf8(&spelled).ok().and_then(|text| mqtt::decode_pattern(text).ok()) {
                out.clear();
                mqtt::encode_pattern(&pattern, &mut out).unwrap();
                prop_assert_eq!(&out, &spelled);
            }
            if let Ok(pattern) = nats::decode_pattern(&spelled) {
                out.clear();
                nats::encode_pattern(&pattern, &mut out).unwrap();
                prop_assert_eq!(&out, &spelled);
            }
        }
    }

    #[test]
    fn a_name_is_matched_by_itself_as_a_filter(topic in any_topic()) {
        let filter = mqtt::decode_pattern(&topic).unwrap();
        let name = mqtt::decode_name(&topic).unwrap();
        prop_assert!(filter.matches(&name));
        prop_assert_eq!(filter, Pattern::from_tokens(name.segments().map(Token::Literal)).unwrap());
    }
}
