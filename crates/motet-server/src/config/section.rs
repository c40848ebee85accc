//! A section of keys: its rows in the reference, and how it is read with complaints. `macros` writes what calls this.

use std::ops::RangeInclusive;

use super::error::{Origin, Problem};
use super::nearest::nearest;
use super::setting::{Setting, complain};
use super::tree::{Node, Value};

/// One key as the reference shows it.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its name inside its section.
    pub name: &'static str,
    /// Its doc comment.
    pub docs: String,
    /// What a value looks like, with bounds: "an integer from 1 to 65535".
    pub expected: String,
    /// The default in TOML; None when the key is not set by default.
    pub default: Option<String>,
    /// The default value by value: the key and its TOML, or, of a section or a list of them, all keys below it.
    pub leaves: Vec<(String, String)>,
    /// A value to show where there is no default.
    pub example: Option<&'static str>,
    /// The words a choice can take, with what they mean.
    pub choices: Vec<(&'static str, String)>,
    /// Whether it is a value or holds keys itself.
    pub shape: Shape,
}

/// Whether a key holds a value or more keys.
#[derive(Clone, Debug)]
pub enum Shape {
    /// `key = value`
    Value,
    /// `[key]`
    Table(Vec<Key>),
    /// `[[key]]`
    Tables(Vec<Key>),
}

/// The least and the most a key may be.
pub(super) struct Bounds<T> {
    least: T,
    most: T,
    within: fn(&T, &T, &T) -> bool,
}

impl<T> Bounds<T> {
    pub(super) fn new(range: RangeInclusive<T>) -> Self
    where
        T: PartialOrd,
    {
        let (least, most) = range.into_inner();
        Self { least, most, within: |least, value, most| least <= value && value <= most }
    }

    fn admit(&self, value: &T) -> bool {
        (self.within)(&self.least, value, &self.most)
    }
}

/// Something a section finds wrong between its keys, after each of them was read.
pub(super) struct Conflict {
    pub(super) key: &'static str,
    pub(super) wrong: String,
    pub(super) expected: String,
    pub(super) remedy: String,
}

/// A row of the table of keys.
pub(super) fn key<T: Setting>(
    name: &'static str,
    docs: &[&str],
    default: &T,
    bounds: Option<&Bounds<T>>,
    example: Option<&'static str>,
) -> Key {
    let (docs, expected) = (prose(docs), expected(bounds));
    let mut leaves = Vec::new();
    default.leaves(name, &mut leaves);
    Key { name, docs, expected, default: default.render(), leaves, example, choices: T::choices(), shape: T::shape() }
}

/// The path of a key below `path`.
pub(super) fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.into() } else { format!("{path}.{name}") }
}

/// The lines of a doc comment without the space that follows the slashes.
pub(super) fn prose(docs: &[&str]) -> String {
    docs.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

pub(super) fn inline_table(entries: &[(&str, Option<String>)]) -> String {
    let set: Vec<_> = entries.iter().filter_map(|(key, value)| Some(format!("{key} = {}", value.as_ref()?))).collect();
    format!("{{ {} }}", set.join(", "))
}

fn expected<T: Setting>(bounds: Option<&Bounds<T>>) -> String {
    let rendered = bounds.and_then(|bounds| Some((bounds.least.render()?, bounds.most.render()?)));
    match rendered {
        Some((least, most)) => format!("{} from {least} to {most}", T::expected()),
        None => T::expected(),
    }
}

/// A table of the tree while its section is read from it.
pub(super) struct Reading<'a> {
    entries: &'a [(String, Origin, Node)],
    node: &'a Node,
    path: &'a str,
}

impl<'a> Reading<'a> {
    /// None when `node` is no table; keys outside `known` are complaints.
    pub(super) fn new(node: &'a Node, path: &'a str, known: &[&str], problems: &mut Vec<Problem>) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            let wrong = format!("is {}", node.value.kind());
            problems.push(Problem {
                origin: node.origin.clone(),
                key: path.into(),
                wrong,
                expected: format!("a table with the keys {}", known.join(", ")),
                remedy: format!("write `[{path}]` and the keys below it"),
            });
            return None;
        };
        let reading = Self { entries, node, path };
        for (name, origin, _) in entries.iter().filter(|(name, ..)| !known.contains(&name.as_str())) {
            problems.push(reading.unknown_key(name, origin, known));
        }
        Some(reading)
    }

    fn unknown_key(&self, name: &str, origin: &Origin, known: &[&str]) -> Problem {
        let (expected, remedy) = match nearest(name, known.iter().copied()) {
            Some(near) => (String::new(), format!("did you mean `{}`?", self.child(near))),
            None => (
                format!("one of {}", known.join(", ")),
                "remove it, or look the key up with `motet config reference`".into(),
            ),
        };
        let key = self.child(name);
        Problem { origin: origin.clone(), key, wrong: "is not a key".into(), expected, remedy }
    }

    fn child(&self, name: &str) -> String {
        child(self.path, name)
    }

    fn find(&self, name: &str) -> Option<&'a Node> {
        self.entries.iter().find(|(key, ..)| key == name).map(|(_, _, node)| node)
    }

    /// The key's value, or its default; None when what is written can't be taken.
    pub(super) fn key<T: Setting>(
        &self,
        name: &str,
        default: impl FnOnce() -> T,
        bounds: Option<&Bounds<T>>,
        problems: &mut Vec<Problem>,
    ) -> Option<T> {
        let Some(node) = self.find(name) else { return Some(default()) };
        let path = self.child(name);
        let before = problems.len();
        let value = T::read(node, &path, problems);
        let outside = value.as_ref().is_some_and(|value| bounds.is_some_and(|bounds| !bounds.admit(value)));
        if outside {
            let written = value.as_ref().and_then(Setting::render).unwrap_or_default();
            complain::<T>(node, &path, format!("is {written}"), problems);
        }
        // The value's own complaint knows its type; the bounds and the default are known here.
        if let [problem] = &mut problems[before..]
            && problem.key == path
            && matches!(T::shape(), Shape::Value)
        {
            problem.expected = expected(bounds);
            if problem.remedy.is_empty() {
                problem.remedy = match default().render() {
                    Some(default) => format!("write such a value, or remove the key: the default is {default}"),
                    None => "write such a value, or remove the key: it is not set by default".into(),
                };
            }
        }
        value.filter(|_| !outside)
    }

    /// Adds what the section found wrong between its keys, at the key concerned or else at the table.
    pub(super) fn conflicts(&self, conflicts: Vec<Conflict>, problems: &mut Vec<Problem>) {
        problems.extend(conflicts.into_iter().map(|Conflict { key, wrong, expected, remedy }| Problem {
            origin: self.find(key).unwrap_or(self.node).origin.clone(),
            key: self.child(key),
            wrong,
            expected,
            remedy,
        }));
    }
}
