//! What is asked: a method, a path of decoded segments, a query, a body.

use crate::Refusal;
use serde_json::{Map, Value};

/// Bytes of a request's body at most: definitions of a large broker fit.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Segments of a path at most; the longest route has nine.
const SEGMENTS_MAX: usize = 16;
/// Parameters of a query at most.
const PARAMETERS_MAX: usize = 64;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Tell; `HEAD` is the same without the body, which whoever serves leaves out.
    Get,
    /// Make or replace.
    Put,
    /// Add or do.
    Post,
    /// Remove.
    Delete,
    /// Say what can be asked here.
    Options,
    /// Any other: nothing here is asked by it.
    Other,
}

impl Method {
    /// The method of this name.
    pub fn from_name(name: &str) -> Self {
        match name {
            "GET" | "HEAD" => Method::Get,
            "PUT" => Method::Put,
            "POST" => Method::Post,
            "DELETE" => Method::Delete,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        }
    }

    /// As a list of what is allowed has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Other => "",
        }
    }
}

/// A request, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is to be done.
    pub method: Method,
    /// The segments after `/api`, percent-decoded; the vhost `/` is one of them.
    pub path: Vec<String>,
    /// The query, percent-decoded, in its order.
    pub query: Vec<(String, String)>,
    /// The body; empty where there is none.
    pub body: bytes::Bytes,
    /// The header `X-Reason`: what the operator wants the peer to be told.
    pub reason: Option<String>,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
}

impl Request {
    /// Reads a path below `/api` and a query as they were on the wire.
    ///
    /// # Errors
    /// Something is not UTF-8, a `%` has no two digits behind it, or there is too much of it.
    pub fn read(method: Method, path: &str, query: &str, body: bytes::Bytes) -> Result<Self, Refusal> {
        let odd = || Refusal::bad_request("the path or the query is not UTF-8 in percent encoding");
        let path = path.trim_matches('/');
        let segments = path.split('/').filter(|_| !path.is_empty());
        if segments.clone().count() > SEGMENTS_MAX {
            return Err(Refusal::not_found());
        }
        let path = segments.map(percent_decoded).collect::<Option<_>>().ok_or_else(odd)?;
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).take(PARAMETERS_MAX).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decoded(&key.replace('+', " "))?, percent_decoded(&value.replace('+', " "))?))
        });
        let query = pairs.collect::<Option<_>>().ok_or_else(odd)?;
        Ok(Request { method, path, query, body, reason: None, content_type: None })
    }

    /// The first parameter of this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| &**value)
    }

    /// A parameter that is `true`.
    pub(crate) fn says(&self, name: &str) -> bool {
        self.parameter(name) == Some("true")
    }

    /// The body as an object; no body is an empty one.
    ///
    /// # Errors
    /// `not_json`, as RabbitMQ says it.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, Refusal> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            Ok(Value::Null) => Ok(Map::new()),
            Ok(Value::String(_)) => Err(Refusal::bad_request(
                "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?",
            )),
            _ => Err(Refusal::bad_request("not_json")),
        }
    }
}

/// None when it is not UTF-8, or a `%` has no two digits behind it. [RFC3986-2.1]
pub(crate) fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        out.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_segment_by_segment() {
        let read = |path: &str| Request::read(Method::Get, path, "", bytes::Bytes::new()).map(|request| request.path);
        assert_eq!(read("/queues/%2F/a%20b").unwrap(), ["queues", "/", "a b"]);
        assert_eq!(read("/queues/").unwrap(), ["queues"]);
        assert_eq!(read("/").unwrap(), [""; 0]);
        assert_eq!(read("/bindings/%2f/e//q/q").unwrap(), ["bindings", "/", "e", "", "q", "q"]);
        assert!(read("/%ff").is_err() && read("/%4").is_err() && read(&"/a".repeat(17)).is_err());
    }

    #[test]
    fn a_query_has_names_and_values() {
        let request =
            Request::read(Method::Get, "/queues", "page=1&name=a%2Bb+c&if-unused=true", bytes::Bytes::new()).unwrap();
        assert_eq!((request.parameter("page"), request.parameter("name")), (Some("1"), Some("a+b c")));
        assert!(request.says("if-unused") && !request.says("page"));
    }

    #[test]
    fn a_body_is_an_object_or_nothing() {
        let body = |text: &'static str| {
            let body = bytes::Bytes::from_static(text.as_bytes());
            Request::read(Method::Put, "/queues", "", body).unwrap().object()
        };
        assert_eq!((body(" ").unwrap().len(), body("null").unwrap().len()), (0, 0));
        assert!(body("\"{}\"").unwrap_err().reason.as_str().unwrap().ends_with("doubly-JSON-encoded?"));
        assert_eq!(body("{\"a\":1}").unwrap().len(), 1);
        assert!(body("[]").is_err() && body("{").is_err());
    }
}
