//! What is answered.

use bytes::Bytes;
use serde_json::Value;

/// An answer, for whoever serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status of HTTP.
    pub status: u16,
    /// Headers beyond the type of the body; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The type of the body; None where there is none.
    pub content_type: Option<&'static str>,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A status and JSON.
    pub fn json(status: u16, value: &Value) -> Self {
        let body = Bytes::from(value.to_string());
        Response { status, headers: Vec::new(), content_type: Some("application/json"), body }
    }

    /// 200 with JSON.
    pub fn ok(value: &Value) -> Self {
        Response::json(200, value)
    }

    /// 200 with a page.
    pub(crate) fn page(html: String) -> Self {
        let body = Bytes::from(html);
        Response { status: 200, headers: Vec::new(), content_type: Some("text/html; charset=utf-8"), body }
    }

    /// A status alone.
    pub fn empty(status: u16) -> Self {
        Response { status, headers: Vec::new(), content_type: None, body: Bytes::new() }
    }

    /// 201 for what is new, 204 for what was there.
    pub fn made(new: bool) -> Self {
        Response::empty(if new { 201 } else { 204 })
    }

    /// 204.
    pub fn done() -> Self {
        Response::empty(204)
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
