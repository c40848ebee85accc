//! Headers as user properties: text, with the types of what was none in `x-types`, so that the way back restores them.
//!
//! `x-types` is `name=tag`, with commas between, in the order of the headers; `%`, `,` and `=` in names are `%25`, `%2C`
//! and `%3D`. A list is so many properties of one name, as several of one name are a list elsewhere.
//!
//! | tag | value | tag | value |
//! |---|---|---|---|
//! | `t` | `true` or `false` | `x` | bytes that are text |
//! | `l` | a signed integer | `X` | other bytes, in hexadecimal |
//! | `u` | an unsigned one beyond those | `T` | milliseconds since 1970 |
//! | `d` | a floating point number | `V` | nothing |
//! | `S` | text | `A`, `Al` … | a list of nothing, of one |
//!
//! Tables, and lists in lists, are told as text and not restored.

use bytes::Bytes;
use motet_core::message::Value;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};

/// The user property with the types of the others.
pub(super) const TYPES: &str = "x-types";

/// Tells each user property of these headers, then their types where there are any to tell.
pub(super) fn to_user_properties(headers: &[(Box<str>, Value)], mut push: impl FnMut(&str, &str)) {
    let mut types = String::new();
    // Of a name whose values are not all text, each has its type listed. Found in one pass: the publisher decides how many
    // there are.
    let typed: HashSet<&str> = headers.iter().filter(|(_, value)| !is_text(value)).map(|(name, _)| &**name).collect();
    for (name, value) in headers {
        let items = match value {
            Value::List(items) if items.len() > 1 => items,
            other => std::slice::from_ref(other),
        };
        let has_types = typed.contains(&**name);
        for item in items {
            let (tag, text) = tell(item);
            push(name, &text);
            if let (true, Some(tag)) = (has_types, tag) {
                let comma = if types.is_empty() { "" } else { "," };
                types += &format!("{comma}{}={tag}", escape(name));
            }
        }
    }
    if !types.is_empty() {
        push(TYPES, &types);
    }
}

fn is_text(value: &Value) -> bool {
    match value {
        Value::Text(_) | Value::Table(_) => true,
        Value::List(items) if items.len() > 1 => items.iter().all(|item| matches!(item, Value::Text(_))),
        _ => false,
    }
}

/// The text of a value, and its tag where it can be restored.
fn tell(value: &Value) -> (Option<Cow<'static, str>>, Cow<'_, str>) {
    let tagged = |tag: &'static str, text: String| (Some(Cow::Borrowed(tag)), Cow::Owned(text));
    match value {
        Value::Null => tagged("V", String::new()),
        Value::Bool(v) => tagged("t", v.to_string()),
        Value::Int(v) => tagged("l", v.to_string()),
        Value::UInt(v) => tagged("u", v.to_string()),
        Value::Timestamp(v) => tagged("T", v.to_string()),
        Value::Float(v) => tagged("d", v.to_string()),
        Value::Text(v) => (Some("S".into()), v.as_str().into()),
        Value::Bytes(v) => match std::str::from_utf8(v) {
            Ok(text) if !text.contains('\0') => (Some("x".into()), text.into()),
            _ => tagged("X", v.iter().map(|byte| format!("{byte:02x}")).collect()),
        },
        Value::List(items) => match &items[..] {
            [] => (Some("A".into()), "".into()),
            [one @ (Value::List(_) | Value::Table(_))] => (None, text(one).into()),
            [one] => {
                let (tag, text) = tell(one);
                (tag.map(|tag| format!("A{tag}").into()), text)
            }
            _ => (None, text(value).into()),
        },
        Value::Table(_) => (None, text(value).into()),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::List(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
        Value::Table(fields) => fields.iter().map(|(k, v)| format!("{k}={}", text(v))).collect::<Vec<_>>().join(","),
        scalar => tell(scalar).1.into_owned(),
    }
}

fn escape(name: &str) -> String {
    name.replace('%', "%25").replace(',', "%2C").replace('=', "%3D")
}

fn unescape(name: &str) -> String {
    name.replace("%3D", "=").replace("%2C", ",").replace("%25", "%")
}

/// Gives values their types back. What does not fit its type stays text.
pub(super) fn restore(headers: &mut [(Box<str>, Value)], types: &str) {
    let mut by_name: HashMap<String, VecDeque<&str>> = HashMap::new();
    for (name, tag) in types.split(',').filter_map(|entry| entry.split_once('=')) {
        by_name.entry(unescape(name)).or_default().push_back(tag);
    }
    // Lists of further routing keys are AMQP's: their rights are not looked at here.
    let restored = headers.iter_mut().filter(|(name, _)| !matches!(&**name, "CC" | "BCC"));
    for (name, value) in restored {
        let tag = by_name.get_mut(&**name).and_then(VecDeque::pop_front);
        if let (Some(tag), Value::Text(text)) = (tag, &*value)
            && let Some(typed) = typed(tag, text)
        {
            *value = typed;
        }
    }
}

fn typed(tag: &str, text: &str) -> Option<Value> {
    Some(match tag {
        "V" => Value::Null,
        "t" => Value::Bool(text.parse().ok()?),
        "l" => Value::Int(text.parse().ok()?),
        "u" => Value::UInt(text.parse().ok()?),
        "T" => Value::Timestamp(text.parse().ok()?),
        "d" => Value::Float(text.parse().ok()?),
        "x" => Value::Bytes(Bytes::copy_from_slice(text.as_bytes())),
        "X" => Value::Bytes(unhex(text)?),
        "A" => Value::List(Vec::new()),
        "S" => Value::Text(text.to_owned()),
        // One level: who sends `AAAA…` gets text.
        _ => Value::List(vec![typed(tag.strip_prefix('A').filter(|rest| !rest.starts_with('A'))?, text)?]),
    })
}

fn unhex(text: &str) -> Option<Bytes> {
    let digits = text.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(byte).collect::<Option<Vec<u8>>>().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(headers: &[(Box<str>, Value)]) -> Vec<(String, String)> {
        let mut told = Vec::new();
        to_user_properties(headers, |name, value| told.push((name.to_owned(), value.to_owned())));
        told
    }

    fn back(told: &[(String, String)]) -> Vec<(Box<str>, Value)> {
        let plain = told.iter().filter(|(name, _)| name != TYPES);
        let mut headers: Vec<_> =
            plain.map(|(name, value)| (name.as_str().into(), Value::Text(value.clone()))).collect();
        for (_, types) in told.iter().filter(|(name, _)| name == TYPES) {
            restore(&mut headers, types);
        }
        headers
    }

    #[test]
    fn every_type_comes_back_and_text_needs_no_telling() {
        let text = |text: &str| Value::Text(text.into());
        let headers: Vec<(Box<str>, Value)> = vec![
            ("t".into(), Value::Bool(true)),
            ("n".into(), Value::Int(-3)),
            ("n".into(), text("7")),
            ("u".into(), Value::UInt(u64::MAX)),
            ("d".into(), Value::Float(0.1)),
            ("s".into(), text("a=b,c%")),
            ("x".into(), Value::Bytes(Bytes::from_static(b"ok"))),
            ("X".into(), Value::Bytes(Bytes::from_static(&[0, 255]))),
            ("T".into(), Value::Timestamp(5_000)),
            ("V".into(), Value::Null),
            ("odd,%=".into(), Value::Bool(false)),
            ("none".into(), Value::List(vec![])),
            ("one".into(), Value::List(vec![Value::Int(1)])),
        ];
        let properties = told(&headers);
        assert_eq!(back(&properties), headers);
        assert_eq!(properties.last().unwrap().1, "t=t,n=l,n=S,u=u,d=d,x=x,X=X,T=T,V=V,odd%2C%25%3D=t,none=A,one=Al");
        assert_eq!(told(&[("s".into(), text("plain"))]).len(), 1);
    }

    #[test]
    fn a_list_is_so_many_properties() {
        let list = vec![("l".into(), Value::List(vec![Value::Int(1), Value::Text("a".into())]))];
        let expected = vec![("l".into(), Value::Int(1)), ("l".into(), Value::Text("a".into()))];
        assert_eq!(back(&told(&list)), expected);
    }

    #[test]
    fn as_many_as_a_publisher_can_send_come_back() {
        let headers: Vec<(Box<str>, Value)> =
            (0..100_000).map(|n| (format!("{}", n % 50_000).into(), Value::Text(n.to_string()))).collect();
        assert_eq!(back(&told(&headers)), headers);
        let numbers: Vec<_> =
            headers.iter().enumerate().map(|(n, (name, _))| (name.clone(), Value::Int(n as i64))).collect();
        assert_eq!(back(&told(&numbers)), numbers);
    }

    #[test]
    fn types_that_lie_change_nothing() {
        for types in ["a=l", "a", "=", "a=AAAAl", "a=X,a=X,a=X", ",,,", "a=q"] {
            let mut headers = vec![("a".into(), Value::Text("abc".into()))];
            restore(&mut headers, types);
            assert_eq!(headers, [("a".into(), Value::Text("abc".into()))], "{types}");
        }
    }
}
