//! The core's values as JSON and back, and the spellings that RabbitMQ's JSON has.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use motet_core::message::Value as Field;
use motet_core::time::WallMillis;
use serde_json::{Map, Value, json};

/// How deep arguments may nest: as deep as AMQP tables may.
const DEPTH_MAX: usize = 16;

/// Text, or what comes nearest.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A field as JSON.
pub(crate) fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => json!(truth),
        Field::Int(number) => json!(number),
        Field::UInt(number) => json!(number),
        Field::Timestamp(ms) => json!(ms / 1_000),
        Field::Float(number) => json!(number),
        Field::Text(text) => json!(text),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => json!(text),
            Err(_) => json!(BASE64_STANDARD.encode(bytes)),
        },
        Field::List(list) => list.iter().map(value).collect(),
        Field::Table(table) => table.iter().map(|(name, field)| (name.clone(), value(field))).collect(),
    }
}

/// Named fields as a JSON object.
pub(crate) fn object(fields: &[(Box<str>, Field)]) -> Value {
    fields.iter().map(|(name, field)| (name.to_string(), value(field))).collect::<Map<_, _>>().into()
}

/// JSON as a field; None when it nests too deep.
pub(crate) fn field(value: &Value) -> Option<Field> {
    field_within(value, DEPTH_MAX)
}

fn field_within(value: &Value, depth: usize) -> Option<Field> {
    Some(match value {
        Value::Null => Field::Null,
        Value::Bool(truth) => Field::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Field::Int(number),
            (None, Some(number)) => Field::UInt(number),
            (None, None) => Field::Float(number.as_f64()?),
        },
        Value::String(text) => Field::Text(text.clone()),
        Value::Array(list) => {
            let below = depth.checked_sub(1)?;
            Field::List(list.iter().map(|value| field_within(value, below)).collect::<Option<_>>()?)
        }
        Value::Object(object) => {
            let below = depth.checked_sub(1)?;
            let fields = object.iter().map(|(name, value)| Some((name.clone(), field_within(value, below)?)));
            Field::Table(fields.collect::<Option<_>>()?)
        }
    })
}

/// A JSON object as named fields; None when it nests too deep.
pub(crate) fn fields(object: &Map<String, Value>) -> Option<Vec<(Box<str>, Field)>> {
    object.iter().map(|(name, value)| Some((name.as_str().into(), field(value)?))).collect()
}

/// A time as RabbitMQ writes it: `2026-11-21T11:20:50.208+00:00`.
pub(crate) fn time(at: WallMillis) -> String {
    let (days, ms) = (at.0 / 86_400_000, at.0 % 86_400_000);
    let (year, month, day) = civil(days as i64);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}+00:00", ms % 1_000)
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: 400 years have 146,097 days, and a year that
/// begins in March has its leap day at the end.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// A name in a path of ours: what is not unreserved is escaped, a space is a plus.
pub(crate) fn quoted(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_survive_the_way_there_and_back() {
        let json = json!({"a": 1, "b": [true, null, "x"], "c": {"d": 1.5}, "e": 18_446_744_073_709_551_615_u64});
        let Value::Object(before) = &json else { unreachable!() };
        assert_eq!(object(&fields(before).unwrap()), json);
    }

    #[test]
    fn what_nests_too_deep_is_none() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(field(&nested(DEPTH_MAX)).is_some());
        assert!(field(&nested(DEPTH_MAX + 1)).is_none());
    }

    #[test]
    fn a_time_is_spelled_with_milliseconds_and_zone() {
        assert_eq!(time(WallMillis(0)), "1970-01-01T00:00:00.000+00:00");
        assert_eq!(time(WallMillis(1_795_260_198_831)), "2026-11-21T11:23:18.831+00:00");
        assert_eq!(time(WallMillis(951_782_400_000)), "2000-02-29T00:00:00.000+00:00");
    }

    #[test]
    fn a_name_in_a_path_is_quoted() {
        assert_eq!(quoted("p lä~in/"), "p+l%C3%A4%7Ein%2F");
    }
}
