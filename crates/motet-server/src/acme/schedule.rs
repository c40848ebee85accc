//! When: pure values, so that months pass in a test.

use std::time::Duration;

/// The longest pause between two tries that nobody but us asks for.
const PAUSE_MAX: Duration = Duration::from_secs(6 * 3_600);
/// The longest pause that an authority can ask for.
const TOLD_MAX: Duration = Duration::from_secs(86_400);

/// When a certificate is renewed, in seconds since 1970 as all of them: `renew_before` its end, never before two thirds
/// of its life are over, and spread over a tenth of what is left then.
pub(super) fn renewal(begins: u64, expires: u64, renew_before: Duration, random: u64) -> u64 {
    let life = expires.saturating_sub(begins);
    let margin = renew_before.as_secs().min(life / 3);
    expires.saturating_sub(margin) + random % (margin / 10 + 1)
}

/// How long to wait after so many failures in a row, at least what the authority said; a fifth longer at random.
pub(super) fn pause(interval: Duration, failures: u32, told: Option<Duration>, random: u64) -> Duration {
    let doubled = interval.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(PAUSE_MAX);
    let least = doubled.max(told.unwrap_or_default().min(TOLD_MAX));
    let spread = u64::try_from(least.as_millis() / 5).unwrap_or(u64::MAX);
    least + Duration::from_millis(random % (spread + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_certificate_is_renewed_a_month_before_its_end_or_after_two_thirds_of_its_life() {
        let month = Duration::from_secs(30 * DAY);
        assert_eq!(renewal(0, 365 * DAY, month, 0), 335 * DAY);
        assert_eq!(renewal(0, 90 * DAY, month, 0), 60 * DAY);
        assert_eq!(renewal(0, 6 * DAY, month, 0), 4 * DAY, "a short life");
        assert_eq!(renewal(0, 365 * DAY, Duration::from_secs(DAY), 0), 364 * DAY);
        assert_eq!(renewal(5, 5, month, 7), 5, "no life at all");
        assert_eq!(renewal(9, 5, month, 7), 5, "ends before it begins");
    }

    #[test]
    fn not_everybody_comes_at_the_same_time_and_nobody_too_late() {
        let month = Duration::from_secs(30 * DAY);
        for random in [0, 1, 12_345_678, u64::MAX] {
            let at = renewal(0, 90 * DAY, month, random);
            assert!((60 * DAY..=63 * DAY).contains(&at), "{at}");
        }
        assert_ne!(renewal(0, 90 * DAY, month, 1), renewal(0, 90 * DAY, month, 2));
    }

    #[test]
    fn failures_in_a_row_make_the_pause_longer_up_to_a_bound() {
        let pauses: Vec<_> =
            [1, 2, 3, 8, 1_000].map(|failures| pause(Duration::from_secs(300), failures, None, 0)).into();
        assert_eq!(pauses, [300, 600, 1_200, 21_600, 21_600].map(Duration::from_secs));
        let longest = pause(Duration::from_secs(300), 1, None, 60_000);
        assert_eq!(longest, Duration::from_secs(360));
    }

    #[test]
    fn an_authority_can_ask_for_more_patience_up_to_a_day() {
        let told = |secs| pause(Duration::from_secs(300), 1, Some(Duration::from_secs(secs)), 0);
        assert_eq!(told(10), Duration::from_secs(300));
        assert_eq!(told(3_600), Duration::from_secs(3_600));
        assert_eq!(told(u64::MAX), Duration::from_secs(DAY));
    }
}
