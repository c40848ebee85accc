//! What came out of a workload, for people and for programs.

use crate::histogram::Quantiles;
pub use crate::ledger::Quality;
use crate::process::{Usage, usage};
use motet_mqtt::packet::QoS;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::time::Duration;

/// The figures of one workload.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Its name.
    pub workload: &'static str,
    /// How it was run, in words.
    pub setting: String,
    /// What the clients spoke with.
    pub qos: QoS,
    /// What was counted: messages delivered, connections.
    pub unit: &'static str,
    /// So many of them, while it was measured.
    pub count: u64,
    /// And so long.
    pub elapsed: Duration,
    /// How long each took.
    pub latency: Option<Quantiles>,
    /// The same and the longest silence of each part, where a workload has parts to compare.
    pub phases: Vec<Phase>,
    /// What arrived against what was sent, over the whole run.
    pub quality: Option<Quality>,
    /// What it cost a local server.
    pub server: Option<Cost>,
    /// Further figures: name, value, unit.
    pub more: Vec<(&'static str, f64, &'static str)>,
    /// What went wrong beyond lost messages.
    pub errors: Vec<String>,
}

/// A part of a workload.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// Its name.
    pub name: &'static str,
    /// How long messages took.
    pub latency: Option<Quantiles>,
    /// The longest time in which a subscriber heard nothing; None where there are no subscribers.
    pub longest_gap: Option<Duration>,
}

/// What the work cost the process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// While it was measured.
    pub cpu: Duration,
    /// Resident memory before and after.
    pub rss_bytes: (u64, u64),
}

impl Cost {
    /// From two looks at the process.
    pub(crate) fn between(before: Option<Usage>, after: Option<Usage>) -> Option<Self> {
        let (before, after) = (before?, after?);
        Some(Cost { cpu: after.cpu.saturating_sub(before.cpu), rss_bytes: (before.rss_bytes, after.rss_bytes) })
    }

    /// A look now, where there is a process to look at.
    pub(crate) fn look(pid: Option<u32>) -> Option<Usage> {
        pid.and_then(usage)
    }
}

impl Figures {
    /// A server that confirms must deliver, and nothing else may have gone wrong.
    pub fn is_good(&self) -> bool {
        let lost = self.quality.is_some_and(|quality| quality.lost > 0) && self.qos > QoS::AtMostOnce;
        let twice = self.quality.is_some_and(|quality| quality.duplicates > 0) && self.qos == QoS::ExactlyOnce;
        !lost && !twice && self.errors.is_empty()
    }

    /// Of whatever is counted, in a second.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn cpu_micros_each(&self) -> Option<f64> {
        let cost = self.server.filter(|_| self.count > 0)?;
        Some(cost.cpu.as_secs_f64() * 1e6 / self.count as f64)
    }

    /// Some lines to read.
    pub fn text(&self) -> String {
        let mut text = format!("{:9} {}\n", self.workload, self.setting);
        let secs = self.elapsed.as_secs_f64();
        let mut line = |name: &str, what: String| {
            let _ = writeln!(text, "  {name:12} {what}");
        };
        line("rate", format!("{:.0} {}/s ({} in {secs:.2} s)", self.rate(), self.unit, self.count));
        if let Some(latency) = self.latency {
            line("latency", quantiles(latency));
        }
        for Phase { name, latency, longest_gap } in &self.phases {
            let latency = latency.map_or("nothing arrived".into(), quantiles);
            let gap = longest_gap.map(|gap| format!("; longest gap {}", time(gap.as_secs_f64() * 1e6)));
            line(name, latency + &gap.unwrap_or_default());
        }
        if let Some(quality) = self.quality {
            let Quality { lost, duplicates, out_of_order, foreign, .. } = quality;
            let foreign = if foreign > 0 { format!(", {foreign} not of this run") } else { String::new() };
            line("delivery", format!("{lost} lost, {duplicates} duplicates, {out_of_order} out of order{foreign}"));
        }
        for (name, value, unit) in &self.more {
            line(name, format!("{} {unit}", number(*value)));
        }
        if let Some(cost) = self.server {
            let share = cost.cpu.as_secs_f64() / secs.max(1e-9) * 100.0;
            let each = self.cpu_micros_each().map_or(String::new(), |each| format!("{each:.2} us CPU each, "));
            let (before, after) = (mebibytes(cost.rss_bytes.0), mebibytes(cost.rss_bytes.1));
            line("server", format!("{each}{share:.0} % CPU, {before:.1} to {after:.1} MiB resident"));
        }
        for error in &self.errors {
            line("error", error.clone());
        }
        text
    }

    /// One line of JSON; units are in the names.
    pub fn json(&self) -> Value {
        let mut json = json!({
            "workload": self.workload,
            "setting": self.setting,
            "qos": self.qos as u8,
            "unit": self.unit,
            "count": self.count,
            "elapsed_seconds": self.elapsed.as_secs_f64(),
            "per_second": self.rate(),
            "good": self.is_good(),
            "errors": self.errors,
        });
        if let Some(latency) = self.latency {
            json["latency_us"] = micros(latency);
        }
        for Phase { name, latency, longest_gap } in &self.phases {
            json[format!("{name}_latency_us")] = latency.map_or(Value::Null, micros);
            if let Some(gap) = longest_gap {
                json[format!("{name}_longest_gap_us")] = json!(gap.as_secs_f64() * 1e6);
            }
        }
        if let Some(quality) = self.quality {
            json["received"] = json!(quality.received);
            json["lost"] = json!(quality.lost);
            json["duplicates"] = json!(quality.duplicates);
            json["out_of_order"] = json!(quality.out_of_order);
            json["foreign"] = json!(quality.foreign);
        }
        for (name, value, unit) in &self.more {
            json[format!("{} {unit}", name).replace(['/', ' '], "_")] = json!(value);
        }
        if let Some(cost) = self.server {
            json["server_cpu_seconds"] = json!(cost.cpu.as_secs_f64());
            json["server_cpu_us_each"] = json!(self.cpu_micros_each());
            json["server_rss_bytes"] = json!([cost.rss_bytes.0, cost.rss_bytes.1]);
        }
        json
    }
}

fn quantiles(Quantiles { p50, p90, p99, p999, max }: Quantiles) -> String {
    let [p50, p90, p99, p999, max] = [p50, p90, p99, p999, max].map(time);
    format!("p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p999}, max {max}")
}

fn micros(Quantiles { p50, p90, p99, p999, max }: Quantiles) -> Value {
    json!({ "p50": p50, "p90": p90, "p99": p99, "p99_9": p999, "max": max })
}

fn time(micros: f64) -> String {
    match micros {
        below if below < 1e3 => format!("{below:.0} us"),
        below if below < 1e6 => format!("{:.2} ms", below / 1e3),
        above => format!("{:.2} s", above / 1e6),
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn figures() -> Figures {
        Figures {
            workload: "pairs",
            setting: "10 pairs, QoS 1".into(),
            qos: QoS::AtLeastOnce,
            unit: "messages",
            count: 5000,
            elapsed: Duration::from_secs(2),
            latency: Some(Quantiles { p50: 80.0, p90: 900.0, p99: 1500.0, p999: 20_000.0, max: 2e6 }),
            phases: vec![Phase { name: "alone", latency: None, longest_gap: Some(Duration::from_micros(1500)) }],
            quality: Some(Quality { received: 5000, out_of_order: 1, ..Quality::default() }),
            server: Some(Cost { cpu: Duration::from_millis(500), rss_bytes: (10 << 20, 12 << 20) }),
            more: vec![("stored", 1234.5, "messages/s")],
            errors: Vec::new(),
        }
    }

    #[test]
    fn figures_are_told_to_people_and_to_programs() {
        expect![[r#"
            pairs     10 pairs, QoS 1
              rate         2500 messages/s (5000 in 2.00 s)
              latency      p50 80 us, p90 900 us, p99 1.50 ms, p99.9 20.00 ms, max 2.00 s
              alone        nothing arrived; longest gap 1.50 ms
              delivery     0 lost, 0 duplicates, 1 out of order
              stored       1234 messages/s
              server       100.00 us CPU each, 25 % CPU, 10.0 to 12.0 MiB resident
        "#]]
        .assert_eq(&figures().text());
        let json = figures().json();
        assert_eq!((json["per_second"].as_f64(), json["latency_us"]["p99"].as_f64()), (Some(2500.0), Some(1500.0)));
        assert_eq!(json["stored_messages_s"].as_f64(), Some(1234.5));
    }

    #[test]
    fn a_server_that_confirms_must_deliver() {
        assert!(figures().is_good());
        let lost = Some(Quality { lost: 1, ..Quality::default() });
        assert!(!Figures { quality: lost, ..figures() }.is_good());
        assert!(Figures { quality: lost, qos: QoS::AtMostOnce, ..figures() }.is_good());
        let twice = Some(Quality { duplicates: 1, ..Quality::default() });
        assert!(Figures { quality: twice, ..figures() }.is_good());
        assert!(!Figures { quality: twice, qos: QoS::ExactlyOnce, ..figures() }.is_good());
        assert!(!Figures { errors: vec!["a connection broke".into()], ..figures() }.is_good());
    }
}
