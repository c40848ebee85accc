//! What was not done, as RabbitMQ says it: a status, a word, a reason.

use crate::Response;
use motet_core::exchange::{BindError, DeclareError, DeleteError};
use serde_json::{Value, json};

/// A request that was not carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// The status of HTTP.
    pub status: u16,
    /// A word for programs.
    pub error: &'static str,
    /// A reason for people: usually text.
    pub reason: Value,
}

impl Refusal {
    fn new(status: u16, error: &'static str, reason: impl Into<Value>) -> Self {
        Refusal { status, error, reason: reason.into() }
    }

    /// 400: the request is not of its form, or the broker refused it.
    pub fn bad_request(reason: impl Into<Value>) -> Self {
        Refusal::new(400, "bad_request", reason)
    }

    /// 400, with a word of its own.
    pub(crate) fn malformed(error: &'static str, reason: impl Into<Value>) -> Self {
        Refusal::new(400, error, reason)
    }

    /// 404: there is no such object.
    pub fn not_found() -> Self {
        Refusal::new(404, "Object Not Found", "Not Found")
    }

    /// 404: what the request names is missing.
    pub fn missing(reason: impl Into<Value>) -> Self {
        Refusal::new(404, "not_found", reason)
    }

    /// 401: the user may not.
    pub fn not_authorised(reason: impl Into<Value>) -> Self {
        Refusal::new(401, "not_authorised", reason)
    }

    /// 401: the broker refuses it to this user.
    pub(crate) fn access_refused() -> Self {
        Refusal::not_authorised("Access refused.")
    }

    /// 401: unknown user or wrong password.
    pub fn login_failed() -> Self {
        Refusal::new(401, "not_authorized", "Login failed")
    }

    /// 500: the server failed.
    pub fn internal(reason: impl Into<Value>) -> Self {
        Refusal::new(500, "internal_server_error", reason)
    }

    /// 503: not now.
    pub fn unavailable(reason: impl Into<Value>) -> Self {
        Refusal::new(503, "service_unavailable", reason)
    }

    /// As an answer.
    pub fn response(&self) -> Response {
        Response::json(self.status, &json!({ "error": self.error, "reason": self.reason }))
    }
}

/// The core's refusals in RabbitMQ's words.
impl Refusal {
    pub(crate) fn of_exchange(error: &DeclareError, name: &str, vhost: &str) -> Self {
        match error {
            DeclareError::Reserved => Refusal::access_refused(),
            DeclareError::Mismatch { property, declared, asked, .. } => Refusal::bad_request(format!(
                "inequivalent arg '{property}' for exchange '{name}' in vhost '{vhost}': \
                 received '{asked}' but current is '{declared}'"
            )),
            DeclareError::UnknownType(kind) => Refusal::bad_request(format!("invalid exchange type '{kind}'")),
            other => Refusal::bad_request(other.to_string()),
        }
    }

    pub(crate) fn of_binding(error: &BindError, vhost: &str) -> Self {
        match error {
            BindError::NoExchange(name) => Refusal::missing(format!("no exchange '{name}' in vhost '{vhost}'")),
            BindError::NoQueue(name) => Refusal::missing(format!("no queue '{name}' in vhost '{vhost}'")),
            BindError::DefaultExchange => Refusal::access_refused(),
            other => Refusal::bad_request(other.to_string()),
        }
    }

    pub(crate) fn of_exchange_deletion(error: &DeleteError, name: &str, vhost: &str) -> Self {
        match error {
            DeleteError::Reserved => Refusal::access_refused(),
            DeleteError::InUse(_) => Refusal::bad_request(format!("exchange '{name}' in vhost '{vhost}' in use")),
        }
    }
}
