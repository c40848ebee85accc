//! `motet trace PATTERN`: follows messages through a running server, a line per step.

use std::fmt::Write as _;
use std::process::ExitCode;

use motet_server::TRACE_PATH;
use serde_json::{Value, json};

use super::{Failure, http, running};
use crate::cli::{Configuration, Trace};
use crate::print;

pub(crate) fn trace(options: &Trace, configuration: &Configuration) -> Result<ExitCode, Failure> {
    let data_dir = configuration.load()?.config.data_dir;
    let (authority, token) = running::find(&data_dir, options.ask.at.url.as_deref())?;
    let wish = json!({ "pattern": options.pattern, "seconds": options.seconds, "lines_per_second": options.rate });
    let (mut start, as_json) = (None, options.ask.json);
    let refused = http::stream(&authority, TRACE_PATH, &token, &wish.to_string(), |line| {
        let told = match serde_json::from_str::<Value>(line) {
            Ok(step) if !as_json => text(&step, *start.get_or_insert(step["at_ms"].as_u64().unwrap_or(0))),
            _ => format!("{line}\n"),
        };
        print::answer(told);
    })
    .map_err(|error| format!("http://{authority}{TRACE_PATH}: {error}"))?;
    match refused {
        None => Ok(ExitCode::SUCCESS),
        Some(refused) => {
            Err(format!("the server does not follow ({}): {}", refused.status, refused.body.trim()).into())
        }
    }
}

/// `   0.003 s  #12  delivered     to dev-7, to be acknowledged    plant/4/temperature`
fn text(step: &Value, start_ms: u64) -> String {
    let word = |name: &str| step[name].as_str().unwrap_or("somebody").to_owned();
    let count = |name: &str| step[name].as_u64().unwrap_or(0);
    let yes = |name: &str| step[name].as_bool().unwrap_or(false);
    let what = match step["step"].as_str().unwrap_or_default() {
        "published" => {
            let retained = if yes("retain") { ", retained" } else { "" };
            format!("by {}, {} bytes, QoS {}{retained}", word("by"), count("bytes"), count("qos"))
        }
        "routed" => format!("to {} subscribers and {} queues", count("subscribers"), count("queues")),
        "refused" => word("why"),
        "stored" => format!("on disk, position {}", count("position")),
        "delivered" => {
            let again = if yes("redelivered") { ", again" } else { "" };
            let how = if yes("will_be_acknowledged") { ", to be acknowledged" } else { "" };
            format!("to {}{again}{how}", word("to"))
        }
        "dropped" => format!("not to {}, whose mailbox is full", word("to")),
        "acknowledged" => format!("by {}", word("by")),
        other => other.to_owned(),
    };
    let seconds = count("at_ms").saturating_sub(start_ms) as f64 / 1000.0;
    let (number, name) = (format!("#{}", count("message")), word("step"));
    let mut line = format!("{seconds:8.3} s  {number:6} {name:13} {what:44} {}\n", word("topic"));
    if count("passed_over") > 0 {
        let _ = writeln!(line, "            {} steps before this one were passed over", count("passed_over"));
    }
    line
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_message_on_its_way_reads_as_lines() {
        // The expectation loses what all lines are indented by: this one is not.
        let mut told = String::from("told\n");
        for step in [
            json!({"at_ms": 1000, "message": 5, "topic": "a/b", "step": "published", "by": "ann", "bytes": 12, "qos": 1, "retain": true}),
            json!({"at_ms": 1000, "message": 5, "topic": "a/b", "step": "routed", "subscribers": 1, "queues": 2}),
            json!({"at_ms": 1003, "message": 5, "topic": "a/b", "step": "stored", "position": 77}),
            json!({"at_ms": 1003, "message": 5, "topic": "a/b", "step": "delivered", "to": "bob", "will_be_acknowledged": true, "redelivered": true}),
            json!({"at_ms": 2500, "message": 5, "topic": "a/b", "step": "acknowledged", "by": "bob", "passed_over": 3}),
        ] {
            told.push_str(&text(&step, 1000));
        }
        expect![[r#"
            told
               0.000 s  #5     published     by ann, 12 bytes, QoS 1, retained            a/b
               0.000 s  #5     routed        to 1 subscribers and 2 queues                a/b
               0.003 s  #5     stored        on disk, position 77                         a/b
               0.003 s  #5     delivered     to bob, again, to be acknowledged            a/b
               1.500 s  #5     acknowledged  by bob                                       a/b
                        3 steps before this one were passed over
        "#]]
        .assert_eq(&told);
    }
}
