//! What became of each line.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

/// Where a line stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: PathBuf,
    pub(super) line: usize,
}

/// How it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The same here.
    Kept,
    /// Something near it, or nothing to be done.
    Differs,
    /// Nothing like it here: to be decided by whoever moves.
    Missing,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Fate::Kept => "kept",
            Fate::Differs => "differs",
            Fate::Missing => "missing",
        }
    }
}

#[derive(Debug)]
struct Entry {
    place: Place,
    what: String,
    fate: Fate,
    note: String,
}

/// All of it, in the order of reading.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Entry>);

impl Report {
    pub(super) fn add(&mut self, place: &Place, what: impl Into<String>, fate: Fate, note: impl Into<String>) {
        self.0.push(Entry { place: place.clone(), what: what.into(), fate, note: note.into() });
    }

    /// Nothing was left out.
    pub(super) fn is_complete(&self) -> bool {
        self.0.iter().all(|entry| entry.fate != Fate::Missing)
    }

    fn count(&self, fate: Fate) -> usize {
        self.0.iter().filter(|entry| entry.fate == fate).count()
    }

    pub(super) fn text(&self, to: &Path) -> String {
        let mut text = String::new();
        for Entry { place, what, fate, note } in &self.0 {
            let place = format!("{}:{}", place.file.display(), place.line);
            let _ = writeln!(text, "{:8} {place}: {what}\n         {note}", fate.word());
        }
        let (kept, differs, missing) = (self.count(Fate::Kept), self.count(Fate::Differs), self.count(Fate::Missing));
        let _ = writeln!(
            text,
            "{}: written. {kept} lines kept, {differs} differ, {missing} missing\nto check it: motet config check --config {}",
            to.display(),
            to.display()
        );
        text
    }

    pub(super) fn json(&self, to: &Path) -> String {
        let lines = self.0.iter().map(|Entry { place, what, fate, note }| {
            json!({ "file": place.file, "line": place.line, "what": what, "fate": fate.word(), "note": note })
        });
        let lines: Vec<_> = lines.collect();
        format!("{}\n", json!({ "written": to, "complete": self.is_complete(), "lines": lines }))
    }
}
