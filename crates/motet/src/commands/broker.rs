//! `motet queues`, `motet exchanges`, `motet bindings`, `motet channels`: the management API of a running server is asked,
//! with the token in its data directory.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use super::Failure;
use super::operator::{ask, percent_encoded, word};
use crate::cli::Configuration;
use crate::cli::broker::{ListCommand, Named, Page, QueuesCommand};
use crate::cli::operator::Asked;
use crate::print;

/// A column of a table: its head, the way to its value, how wide it is.
pub(super) type Column = (&'static str, &'static [&'static str], usize);

const QUEUES: &[Column] = &[
    ("vhost", &["vhost"], 12),
    ("queue", &["name"], 32),
    ("type", &["type"], 8),
    ("ready", &["messages_ready"], 10),
    ("unacked", &["messages_unacknowledged"], 8),
    ("consumers", &["consumers"], 9),
];
const EXCHANGES: &[Column] = &[
    ("vhost", &["vhost"], 12),
    ("exchange", &["name"], 32),
    ("type", &["type"], 18),
    ("durable", &["durable"], 7),
    ("internal", &["internal"], 8),
];
const BINDINGS: &[Column] = &[
    ("vhost", &["vhost"], 12),
    ("source", &["source"], 24),
    ("to", &["destination_type"], 8),
    ("destination", &["destination"], 32),
    ("key", &["routing_key"], 1),
];
const CHANNELS: &[Column] = &[
    ("channel", &["name"], 48),
    ("user", &["user"], 16),
    ("vhost", &["vhost"], 12),
    ("consumers", &["consumer_count"], 9),
    ("unacked", &["messages_unacknowledged"], 8),
    ("prefetch", &["prefetch_count"], 8),
    ("confirms", &["confirm"], 8),
];

pub(crate) fn queues(command: &QueuesCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    match command {
        QueuesCommand::List { page, asked } => list(configuration, asked, "queues", page, QUEUES),
        QueuesCommand::Show { queue, asked } => {
            let body = ask(configuration, asked, "GET", &of(queue))?;
            let text = if asked.json { format!("{body}\n") } else { in_full(&serde_json::from_str(&body)?) };
            print::answer(text);
            Ok(ExitCode::SUCCESS)
        }
        QueuesCommand::Purge { queue, asked } => {
            ask(configuration, asked, "DELETE", &format!("{}/contents", of(queue)))?;
            done(asked, format!("nothing waits in {} any more\n", queue.name))
        }
        QueuesCommand::Delete { queue, asked } => {
            ask(configuration, asked, "DELETE", &of(queue))?;
            done(asked, format!("the queue {} is gone\n", queue.name))
        }
    }
}

pub(crate) fn exchanges(command: &ListCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let ListCommand::List { page, asked } = command;
    list(configuration, asked, "exchanges", page, EXCHANGES)
}

pub(crate) fn bindings(command: &ListCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let ListCommand::List { page, asked } = command;
    list(configuration, asked, "bindings", page, BINDINGS)
}

pub(crate) fn channels(command: &ListCommand, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let ListCommand::List { page, asked } = command;
    list(configuration, asked, "channels", page, CHANNELS)
}

fn of(queue: &Named) -> String {
    format!("/api/queues/{}/{}", percent_encoded(&queue.vhost), percent_encoded(&queue.name))
}

pub(super) fn done(asked: &Asked, text: String) -> Result<ExitCode, Failure> {
    print::answer(if asked.json { "{}\n".into() } else { text });
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(
    configuration: &Configuration,
    asked: &Asked,
    what: &str,
    page: &Page,
    columns: &[Column],
) -> Result<ExitCode, Failure> {
    let body = ask(configuration, asked, "GET", &path(what, page))?;
    let text = if asked.json { format!("{body}\n") } else { table(&serde_json::from_str(&body)?, columns) };
    print::answer(text);
    Ok(ExitCode::SUCCESS)
}

fn path(what: &str, page: &Page) -> String {
    let mut path = match &page.vhost {
        // Channels have a vhost and no name below one.
        Some(vhost) if what == "channels" => format!("/api/vhosts/{}/channels", percent_encoded(vhost)),
        Some(vhost) => format!("/api/{what}/{}", percent_encoded(vhost)),
        None => format!("/api/{what}"),
    };
    let _ = write!(path, "?pagination=true&page={}&page_size={}", page.page, page.limit);
    if let Some(filter) = &page.filter {
        let _ = write!(path, "&name={}", percent_encoded(filter));
    }
    path
}

pub(super) fn table(answer: &Value, columns: &[Column]) -> String {
    let mut text = String::new();
    let line = |text: &mut String, cells: Vec<String>| {
        let padded = cells.iter().zip(columns).map(|(cell, (_, _, width))| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join(" ").trim_end());
    };
    line(&mut text, columns.iter().map(|(head, ..)| (*head).to_owned()).collect());
    for item in answer["items"].as_array().into_iter().flatten() {
        let cell = |(_, way, _): &Column| word(way.iter().fold(item, |value, key| &value[*key]));
        line(&mut text, columns.iter().map(cell).collect());
    }
    let (page, pages) = (answer["page"].as_u64().unwrap_or(1), answer["page_count"].as_u64().unwrap_or(1));
    if page < pages {
        let _ = writeln!(text, "there are more: --page {}", page + 1);
    }
    text
}

/// What is a figure or a word; tables within are for programs.
fn in_full(queue: &Value) -> String {
    let mut text = String::new();
    for (name, value) in queue.as_object().into_iter().flatten() {
        if !(value.is_object() && name != "arguments" || value.is_array() || value.is_null()) {
            let _ = writeln!(text, "{:30} {}", name.replace('_', " "), word(value));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(vhost: Option<&str>) -> Page {
        Page { vhost: vhost.map(Into::into), limit: 10, page: 2, filter: Some("a b".into()) }
    }

    #[test]
    fn a_list_is_asked_for_by_pages() {
        assert_eq!(path("queues", &page(Some("/"))), "/api/queues/%2F?pagination=true&page=2&page_size=10&name=a%20b");
        assert_eq!(
            path("channels", &page(Some("v"))),
            "/api/vhosts/v/channels?pagination=true&page=2&page_size=10&name=a%20b"
        );
        assert_eq!(path("bindings", &page(None)), "/api/bindings?pagination=true&page=2&page_size=10&name=a%20b");
    }

    #[test]
    fn a_table_has_a_line_for_each_and_says_where_it_goes_on() {
        let answer = json!({
            "items": [{"vhost": "/", "name": "q", "type": "classic", "messages_ready": 3}], "page": 1, "page_count": 2,
        });
        let text = table(&answer, QUEUES);
        assert!(
            text.contains("/            q                                classic  3          -        -\n"),
            "{text}"
        );
        assert!(text.ends_with("there are more: --page 2\n"), "{text}");
    }
}
