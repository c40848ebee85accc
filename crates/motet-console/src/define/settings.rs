//! Which settings a policy may have, and of which form: RabbitMQ's names and its words for what is wrong.

use super::erlang::{pairs, term};
use serde_json::{Map, Value};

/// The form of a setting.
#[derive(Clone, Copy)]
enum Form {
    /// A number of at least this.
    Number(i64),
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number and a unit: `7D`.
    Age,
    /// Whatever it is, it is kept and means nothing here.
    Any,
}

/// A setting, its form, and how a value is called that has another.
type Setting = (&'static str, Form, &'static str);

const SETTINGS: [Setting; 30] = [
    ("alternate-exchange", Form::Text, "is not a valid alternate exchange name"),
    ("consumer-timeout", Form::Number(0), "is not a valid consumer timeout"),
    ("dead-letter-exchange", Form::Text, "is not a valid dead letter exchange name"),
    ("dead-letter-routing-key", Form::Text, "is not a valid dead letter routing key"),
    ("dead-letter-strategy", Form::Word(&["at-most-once", "at-least-once"]), "is not a valid dead letter strategy"),
    ("delivery-limit", Form::Number(0), "is not a valid delivery limit"),
    ("expires", Form::Number(1), "is not a valid queue expiry"),
    ("federation-upstream", Form::Text, "is not a valid upstream name"),
    ("federation-upstream-pattern", Form::Text, "is not a valid upstream pattern"),
    ("federation-upstream-set", Form::Text, "is not a valid upstream set name"),
    ("ha-mode", Form::Word(&["all", "exactly", "nodes"]), "is not a valid ha-mode value"),
    ("ha-params", Form::Any, ""),
    ("ha-promote-on-failure", Form::Word(&["always", "when-synced"]), "is not a valid ha-promote-on-failure value"),
    ("ha-promote-on-shutdown", Form::Word(&["always", "when-synced"]), "is not a valid ha-promote-on-shutdown value"),
    ("ha-sync-batch-size", Form::Number(1), "is not a valid ha-sync-batch-size value"),
    ("ha-sync-mode", Form::Word(&["automatic", "manual"]), "is not a valid ha-sync-mode value"),
    ("initial-cluster-size", Form::Number(1), "is not a valid cluster size"),
    ("max-age", Form::Age, "is not a valid max age"),
    ("max-in-memory-bytes", Form::Number(0), "is not a valid maximum memory in bytes"),
    ("max-in-memory-length", Form::Number(0), "is not a valid maximum memory in length"),
    ("max-length", Form::Number(0), "is not a valid maximum length"),
    ("max-length-bytes", Form::Number(0), "is not a valid maximum length in bytes"),
    ("message-ttl", Form::Number(0), "is not a valid message TTL"),
    ("overflow", Form::Word(&["drop-head", "reject-publish", "reject-publish-dlx"]), "is not a valid overflow value"),
    (
        "queue-leader-locator",
        Form::Word(&["client-local", "balanced", "random", "least-leaders"]),
        "is not a valid queue leader locator value",
    ),
    ("queue-master-locator", Form::Word(&["min-masters", "client-local", "random"]), "is not a valid master locator"),
    ("queue-mode", Form::Word(&["default", "lazy"]), "is not a valid queue-mode value"),
    ("queue-version", Form::Number(1), "is not a valid queue version"),
    ("stream-filter-size-bytes", Form::Number(16), "is not a valid filter size. Valid range is 16-255"),
    ("stream-max-segment-size-bytes", Form::Number(1), "is not a valid segment size"),
];

/// What an operator's policy may limit.
const OPERATOR_SETTINGS: [&str; 7] = [
    "delivery-limit",
    "expires",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "max-length",
    "max-length-bytes",
    "message-ttl",
];

/// Settings that are taken and shown, and change nothing here.
const WITHOUT_MEANING: [&str; 19] = [
    "consumer-timeout",
    "dead-letter-strategy",
    "federation-upstream",
    "federation-upstream-pattern",
    "federation-upstream-set",
    "ha-mode",
    "ha-params",
    "ha-promote-on-failure",
    "ha-promote-on-shutdown",
    "ha-sync-batch-size",
    "ha-sync-mode",
    "initial-cluster-size",
    "max-in-memory-bytes",
    "max-in-memory-length",
    "queue-leader-locator",
    "queue-master-locator",
    "queue-version",
    "stream-filter-size-bytes",
    "stream-max-segment-size-bytes",
];

/// What is wrong with a definition, in RabbitMQ's words.
pub(super) fn fault(definition: &Map<String, Value>, of_operator: bool) -> Option<String> {
    if definition.is_empty() {
        return Some("no policy provided".into());
    }
    let known = |name: &str| SETTINGS.iter().find(|(known, ..)| *known == name);
    let known = |name: &str| known(name).filter(|_| !of_operator || OPERATOR_SETTINGS.contains(&name));
    for (name, value) in definition {
        if let Some((_, form, fault)) = known(name)
            && !form.fits(value)
        {
            return Some(format!("{} {fault}", term(value)));
        }
    }
    if definition.get("ha-mode").and_then(Value::as_str) == Some("exactly") && !definition.contains_key("ha-params") {
        return Some("ha-mode=\"exactly\" takes an integer, none given".into());
    }
    let unknown: Vec<_> = definition.iter().filter(|(name, _)| known(name).is_none()).collect();
    (!unknown.is_empty()).then(|| format!("{} are not recognised policy settings", pairs(unknown.into_iter())))
}

/// The settings of a definition that change nothing here.
pub(super) fn without_meaning(definition: &Map<String, Value>) -> Vec<&str> {
    definition.keys().map(|name| &**name).filter(|name| WITHOUT_MEANING.contains(name)).collect()
}

impl Form {
    fn fits(self, value: &Value) -> bool {
        match self {
            Form::Number(least) => value.as_i64().is_some_and(|number| number >= least),
            Form::Text => value.is_string(),
            Form::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Form::Age => value.as_str().is_some_and(is_age),
            Form::Any => true,
        }
    }
}

fn is_age(text: &str) -> bool {
    let (number, unit) = text.split_at(text.char_indices().last().map_or(0, |(at, _)| at));
    matches!(unit, "Y" | "M" | "D" | "h" | "m" | "s") && number.parse::<u32>().is_ok_and(|number| number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(definition: Value, of_operator: bool) -> String {
        fault(definition.as_object().unwrap(), of_operator).unwrap_or_default()
    }

    #[test]
    fn what_is_wrong_is_said_as_rabbitmq_says_it() {
        for (definition, text) in [
            (json!({}), "no policy provided"),
            (json!({"max-length": 5, "overflow": "drop-head", "max-age": "1h", "ha-mode": "all"}), ""),
            (json!({"max-length": -1}), "-1 is not a valid maximum length"),
            (json!({"max-length": "x", "message-ttl": "y"}), "<<\"x\">> is not a valid maximum length"),
            (json!({"expires": 0}), "0 is not a valid queue expiry"),
            (json!({"max-age": "1"}), "<<\"1\">> is not a valid max age"),
            (json!({"ha-mode": "exactly"}), "ha-mode=\"exactly\" takes an integer, none given"),
            (json!({"foo": 1, "bar": 2}), "[{<<\"bar\">>,2},{<<\"foo\">>,1}] are not recognised policy settings"),
        ] {
            assert_eq!(said(definition, false), text);
        }
        let refused = "[{<<\"dead-letter-exchange\">>,<<\"x\">>}] are not recognised policy settings";
        assert_eq!(said(json!({"dead-letter-exchange": "x"}), true), refused);
        assert_eq!(said(json!({"max-length": 5, "expires": 100}), true), "");
    }
}
