//! Mosquitto's access control list: `user NAME`, `topic [read|write|readwrite|deny] FILTER`, `pattern …` with `%u`, `%c`.

use std::fmt::Write as _;
use std::path::Path;

use super::Failure;
use super::report::{Fate, Place, Report};

/// One line that grants or forbids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rule<'a> {
    /// None: whoever has no name (`topic` before the first `user`), or everybody (`pattern`).
    pub(super) user: Option<&'a str>,
    pub(super) everybody: bool,
    pub(super) access: &'a str,
    pub(super) filter: &'a str,
}

/// What the line says, in the light of the `user` line before it.
pub(super) fn rule<'a>(line: &'a str, user: Option<&'a str>) -> Option<Rule<'a>> {
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let everybody = match kind {
        "topic" => false,
        "pattern" => true,
        _ => return None,
    };
    let rest = rest.trim();
    let (access, filter) = match rest.split_once(char::is_whitespace) {
        Some((access @ ("read" | "write" | "readwrite" | "deny"), filter)) => (access, filter.trim()),
        _ => ("readwrite", rest),
    };
    (!filter.is_empty()).then_some(Rule { user: user.filter(|_| !everybody), everybody, access, filter })
}

/// The rules, as comments: who may what has no section of its own yet.
pub(super) fn toml(file: &Path, report: &mut Report) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut toml = String::new();
    let mut user = None;
    for (at, line) in text.lines().enumerate() {
        let place = Place { file: file.into(), line: at + 1 };
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("user ") {
            user = Some(name.trim());
            continue;
        }
        let Some(Rule { user, everybody, access, filter }) = rule(line, user) else {
            report.add(&place, line, Fate::Missing, "expected user, topic or pattern");
            continue;
        };
        let who = match (user, everybody) {
            (Some(user), _) => format!("user {user:?}"),
            (None, true) => "everybody".into(),
            (None, false) => "clients without a login".into(),
        };
        let _ = writeln!(toml, "# rule: {who}: {access} {filter}");
        report.add(&place, line, Fate::Missing, format!("{who} {access} {filter}: access rules have no section yet"));
    }
    Ok(if toml.is_empty() { toml } else { format!("\n{toml}") })
}
