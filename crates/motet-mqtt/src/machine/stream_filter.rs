//! `$stream/<name>@<from>`: which stream a filter reads, and from where on.

use motet_core::stream::Start;
use motet_core::time::Now;

/// What a client is told whose start makes no sense.
pub(super) const NOT_A_START: &str = "a stream is read from first, last, next, an offset, a time such as 2026-01-31T12:00:00Z, or a time ago such as 90s, 5m, 1h, 7d";

/// The name and the start of a filter that reads a stream; without `@` it is the next entry. `Some(Err)` has a start that
/// makes no sense.
pub(super) fn parse(filter: &str, now: Now) -> Option<Result<(&str, Start), &'static str>> {
    let rest = filter.strip_prefix("$stream/")?;
    let (name, from) = rest.rsplit_once('@').unwrap_or((rest, "next"));
    Some(start(from, now).map(|start| (name, start)).ok_or(NOT_A_START))
}

fn start(from: &str, now: Now) -> Option<Start> {
    Some(match from {
        "first" => Start::First,
        "last" => Start::Last,
        "next" => Start::Next,
        _ if from.bytes().all(|byte| byte.is_ascii_digit()) => Start::Offset(from.parse().ok()?),
        _ if from.ends_with('Z') => Start::Timestamp(time(from)?),
        _ => Start::Timestamp(now.wall.0.saturating_sub(ago(from)?)),
    })
}

/// A number with its unit, in milliseconds.
fn ago(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits(number)?.checked_mul(unit_ms)
}

/// A time in UTC [RFC 3339, section 5.6], in milliseconds since 1970. Other zones have a sign that no topic filter can hold.
fn time(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [year, month, day] = three(date, '-')?;
    let [hour, minute, second] = three(time, ':')?;
    // A leap second counts as the one before it.
    let in_bounds = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_bounds || hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
        return None;
    }
    let millis = digits(fraction)? * 1_000 / 10_u64.pow(fraction.len() as u32);
    let seconds = (days(year, month, day) * 24 + hour) * 3_600 + minute * 60 + second.min(59);
    Some(seconds * 1_000 + millis)
}

/// Days from 1970-01-01: a year that begins in March has its leap day at the end.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let since_year_0 = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    since_year_0 - 719_468
}

/// Numbers as wide as the parts of a date and of a time.
fn three(text: &str, between: char) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut part = || parts.next().filter(|part| (2..=4).contains(&part.len())).and_then(digits);
    let numbers = [part()?, part()?, part()?];
    parts.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use motet_core::time::WallMillis;

    fn from(text: &str) -> Option<Start> {
        start(text, Now { wall: WallMillis(1_000_000_000), ..Now::default() })
    }

    #[test]
    fn a_start_is_a_word_an_offset_a_time_or_so_long_ago() {
        for (text, expected) in [
            ("first", Start::First),
            ("last", Start::Last),
            ("next", Start::Next),
            ("0", Start::Offset(0)),
            ("18446744073709551615", Start::Offset(u64::MAX)),
            ("90s", Start::Timestamp(1_000_000_000 - 90_000)),
            ("10000d", Start::Timestamp(1_000_000_000_u64.saturating_sub(864_000_000_000))),
            ("1970-01-01T00:00:00Z", Start::Timestamp(0)),
            ("2000-02-29T12:34:56.789Z", Start::Timestamp(951_827_696_789)),
            ("2026-12-31T23:59:60Z", Start::Timestamp(1_798_761_599_000)),
        ] {
            assert_eq!(from(text), Some(expected), "{text}");
        }
        let wrong = "|-1|+1|1w|s|1_0s|99999999999999999999|99999999999999999999s|2026-01-01|2026-01-01T00:00Z|1969-01-01T00:00:00Z\
                     |2026-13-01T00:00:00Z|2026-01-32T00:00:00Z|2026-01-01T24:00:00Z|2026-01-01T00:00:00+00:00|Z|TZ|é";
        for text in wrong.split('|') {
            assert_eq!(from(text), None, "{text}");
        }
    }

    #[test]
    fn the_last_at_sign_ends_the_name() {
        let now = Now::default();
        assert_eq!(parse("$stream/a@b@first", now), Some(Ok(("a@b", Start::First))));
        assert_eq!(parse("$stream/a", now), Some(Ok(("a", Start::Next))));
        assert_eq!(parse("$stream/a@soon", now), Some(Err(NOT_A_START)));
        assert_eq!(parse("stream/a", now), None);
    }
}
