//! Mosquitto's access control list: `user NAME`, `topic [read|write|readwrite|deny] FILTER`, `pattern …` with `%u`, `%c`.

use std::path::Path;

use super::report::{Fate, Place, Report};
use super::{Failure, quoted};

/// What is different for whoever reads.
const FILTERS: &str = "an [[access.rule]]; Mosquitto grants any subscription and filters what it delivers, here a \
                       filter that goes beyond the rules is refused";

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

impl Rule<'_> {
    /// An `[[access.rule]]`.
    fn toml(&self) -> String {
        let who = match (self.user, self.everybody) {
            (Some(user), _) => format!("user:{user}"),
            (None, true) => "everyone".into(),
            (None, false) => "anonymous".into(),
        };
        let what = match self.access {
            "read" => "allow = [\"subscribe\"]",
            "write" => "allow = [\"publish\"]",
            "deny" => "deny = [\"publish\", \"subscribe\"]",
            _ => "allow = [\"publish\", \"subscribe\"]",
        };
        format!("\n[[access.rule]]\nwho = [{}]\n{what}\ntopics = [{}]\n", quoted(&who), quoted(self.filter))
    }
}

/// An `[[access.rule]]` for each line. What forbids comes first: there it wins wherever it stands, here the first does.
pub(super) fn toml(file: &Path, report: &mut Report) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let (mut forbids, mut allows) = (String::new(), String::new());
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
        let Some(rule) = rule(line, user) else {
            report.add(&place, line, Fate::Missing, "expected user, topic or pattern");
            continue;
        };
        if rule.access == "deny" { &mut forbids } else { &mut allows }.push_str(&rule.toml());
        if rule.access == "write" {
            report.add(&place, line, Fate::Kept, "an [[access.rule]]");
        } else {
            report.add(&place, line, Fate::Differs, FILTERS);
        }
    }
    Ok(forbids + &allows)
}
