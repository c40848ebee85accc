//! `motet reload`: a running server reads its configuration again and says what came of it.

use std::fmt::Write as _;
use std::process::ExitCode;

use motet_server::RELOAD_PATH;
use serde_json::Value;

use super::{Failure, http, running};
use crate::cli::{Ask, Configuration};
use crate::print;

/// Exit status 0 when everything that changed was taken, else 1.
pub(crate) fn reload(options: &Ask, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let data_dir = configuration.load()?.config.data_dir;
    let (authority, token) = running::find(&data_dir, options.at.url.as_deref())?;
    let response = http::post(&authority, RELOAD_PATH, &token, "{}")
        .map_err(|error| format!("no server answers on http://{authority}{RELOAD_PATH}: {error}"))?;
    if response.status != 200 {
        let said = response.body.trim();
        return Err(format!("nothing was taken, what the server has holds ({}): {said}", response.status).into());
    }
    let answer: Value = serde_json::from_str(&response.body)?;
    print::answer(if options.json { response.body } else { text(&answer) });
    let all = list(&answer, "kept").is_empty() && list(&answer, "restart").is_empty();
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn list(answer: &Value, name: &str) -> Vec<String> {
    let entries = answer[name].as_array().map(Vec::as_slice).unwrap_or_default();
    entries.iter().filter_map(|entry| entry.as_str().map(String::from)).collect()
}

fn text(answer: &Value) -> String {
    let (taken, restart) = (list(answer, "taken"), list(answer, "restart"));
    let mut text = match taken.is_empty() {
        true => "taken: no key has changed that can; accounts and certificates were read again\n".into(),
        false => format!("taken: {}\n", taken.join(", ")),
    };
    if !restart.is_empty() {
        let _ = writeln!(text, "needs a restart: {}", restart.join(", "));
    }
    for kept in list(answer, "kept") {
        let _ = writeln!(text, "not taken: {kept}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_told_in_a_few_lines() {
        let answer = serde_json::json!({ "taken": ["log.level"], "kept": ["users: no"], "restart": ["a.b", "c"] });
        assert_eq!(text(&answer), "taken: log.level\nneeds a restart: a.b, c\nnot taken: users: no\n");
        assert!(text(&Value::Null).starts_with("taken: no key has changed"));
    }
}
