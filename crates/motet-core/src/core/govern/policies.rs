//! Which policy holds for a queue or an exchange, and putting policies in force while the server runs.
//!
//! One policy of each kind holds for an object: of those that match, the one with the highest priority. Of a setting in
//! both, the lower number holds; the rest of both is taken together.

use super::policy::{Policy, PolicyKind};
use super::record;
use crate::core::broker::NamedQueue;
use crate::core::{Core, RegistryKind, Vhost};
use crate::engine::{Engine, Position};
use crate::message::Value;
use crate::time::Now;
use bytes::Bytes;
use regex::bytes::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes of a pattern as it is written.
const PATTERN_BYTES_MAX: usize = 1_024;
/// Bytes of a pattern as it is compiled.
const COMPILED_BYTES_MAX: usize = 1 << 18;
/// Policies of one kind in one vhost: every declaration is held against each of them.
const POLICIES_MAX: usize = 10_000;

/// Why a policy was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The pattern is no regular expression of ours, or too large.
    #[error("not a regular expression: {0}")]
    Pattern(String),
    /// A setting is not of its form.
    #[error(transparent)]
    Setting(#[from] crate::core::broker::ArgumentError),
    /// There are as many as there may be.
    #[error("the limit of {POLICIES_MAX} policies is reached")]
    Limit,
    /// Name or definition are too big to be written down.
    #[error("the policy is too big")]
    TooBig,
}

/// What holds for an object, for listings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Governed {
    /// The name of the policy.
    pub policy: Option<Box<str>>,
    /// The name of the operator's policy.
    pub operator_policy: Option<Box<str>>,
    /// The settings of both, sorted by name.
    pub definition: Vec<(Box<str>, Value)>,
}

#[derive(Debug)]
struct Compiled {
    policy: Policy,
    regex: Regex,
}

impl Compiled {
    fn new(policy: Policy) -> Result<Self, PolicyError> {
        if policy.pattern.len() > PATTERN_BYTES_MAX {
            return Err(PolicyError::Pattern(format!("longer than {PATTERN_BYTES_MAX} bytes")));
        }
        let regex = RegexBuilder::new(&policy.pattern).size_limit(COMPILED_BYTES_MAX).build();
        let regex = regex.map_err(|error| PolicyError::Pattern(error.to_string()))?;
        Ok(Compiled { policy, regex })
    }
}

/// The policies of a vhost, each kind in the order in which the first match holds.
#[derive(Debug, Default, Clone)]
pub(in crate::core) struct Policies {
    ordinary: Vec<Arc<Compiled>>,
    operator: Vec<Arc<Compiled>>,
}

impl Policies {
    fn of(&self, kind: PolicyKind) -> &[Arc<Compiled>] {
        match kind {
            PolicyKind::Ordinary => &self.ordinary,
            PolicyKind::Operator => &self.operator,
        }
    }

    /// Takes out the policy of this name, and puts in another; true when there was one.
    fn replace(&mut self, kind: PolicyKind, name: &str, with: Option<Compiled>) -> bool {
        let list = match kind {
            PolicyKind::Ordinary => &mut self.ordinary,
            PolicyKind::Operator => &mut self.operator,
        };
        let before = list.len();
        list.retain(|known| *known.policy.name != *name);
        let was_there = list.len() < before;
        if let Some(with) = with {
            let place = |known: &Policy| (std::cmp::Reverse(known.priority), known.name.clone());
            let at = list.partition_point(|known| place(&known.policy) < place(&with.policy));
            list.insert(at, Arc::new(with));
        }
        was_there
    }

    fn is_empty(&self) -> bool {
        self.ordinary.is_empty() && self.operator.is_empty()
    }

    fn for_queue(&self, name: &[u8], queue_type: &str) -> Governed {
        let first = |kind| {
            let fits = |one: &&Arc<Compiled>| one.policy.apply_to.covers_queue(queue_type) && one.regex.is_match(name);
            self.of(kind).iter().find(fits).map(|one| &one.policy)
        };
        merged(first(PolicyKind::Ordinary), first(PolicyKind::Operator))
    }

    pub(in crate::core) fn for_exchange(&self, name: &[u8]) -> Governed {
        let first = |kind| {
            let fits = |one: &&Arc<Compiled>| one.policy.apply_to.covers_exchanges() && one.regex.is_match(name);
            self.of(kind).iter().find(fits).map(|one| &one.policy)
        };
        merged(first(PolicyKind::Ordinary), first(PolicyKind::Operator))
    }
}

fn merged(ordinary: Option<&Policy>, operator: Option<&Policy>) -> Governed {
    let mut all: BTreeMap<&str, &Value> = BTreeMap::new();
    for (name, value) in ordinary.into_iter().chain(operator).flat_map(|policy| &policy.definition) {
        let lower = match (all.get(&**name), value) {
            (Some(Value::Int(known)), Value::Int(other)) => other < known,
            _ => true,
        };
        if lower {
            all.insert(name, value);
        }
    }
    Governed {
        policy: ordinary.map(|policy| policy.name.clone()),
        operator_policy: operator.map(|policy| policy.name.clone()),
        definition: all.into_iter().map(|(name, value)| (name.into(), value.clone())).collect(),
    }
}

impl Governed {
    /// Where an exchange sends what it has no binding for.
    pub(in crate::core) fn alternate(&self) -> Option<Bytes> {
        self.definition.iter().find_map(|(name, value)| match value {
            Value::Text(exchange) if &**name == "alternate-exchange" => Some(exchange.clone().into()),
            _ => None,
        })
    }
}

fn kind_of(kind: PolicyKind) -> RegistryKind {
    match kind {
        PolicyKind::Ordinary => RegistryKind::POLICY,
        PolicyKind::Operator => RegistryKind::OPERATOR_POLICY,
    }
}

impl Vhost {
    /// The policies of a kind, the first to be asked first.
    pub fn policies(&self, kind: PolicyKind) -> Vec<Policy> {
        self.policies.read().of(kind).iter().map(|one| one.policy.clone()).collect()
    }

    /// What holds for an exchange of this name.
    pub fn exchange_governed(&self, name: &[u8]) -> Governed {
        // The default exchange is nobody's to govern.
        if name.is_empty() { Governed::default() } else { self.policies.read().for_exchange(name) }
    }

    fn govern_exchanges(&self) {
        let policies = self.policies.read().clone();
        self.change(|topology| topology.govern_exchanges(|name| policies.for_exchange(name).alternate()));
    }
}

impl<E: Engine> Core<E> {
    /// Makes or replaces a policy and puts it in force. Whether it is new, and when that is durable.
    ///
    /// # Errors
    /// See [`PolicyError`]; nothing was changed.
    pub fn set_policy(
        &self,
        now: Now,
        vhost: &Arc<Vhost>,
        kind: PolicyKind,
        policy: Policy,
    ) -> Result<(bool, Position), PolicyError> {
        crate::core::broker::check_policy(&policy.definition)?;
        if policy.name.len() > record::PART_BYTES_MAX {
            return Err(PolicyError::TooBig);
        }
        let (name, value) = (policy.name.clone(), policy.encode());
        let compiled = Compiled::new(policy)?;
        let turn = vhost.policy_turn.lock();
        let mut policies = vhost.policies.read().clone();
        if policies.of(kind).len() >= POLICIES_MAX {
            return Err(PolicyError::Limit);
        }
        let key = record::key(&[vhost.name(), &name]);
        let position = self.registry_put(kind_of(kind), &key, &value).map_err(|_| PolicyError::TooBig)?;
        let is_new = !policies.replace(kind, &name, Some(compiled));
        *vhost.policies.write() = policies;
        drop(turn);
        self.govern_all(now, vhost);
        Ok((is_new, position))
    }

    /// Removes a policy; `None` when there is none.
    pub fn clear_policy(&self, now: Now, vhost: &Arc<Vhost>, kind: PolicyKind, name: &str) -> Option<Position> {
        let turn = vhost.policy_turn.lock();
        let position = self.registry_delete(kind_of(kind), &record::key(&[vhost.name(), name]))?;
        vhost.policies.write().replace(kind, name, None);
        drop(turn);
        self.govern_all(now, vhost);
        Some(position)
    }

    /// Holds every queue and exchange of a vhost against its policies.
    fn govern_all(&self, now: Now, vhost: &Arc<Vhost>) {
        vhost.govern_exchanges();
        for queue in self.queues(vhost) {
            self.govern_one(now, vhost, &queue);
        }
    }

    /// Holds a queue against the policies of its vhost.
    pub(in crate::core) fn govern_one(&self, now: Now, vhost: &Vhost, queue: &Arc<NamedQueue>) {
        if vhost.policies.read().is_empty() && queue.governed().policy.is_none() {
            // The common case, without a wait for others. Operators' policies leave a name too.
            if queue.governed().operator_policy.is_none() {
                return;
            }
        }
        // One after the other: what was looked up first must not be put in force last.
        let _turn = vhost.policy_turn.lock();
        let governed = vhost.policies.read().for_queue(queue.name(), queue.queue_type());
        if *queue.governed() != governed {
            // The settings were checked when the policy came.
            let _ = self.govern(now, queue, governed);
        }
    }

    /// A start has found the vhosts: their policies are known before any queue is declared.
    pub(in crate::core) fn restore_policies(&self) -> u64 {
        let mut damaged = 0;
        for kind in [PolicyKind::Ordinary, PolicyKind::Operator] {
            for (key, value) in self.registry_list(kind_of(kind)) {
                let found = record::parts(&key).and_then(|parts| {
                    let [vhost, name] = &parts[..] else { return None };
                    let compiled = Compiled::new(Policy::decode(name, &value)?).ok()?;
                    let vhost = self.find_vhost(vhost)?;
                    vhost.policies.write().replace(kind, name, Some(compiled));
                    Some(())
                });
                damaged += u64::from(found.is_none());
            }
        }
        damaged
    }

    /// A start has found everything: policies take hold.
    pub(in crate::core) fn restore_governed(&self, now: Now) {
        for vhost in self.vhosts() {
            if !vhost.policies.read().is_empty() {
                self.govern_all(now, &vhost);
            }
        }
    }
}
