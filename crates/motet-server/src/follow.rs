//! `POST /api/motet/trace`: an operator follows messages whose topic matches a pattern, step by step, as JSON lines.
//!
//! Bounded in time, in lines per second and in lines that wait for the operator; what is beyond is counted and told.

use crate::clock::Clock;
use crate::house::House;
use crate::http::Answer;
use crate::rates::Pace;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use motet_core::engine::Engine;
use motet_core::message::MessageRef;
use motet_core::name::Name;
use motet_core::pattern::Pattern;
use motet_core::spelling::mqtt;
use motet_core::trace::{Observer, Seen, Step};
use parking_lot::Mutex;
use serde_json::json;
use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{Sleep, sleep};

/// The longest an operator may follow at a time.
pub(crate) const SECONDS_MAX: u64 = 3600;
/// The most lines a second an operator may ask for.
pub(crate) const LINES_PER_SECOND_MAX: u32 = 10_000;
/// Lines that wait for the operator.
const WAITING_MAX: usize = 4096;
/// Messages whose later steps are told.
const NUMBERS_MAX: usize = 10_000;

/// What an operator asks for.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Wish {
    /// An MQTT topic filter.
    pub(crate) pattern: String,
    #[serde(default = "default_seconds")]
    seconds: u64,
    #[serde(default = "default_lines")]
    lines_per_second: u32,
}

fn default_seconds() -> u64 {
    60
}

fn default_lines() -> u32 {
    1000
}

/// Follows for one operator.
struct Follower {
    clock: Clock,
    pattern: Pattern,
    pace: Pace,
    lines_per_second: u32,
    lines: Sender<Bytes>,
    passed_over: AtomicU64,
    /// Those of whom something was told.
    numbers: Mutex<HashSet<u64, foldhash::fast::RandomState>>,
}

impl Observer for Follower {
    fn wants(&self, message: &MessageRef) -> bool {
        self.pattern.matches(message.address())
    }

    fn saw(&self, seen: &Seen<'_>) {
        // Steps that only have a number are told to everybody who follows anything.
        if seen.message.is_none() && !self.numbers.lock().contains(&seen.number) {
            return;
        }
        let now = self.clock.now();
        let room = self.pace.take(Some(self.lines_per_second), now.instant);
        match room.then(|| self.lines.try_reserve().ok()).flatten() {
            Some(place) => {
                let passed_over = self.passed_over.swap(0, Ordering::Relaxed);
                place.send(line(seen, now.wall.0, passed_over).into());
                let mut numbers = self.numbers.lock();
                if numbers.len() < NUMBERS_MAX {
                    numbers.insert(seen.number);
                }
            }
            None => {
                self.passed_over.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// A topic as MQTT spells it.
pub(crate) fn topic(address: &Name) -> String {
    let mut spelled = Vec::new();
    match mqtt::encode_name(address, &mut spelled) {
        Ok(()) => String::from_utf8_lossy(&spelled).into_owned(),
        Err(_) => format!("{address:?}"),
    }
}

/// A step as a line of JSON. Payloads are not in it.
fn line(seen: &Seen<'_>, at_ms: u64, passed_over: u64) -> String {
    let mut line = json!({ "at_ms": at_ms, "message": seen.number, "topic": topic(seen.address) });
    let step = match seen.step {
        Step::Published { by } => {
            let message = seen.message.map(MessageRef::message);
            let bytes = seen.message.map(|message| message.payload().len());
            let qos = message.map(|message| message.reliability as u8);
            json!({ "step": "published", "by": by, "bytes": bytes, "qos": qos, "retain": message.map(|m| m.retain) })
        }
        Step::Routed { subscribers, queues } => {
            json!({ "step": "routed", "subscribers": subscribers, "queues": queues })
        }
        Step::Refused(why) => json!({ "step": "refused", "why": why }),
        Step::Stored(position) => json!({ "step": "stored", "position": position.0 }),
        Step::Delivered { to, acknowledged, redelivered } => {
            json!({ "step": "delivered", "to": to, "will_be_acknowledged": acknowledged, "redelivered": redelivered })
        }
        Step::Dropped { to } => json!({ "step": "dropped", "to": to }),
        Step::Acknowledged { by } => json!({ "step": "acknowledged", "by": by }),
    };
    if let (Some(line), serde_json::Value::Object(step)) = (line.as_object_mut(), step) {
        line.extend(step);
        if passed_over > 0 {
            line.insert("passed_over".into(), passed_over.into());
        }
    }
    format!("{line}\n")
}

/// The lines as they come, until the time is over or nobody reads.
struct Lines<E: Engine> {
    house: Arc<House<E>>,
    following: u64,
    lines: Receiver<Bytes>,
    end: Pin<Box<Sleep>>,
    _turn: OwnedSemaphorePermit,
}

impl<E: Engine> Body for Lines<E> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.end.as_mut().poll(cx).is_ready() || self.house.is_draining() {
            return Poll::Ready(None);
        }
        self.lines.poll_recv(cx).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

impl<E: Engine> Drop for Lines<E> {
    fn drop(&mut self) {
        self.house.core.trace().unfollow(self.following);
    }
}

/// Begins to follow; the answer goes on until the time is over.
///
/// # Errors
/// What is wrong with the wish.
pub(crate) fn follow<E: Engine>(
    house: &Arc<House<E>>,
    wish: &Wish,
    turn: OwnedSemaphorePermit,
) -> Result<Answer, String> {
    let pattern = mqtt::decode_pattern(&wish.pattern).map_err(|error| format!("{:?}: {error}", wish.pattern))?;
    let seconds = wish.seconds.clamp(1, SECONDS_MAX);
    let lines_per_second = wish.lines_per_second.clamp(1, LINES_PER_SECOND_MAX);
    let (sender, lines) = channel(WAITING_MAX);
    let follower = Follower {
        clock: Clock::new(),
        pattern,
        pace: Pace::default(),
        lines_per_second,
        lines: sender,
        passed_over: AtomicU64::new(0),
        numbers: Mutex::default(),
    };
    let following = house.core.trace().follow(Arc::new(follower));
    let end = Box::pin(sleep(Duration::from_secs(seconds)));
    let mut answer = Answer::new(Lines { house: house.clone(), following, lines, end, _turn: turn }.boxed());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::testing::house;
    use motet_core::core::Publisher;
    use motet_core::message::{BatchBuilder, FaceId, MessageParts};
    use motet_core::principal::Principal;

    fn publish(house: &House<crate::testing::Instantly>, topic: &str) {
        let mut publisher = Publisher::new(&*house.core, Principal::anonymous(), None);
        let known = publisher.known(topic.as_bytes(), || mqtt::decode_name(topic)).unwrap().clone();
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts { payload: b"secret", ..MessageParts::default() });
        let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
        house.core.publish(house.clock.now(), &publisher, &known, batch, None);
    }

    fn turn() -> OwnedSemaphorePermit {
        Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned().unwrap()
    }

    fn wish(text: &str) -> Wish {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn steps_come_as_lines_until_nobody_reads() {
        let house = house(Limits::default());
        let mut answer = follow(&house, &wish(r#"{"pattern": "a/+"}"#), turn()).unwrap();
        publish(&house, "b");
        publish(&house, "a/b");
        let mut lines = Vec::new();
        for _ in 0..2 {
            let frame = answer.body_mut().frame().await.unwrap().unwrap();
            let line = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
            assert!(!line.contains("secret"));
            lines.push(serde_json::from_str::<serde_json::Value>(&line).unwrap());
        }
        assert_eq!((&lines[0]["step"], &lines[0]["topic"]), (&"published".into(), &"a/b".into()));
        assert_eq!((&lines[0]["bytes"], &lines[0]["qos"]), (&6.into(), &0.into()));
        assert_eq!((&lines[1]["step"], &lines[1]["subscribers"]), (&"routed".into(), &0.into()));
        assert_eq!(lines[0]["message"], lines[1]["message"]);
        assert!(house.core.trace().is_on());
        drop(answer);
        assert!(!house.core.trace().is_on(), "it costs nothing any more");
    }

    #[tokio::test]
    async fn lines_beyond_the_rate_are_counted() {
        let house = house(Limits::default());
        let mut answer = follow(&house, &wish(r##"{"pattern": "#", "lines_per_second": 1}"##), turn()).unwrap();
        publish(&house, "a");
        let frame = answer.body_mut().frame().await.unwrap().unwrap();
        assert!(frame.into_data().unwrap().starts_with(b"{"));
        assert!(follow(&house, &wish(r##"{"pattern": "a/#/b"}"##), turn()).is_err());
    }
}
