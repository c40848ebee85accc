//! The bridge matrix: every ordered pair of protocols, and what arrives of a message that crosses.
//!
//! Each test is one row of the mapping: what each protocol's client says, and what each protocol's client hears. A lost
//! property is a decision, recorded here; a change shows as a difference. `UPDATE_EXPECT=1` records anew.
//! Conversations that are more than one message are scripts, in `wire/`; `tests/wire.rs` runs them.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod names;
mod properties;
mod rights;

use expect_test::Expect;
use motet_test::wire::{Bench, Durability, Pace, Script, listen};

/// Who listens, and how its lines begin.
const LISTENERS: [(&str, &str); 3] = [("MQTT 3.1.1", "v3.1.1"), ("MQTT 5", "v5"), ("AMQP", "")];

/// What one protocol's client says; the names are those of [`LISTENERS`].
struct Said<'a>(&'a str, &'a str);

/// Each line is published to listeners that wait, one after the other.
fn check(said: &[Said<'_>], expected: Expect) {
    check_after(said, "", &expected);
}

/// The same; between publishing and receiving time passes, in the words of scripts (`+5s`).
fn check_after(said: &[Said<'_>], wait: &str, expected: &Expect) {
    let mut lines = String::new();
    for Said(from, publish) in said {
        for (to, _) in LISTENERS {
            for heard in cross(from, publish, wait, to) {
                lines += &format!("{from} to {to}: {heard}\n");
            }
        }
    }
    expected.assert_eq(&lines);
}

/// What a client of `to` hears of what a client of `from` says.
fn cross(from: &str, publish: &str, wait: &str, to: &str) -> Vec<String> {
    let mut script = Vec::new();
    let version = |face: &str| LISTENERS.iter().find(|(name, _)| *name == face).unwrap().1;
    let join = |script: &mut Vec<String>, client: &str, face: &str| match version(face) {
        "" => script.push(format!("C {client}: LOGIN")),
        version => {
            let lasts = if version == "v5" { "session_expiry=1000" } else { "" };
            script.push(format!("C {client}: CONNECT {version} client=\"{client}\" {lasts}"));
            script.push(format!("S {client}: CONNACK"));
        }
    };
    join(&mut script, "to", to);
    let (wants, takes): (&[&str], &[&str]) = match version(to) {
        "" => (
            &[
                "C to: queue.declare queue=\"listener\"",
                "S to: queue.declare-ok",
                "C to: queue.bind queue=\"listener\" exchange=\"amq.topic\" routing_key=\"#\"",
                "S to: queue.bind-ok",
            ],
            &["C to: basic.consume queue=\"listener\" consumer_tag=\"c\" no_ack", "S to: basic.consume-ok"],
        ),
        _ => (&["C to: SUBSCRIBE id=1 \"#\" qos=2", "S to: SUBACK"], &[]),
    };
    script.extend(wants.iter().map(|line| (*line).to_owned()));
    if wait.is_empty() {
        script.extend(takes.iter().map(|line| (*line).to_owned()));
    } else if takes.is_empty() {
        script.extend(["C to: DISCONNECT".to_owned(), "S to: closed".to_owned()]);
    }
    join(&mut script, "from", from);
    script.push(format!("C from: {publish}"));
    if publish.contains("qos=1") {
        script.push("S from: PUBACK".to_owned());
    } else if publish.contains("qos=2") {
        script.push("S from: PUBREC".to_owned());
        script.extend(["C from: PUBREL id=1".to_owned(), "S from: PUBCOMP".to_owned()]);
    }
    if !wait.is_empty() {
        script.push(wait.to_owned());
        script.extend(takes.iter().map(|line| (*line).to_owned()));
        if takes.is_empty() {
            join(&mut script, "to", to);
        }
    }
    let script = Script::parse(&format!("{from} to {to}"), &script.join("\n")).unwrap();
    let mut bench = Bench::new(Durability::AtOnce, Pace::Whole, &[]).unwrap();
    let heard = listen(&script, &mut bench, "to").unwrap_or_else(|error| panic!("{error}\n{publish}"));
    heard.iter().map(|line| shorten(line)).collect()
}

/// Without what is the same for every delivery.
fn shorten(line: &str) -> String {
    let same = [" channel=1", " consumer_tag=\"c\"", " delivery_tag=1", " dup=0", " retain=0", " redelivered=0"];
    same.iter().fold(line.to_owned(), |line, same| line.replacen(same, "", 1))
}
