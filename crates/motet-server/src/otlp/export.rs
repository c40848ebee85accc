//! To the collector: one POST a second of what has gathered, over plain HTTP, usually to an agent on the same machine.

use super::Spans;
use serde_json::{Value as Json, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const EVERY: Duration = Duration::from_secs(1);
/// For one POST, answer included.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that we read; its status is in the first few.
const ANSWER_BYTES_MAX: u64 = 4096;

/// Where the collector is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Collector {
    /// Host and port.
    authority: String,
    path: String,
}

impl Collector {
    /// `http://host[:port][/path]`; the port is 4318 and the path `/v1/traces` when they are not named.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let (authority, path) = rest.split_once('/').map_or((rest, ""), |(authority, path)| (authority, path));
        if authority.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
            return None;
        }
        let host_ends = authority.rfind(']').unwrap_or(0);
        let port = if authority[host_ends..].contains(':') { "" } else { ":4318" };
        let path = if path.is_empty() { "v1/traces" } else { path };
        Some(Collector { authority: format!("{authority}{port}"), path: format!("/{path}") })
    }

    async fn post(&self, body: &str) -> io::Result<()> {
        let mut stream = TcpStream::connect(&self.authority).await?;
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            self.path,
            self.authority,
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        let status = answer.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        match status.first() {
            Some(b'2') => Ok(()),
            _ => Err(io::Error::other(format!("the collector answered {}", String::from_utf8_lossy(status)))),
        }
    }
}

/// The request of OTLP for some spans. [opentelemetry/proto/collector/trace/v1]
fn request(service: &str, spans: &[Json]) -> String {
    let resource = json!({ "attributes": [super::text("service.name", service), super::text("service.version", env!("CARGO_PKG_VERSION"))] });
    let scope = json!({ "scope": { "name": "motet" }, "spans": spans });
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": [scope] }] }).to_string()
}

/// For ever. What a collector does not take is counted and gone: it is a sample anyway.
pub(super) async fn run(spans: Arc<Spans>, collector: Collector) {
    let mut failing = false;
    loop {
        tokio::time::sleep(EVERY).await;
        let batch = std::mem::take(&mut *spans.waiting.lock());
        if batch.is_empty() {
            continue;
        }
        let body = request(&spans.settings.name, &batch);
        let posted = timeout(TIMEOUT, collector.post(&body)).await.unwrap_or_else(|late| Err(late.into()));
        match posted {
            Ok(()) => {
                spans.sent.fetch_add(batch.len() as u64, Ordering::Relaxed);
                failing = false;
            }
            Err(error) => {
                spans.lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                if !failing {
                    tracing::warn!(collector = collector.authority, %error, "spans did not reach the collector");
                }
                failing = true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_has_a_port_and_a_path() {
        let parsed = |url| Collector::parse(url).map(|c| format!("{} {}", c.authority, c.path));
        assert_eq!(parsed("http://127.0.0.1").as_deref(), Some("127.0.0.1:4318 /v1/traces"));
        assert_eq!(parsed("http://[::1]/").as_deref(), Some("[::1]:4318 /v1/traces"));
        assert_eq!(parsed("http://agent:80/otlp/v1").as_deref(), Some("agent:80 /otlp/v1"));
        for wrong in ["https://agent", "agent:4318", "http://", "http://a b/", "http://a/\r\nHost: b", "http://u@h/"] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }
}
