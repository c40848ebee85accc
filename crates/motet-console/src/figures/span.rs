//! How much history a query asks for.

use super::Axis;
use crate::Request;
use std::cell::Cell;

/// Samples of one figure at most: half a day in minutes.
const SAMPLES_MAX: u64 = 720;
/// Samples of one answer at most; what comes after that has its rate alone. They are about 45 bytes each.
const SAMPLES_OF_ANSWER_MAX: u64 = 200_000;

/// A stretch of time that ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Seconds back.
    pub(crate) age_secs: u64,
    /// Seconds between two samples.
    pub(crate) step_secs: u64,
}

impl Span {
    /// How many samples that are.
    pub(crate) fn samples(self) -> u64 {
        self.age_secs / self.step_secs + 1
    }
}

/// What a query asks for, by axis.
#[derive(Debug)]
pub(crate) struct Spans {
    lengths: Option<Span>,
    messages: Option<Span>,
    data: Option<Span>,
    node: Option<Span>,
    left: Cell<u64>,
}

impl Spans {
    /// Both of a pair have to be numbers; otherwise nothing is asked for, as in RabbitMQ.
    pub(crate) fn read(request: &Request) -> Self {
        let pair = |age: &str, step: &str| {
            let number = |name: &str| request.parameter(name)?.parse::<u64>().ok();
            let (age, step) = (number(age)?, number(step).filter(|step| *step > 0)?);
            Some(Span { age_secs: age.min(step.saturating_mul(SAMPLES_MAX - 1)), step_secs: step })
        };
        Spans {
            lengths: pair("lengths_age", "lengths_incr"),
            messages: pair("msg_rates_age", "msg_rates_incr"),
            data: pair("data_rates_age", "data_rates_incr"),
            node: pair("node_stats_age", "node_stats_incr"),
            left: Cell::new(SAMPLES_OF_ANSWER_MAX),
        }
    }

    /// What is asked for along an axis, as long as the answer does not grow too long.
    pub(crate) fn of(&self, axis: Axis) -> Option<Span> {
        let span = match axis {
            Axis::Lengths => self.lengths,
            Axis::Messages => self.messages,
            Axis::Data => self.data,
            Axis::Node => self.node,
        }?;
        self.left.set(self.left.get().checked_sub(span.samples())?);
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;

    fn lengths(query: &str) -> Option<Span> {
        Spans::read(&Request::read(Method::Get, "/queues", query, bytes::Bytes::new()).unwrap()).of(Axis::Lengths)
    }

    #[test]
    fn a_span_has_an_age_and_a_step() {
        assert_eq!(lengths("lengths_age=60&lengths_incr=5").map(Span::samples), Some(13));
        for nothing in ["", "lengths_age=60", "lengths_age=60&lengths_incr=0", "lengths_age=x&lengths_incr=5"] {
            assert_eq!(lengths(nothing), None, "{nothing}");
        }
        assert_eq!(lengths("lengths_age=99999999999999999999&lengths_incr=1"), None);
        assert_eq!(lengths("lengths_age=18446744073709551615&lengths_incr=1").map(Span::samples), Some(SAMPLES_MAX));
    }

    #[test]
    fn an_answer_does_not_grow_without_bound() {
        let query = "lengths_age=719&lengths_incr=1";
        let spans = Spans::read(&Request::read(Method::Get, "/queues", query, bytes::Bytes::new()).unwrap());
        let given = (0..1_000).filter(|_| spans.of(Axis::Lengths).is_some()).count() as u64;
        assert_eq!(given, SAMPLES_OF_ANSWER_MAX / SAMPLES_MAX);
    }
}
