//! What a token says, and the access rules in it.
//!
//! Rules come in two forms, topics in MQTT's spelling with `%u` and `%c`:
//! ```json
//! { "publish": ["home/%u/#"], "subscribe": ["home/+/state"], "consume": ["$queue/jobs"], "all": ["own/%c/#"] }
//! [ { "permission": "deny", "action": "subscribe", "topic": "home/secret" },
//!   { "permission": "allow", "action": "all", "topics": ["home/#"] } ]
//! ```
//! The first only allows; `pub` and `sub` are accepted for `publish` and `subscribe`. The second is looked at in order.

use motet_core::access::{Action, Actions, Places, Rule, Template, Who};
use motet_core::pattern::Token;
use motet_core::spelling::{amqp, mqtt};
use serde_json::{Map, Value};

/// Rules of one token.
const RULES_MAX: usize = 64;
/// Topics of all its rules together.
const TOPICS_MAX: usize = 256;
/// Groups of one token; the others are not taken.
const GROUPS_MAX: usize = 256;

/// What is wrong with the rules of a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("its access rules cannot be read: {0}")]
pub struct ClaimError(pub(crate) String);

pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// The claim of this name or, if there is none, what the steps between its dots lead to.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(name) {
            return Some(value);
        }
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(self.0.get(first)?, |value, step| value.get(step))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// [RFC 7519-2] seconds since the epoch, possibly with a fraction.
    pub(super) fn seconds(&self, name: &str) -> Option<u64> {
        let number = self.0.get(name)?;
        number.as_u64().or_else(|| number.as_f64().filter(|secs| (0.0..1e15).contains(secs)).map(|secs| secs as u64))
    }

    /// [RFC 7519-4.1.3] one text, or a list of them.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        match self.get(name) {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// A list, or one text with spaces between the words.
    pub(super) fn words(&self, name: &str) -> Vec<Box<str>> {
        let words = match self.get(name) {
            Some(Value::String(text)) => text.split_ascii_whitespace().collect(),
            _ => self.list(name),
        };
        words.into_iter().filter(|word| !word.is_empty()).take(GROUPS_MAX).map(Box::from).collect()
    }
}

/// The rules of a claim; see the module's documentation for its forms.
///
/// # Errors
/// It has another form. Then the token as a whole is refused: half of its rules may be the half that allows.
pub fn rules_of_claim(claim: &Value) -> Result<Vec<Rule>, ClaimError> {
    let mut rules = Vec::new();
    match claim {
        Value::Object(by_action) => {
            for (word, topics) in by_action {
                rules.push(rule(word, topics, true, rules.len())?);
            }
        }
        Value::Array(list) => {
            for entry in list {
                let text = |key: &str| entry.get(key).and_then(Value::as_str);
                let allow = match text("permission") {
                    Some("allow") => true,
                    Some("deny") => false,
                    _ => return Err(ClaimError("permission is neither allow nor deny".into())),
                };
                let topics = entry.get("topics").or_else(|| entry.get("topic")).unwrap_or(&Value::Null);
                rules.push(rule(text("action").unwrap_or("all"), topics, allow, rules.len())?);
            }
        }
        _ => return Err(ClaimError("neither an object nor a list".into())),
    }
    let topics = |rule: &Rule| rule.places.names.len() + rule.places.queues.len();
    if rules.len() > RULES_MAX || rules.iter().map(topics).sum::<usize>() > TOPICS_MAX {
        return Err(ClaimError("more than 64 rules or 256 topics".into()));
    }
    Ok(rules)
}

fn rule(word: &str, topics: &Value, allow: bool, before: usize) -> Result<Rule, ClaimError> {
    let actions = match word {
        "all" => Actions::ALL,
        "pub" => [Action::Publish].into_iter().collect(),
        "sub" => [Action::Subscribe].into_iter().collect(),
        word => {
            [Action::from_word(word).ok_or_else(|| ClaimError(format!("{word:?} is no action")))?].into_iter().collect()
        }
    };
    let spelled = match topics {
        Value::String(one) => vec![one.as_str()],
        Value::Array(many) => many.iter().map(|one| one.as_str().unwrap_or_default()).collect(),
        _ => return Err(ClaimError("topics are neither a text nor a list".into())),
    };
    let mut places = Places::default();
    for filter in &spelled {
        let wrong = || ClaimError(format!("{filter:?} is no topic filter"));
        let pattern = mqtt::decode_pattern(filter).map_err(|_| wrong())?;
        let tokens: Vec<_> = pattern.tokens().take(3).collect();
        match tokens.as_slice() {
            // As rules of the server have it: a queue is named as a queue.
            [Token::Literal(b"$queue"), Token::Literal(name)] => {
                let pattern = amqp::decode_pattern(name).map_err(|_| wrong())?;
                places.queues.push(Template::new(&pattern).map_err(|_| wrong())?);
            }
            _ => places.names.push(Template::new(&pattern).map_err(|_| wrong())?),
        }
    }
    // Without any place a rule would hold everywhere.
    if spelled.is_empty() {
        return Ok(Rule { actions: Actions::default(), ..empty(before, allow) });
    }
    Ok(Rule { actions, places, ..empty(before, allow) })
}

fn empty(before: usize, allow: bool) -> Rule {
    Rule {
        number: u32::try_from(before + 1).unwrap_or(u32::MAX),
        who: vec![Who::Everyone],
        actions: Actions::default(),
        places: Places::default(),
        vhosts: Vec::new(),
        allow,
    }
}
