//! `[otlp]`

use crate::config::section::Conflict;

section! {
    /// Spans of messages for an OpenTelemetry collector, by OTLP over HTTP with JSON. A message with a W3C `traceparent`
    /// among its headers (MQTT 5: a user property) whose sampled flag is set is followed; `traceparent` itself is always
    /// carried through, with and without a collector.
    pub struct Otlp {
        /// The collector. When it is not set, nothing is followed and nothing is sent. Plain HTTP: an agent on this
        /// machine, or on a network of its own.
        endpoint: Option<String> = None, example "\"http://127.0.0.1:4318/v1/traces\"";
        /// Of a million messages without a `traceparent`, how many begin a trace of their own. Every message that is
        /// followed costs some microseconds.
        sample_per_million: u32 = 0, within 0..=1_000_000;
        /// Spans per second at most; further ones are counted in `motet_otlp_spans_lost_total`.
        spans_per_second: u32 = 1000, within 1..=100_000;
        /// The name of this server among the others: OpenTelemetry's `service.name` of every span.
        name: String = "motet".into();
    }
    verified Otlp::conflicts
}

impl Otlp {
    fn conflicts(&self) -> Vec<Conflict> {
        let wrong = self.endpoint.as_ref().filter(|url| !crate::otlp::is_endpoint(url));
        let conflict = |url: &String| Conflict {
            key: "endpoint",
            wrong: format!("is {url:?}"),
            expected: "http://, a host, and perhaps a port and a path".into(),
            remedy: "name an agent that speaks OTLP over plain HTTP, for example http://127.0.0.1:4318/v1/traces"
                .into(),
        };
        wrong.map(conflict).into_iter().collect()
    }
}
