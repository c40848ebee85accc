//! What was written, before anybody knows what it means: TOML, variables and options laid over one another.
//! Each node remembers where it came from, so that every later complaint can say where to look.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Origin, Problem};

/// A value and the place where it was written.
#[derive(Clone, Debug)]
pub struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Keys in the order written, each with the place of the key itself.
    Table(Vec<(String, Origin, Node)>),
    List(Vec<Node>),
    Text(String),
    /// None: beyond 64 bits.
    Integer(Option<i64>),
    Boolean(bool),
    /// A TOML type that no key takes (a float, a date).
    Other(&'static str),
    /// From a variable or an option: a word whose type only the key knows.
    Raw(String),
}

impl Value {
    /// What this is, for "expected X, found Y"; the value itself may be a secret and is not told.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "a table",
            Self::List(_) => "a list",
            Self::Text(_) | Self::Raw(_) => "a text",
            Self::Integer(_) => "an integer",
            Self::Boolean(_) => "a boolean",
            Self::Other(kind) => kind,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Raw(text) => Some(text),
            _ => None,
        }
    }

    /// None when this is no integer; a negative or oversized one is `Some(None)`: outside any bounds we have.
    pub(super) fn unsigned(&self) -> Option<Option<u64>> {
        match self {
            Self::Integer(integer) => Some(integer.and_then(|integer| u64::try_from(integer).ok())),
            Self::Raw(raw) => {
                let digits = raw.trim().strip_prefix('-').unwrap_or(raw.trim()).replace('_', "");
                let all_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                all_digits.then(|| if raw.trim().starts_with('-') { None } else { digits.parse().ok() })
            }
            _ => None,
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            Self::Raw(raw) => raw.trim().parse().ok(),
            _ => None,
        }
    }
}

/// The tree of a TOML text. `Err` when it is no TOML: what the parser says and where, never the line itself,
/// which may hold a password.
pub(super) fn parse(text: &str, file: &Path) -> Result<Node, Box<Problem>> {
    let place = Places { text, file };
    match DeTable::parse(text) {
        Ok(table) => Ok(Node { origin: place.at(0), value: place.table(table.get_ref()) }),
        Err(error) => Err(Box::new(Problem {
            origin: place.at(error.span().map_or(0, |span| span.start)),
            key: String::new(),
            wrong: format!("not readable as TOML: {}", error.message().replace('\n', ", ")),
            expected: String::new(),
            remedy: "mend this line; texts need quotes, tables look like [limits], lists of tables like [[listener]]"
                .into(),
        })),
    }
}

struct Places<'a> {
    text: &'a str,
    file: &'a Path,
}

impl Places<'_> {
    fn at(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        Origin::File { file: self.file.into(), line, column: before[line_start..].chars().count() + 1 }
    }

    fn table(&self, table: &DeTable<'_>) -> Value {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        Value::Table(
            entries
                .into_iter()
                .map(|(key, value)| (key.get_ref().to_string(), self.at(key.span().start), self.node(value)))
                .collect(),
        )
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Node {
        let content = match value.get_ref() {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok()),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Float(_) => Value::Other("a number with a fraction"),
            DeValue::Datetime(_) => Value::Other("a date"),
        };
        Node { value: content, origin: self.at(value.span().start) }
    }
}

/// Lays `raw` over the tree at `path`, making tables and the next list entry where there are none.
/// A number in the path is an index; an index past the end of its list is refused, because a gap has no meaning.
pub(super) fn overlay(node: &mut Node, path: &[&str], raw: &str, origin: &Origin) -> Result<(), String> {
    let Some((step, rest)) = path.split_first() else {
        *node = Node { value: Value::Raw(raw.into()), origin: origin.clone() };
        return Ok(());
    };
    let next = match step.parse::<usize>() {
        Ok(index) => list_entry(node, index, origin)?,
        Err(_) => table_entry(node, step, origin),
    };
    overlay(next, rest, raw, origin)
}

fn empty_table(origin: &Origin) -> Node {
    Node { value: Value::Table(Vec::new()), origin: origin.clone() }
}

fn list_entry<'a>(node: &'a mut Node, index: usize, origin: &Origin) -> Result<&'a mut Node, String> {
    if !matches!(&node.value, Value::List(_)) {
        *node = Node { value: Value::List(Vec::new()), origin: origin.clone() };
    }
    let Value::List(items) = &mut node.value else { unreachable!("made a list above") };
    if index > items.len() {
        return Err(format!("has the index {index}, but the entry {} before it is missing", items.len()));
    }
    if index == items.len() {
        items.push(empty_table(origin));
    }
    Ok(&mut items[index])
}

fn table_entry<'a>(node: &'a mut Node, key: &str, origin: &Origin) -> &'a mut Node {
    if !matches!(&node.value, Value::Table(_)) {
        *node = empty_table(origin);
    }
    let Value::Table(entries) = &mut node.value else { unreachable!("made a table above") };
    let at = entries.iter().position(|(name, ..)| name == key).unwrap_or(entries.len());
    if at == entries.len() {
        entries.push((key.into(), origin.clone(), empty_table(origin)));
    }
    &mut entries[at].2
}
