//! Definitions by the API, in RabbitMQ's words.

use super::{Roster, RosterError, Secret, UserSeen};
use crate::testing::Bench;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;

/// Accounts in memory, whose passwords nobody checks.
#[derive(Default)]
struct Memory(Mutex<Vec<UserSeen>>);

impl Roster for Memory {
    fn users(&self) -> Vec<UserSeen> {
        self.0.lock().clone()
    }

    fn put(&self, name: &str, secret: &Secret<'_>, tags: &[String], _: &str) -> Result<bool, RosterError> {
        let mut users = self.0.lock();
        let before = users.len();
        users.retain(|user| user.name != name);
        let is_new = users.len() == before;
        let (hash, algorithm) = match secret {
            Secret::Hash { hash, algorithm } => (*hash, *algorithm),
            _ => ("kept", "motet"),
        };
        users.push(UserSeen {
            name: name.into(),
            password_hash: hash.into(),
            hashing_algorithm: algorithm.into(),
            tags: tags.to_vec(),
            is_configured: false,
        });
        Ok(is_new)
    }

    fn remove(&self, name: &str) -> Result<bool, RosterError> {
        let mut users = self.0.lock();
        let before = users.len();
        users.retain(|user| user.name != name);
        Ok(users.len() < before)
    }
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.api = crate::Api::new(bench.core.clone(), bench.node.clone()).with_roster(Arc::new(Memory::default()));
    bench
}

fn reason(bench: &Bench, method: &str, path: &str, body: &str) -> (u16, Value) {
    let answer = bench.ask(method, path, body);
    (answer.status, answer.told()["reason"].clone())
}

#[test]
fn a_vhost_is_made_described_and_removed() {
    let bench = bench();
    assert_eq!(bench.status("PUT", "/vhosts/v", r#"{"description": "d", "tags": "a,b"}"#), 201);
    let told = bench.get("/vhosts/v");
    assert_eq!(
        (&told["description"], &told["tags"], &told["tracing"]),
        (&json!("d"), &json!(["a", "b"]), &json!(false))
    );
    assert_eq!(told["cluster_state"], json!({ "motet@here": "running" }));
    assert_eq!(bench.status("PUT", "/vhosts/v", ""), 204);
    assert_eq!(bench.status("POST", "/vhosts/v/start/motet@here", ""), 204);
    assert_eq!((bench.status("DELETE", "/vhosts/v", ""), bench.status("GET", "/vhosts/v", "")), (204, 404));
}

#[test]
fn a_user_has_what_it_is_given_and_nothing_else() {
    let bench = bench();
    assert_eq!(reason(&bench, "PUT", "/users/ann", "{}"), (400, json!("tags_not_present")));
    assert_eq!(bench.status("PUT", "/users/ann", r#"{"password": "x", "tags": "management,foo"}"#), 201);
    assert_eq!(bench.get("/users/ann")["tags"], json!(["management", "foo"]));
    assert_eq!(bench.get("/users/without-permissions")[0]["name"], "ann");
    let missing = json!("[{key_missing,read}]");
    let some = r#"{"configure": "", "write": ""}"#;
    assert_eq!(reason(&bench, "PUT", "/permissions/%2F/ann", some), (400, missing));
    let all = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
    assert_eq!(reason(&bench, "PUT", "/permissions/%2F/bob", all), (400, json!("vhost_or_user_not_found")));
    assert_eq!(bench.status("PUT", "/permissions/%2F/ann", all), 201);
    assert_eq!(bench.status("PUT", "/permissions/%2F/ann", all), 204);
    let odd = r#"{"configure": "(", "write": "", "read": ""}"#;
    let refused = json!(["invalid_regexp", [40], [[109, 105, 115, 115, 105, 110, 103, 32, 41], 1]]);
    assert_eq!(reason(&bench, "PUT", "/permissions/%2F/ann", odd), (400, refused));
    assert_eq!(bench.status("DELETE", "/permissions/%2F/ann", ""), 204);
    assert_eq!(bench.status("DELETE", "/permissions/%2F/ann", ""), 404);
    assert_eq!(
        reason(&bench, "PUT", "/users/bob", r#"{"password_hash": "!!", "tags": ""}"#).1,
        json!(["not_base64", "!!"])
    );
}

#[test]
fn policies_limits_and_parameters_are_told_as_they_were_made() {
    let bench = bench();
    let policy = r#"{"pattern": "^a", "definition": {"max-length": 5}, "priority": 3, "apply-to": "queues"}"#;
    assert_eq!(bench.status("PUT", "/policies/%2F/p", policy), 201);
    assert_eq!(bench.status("PUT", "/policies/%2F/p", policy), 204);
    let told = json!({"vhost": "/", "name": "p", "pattern": "^a", "apply-to": "queues", "definition": {"max-length": 5}, "priority": 3});
    assert_eq!(bench.get("/policies/%2F/p"), told);
    assert_eq!(bench.get("/operator-policies"), json!([]));
    assert_eq!(bench.ask_as("ann", "management", "PUT", "/policies/%2F/p", policy).status, 401);
    assert_eq!(bench.ask_as("ann", "policymaker", "PUT", "/policies/%2F/p", policy).status, 204);
    assert_eq!(bench.status("PUT", "/vhost-limits/%2F/max-queues", r#"{"value": 2}"#), 204);
    assert_eq!(bench.get("/vhost-limits/%2F"), json!([{"vhost": "/", "value": {"max-queues": 2}}]));
    assert_eq!(bench.get("/parameters/vhost-limits")[0]["value"], json!({"max-queues": 2}));
    let refused = json!("Validation failed\n\nUnrecognised terms [{<<\"foo\">>,1}] in limits\n");
    assert_eq!(reason(&bench, "PUT", "/vhost-limits/%2F/foo", r#"{"value": 1}"#), (400, refused));
    assert_eq!(
        reason(&bench, "PUT", "/user-limits/ann/max-channels", r#"{"value": 1}"#).1,
        json!(["no_such_user", "ann"])
    );
    assert_eq!(bench.status("PUT", "/global-parameters/g", r#"{"value": {"a": 1}}"#), 201);
    assert_eq!(bench.get("/global-parameters/g"), json!({"name": "g", "value": {"a": 1}}));
    let refused = json!("Validation failed\n\ncomponent foo not found\n");
    assert_eq!(reason(&bench, "PUT", "/parameters/foo/%2F/x", r#"{"value": 1}"#), (400, refused));
}

#[test]
fn a_document_makes_another_server_the_same() {
    let (one, other) = (bench(), bench());
    for (path, body) in [
        ("/vhosts/v", r#"{"description": "d"}"#),
        ("/users/ann", r#"{"password": "x", "tags": "management"}"#),
        ("/permissions/v/ann", r#"{"configure": ".*", "write": ".*", "read": ".*"}"#),
        ("/topic-permissions/v/ann", r#"{"exchange": "amq.topic", "write": "^a", "read": ".*"}"#),
        ("/policies/v/p", r#"{"pattern": "^q", "definition": {"max-length": 3}}"#),
        ("/operator-policies/v/o", r#"{"pattern": "^q", "definition": {"expires": 9}, "apply-to": "queues"}"#),
        ("/vhost-limits/v/max-queues", r#"{"value": 7}"#),
        ("/user-limits/ann/max-channels", r#"{"value": 9}"#),
        ("/global-parameters/g", r#"{"value": 1}"#),
    ] {
        assert!(matches!(one.status("PUT", path, body), 201 | 204), "{path}");
    }
    let document = one.get("/definitions");
    assert_eq!(other.status("POST", "/definitions", &document.to_string()), 204);
    assert_eq!(other.get("/definitions"), document);
    assert_eq!(one.get("/definitions/v")["policies"], document["policies"]);
}

#[test]
fn what_cannot_be_taken_is_named_and_the_rest_is_there() {
    let bench = bench();
    let document = json!({
        "vhosts": [{"name": "v"}],
        "exchanges": [{"name": "x", "vhost": "v", "type": "x-odd"}, {"name": "y", "vhost": "v", "type": "fanout"}],
        "policies": [{"name": "p", "vhost": "v", "pattern": "", "definition": {"ha-mode": "all"}}],
    });
    let report = bench.ask("POST", "/definitions?report=true", &document.to_string()).told();
    assert_eq!(report["refused"], json!(["exchange x in vhost v: invalid exchange type 'x-odd'"]));
    assert_eq!(report["changed"], json!(["policy p: ha-mode mean nothing here and are kept"]));
    assert_eq!(report["taken"], json!({"vhosts": 1, "exchanges": 1, "policies": 1}));
    let answer = bench.ask("POST", "/definitions", &document.to_string());
    assert_eq!((answer.status, answer.told()["error"].clone()), (400, json!("bad_request")));
}
