//! Values as RabbitMQ's texts have them: people and scripts look for these.

use crate::Refusal;
use serde_json::{Map, Value, json};

/// Columns of a line that Erlang prints.
const LINE_MAX: usize = 80;

/// A value as Erlang prints it.
pub(crate) fn term(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::String(text) => format!("<<{text:?}>>"),
        Value::Array(list) => format!("[{}]", list.iter().map(term).collect::<Vec<_>>().join(",")),
        Value::Object(object) => pairs(object.iter()),
        plain => plain.to_string(),
    }
}

/// Names and values as a property list.
pub(crate) fn pairs<'a>(of: impl Iterator<Item = (&'a String, &'a Value)>) -> String {
    let pairs: Vec<_> = of.map(|(name, value)| format!("{{<<{name:?}>>,{}}}", term(value))).collect();
    format!("[{}]", pairs.join(","))
}

/// `400 [{key_missing,read}]` for what a body lacks.
pub(crate) fn need(object: &Map<String, Value>, names: &[&str]) -> Result<(), Refusal> {
    let missing: Vec<_> = names.iter().filter(|name| !object.contains_key(**name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<_> = missing.iter().map(|name| format!("{{key_missing,{name}}}")).collect();
    // Erlang breaks a list that is longer than a line.
    let line = format!("[{}]", missing.join(","));
    Err(Refusal::bad_request(if line.len() > LINE_MAX { format!("[{}]", missing.join(",\n ")) } else { line }))
}

/// What is wrong with a pattern, in as few words as RabbitMQ has.
pub(crate) fn pattern_fault(error: &str) -> String {
    let what = if error.contains("unclosed group") {
        "missing )"
    } else if error.contains("unclosed character class") {
        "missing terminating ] for character class"
    } else if error.contains("repetition operator missing") {
        "nothing to repeat"
    } else {
        error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(error).trim_start_matches("error: ")
    };
    what.to_owned()
}

/// `["invalid_regexp", …]`, whose texts are lists of code points.
pub(crate) fn invalid_regexp(pattern: &str, error: &str) -> Value {
    let codes = |text: &str| -> Value { text.chars().map(u32::from).collect::<Vec<_>>().into() };
    json!(["invalid_regexp", codes(pattern), [codes(&pattern_fault(error)), pattern.chars().count()]])
}

/// Text of a field; a refusal names it.
pub(crate) fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, Refusal> {
    let wrong = || Refusal::bad_request(format!("{name} should be a string, actually was {}", term(&object[name])));
    match object.get(name) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(wrong()),
        None => Err(Refusal::bad_request(format!("[{{key_missing,{name}}}]"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_look_as_erlang_prints_them() {
        assert_eq!(term(&json!(["a", 1, 1.5, true])), "[<<\"a\">>,1,1.5,true]");
        assert_eq!(term(&json!({"b": 1, "a": "x"})), "[{<<\"a\">>,<<\"x\">>},{<<\"b\">>,1}]");
    }
}
