//! `motet status`: what `/healthz`, `/readyz` and `/metrics` of a running server say, in a few lines.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::operator::authority;
use super::{Failure, http};
use crate::cli;
use crate::print;

/// What is shown, and the metric it is read from: series of one name are added up over their labels.
const FIGURES: [(&str, &str); 6] = [
    ("uptime_seconds", "motet_server_uptime_seconds"),
    ("connections", "motet_server_connections"),
    ("sessions", "motet_core_sessions"),
    ("messages_received", "motet_server_messages_received_total"),
    ("messages_sent", "motet_server_messages_sent_total"),
    ("vhosts_over_quota", "motet_core_vhosts_over_quota"),
];
/// The metric whose label `version` is the server's.
const BUILD: &str = "motet_server_build_info";

/// How a server is.
#[derive(Debug, PartialEq)]
struct Report {
    healthy: bool,
    ready: bool,
    version: Option<String>,
    /// Name and figure; None where the server does not tell.
    figures: Vec<(&'static str, Option<f64>)>,
}

/// Exit status 0 when the server is ready, else 1.
pub(crate) fn status(options: &cli::Status, configuration: &cli::Configuration) -> Result<ExitCode, Failure> {
    let authority = match &options.url {
        Some(url) => authority(Some(url), Path::new(""))?,
        None => authority(None, &configuration.load()?.config.data_dir)?,
    };
    let get = |path| {
        http::get(&authority, path).map_err(|error| {
            format!("http://{authority}{path}: {error}\n  to do: check that motet runs and has an HTTP listener there")
        })
    };
    let healthy = get("/healthz")?.status == 200;
    let ready = get("/readyz")?.status == 200;
    let metrics = get("/metrics")?;
    let metrics = if metrics.status == 200 { metrics.body } else { String::new() };
    let report = Report::new(healthy, ready, &metrics);
    print::answer(if options.json { report.json() } else { report.text() });
    Ok(if report.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    fn new(healthy: bool, ready: bool, metrics: &str) -> Self {
        let figures = FIGURES.map(|(name, metric)| (name, sum(metrics, metric))).into();
        Self { healthy, ready, version: label(metrics, BUILD, "version"), figures }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let state = match (self.healthy, self.ready) {
            (true, true) => "ready",
            (true, false) => "alive, not ready",
            (false, _) => "not healthy",
        };
        let _ = writeln!(text, "{:18} {state}", "state");
        let _ = writeln!(text, "{:18} {}", "version", self.version.as_deref().unwrap_or("not told"));
        for (name, figure) in &self.figures {
            let figure = figure.map_or("not told".into(), |figure| figure.to_string());
            let _ = writeln!(text, "{:18} {figure}", name.replace('_', " "));
        }
        text
    }

    fn json(&self) -> String {
        let mut json = json!({ "healthy": self.healthy, "ready": self.ready, "version": self.version });
        for (name, figure) in &self.figures {
            json[*name] = json!(figure);
        }
        format!("{json}\n")
    }
}

/// The series of `metric` in the Prometheus text format: labels (with braces, or empty) and value.
fn series<'a>(metrics: &'a str, metric: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    metrics.lines().filter_map(move |line| {
        let rest = line.strip_prefix(metric)?;
        let (labels, value) = match rest.strip_prefix('{') {
            Some(_) => rest.split_at(rest.rfind('}')? + 1),
            None => ("", rest),
        };
        value.starts_with(' ').then(|| (labels, value.split_whitespace().next().unwrap_or_default()))
    })
}

fn sum(metrics: &str, metric: &str) -> Option<f64> {
    series(metrics, metric).filter_map(|(_, value)| value.parse::<f64>().ok()).reduce(|sum, value| sum + value)
}

fn label(metrics: &str, metric: &str, name: &str) -> Option<String> {
    let (labels, _) = series(metrics, metric).next()?;
    let (_, value) = labels.split_once(&format!("{name}=\""))?;
    Some(value.split('"').next()?.into())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const METRICS: &str = "\
# HELP motet_server_connections Connections now.
# TYPE motet_server_connections gauge
motet_server_connections{protocol=\"mqtt\"} 3
motet_server_connections{protocol=\"ws\"} 4
motet_server_connections_total 900
motet_server_build_info{version=\"0.1.0\",commit=\"abc\"} 1
motet_server_uptime_seconds 12.5
";

    #[test]
    fn a_report_adds_up_the_series_of_a_metric() {
        let report = Report::new(true, true, METRICS);
        expect![[r#"
            state              ready
            version            0.1.0
            uptime seconds     12.5
            connections        7
            sessions           not told
            messages received  not told
            messages sent      not told
            vhosts over quota  not told
        "#]]
        .assert_eq(&report.text());
        expect![[r#"
            {"connections":7.0,"healthy":true,"messages_received":null,"messages_sent":null,"ready":true,"sessions":null,"uptime_seconds":12.5,"version":"0.1.0","vhosts_over_quota":null}
        "#]].assert_eq(&report.json());
    }

    #[test]
    fn a_server_without_metrics_tells_nothing_but_its_state() {
        expect![[r#"
            state              alive, not ready
            version            not told
            uptime seconds     not told
            connections        not told
            sessions           not told
            messages received  not told
            messages sent      not told
            vhosts over quota  not told
        "#]]
        .assert_eq(&Report::new(true, false, "").text());
    }
}
