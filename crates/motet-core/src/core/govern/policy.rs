//! A policy: a pattern of names, what it applies to, and the settings it brings.

use super::record::{self, Fields};
use crate::message::Value;

/// Whose policy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Of whoever designs the queues.
    Ordinary,
    /// Of whoever runs the server: it only makes limits tighter.
    Operator,
}

/// Which objects a policy may match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApplyTo {
    /// Queues of every type, and exchanges.
    All,
    /// Queues of every type.
    Queues,
    /// Classic queues.
    ClassicQueues,
    /// Quorum queues.
    QuorumQueues,
    /// Streams.
    Streams,
    /// Exchanges.
    Exchanges,
}

impl ApplyTo {
    const ALL: [ApplyTo; 6] = [
        ApplyTo::All,
        ApplyTo::Queues,
        ApplyTo::ClassicQueues,
        ApplyTo::QuorumQueues,
        ApplyTo::Streams,
        ApplyTo::Exchanges,
    ];

    /// The word operators write.
    pub fn word(self) -> &'static str {
        match self {
            ApplyTo::All => "all",
            ApplyTo::Queues => "queues",
            ApplyTo::ClassicQueues => "classic_queues",
            ApplyTo::QuorumQueues => "quorum_queues",
            ApplyTo::Streams => "streams",
            ApplyTo::Exchanges => "exchanges",
        }
    }

    /// What this word means.
    pub fn from_word(word: &str) -> Option<Self> {
        ApplyTo::ALL.into_iter().find(|apply_to| apply_to.word() == word)
    }

    /// It may match queues of this type: `classic`, `quorum` or `stream`.
    pub(super) fn covers_queue(self, queue_type: &str) -> bool {
        match self {
            ApplyTo::All | ApplyTo::Queues => true,
            ApplyTo::ClassicQueues => queue_type == "classic",
            ApplyTo::QuorumQueues => queue_type == "quorum",
            ApplyTo::Streams => queue_type == "stream",
            ApplyTo::Exchanges => false,
        }
    }

    /// It may match exchanges.
    pub(super) fn covers_exchanges(self) -> bool {
        matches!(self, ApplyTo::All | ApplyTo::Exchanges)
    }
}

/// One policy of a vhost.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Its name, unique in its vhost among those of its kind.
    pub name: Box<str>,
    /// A regular expression that fits anywhere in a name unless it is anchored.
    pub pattern: Box<str>,
    /// What it may match.
    pub apply_to: ApplyTo,
    /// Of several that match, the one with the highest holds.
    pub priority: i64,
    /// The settings, as arguments of a declaration without their `x-`.
    pub definition: Vec<(Box<str>, Value)>,
}

impl Policy {
    pub(super) fn encode(&self) -> Vec<u8> {
        let definition = self.definition.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        record::encode(vec![
            ("pattern".into(), Value::Text(self.pattern.to_string())),
            ("apply-to".into(), Value::Text(self.apply_to.word().into())),
            ("priority".into(), Value::Int(self.priority)),
            ("definition".into(), Value::Table(definition)),
        ])
    }

    pub(super) fn decode(name: &str, value: &[u8]) -> Option<Self> {
        let fields: Fields = record::decode(value)?;
        let definition = fields.iter().find_map(|(name, value)| match value {
            Value::Table(definition) if name == "definition" => Some(definition),
            _ => None,
        })?;
        Some(Policy {
            name: name.into(),
            pattern: record::text(&fields, "pattern")?.into(),
            apply_to: ApplyTo::from_word(record::text(&fields, "apply-to")?)?,
            priority: record::number(&fields, "priority")?,
            definition: definition.iter().map(|(name, value)| (name.as_str().into(), value.clone())).collect(),
        })
    }
}
