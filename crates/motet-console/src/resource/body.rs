//! What a body has to say, and RabbitMQ's words for what it fails to say.

use crate::define::erlang::need;
use crate::{Refusal, json};
use motet_core::message::Value as Field;
use serde_json::{Map, Value, json};

/// The body of a request, to be read field by field.
pub(super) struct Body(pub(super) Map<String, Value>);

impl Body {
    /// # Errors
    /// Any of `names` is missing; all of those are named.
    pub(super) fn with(object: Map<String, Value>, names: &[&str]) -> Result<Self, Refusal> {
        need(&object, names)?;
        Ok(Body(object))
    }

    /// # Errors
    /// It is no boolean, nor the word for one.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(truth)) => Ok(*truth),
            Some(Value::String(word)) if word == "true" || word == "false" => Ok(word == "true"),
            Some(other) => Err(Refusal::bad_request(json!(["not_boolean", other]))),
        }
    }

    /// # Errors
    /// It is no text.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Refusal::bad_request(json!(["not_string", other]))),
        }
    }

    /// # Errors
    /// It is no number of that size, nor the word for one.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let wrong = |other: &Value| Refusal::bad_request(json!(["not_integer", other]));
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(word)) => word.parse().map(Some).map_err(|_| wrong(&json!(word))),
            Some(other) => other.as_u64().map(Some).ok_or_else(|| wrong(other)),
        }
    }

    /// The arguments of a declaration or binding.
    ///
    /// # Errors
    /// They are no object, or nest too deep.
    pub(super) fn arguments(&self) -> Result<Vec<(Box<str>, Field)>, Refusal> {
        match self.0.get("arguments") {
            None | Some(Value::Null) => Ok(Vec::new()),
            // An empty list is how some languages spell an empty table.
            Some(Value::Array(list)) if list.is_empty() => Ok(Vec::new()),
            Some(Value::Object(object)) => {
                json::fields(object).ok_or_else(|| Refusal::bad_request("arguments nest too deep"))
            }
            Some(other) => Err(Refusal::bad_request(json!(["not_object", other]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(value: Value) -> Body {
        let Value::Object(object) = value else { unreachable!() };
        Body(object)
    }

    #[test]
    fn words_stand_for_what_they_say() {
        let body = body(json!({"a": "true", "b": false, "c": "7", "d": 7, "e": "x"}));
        assert_eq!((body.flag("a").unwrap(), body.flag("b").unwrap(), body.flag("z").unwrap()), (true, false, false));
        assert_eq!((body.number("c").unwrap(), body.number("d").unwrap()), (Some(7), Some(7)));
        assert_eq!(body.flag("e").unwrap_err().reason, json!(["not_boolean", "x"]));
        assert_eq!(body.number("e").unwrap_err().reason, json!(["not_integer", "x"]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = Body::with(Map::new(), &["ackmode", "count"]).err().unwrap();
        assert_eq!(missing.reason, "[{key_missing,ackmode},{key_missing,count}]");
    }
}
