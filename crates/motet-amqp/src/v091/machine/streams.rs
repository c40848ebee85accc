//! Readers of streams: where they begin, and what a stream does not do.

use super::refusal;
use super::running::Running;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::{FieldTable, FieldValue, basic};
use motet_core::core::broker::NamedQueue;
use motet_core::stream::Start;
use motet_core::time::Now;

/// The argument of basic.consume that says where to begin.
const OFFSET: &str = "x-stream-offset";

impl Running {
    /// Whether a reader may be added as it asks, and where it begins.
    pub(super) fn stream_start(
        &self,
        now: Now,
        queue: &NamedQueue,
        prefetch: u16,
        prefetch_global: u16,
        consume: &basic::Consume<'_>,
    ) -> Result<Start, Failure> {
        if consume.no_ack {
            return Err(self.not_of_streams(queue, "automatic acknowledgement"));
        }
        if prefetch == 0 || prefetch_global != 0 {
            let text = format!("consumer prefetch count is not set for '{}'", self.spoken(queue));
            return Err(Failure::new(ReplyCode::PreconditionFailed, text));
        }
        start(now, consume.arguments).ok_or_else(|| {
            let text = format!(
                "invalid arg '{OFFSET}' for {}: it wants first, last, next, an offset, a timestamp or an age",
                self.spoken(queue)
            );
            Failure::new(ReplyCode::PreconditionFailed, text)
        })
    }

    /// A stream does not do this.
    pub(super) fn not_of_streams(&self, queue: &NamedQueue, what: &str) -> Failure {
        let text = format!("{what} not supported by stream queues {}", self.spoken(queue));
        Failure::new(ReplyCode::NotImplemented, text)
    }

    fn spoken(&self, queue: &NamedQueue) -> String {
        refusal::queue_name(&self.vhost, &String::from_utf8_lossy(queue.name()))
    }
}

/// Where the argument asks to begin; `None` when it makes no sense.
fn start(now: Now, arguments: FieldTable<'_>) -> Option<Start> {
    let Some(value) = arguments.get(OFFSET) else { return Some(Start::Next) };
    match value {
        FieldValue::Text(b"first") => Some(Start::First),
        FieldValue::Text(b"last") => Some(Start::Last),
        FieldValue::Text(b"next") => Some(Start::Next),
        FieldValue::Text(age) => {
            let ms = motet_core::core::broker::age_ms(std::str::from_utf8(age).ok()?)?;
            Some(Start::Timestamp(now.wall.0.saturating_sub(ms)))
        }
        FieldValue::Timestamp(secs) => Some(Start::Timestamp(secs.saturating_mul(1_000))),
        FieldValue::Bool(_) => None,
        value => u64::try_from(value.integer()?).ok().map(Start::Offset),
    }
}
