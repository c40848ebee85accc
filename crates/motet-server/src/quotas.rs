//! Quotas of vhosts, as an operator meets them: from the configuration, in the log, as metrics. What they do is the
//! core's affair.

use crate::config::Limits;
use crate::house::House;
use motet_core::core::{Core, Vhost};
use motet_core::engine::Engine;
use motet_core::quota::Resource;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// Puts in force what the configuration says for every vhost.
pub(crate) fn apply<E: Engine>(core: &Core<E>, limits: &Limits) {
    core.set_vhost_quotas([limits.vhost_disk_max, limits.vhost_memory_max].map(|max| max.map(|max| max.bytes())));
}

/// How often the quotas of a vhost had been reached at the last look.
#[derive(Debug, Default)]
pub(crate) struct Told(HashMap<Arc<str>, [(u64, bool); 2]>);

impl Told {
    /// Logs what has changed since the last look; how many lines.
    pub(crate) fn look<E: Engine>(&mut self, core: &Core<E>) -> usize {
        let vhosts = core.vhosts();
        if self.0.len() > vhosts.len() {
            self.0.retain(|name, _| vhosts.iter().any(|vhost| vhost.name() == name));
        }
        vhosts.iter().map(|vhost| self.look_at(vhost)).sum()
    }

    fn look_at(&mut self, vhost: &Vhost) -> usize {
        let quota = vhost.quota();
        let is = Resource::ALL.map(|of| (quota.reached_total(of), quota.is_reached(of)));
        // Most have never reached theirs, and need no entry.
        let was = self.0.get(vhost.name()).copied().unwrap_or_default();
        if is == was {
            return 0;
        }
        self.0.insert(vhost.name().clone(), is);
        let changed = Resource::ALL.into_iter().zip(is.into_iter().zip(was)).filter(|(_, (is, was))| is != was);
        let told = |(resource, ((times, reached), _)): (Resource, ((u64, bool), _))| {
            let (bytes, bytes_max) = (quota.bytes(resource), quota.bytes_max(resource).unwrap_or_default());
            let (name, resource) = (&**vhost.name(), resource.text());
            tracing::warn!(
                vhost = name,
                resource,
                reached,
                times,
                bytes,
                bytes_max,
                "who publishes in a vhost is refused or held back while its quota is reached"
            );
        };
        changed.map(told).count()
    }
}

/// What one series tells.
type Figure = fn(&Vhost, Resource) -> u64;

/// The series of vhosts that have a quota; how many have reached one, in any case.
pub(crate) fn metrics<E: Engine>(house: &House<E>) -> String {
    let vhosts = house.core.vhosts();
    let reached = vhosts.iter().filter(|vhost| vhost.quota().is_any_reached()).count();
    let mut page = String::new();
    let head = |page: &mut String, name: &str, kind: &str, help: &str| {
        let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
    };
    let refused = house.core.counters().quota_refused.load(std::sync::atomic::Ordering::Relaxed);
    head(&mut page, "motet_core_quota_refused_total", "counter", "Messages refused because of a vhost's quota.");
    let _ = writeln!(page, "motet_core_quota_refused_total {refused}");
    head(&mut page, "motet_core_vhosts_over_quota", "gauge", "Vhosts that have reached a quota.");
    let _ = writeln!(page, "motet_core_vhosts_over_quota {reached}");
    let bounded: Vec<_> = vhosts.iter().filter(|vhost| Resource::ALL.iter().any(|of| max(vhost, *of) > 0)).collect();
    if bounded.is_empty() {
        return page;
    }
    let figures: [(&str, &str, &str, Figure); 4] = [
        ("motet_core_vhost_bytes", "gauge", "Bytes that the queues of a vhost with a quota hold.", held),
        ("motet_core_vhost_bytes_max", "gauge", "The quota; 0 is none.", max),
        ("motet_core_vhost_quota_reached", "gauge", "1 while it is reached.", |v, of| v.quota().is_reached(of).into()),
        ("motet_core_vhost_quota_reached_total", "counter", "How often it was.", |v, of| v.quota().reached_total(of)),
    ];
    for (name, kind, help, figure) in figures {
        head(&mut page, name, kind, help);
        for vhost in &bounded {
            for of in Resource::ALL {
                let (label, resource, value) = (escaped(vhost.name()), of.text(), figure(vhost, of));
                let _ = writeln!(page, "{name}{{vhost=\"{label}\",resource=\"{resource}\"}} {value}");
            }
        }
    }
    page
}

fn held(vhost: &Vhost, of: Resource) -> u64 {
    vhost.quota().bytes(of)
}

fn max(vhost: &Vhost, of: Resource) -> u64 {
    vhost.quota().bytes_max(of).unwrap_or_default()
}

/// A label's value. [Prometheus text format: backslash, quote and line feed are escaped]
fn escaped(name: &str) -> String {
    name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::house;
    use motet_core::core::govern::LimitOf;
    use std::collections::BTreeMap;

    #[test]
    fn the_configuration_holds_for_every_vhost_but_those_with_a_word_of_their_own() {
        let house = house(Limits::default());
        let (own, _) = house.core.create_vhost("own").expect("a name");
        let limits = BTreeMap::from([("max-disk-bytes".to_owned(), 5), ("max-memory-bytes".to_owned(), -1)]);
        house.core.set_limits(LimitOf::Vhost("own"), &limits).expect("short");
        apply(&house.core, &Limits { vhost_disk_max: Some(crate::config::ByteSize(7)), ..Limits::default() });
        let (later, _) = house.core.create_vhost("later\"").expect("a name");
        let max = |vhost: &Vhost| Resource::ALL.map(|of| vhost.quota().bytes_max(of));
        assert_eq!((max(&own), max(&later)), ([Some(5), None], [Some(7), None]));
        let page = metrics(&house);
        for line in [
            "motet_core_vhosts_over_quota 0\n",
            "motet_core_vhost_bytes_max{vhost=\"own\",resource=\"disk\"} 5\n",
            "motet_core_vhost_bytes{vhost=\"later\\\"\",resource=\"memory\"} 0\n",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert_eq!(Told::default().look(&house.core), 0, "nothing has changed");
    }
}
