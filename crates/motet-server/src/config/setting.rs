//! The values a key can have: each knows what it looks like, how it is read and how it is written.

use std::path::PathBuf;

use super::error::Problem;
use super::nearest::nearest;
use super::section::Shape;
use super::tree::{Node, Value};

/// A value of the configuration, or a section of them.
pub trait Setting: Sized {
    /// What it looks like, for "expected: …".
    fn expected() -> String;

    /// Whether this is a value or holds keys.
    fn shape() -> Shape {
        Shape::Value
    }

    /// The words it can be, when it is a choice.
    fn choices() -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Reads what was written at `path`. None after at least one complaint.
    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self>;

    /// As TOML; None when it is not set.
    fn render(&self) -> Option<String>;

    /// Adds every value that is set at and below `path`, as TOML.
    fn leaves(&self, path: &str, leaves: &mut Vec<(String, String)>) {
        leaves.extend(self.render().map(|value| (path.into(), value)));
    }
}

/// Complains about a value; what was expected and what to do is added by the section, which knows bounds and default.
pub(super) fn complain<T: Setting>(node: &Node, path: &str, wrong: String, problems: &mut Vec<Problem>) -> Option<T> {
    let (origin, expected) = (node.origin.clone(), T::expected());
    problems.push(Problem { origin, key: path.into(), wrong, expected, remedy: String::new() });
    None
}

/// Complains about a value of another type than the key's.
pub(super) fn wrong_kind<T: Setting>(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<T> {
    complain(node, path, format!("is {}", node.value.kind()), problems)
}

/// Complains about a word outside a choice, and suggests the nearest.
pub(super) fn not_a_choice<T: Setting>(
    node: &Node,
    path: &str,
    words: &[&str],
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let Some(written) = node.value.text() else { return wrong_kind(node, path, problems) };
    complain::<T>(node, path, format!("is {written:?}"), problems);
    if let (Some(near), Some(problem)) = (nearest(written, words.iter().copied()), problems.last_mut()) {
        problem.remedy = format!("did you mean \"{near}\"?");
    }
    None
}

/// A text as TOML.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(control))),
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}

macro_rules! unsigned {
    ($($type:ident)*) => {$(
        impl Setting for $type {
            fn expected() -> String {
                "an integer".into()
            }

            fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
                match node.value.unsigned() {
                    None => wrong_kind(node, path, problems),
                    Some(integer) => match integer.and_then(|integer| $type::try_from(integer).ok()) {
                        None => complain(node, path, "is out of bounds".into(), problems),
                        within => within,
                    },
                }
            }

            fn render(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}
unsigned!(u8 u16 u32 u64);

impl Setting for bool {
    fn expected() -> String {
        "true or false".into()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        node.value.boolean().or_else(|| wrong_kind(node, path, problems))
    }

    fn render(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Setting for String {
    fn expected() -> String {
        "a text that is not empty".into()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        match node.value.text() {
            None => wrong_kind(node, path, problems),
            Some("") => complain(node, path, "is empty".into(), problems),
            Some(text) => Some(text.into()),
        }
    }

    fn render(&self) -> Option<String> {
        Some(quoted(self))
    }
}

impl Setting for PathBuf {
    fn expected() -> String {
        "a path".into()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        match node.value.text() {
            None => wrong_kind(node, path, problems),
            Some("") => complain(node, path, "is empty".into(), problems),
            Some(text) => Some(text.into()),
        }
    }

    fn render(&self) -> Option<String> {
        Some(quoted(&self.to_string_lossy()))
    }
}

/// A key that may be absent.
impl<T: Setting> Setting for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn shape() -> Shape {
        T::shape()
    }

    fn choices() -> Vec<(&'static str, String)> {
        T::choices()
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        T::read(node, path, problems).map(Some)
    }

    fn render(&self) -> Option<String> {
        self.as_ref().and_then(T::render)
    }

    fn leaves(&self, path: &str, leaves: &mut Vec<(String, String)>) {
        if let Some(set) = self {
            set.leaves(path, leaves);
        }
    }
}

/// A list of values or, where the entries are sections, of tables.
impl<T: Setting> Setting for Vec<T> {
    fn expected() -> String {
        match T::shape() {
            Shape::Value => format!("a list, each entry {}", T::expected()),
            _ => "a list of tables".into(),
        }
    }

    fn shape() -> Shape {
        match T::shape() {
            Shape::Table(keys) => Shape::Tables(keys),
            _ => Shape::Value,
        }
    }

    fn read(node: &Node, path: &str, problems: &mut Vec<Problem>) -> Option<Self> {
        let items = match &node.value {
            Value::List(items) => items,
            // A variable or an option gives a list of words with commas between them.
            Value::Raw(raw) if matches!(T::shape(), Shape::Value) => &split(raw, node),
            _ => {
                wrong_kind::<Self>(node, path, problems);
                if let (Shape::Table(_), Some(problem)) = (T::shape(), problems.last_mut()) {
                    problem.remedy = format!("write `[[{path}]]` and the keys of one entry below it, once per entry");
                }
                return None;
            }
        };
        let read: Vec<_> =
            items.iter().enumerate().map(|(at, item)| T::read(item, &format!("{path}.{at}"), problems)).collect();
        let read = read.into_iter().collect();
        // An entry that is a plain value has no section to say what to do.
        for problem in problems.iter_mut().filter(|problem| problem.remedy.is_empty()) {
            problem.remedy = "write such a value, or remove it from the list".into();
        }
        read
    }

    fn render(&self) -> Option<String> {
        Some(format!("[{}]", self.iter().filter_map(T::render).collect::<Vec<_>>().join(", ")))
    }

    fn leaves(&self, path: &str, leaves: &mut Vec<(String, String)>) {
        match T::shape() {
            Shape::Value => leaves.extend(self.render().map(|value| (path.into(), value))),
            _ => self.iter().enumerate().for_each(|(at, entry)| entry.leaves(&format!("{path}.{at}"), leaves)),
        }
    }
}

fn split(raw: &str, node: &Node) -> Vec<Node> {
    let words = raw.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| Node { value: Value::Raw(word.into()), origin: node.origin.clone() }).collect()
}
