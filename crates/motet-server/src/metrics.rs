//! `/metrics`: the Prometheus text format, written by hand because it is forty lines. Aggregated: no topic, client or
//! address is ever a label.

use crate::acme::LastResult;
use crate::alarm::resident_bytes;
use crate::house::House;
use crate::rates::SCOPES;
use crate::telemetry::{ANSWERS, PROTOCOLS, PerProtocol};
use motet_core::engine::Engine;
use std::fmt::{Display, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// The type of the text. [Prometheus text format 0.0.4]
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One page being written.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn count(&mut self, name: &str, help: &str, counter: &AtomicU64) {
        self.one(name, "counter", help, counter.load(Ordering::Relaxed));
    }

    fn each<'a>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, &'a AtomicU64)>,
    ) {
        self.head(name, kind, help);
        for (value, counter) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{value}\"}} {}", counter.load(Ordering::Relaxed));
        }
    }
}

/// Everything there is to tell.
pub(crate) fn render<E: Engine>(house: &House<E>) -> String {
    let mut page = Page::default();
    server(&mut page, house);
    watch(&mut page, house);
    certificates(&mut page, house);
    acme(&mut page, house);
    logins(&mut page, house);
    core(&mut page, house);
    page.0.push_str(&crate::quotas::metrics(house));
    access(&mut page, house);
    bridges(&mut page, house);
    page.one("motet_store_pending_bytes", "gauge", "Bytes accepted and not yet durable.", house.store.pending_bytes());
    page.one("motet_store_failing", "gauge", "1 while the disk takes nothing.", u8::from(house.store.is_failing()));
    page.0
}

/// One series for each bridge: they are few, and each has a name that an operator gave.
fn bridges<E: Engine>(page: &mut Page, house: &House<E>) {
    let all = house.bridges.all();
    if all.is_empty() {
        return;
    }
    let mut each = |name: &str, kind: &str, help: &str, of: fn(&crate::bridge::Figures) -> &AtomicU64| {
        page.each(name, kind, help, "bridge", all.iter().map(|figures| (figures.name.as_str(), of(figures))));
    };
    each("motet_bridge_connected", "gauge", "1 while the bridge is connected.", |f| &f.connected);
    each("motet_bridge_connects_total", "counter", "Times that the bridge was connected.", |f| &f.connects);
    each("motet_bridge_failures_total", "counter", "Connections that broke or did not come about.", |f| &f.failures);
    each("motet_bridge_sent_total", "counter", "Messages that went to the other server.", |f| &f.sent);
    each("motet_bridge_received_total", "counter", "Messages that came from the other server.", |f| &f.received);
    each("motet_bridge_looped_total", "counter", "Messages that had passed here before.", |f| &f.looped);
    each("motet_bridge_refused_total", "counter", "Messages that the side they went to refused.", |f| &f.refused);
    each("motet_bridge_dropped_total", "counter", "Messages that fit no rule or are too large there.", |f| &f.dropped);
}

fn server<E: Engine>(page: &mut Page, house: &House<E>) {
    let counters = &house.counters;
    let version = env!("CARGO_PKG_VERSION");
    page.head("motet_server_build_info", "gauge", "The server's version.");
    let _ = writeln!(page.0, "motet_server_build_info{{version=\"{version}\"}} 1");
    let uptime = house.clock.now().instant.as_nanos() / 1_000_000;
    page.one("motet_server_uptime_seconds", "gauge", "Since the start.", uptime as f64 / 1000.0);
    if let Some(bytes) = resident_bytes() {
        page.one("motet_server_resident_memory_bytes", "gauge", "Memory that the process holds.", bytes);
    }
    let per = |figure: fn(&PerProtocol) -> &AtomicU64| {
        counters.protocols.iter().enumerate().map(move |(at, figures)| (PROTOCOLS[at], figure(figures)))
    };
    page.each("motet_server_connections", "gauge", "Connections now.", "protocol", per(|f| &f.connections));
    page.each(
        "motet_server_connections_total",
        "counter",
        "Connections since the start.",
        "protocol",
        per(|f| &f.connections_total),
    );
    page.each("motet_server_received_bytes_total", "counter", "Bytes read.", "protocol", per(|f| &f.received_bytes));
    page.each("motet_server_sent_bytes_total", "counter", "Bytes written.", "protocol", per(|f| &f.sent_bytes));
    let refused =
        [("connections", &counters.refused_limit), ("connections_per_address", &counters.refused_per_address)];
    page.each("motet_server_refused_total", "counter", "Connections refused at a bound.", "bound", refused);
    let answers = ANSWERS.into_iter().zip(&counters.management_requests);
    let help = "Requests of the management API.";
    page.each("motet_management_requests_total", "counter", help, "answer", answers);
    let held = SCOPES.into_iter().zip(&counters.held_back);
    page.each("motet_server_rate_pauses_total", "counter", "Pauses of publishers over their rate.", "scope", held);
    for (name, help, counter) in [
        ("motet_server_proxy_refused_total", "Connections without a PROXY header to believe.", &counters.proxy_refused),
        ("motet_server_logins_refused_total", "Logins told to come back later.", &counters.logins_refused),
        ("motet_server_accept_errors_total", "The system gave no connection.", &counters.accept_errors),
        ("motet_server_handshake_failures_total", "Handshakes that came to nothing.", &counters.handshake_failures),
        (
            "motet_tls_client_certificates_refused_total",
            "Handshakes that failed for the client's certificate.",
            &counters.client_certificates_refused,
        ),
        ("motet_tls_reloads_total", "Certificates read again and taken.", &counters.certificate_reloads),
        (
            "motet_tls_reload_failures_total",
            "Certificates read again and not taken: the old ones hold.",
            &counters.certificate_reloads_failed,
        ),
        (
            "motet_tls_client_certificates_revoked_total",
            "Connections ended because the client's certificate was revoked meanwhile.",
            &counters.client_certificates_revoked,
        ),
        ("motet_server_unknown_protocols_total", "First bytes of no protocol.", &counters.unknown_first_bytes),
        ("motet_server_http_requests_total", "HTTP requests.", &counters.http_requests),
        ("motet_server_upgrades_refused_total", "WebSocket handshakes refused.", &counters.upgrades_refused),
        ("motet_server_carrier_failures_total", "Reads or writes that failed.", &counters.carrier_failures),
        ("motet_server_timeouts_total", "Connections closed by a deadline of the driver.", &counters.timeouts),
        ("motet_server_panics_total", "Connections closed by a bug of ours.", &counters.panics),
    ] {
        page.count(name, help, counter);
    }
}

/// Alarms, logins in progress, the audit log.
fn watch<E: Engine>(page: &mut Page, house: &House<E>) {
    page.head("motet_server_alarm", "gauge", "1 while publishers are held back for want of it.");
    for (resource, raised) in house.alarms.each() {
        let _ = writeln!(page.0, "motet_server_alarm{{resource=\"{resource}\"}} {}", u8::from(raised));
    }
    let (free, help) = (house.alarms.disk_free(), "Room on the disk of the data directory.");
    page.one("motet_server_disk_free_bytes", "gauge", help, free);
    let most = house.limits().logins_in_progress as usize;
    let waiting = most.saturating_sub(house.turns.available_permits());
    page.one("motet_server_logins_in_progress", "gauge", "Connections that have not logged in.", waiting);
    let spans = house.spans.get();
    for (name, help, counter) in [
        ("motet_otlp_spans_total", "Spans that a collector took.", spans.map(|spans| &spans.sent)),
        ("motet_otlp_spans_lost_total", "Spans beyond the rate, or not taken.", spans.map(|spans| &spans.lost)),
    ] {
        page.one(name, "counter", help, counter.map_or(0, |counter| counter.load(Ordering::Relaxed)));
    }
    let (written, lost) = house.audit.figures();
    page.one("motet_server_audit_entries_total", "counter", "Entries of the audit log.", written);
    page.one("motet_server_audit_lost_total", "counter", "Entries that did not reach the audit log.", lost);
}

fn logins<E: Engine>(page: &mut Page, house: &House<E>) {
    let counters = house.accounts.counters();
    let outcomes = [("accepted", &counters.accepted), ("refused", &counters.refused), ("busy", &counters.busy)];
    page.each("motet_auth_logins_total", "counter", "Logins by their outcome.", "outcome", outcomes);
    for (name, help, counter) in [
        ("motet_auth_waiting_total", "Busy answers because of too many failures.", &counters.waiting),
        ("motet_auth_bans_total", "How often an address was banned.", &counters.bans),
        ("motet_auth_verifications_total", "Passwords verified by the pool.", &counters.verified),
        ("motet_auth_remembered_total", "Logins answered from what was remembered.", &counters.remembered),
        (
            "motet_auth_renewed_total",
            "Hashes of Mosquitto's and RabbitMQ's passwords that were replaced by ours.",
            &counters.renewed,
        ),
        ("motet_auth_disconnects_total", "Connections ended because their account changed.", &counters.put_out),
    ] {
        page.count(name, help, counter);
    }
    page.one("motet_auth_users", "gauge", "Accounts.", house.accounts.count());
}

/// When the first certificate ends; silent where there is no TLS.
fn certificates<E: Engine>(page: &mut Page, house: &House<E>) {
    let ends = house.counters.certificate_expires.load(Ordering::Relaxed);
    if ends > 0 {
        let help = "When the first of the server's certificates ends, in seconds since 1970.";
        page.one("motet_tls_certificate_expiry_seconds", "gauge", help, ends);
    }
}

/// The certificate that the server fetches; silent where it fetches none.
fn acme<E: Engine>(page: &mut Page, house: &House<E>) {
    let acme = &house.acme;
    if !acme.is_on() {
        return;
    }
    let help = "When the fetched certificate ends, in seconds since 1970; 0 while there is none.";
    page.one("motet_acme_certificate_expiry_seconds", "gauge", help, acme.expires());
    let help = "When the next try is due, in seconds since 1970.";
    page.one("motet_acme_next_attempt_seconds", "gauge", help, acme.next());
    let results = [("issued", &acme.issued), ("failed", &acme.failed)];
    page.each("motet_acme_orders_total", "counter", "Certificates asked for.", "result", results);
    page.head("motet_acme_last_result", "gauge", "1 for what the last try since the start came to.");
    for (word, result) in [("none", LastResult::None), ("issued", LastResult::Issued), ("failed", LastResult::Failed)] {
        let _ = writeln!(page.0, "motet_acme_last_result{{result=\"{word}\"}} {}", u8::from(acme.last() == result));
    }
}

fn core<E: Engine>(page: &mut Page, house: &House<E>) {
    let counters = house.core.counters();
    for (name, help, counter) in [
        ("motet_server_messages_received_total", "Messages accepted from publishers.", &counters.published),
        ("motet_server_messages_sent_total", "Deliveries handed to connections.", &counters.delivered),
        ("motet_core_messages_unroutable_total", "Messages that reached nobody.", &counters.unroutable),
        (
            "motet_core_messages_rejected_total",
            "Messages refused at a bound, for want of a right, or by a full store.",
            &counters.rejected,
        ),
        ("motet_core_retain_refused_total", "Messages not retained at the bound.", &counters.retain_refused),
        ("motet_core_messages_dropped_total", "Deliveries dropped at a subscriber's bound.", &counters.dropped),
        ("motet_core_messages_expired_total", "Messages that expired before delivery.", &counters.expired),
        (
            "motet_core_messages_dead_lettered_total",
            "Messages that left a queue by its back door and went on from its dead-letter exchange.",
            &counters.dead_lettered,
        ),
        (
            "motet_core_dead_letters_refused_total",
            "Dead letters that a queue on their way was too full to take: there they are lost.",
            &counters.dead_letters_refused,
        ),
        ("motet_core_messages_damaged_total", "Stored bodies that could not be read back.", &counters.damaged),
        ("motet_core_wills_total", "Wills published.", &counters.wills),
    ] {
        page.count(name, help, counter);
    }
    page.one(
        "motet_core_waiting_bytes",
        "gauge",
        "Bytes that wait for subscribers, in mailboxes and as output, as limits.waiting_bytes counts them.",
        house.waiting.bytes(),
    );
    page.one("motet_core_sessions", "gauge", "Sessions, connected or not.", house.core.session_count());
    let queues = house.core.queue_totals();
    page.one("motet_core_queues", "gauge", "Queues with a name, streams too.", queues.queues);
    page.one("motet_core_queue_messages", "gauge", "Messages that wait in them.", queues.waiting);
    page.one("motet_core_queue_unacknowledged", "gauge", "Messages that consumers of them hold.", queues.unacked);
    page.one("motet_core_retained_messages", "gauge", "Addresses with a last value.", house.core.retained_count());
    page.one("motet_core_retained_bytes", "gauge", "Bytes of last values.", house.core.retained_bytes());
}

/// Who was let in how, and what was refused.
fn access<E: Engine>(page: &mut Page, house: &House<E>) {
    page.head("motet_core_access_refused_total", "counter", "Wishes refused for want of a right.");
    for (action, count) in house.core.refused() {
        let _ = writeln!(page.0, "motet_core_access_refused_total{{action=\"{}\"}} {count}", action.word());
    }
    page.one(
        "motet_core_unsigned_refused_total",
        "counter",
        "Messages refused for want of a good signature.",
        house.core.refused_unsigned(),
    );
    let Some(front) = &house.front else { return };
    let (accepted, refused) = front.token_counts();
    page.head("motet_auth_tokens_total", "counter", "Tokens shown in place of a password.");
    for (answer, count) in [("accepted", accepted), ("refused", refused)] {
        let _ = writeln!(page.0, "motet_auth_tokens_total{{answer=\"{answer}\"}} {count}");
    }
    if let Some(hook) = front.hook() {
        let counters = hook.counters();
        let answers = [
            ("allowed", &counters.allowed),
            ("refused", &counters.refused),
            ("failed", &counters.failed),
            ("remembered", &counters.remembered),
        ];
        page.each("motet_auth_hook_total", "counter", "Questions to the hook.", "answer", answers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    #[test]
    fn what_the_core_counts_is_there_with_its_help_and_type() {
        let text = render(&crate::testing::house(Limits::default()));
        for (name, kind) in [
            ("motet_server_messages_received_total", "counter"),
            ("motet_server_messages_sent_total", "counter"),
            ("motet_core_messages_unroutable_total", "counter"),
            ("motet_core_messages_rejected_total", "counter"),
            ("motet_core_messages_dropped_total", "counter"),
            ("motet_core_messages_expired_total", "counter"),
            ("motet_core_messages_dead_lettered_total", "counter"),
            ("motet_core_dead_letters_refused_total", "counter"),
            ("motet_core_queues", "gauge"),
            ("motet_core_queue_messages", "gauge"),
            ("motet_core_queue_unacknowledged", "gauge"),
            ("motet_core_messages_damaged_total", "counter"),
            ("motet_core_wills_total", "counter"),
            ("motet_core_retain_refused_total", "counter"),
            ("motet_core_waiting_bytes", "gauge"),
            ("motet_core_sessions", "gauge"),
            ("motet_core_retained_messages", "gauge"),
            ("motet_core_retained_bytes", "gauge"),
        ] {
            let at = text.find(&format!("# HELP {name} ")).unwrap_or_else(|| panic!("{name} has no help"));
            let lines: Vec<_> = text[at..].lines().take(3).collect();
            assert_eq!(lines[1..], [format!("# TYPE {name} {kind}"), format!("{name} 0")]);
        }
    }

    #[test]
    fn every_line_is_a_comment_or_a_name_and_a_number() {
        let text = render(&crate::testing::house(Limits::default()));
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("motet_"), "{line}");
            value.parse::<f64>().unwrap();
        }
        assert!(text.contains("motet_server_connections{protocol=\"mqtt\"} 0\n"), "{text}");
    }

    /// The words of `text` that name metrics of ours.
    fn named(text: &str) -> std::collections::BTreeSet<&str> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words
            .filter(|word| {
                ["motet_server_", "motet_core_", "motet_store_", "motet_otlp_"]
                    .iter()
                    .any(|part| word.starts_with(part))
            })
            .collect()
    }

    #[test]
    fn the_board_and_the_alerts_name_metrics_that_exist() {
        let page = render(&crate::testing::house(Limits::default()));
        let exist = named(&page);
        for (file, text) in [
            ("motet.json", include_str!("../../../packaging/grafana/motet.json")),
            ("alerts.yml", include_str!("../../../packaging/prometheus/alerts.yml")),
            ("monitoring.md", include_str!("../../../docs/monitoring.md")),
        ] {
            let missing: Vec<_> = named(text).into_iter().filter(|name| !exist.contains(name)).collect();
            assert!(missing.is_empty(), "{file} names metrics that do not exist: {missing:?}");
        }
        let board: serde_json::Value =
            serde_json::from_str(include_str!("../../../packaging/grafana/motet.json")).unwrap();
        assert!(board["panels"].as_array().unwrap().len() > 10);
    }
}
