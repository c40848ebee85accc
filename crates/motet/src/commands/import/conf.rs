//! Reading mosquitto.conf: a key and the rest of the line, `#` at the start of a line for comments, `include_dir`.

use std::path::{Path, PathBuf};

use super::Failure;
use super::report::Place;

/// Directories may include others; a circle ends here.
const DEPTH_MAX: usize = 8;

/// A setting where it stands.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) place: Place,
    pub(super) key: String,
    pub(super) value: String,
}

impl Line {
    /// As it was written.
    pub(super) fn text(&self) -> String {
        match self.key.contains("password") {
            // A bridge's: it shall not be in a report that is passed on.
            true => format!("{} ...", self.key),
            false => format!("{} {}", self.key, self.value).trim_end().into(),
        }
    }
}

/// Every setting of the file and of what it includes.
pub(super) fn read(file: &Path) -> Result<Vec<Line>, Failure> {
    let mut lines = Vec::new();
    read_into(file, 0, &mut lines)?;
    Ok(lines)
}

fn read_into(file: &Path, depth: usize, lines: &mut Vec<Line>) -> Result<(), Failure> {
    if depth > DEPTH_MAX {
        return Err(format!("{}: include_dir goes round in a circle", file.display()).into());
    }
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    for (at, text) in String::from_utf8_lossy(&text).lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let (key, value) = (key.to_owned(), value.trim().to_owned());
        if key == "include_dir" {
            for included in included(Path::new(&value))? {
                read_into(&included, depth + 1, lines)?;
            }
            continue;
        }
        lines.push(Line { place: Place { file: file.into(), line: at + 1 }, key, value });
    }
    Ok(())
}

/// Files that end in `.conf`, in the order of their names.
fn included(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(|error| format!("include_dir {}: {error}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
