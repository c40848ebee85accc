//! AMQP 0-9-1 in scripts: a line is a method, with its content when it has one.

use super::args::{self, Args};
use super::fields::Fields;
use super::parse::Line;
use super::value::Value;
use bytes::BytesMut;
use motet_amqp::v091::packet::{
    ArrayBuf, CLASS_BASIC, ContentHeader, FieldTable, FieldValue, FrameKind, Method, PROTOCOL_HEADER, Properties,
    TableBuf, Told, frame, put_body, put_header,
};

/// Bytes of a body frame, where a line does not say `frame=…`.
const FRAME_BYTES: usize = 4096 - 8;
/// What the lines of a `LOGIN` are, and what the server answers to them.
const LOGIN_ANSWERS: [&str; 4] = ["connection.start", "connection.tune", "connection.open-ok", "channel.open-ok"];

/// The line is one of AMQP: a method, or one of the words below.
pub(super) fn speaks(line: &Line) -> bool {
    line.packet.contains('.') || matches!(line.packet.as_str(), "LOGIN" | "HEADER" | "content" | "body" | "heartbeat")
}

/// What the server answers to this line before the next step; names alone.
pub(super) fn answers(line: &Line) -> &'static [&'static str] {
    if line.packet == "LOGIN" { &LOGIN_ANSWERS } else { &[] }
}

/// The bytes of a line.
pub(super) fn compose(line: &Line) -> Result<Vec<u8>, String> {
    let mut out = BytesMut::new();
    let args = Args::new(&line.tokens);
    match line.packet.as_str() {
        "HEADER" => out.extend_from_slice(&PROTOCOL_HEADER),
        "LOGIN" => login(&args, &mut out)?,
        "heartbeat" => motet_amqp::v091::packet::put_heartbeat(&mut out),
        "content" => {
            let (channel, size) = (channel(&args, 1)?, args.number("size")?.unwrap_or(0));
            content_header(&args, channel, size, &mut out)?;
        }
        "body" => put_body(&mut out, channel(&args, 1)?, args.bytes("payload")?.unwrap_or_default()),
        name => method(name, &args, &mut out)?,
    }
    args.finish()?;
    Ok(out.to_vec())
}

/// Everything up to an open channel 1, in one go.
fn login(args: &Args<'_>, out: &mut BytesMut) -> Result<(), String> {
    let user = args.text("user")?.unwrap_or("guest");
    let heartbeat = args.number::<u64>("heartbeat")?.unwrap_or(0);
    let vhost = args.text("vhost")?.unwrap_or("/");
    out.extend_from_slice(&PROTOCOL_HEADER);
    let response = format!("\0{user}\0guest");
    let (mut capabilities, mut properties) = (TableBuf::new(), TableBuf::new());
    for name in ["publisher_confirms", "consumer_cancel_notify", "connection.blocked", "authentication_failure_close"] {
        capabilities.push(name, FieldValue::Bool(true));
    }
    properties.push("capabilities", FieldValue::Table(capabilities.as_table()));
    let mut say = |channel, class, name, fields: &[(&str, Told<'_>)]| {
        let method = Method::from_told(class, name, &mut |field| {
            fields.iter().find(|(known, _)| *known == field).map(|(_, told)| *told)
        });
        method.expect("these are methods").put(out, channel);
    };
    let start_ok = [
        ("client_properties", Told::Table(properties.as_table())),
        ("mechanism", Told::Bytes(b"PLAIN")),
        ("response", Told::Bytes(response.as_bytes())),
        ("locale", Told::Bytes(b"en_US")),
    ];
    let terms = [
        ("channel_max", Told::Number(2047)),
        ("frame_max", Told::Number(131_072)),
        ("heartbeat", Told::Number(heartbeat)),
    ];
    say(0, "connection", "StartOk", &start_ok);
    say(0, "connection", "TuneOk", &terms);
    say(0, "connection", "Open", &[("virtual_host", Told::Bytes(vhost.as_bytes()))]);
    say(1, "channel", "Open", &[]);
    Ok(())
}

fn channel(args: &Args<'_>, default: u16) -> Result<u16, String> {
    Ok(args.number("channel")?.unwrap_or(default))
}

/// `basic.publish` takes its content along, unless `content=0` says that it comes in lines of its own.
fn method(name: &str, args: &Args<'_>, out: &mut BytesMut) -> Result<(), String> {
    let (class, name) = name.split_once('.').ok_or_else(|| format!("`{name}` is not a method"))?;
    let channel = channel(args, if class == "connection" { 0 } else { 1 })?;
    let arguments = table(args, "argument")?;
    let (with_content, text) = (args.number::<u8>("content")?, camel(name));
    let mut wrong = None;
    let method = Method::from_told(class, &text, &mut |field| match field {
        "arguments" | "client_properties" => Some(Told::Table(arguments.as_table())),
        field => match args.value(field)? {
            Value::Number(number) => Some(Told::Number(*number)),
            Value::Text(bytes) => Some(Told::Bytes(bytes)),
            Value::List(_) => {
                wrong = Some(format!("`{field}` is no list"));
                None
            }
        },
    });
    if let Some(wrong) = wrong {
        return Err(wrong);
    }
    method.ok_or_else(|| format!("no method `{class}.{name}` has such fields"))?.put(out, channel);
    if (class, name) == ("basic", "publish") && with_content != Some(0) {
        let body = args.bytes("payload")?.unwrap_or_default();
        let room = args.number("frame")?.unwrap_or(FRAME_BYTES);
        content_header(args, channel, body.len() as u64, out)?;
        body.chunks(room).for_each(|part| put_body(out, channel, part));
    }
    Ok(())
}

fn content_header(args: &Args<'_>, channel: u16, size: u64, out: &mut BytesMut) -> Result<(), String> {
    let headers = table(args, "header")?;
    let properties = Properties {
        content_type: args.bytes("content_type")?,
        content_encoding: args.bytes("content_encoding")?,
        headers: (!headers.as_table().is_empty()).then(|| headers.as_table()),
        delivery_mode: args.number("delivery_mode")?,
        priority: args.number("priority")?,
        correlation_id: args.bytes("correlation_id")?,
        reply_to: args.bytes("reply_to")?,
        expiration: args.bytes("expiration")?,
        message_id: args.bytes("message_id")?,
        timestamp: args.number("timestamp")?,
        kind: args.bytes("type")?,
        user_id: args.bytes("user_id")?,
        app_id: args.bytes("app_id")?,
        cluster_id: None,
    };
    let mut raw = BytesMut::new();
    properties.encode(&mut raw);
    put_header(out, channel, size, &raw);
    Ok(())
}

/// The fields `name="key:T=value"`: `T` is the tag of the value's type, text when it is left out.
fn table(args: &Args<'_>, name: &str) -> Result<TableBuf, String> {
    let mut table = TableBuf::new();
    args.take_each(|field, value| {
        (field == name).then(|| {
            let text = args::text(name, value)?;
            let (key, value) = text.split_once('=').ok_or_else(|| format!("`{name}` is \"key=value\""))?;
            match key.rsplit_once(':') {
                Some((key, tag)) => push(&mut table, key, tag, value),
                None => {
                    table.push(key, FieldValue::Text(value.as_bytes()));
                    Ok(())
                }
            }
        })
    })?;
    Ok(table)
}

fn push(table: &mut TableBuf, key: &str, tag: &str, value: &str) -> Result<(), String> {
    let wrong = |_| format!("`{value}` is not of type {tag}");
    let integer = || value.parse::<i64>().map_err(|e| wrong(e.to_string()));
    let mut array = ArrayBuf::new();
    let value = match tag {
        "t" => FieldValue::Bool(value == "1"),
        "I" => FieldValue::I32(integer()?.try_into().map_err(|_| wrong(String::new()))?),
        "l" => FieldValue::I64(integer()?),
        "T" => FieldValue::Timestamp(integer()?.cast_unsigned()),
        "d" => FieldValue::F64(value.parse().map_err(|_| wrong(String::new()))?),
        "x" => FieldValue::Bytes(value.as_bytes()),
        "V" => FieldValue::Void,
        "A" => {
            value.split(',').for_each(|item| array.push(FieldValue::Text(item.as_bytes())));
            FieldValue::Array(array.as_array())
        }
        _ => return Err(format!("`{tag}` is not a type that lines can say")),
    };
    table.push(key, value);
    Ok(())
}

/// How many bytes the next method has, with its content; `None` until they are there.
///
/// # Errors
/// What is no AMQP.
pub(super) fn message_len(bytes: &[u8]) -> Result<Option<usize>, String> {
    if bytes.starts_with(b"AMQP") {
        return Ok((bytes.len() >= PROTOCOL_HEADER.len()).then_some(PROTOCOL_HEADER.len()));
    }
    let next = |at: usize| frame(&bytes[at..], u32::MAX).map_err(|error| error.to_string());
    let Some(first) = next(0)? else { return Ok(None) };
    let mut len = first.len();
    if first.kind != FrameKind::Method.number() || !has_content(first.payload) {
        return Ok(Some(len));
    }
    let Some(head) = next(len)? else { return Ok(None) };
    let header = ContentHeader::decode(head.payload).map_err(|error| error.to_string())?;
    len += head.len();
    let mut left = header.body_size;
    while left > 0 {
        let Some(body) = next(len)? else { return Ok(None) };
        left = left.checked_sub(body.payload.len() as u64).ok_or("a body is longer than it was announced")?;
        len += body.len();
    }
    Ok(Some(len))
}

/// basic.return, basic.deliver, basic.get-ok
fn has_content(method: &[u8]) -> bool {
    method.starts_with(&CLASS_BASIC.to_be_bytes()) && matches!(method.get(2..4), Some([0, 50 | 60 | 71]))
}

/// What a whole message says.
pub(super) fn fields(bytes: &[u8]) -> Result<Fields, String> {
    if bytes.starts_with(b"AMQP") {
        return Ok(Fields::named("HEADER"));
    }
    let first = frame(bytes, u32::MAX).ok().flatten().expect("a whole message was taken");
    if first.kind == FrameKind::Heartbeat.number() {
        return Ok(Fields::named("heartbeat"));
    }
    let wrong = |error: &dyn std::fmt::Display| format!("the server sent {bytes:02x?}: {error}");
    let method = Method::decode(first.payload).map_err(|error| wrong(&error))?;
    let mut list = vec![("channel", Value::Number(first.channel.into()))];
    let (class, name) = method.tell(&mut |field, told| match told {
        Told::Number(number) => list.push((field, Value::Number(number))),
        Told::Bytes(bytes) => list.push((field, bytes.into())),
        Told::Table(table) => list.extend(pairs("argument", table)),
    });
    if has_content(first.payload) {
        let head = frame(&bytes[first.len()..], u32::MAX).ok().flatten().expect("a whole message was taken");
        let header = ContentHeader::decode(head.payload).map_err(|error| wrong(&error))?;
        let properties = Properties::decode(header.raw).map_err(|error| wrong(&error))?;
        tell_properties(&properties, &mut list);
        let (mut at, mut body) = (first.len() + head.len(), Vec::new());
        while let Some(part) = frame(&bytes[at..], u32::MAX).ok().flatten() {
            body.extend_from_slice(part.payload);
            at += part.len();
        }
        list.push(("payload", Value::Text(body)));
    }
    let mut fields = Fields::named(format!("{class}.{}", kebab(name)));
    list.into_iter().for_each(|(name, value)| fields.push(name, value));
    Ok(fields)
}

fn tell_properties(properties: &Properties<'_>, list: &mut Vec<(&'static str, Value)>) {
    let texts = |list: &mut Vec<(&'static str, Value)>, texts: &[(&'static str, Option<&[u8]>)]| {
        list.extend(texts.iter().filter_map(|(name, text)| Some((*name, (*text)?.into()))));
    };
    let number = |number: Option<u64>| number.map(Value::Number);
    texts(list, &[("content_type", properties.content_type), ("content_encoding", properties.content_encoding)]);
    list.extend(properties.headers.into_iter().flat_map(|headers| pairs("header", headers)));
    list.extend(number(properties.delivery_mode.map(u64::from)).map(|value| ("delivery_mode", value)));
    list.extend(number(properties.priority.map(u64::from)).map(|value| ("priority", value)));
    texts(
        list,
        &[
            ("correlation_id", properties.correlation_id),
            ("reply_to", properties.reply_to),
            ("expiration", properties.expiration),
            ("message_id", properties.message_id),
        ],
    );
    list.extend(number(properties.timestamp).map(|value| ("timestamp", value)));
    texts(list, &[("type", properties.kind), ("user_id", properties.user_id), ("app_id", properties.app_id)]);
}

/// The fields of a table as lines say them.
fn pairs(name: &'static str, table: FieldTable<'_>) -> Vec<(&'static str, Value)> {
    let pair = |(key, value): (&[u8], FieldValue<'_>)| {
        let (tag, value) = shown(value);
        let tag = if tag == "S" { String::new() } else { format!(":{tag}") };
        (name, Value::Text(format!("{}{tag}={value}", String::from_utf8_lossy(key)).into_bytes()))
    };
    table.iter().map(pair).collect()
}

fn shown(value: FieldValue<'_>) -> (&'static str, String) {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match value {
        FieldValue::Bool(flag) => ("t", u8::from(flag).to_string()),
        FieldValue::Text(bytes) => ("S", lossy(bytes)),
        FieldValue::Bytes(bytes) => ("x", bytes.escape_ascii().to_string()),
        FieldValue::I64(number) => ("l", number.to_string()),
        FieldValue::I32(number) => ("I", number.to_string()),
        FieldValue::F64(number) => ("d", number.to_string()),
        FieldValue::Timestamp(secs) => ("T", secs.to_string()),
        FieldValue::Void => ("V", String::new()),
        FieldValue::Array(array) => ("A", array.iter().map(|item| shown(item).1).collect::<Vec<_>>().join(",")),
        FieldValue::Table(table) => {
            let inner = table.iter().map(|(key, value)| format!("{}={}", lossy(key), shown(value).1));
            ("F", inner.collect::<Vec<_>>().join(","))
        }
        other => ("?", other.integer().map_or_else(|| format!("{other:?}"), |number| number.to_string())),
    }
}

/// `consume-ok` as `ConsumeOk`.
fn camel(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('-').filter(|word| word.is_ascii() && !word.is_empty()).map(capital).collect()
}

/// `ConsumeOk` as `consume-ok`.
fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for (at, c) in name.chars().enumerate() {
        if c.is_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab
}

/// A line that begins an AMQP connection says so.
pub(super) fn begins(bytes: &[u8]) -> bool {
    bytes.starts_with(b"AMQP")
}

#[cfg(test)]
mod tests {
    use super::super::parse::{Script, Step};
    use super::*;

    fn line(text: &str) -> Line {
        let script = Script::parse("line", text).unwrap();
        match script.steps.into_iter().next() {
            Some((_, Step::Sends(_, line))) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines_become_methods_with_their_content() {
        let published =
            line(r#"C: basic.publish exchange="e" routing_key="k" header="n:I=5" header="t=x" payload="ab""#);
        let bytes = compose(&published).unwrap();
        let mut at = 0;
        let mut kinds = Vec::new();
        while let Some(found) = frame(&bytes[at..], u32::MAX).unwrap() {
            kinds.push((found.kind, found.channel));
            at += found.len();
        }
        assert_eq!(kinds, [(1, 1), (2, 1), (3, 1)]);
        for wrong in ["C: basic.publish frame_max=3", "C: basic.sing", "C: basic.qos prefetch_count=70000", "C: sing"] {
            assert!(compose(&line(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_spelled_as_in_the_specification() {
        assert_eq!((camel("consume-ok"), kebab("ConsumeOk")), ("ConsumeOk".into(), "consume-ok".into()));
        assert!(speaks(&line("C: tx.select")) && !speaks(&line("C: PUBLISH")));
    }
}
