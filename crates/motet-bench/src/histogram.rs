//! Durations in buckets whose width grows with them: 64 to each power of two, so a quantile is less than 1.6 % off.

/// Steps within a power of two.
const STEPS: u64 = 64;
/// Powers of two from 64 ns on; the last bucket holds everything above 50 days.
const POWERS: usize = 46;

/// Durations in nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

/// Some of its quantiles, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "named after what they are")]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram { buckets: vec![0; (STEPS as usize) * (POWERS + 1)], count: 0, max: 0 }
    }
}

impl Histogram {
    pub(crate) fn add(&mut self, nanos: u64) {
        let last = self.buckets.len() - 1;
        self.buckets[bucket(nanos).min(last)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(mine, theirs)| *mine += theirs);
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// None when nothing was measured.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        (self.count > 0).then(|| Quantiles {
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: micros(self.max),
        })
    }

    fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut sum = 0;
        let at = self.buckets.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        micros(at.map_or(self.max, |at| upper_bound(at).min(self.max)))
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let power = nanos.ilog2() - STEPS.ilog2();
    (STEPS as usize) * (power as usize) + (nanos >> power) as usize
}

/// The largest duration in the bucket.
fn upper_bound(bucket: usize) -> u64 {
    let (power, step) = ((bucket as u64 / STEPS).saturating_sub(1), bucket as u64 % STEPS);
    if bucket as u64 / STEPS == 0 { step } else { ((STEPS + step + 1) << power) - 1 }
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says() {
        for nanos in (0..5000).chain([1 << 20, (1 << 33) + 12345, 1 << 45]) {
            let at = bucket(nanos);
            assert!(upper_bound(at) >= nanos, "{nanos}");
            assert!(at == 0 || upper_bound(at - 1) < nanos, "{nanos}");
        }
    }

    #[test]
    fn quantiles_are_within_a_step() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantiles(), None);
        (1..=1000).for_each(|millis| histogram.add(millis * 1_000_000));
        let mut twice = Histogram::default();
        twice.merge(&histogram);
        for quantiles in [histogram.quantiles().unwrap(), twice.quantiles().unwrap()] {
            for (measured, exact) in [(quantiles.p50, 500e3), (quantiles.p99, 990e3), (quantiles.max, 1000e3)] {
                assert!((measured - exact).abs() / exact < 0.016, "{measured} {exact}");
            }
        }
        histogram.add(u64::MAX);
        assert_eq!(histogram.quantiles().unwrap().max, u64::MAX as f64 / 1000.0);
    }
}
