//! Which topics cross a bridge, in which direction, and what they are called on the other side.

use crate::packet::{QoS, check_topic_filter};
use std::borrow::Cow;

/// Which way a rule lets messages through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the other server to us.
    In,
    /// From us to the other server.
    Out,
    /// Both ways.
    Both,
}

/// One pattern of topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// What both sides have in common; wildcards as in a subscription. Empty: the prefixes are whole topics.
    pub filter: String,
    /// Which way.
    pub direction: Direction,
    /// The highest QoS.
    pub qos: QoS,
    /// In front of the topic here.
    pub local_prefix: String,
    /// In front of the topic there.
    pub remote_prefix: String,
}

/// Why a rule cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Prefix and filter together are no topic filter.
    #[error("{0:?} is no topic filter")]
    NotAFilter(String),
    /// A wildcard in a prefix could not be written back.
    #[error("{0:?}: a prefix has no wildcard")]
    WildcardInPrefix(String),
    /// Shared subscriptions and reserved trees do not cross.
    #[error("{0:?} begins with $, which belongs to each server itself")]
    Reserved(String),
}

impl Rule {
    /// The filter here.
    pub fn local_filter(&self) -> String {
        format!("{}{}", self.local_prefix, self.filter)
    }

    /// The filter there.
    pub fn remote_filter(&self) -> String {
        format!("{}{}", self.remote_prefix, self.filter)
    }

    fn check(&self) -> Result<(), RuleError> {
        for prefix in [&self.local_prefix, &self.remote_prefix] {
            if prefix.contains(['+', '#']) {
                return Err(RuleError::WildcardInPrefix(prefix.clone()));
            }
        }
        for filter in [self.local_filter(), self.remote_filter()] {
            if filter.starts_with('$') {
                return Err(RuleError::Reserved(filter));
            }
            if check_topic_filter(&filter).is_err() {
                return Err(RuleError::NotAFilter(filter));
            }
        }
        Ok(())
    }
}

/// The rules of a bridge, in the order in which they are tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Checks each.
    ///
    /// # Errors
    /// The first that cannot be.
    pub fn new(rules: Vec<Rule>) -> Result<Self, RuleError> {
        rules.iter().try_for_each(Rule::check)?;
        Ok(Rules(rules))
    }

    /// What to subscribe to here: filter and QoS.
    pub fn local_filters(&self) -> Vec<(String, QoS)> {
        self.going(Direction::Out).map(|rule| (rule.local_filter(), rule.qos)).collect()
    }

    /// What to subscribe to there.
    pub fn remote_filters(&self) -> Vec<(String, QoS)> {
        self.going(Direction::In).map(|rule| (rule.remote_filter(), rule.qos)).collect()
    }

    /// What a topic of ours is called there; `None` when no rule lets it through.
    pub fn outward<'a>(&self, topic: &'a str) -> Option<Cow<'a, str>> {
        self.going(Direction::Out)
            .find_map(|rule| rewrite(topic, &rule.local_prefix, &rule.filter, &rule.remote_prefix))
    }

    /// What a topic of theirs is called here.
    pub fn inward<'a>(&self, topic: &'a str) -> Option<Cow<'a, str>> {
        self.going(Direction::In).find_map(|rule| rewrite(topic, &rule.remote_prefix, &rule.filter, &rule.local_prefix))
    }

    fn going(&self, direction: Direction) -> impl Iterator<Item = &Rule> {
        self.0.iter().filter(move |rule| rule.direction == direction || rule.direction == Direction::Both)
    }
}

fn rewrite<'a>(topic: &'a str, from: &str, filter: &str, to: &str) -> Option<Cow<'a, str>> {
    let rest = topic.strip_prefix(from)?;
    if !matches(filter, rest, from.is_empty()) {
        return None;
    }
    Some(if from == to { Cow::Borrowed(topic) } else { Cow::Owned(format!("{to}{rest}")) })
}

/// [4.7.1] Whether `topic` matches `filter`; `first` when its first level is the first of the whole topic.
fn matches(filter: &str, topic: &str, first: bool) -> bool {
    // [MQTT-4.7.2-1] a wildcard in first place does not match a reserved tree.
    if first && topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut wanted, mut given) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (Some("#"), _) => return true,
            // `a/#` matches `a` too [4.7.1.2].
            (Some(level), None) => return level == "#",
            (Some("+"), Some(_)) => {}
            (Some(level), Some(same)) if level == same => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}
