//! How figures were: rings of a few steps, each longer than the one before. What does not change takes no room.

use super::span::Span;
use serde_json::{Value, json};
use std::collections::VecDeque;

/// A ring: seconds between two entries, and how many entries back it reaches. As RabbitMQ keeps them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    step_secs: u64,
    entries: usize,
}

/// Ten minutes, an hour: of a queue. An entry has its time and its figures, 8 bytes each, so at full length a queue has
/// 183 of 104 bytes.
pub(crate) const OF_QUEUE: [Reach; 2] = [Reach { step_secs: 5, entries: 122 }, Reach { step_secs: 60, entries: 61 }];
/// And eight hours and a day: of a vhost, of the node and of its overview.
pub(crate) const OF_NODE: [Reach; 4] =
    [OF_QUEUE[0], OF_QUEUE[1], Reach { step_secs: 600, entries: 49 }, Reach { step_secs: 1_800, entries: 49 }];

/// The past of one object's figures.
#[derive(Debug)]
pub(crate) struct History<const N: usize> {
    rings: Box<[Ring<N>]>,
    /// Before this there was nothing.
    began_secs: u64,
}

#[derive(Debug)]
struct Ring<const N: usize> {
    reach: Reach,
    /// When, and what from then on; in the order of time. The oldest may stand for any time before the second.
    entries: VecDeque<(u64, [u64; N])>,
    /// The last step that was noted, whether or not something had changed.
    noted: Option<u64>,
}

impl<const N: usize> History<N> {
    /// One that begins now, in seconds since 1970.
    pub(crate) fn beginning(reaches: &[Reach], now_secs: u64) -> Self {
        let ring = |reach: &Reach| Ring { reach: *reach, entries: VecDeque::new(), noted: None };
        History { rings: reaches.iter().map(ring).collect(), began_secs: now_secs }
    }

    /// The figures are these now.
    pub(crate) fn note(&mut self, now_secs: u64, figures: &[u64; N]) {
        self.rings.iter_mut().for_each(|ring| ring.note(now_secs, figures));
    }

    /// The `at`-th figure over the span, as RabbitMQ tells it beside its rate.
    pub(crate) fn details(&self, at: usize, now_secs: u64, span: Span, rate: f64) -> Value {
        let newest = now_secs / span.step_secs * span.step_secs;
        let ring = self.ring_for(span);
        let sample = |index: u64| {
            let when = newest.checked_sub(index * span.step_secs)?;
            Some((when, self.value(ring, at, when)))
        };
        let samples: Vec<(u64, u64)> = (0..span.samples()).map_while(sample).collect();
        let [Some((first, latest)), Some((last, oldest))] = [samples.first().copied(), samples.last().copied()] else {
            return json!({ "rate": rate });
        };
        let secs = first.saturating_sub(last).max(1) as f64;
        let sum: f64 = samples.iter().map(|(_, sample)| *sample as f64).sum();
        json!({
            "avg": sum / samples.len() as f64,
            "avg_rate": (latest as f64 - oldest as f64) / secs,
            "rate": rate,
            "samples": samples
                .iter()
                .map(|(when, sample)| json!({ "sample": sample, "timestamp": when * 1_000 }))
                .collect::<Vec<_>>(),
        })
    }

    /// The finest ring that reaches back so far.
    fn ring_for(&self, span: Span) -> Option<&Ring<N>> {
        let reaches = |ring: &&Ring<N>| ring.reach.step_secs * (ring.reach.entries as u64 - 1) >= span.age_secs;
        self.rings.iter().find(reaches).or(self.rings.last())
    }

    fn value(&self, ring: Option<&Ring<N>>, at: usize, when_secs: u64) -> u64 {
        let before = ring.and_then(|ring| {
            let after = ring.entries.partition_point(|(when, _)| *when <= when_secs);
            ring.entries.get(after.checked_sub(1)?)
        });
        before.filter(|_| when_secs >= self.began_secs).map_or(0, |(_, figures)| figures[at])
    }
}

impl<const N: usize> Ring<N> {
    fn note(&mut self, now_secs: u64, figures: &[u64; N]) {
        let step = now_secs / self.reach.step_secs;
        if self.noted.is_some_and(|noted| noted >= step) {
            return;
        }
        self.noted = Some(step);
        let oldest = step.saturating_sub(self.reach.entries as u64 - 1) * self.reach.step_secs;
        while self.entries.get(1).is_some_and(|(when, _)| *when <= oldest) {
            self.entries.pop_front();
        }
        if self.entries.back().is_none_or(|(_, before)| before != figures) {
            self.entries.push_back((step * self.reach.step_secs, *figures));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Span = Span { age_secs: 60, step_secs: 5 };

    #[test]
    fn samples_go_back_from_now_and_are_nothing_before_the_beginning() {
        let mut history = History::<2>::beginning(&OF_QUEUE, 1_000);
        for (now, figure) in [(1_000, 1), (1_005, 3), (1_010, 3), (1_015, 7)] {
            history.note(now, &[figure, 0]);
        }
        let told = history.details(0, 1_017, Span { age_secs: 20, step_secs: 5 }, 0.5);
        let samples: Vec<_> = told["samples"].as_array().unwrap().iter().map(|one| one["sample"].clone()).collect();
        assert_eq!(samples, [7, 3, 3, 1, 0]);
        assert_eq!(told["samples"][0]["timestamp"], 1_015_000);
        assert_eq!((&told["rate"], &told["avg"], &told["avg_rate"]), (&json!(0.5), &json!(2.8), &json!(0.35)));
        assert_eq!(history.details(1, 1_017, MINUTE, 0.0)["avg"], json!(0.0));
    }

    #[test]
    fn what_does_not_change_takes_no_room_and_what_does_takes_a_bounded_one() {
        let mut history = History::<1>::beginning(&OF_NODE, 0);
        for second in 0..100_000 {
            history.note(second, &[second.min(50_000)]);
        }
        let lengths: Vec<_> = history.rings.iter().map(|ring| ring.entries.len()).collect();
        assert_eq!(&lengths[..2], [1, 1], "the last hour was quiet");
        for second in 100_000..300_000 {
            history.note(second, &[second]);
        }
        for ring in &history.rings {
            assert!(ring.entries.len() <= ring.reach.entries + 1, "{ring:?}");
        }
        let day = history.details(0, 299_999, Span { age_secs: 86_400, step_secs: 1_800 }, 0.0);
        assert_eq!(day["samples"].as_array().unwrap().len(), 49);
        assert_eq!(day["samples"][48]["sample"], day["samples"][48]["timestamp"].as_u64().unwrap() / 1_000);
    }
}
