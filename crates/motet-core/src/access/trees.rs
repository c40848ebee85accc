//! What a name in a reserved tree stands for, so that another spelling of a thing never widens a right to it.
//!
//! | name | is asked as |
//! |---|---|
//! | `$share/<group>/<filter>` | the filter |
//! | `$delayed/<seconds>/<name>` | the name |
//! | `$queue/<q>`, `$q/<q>` | the queue q; to subscribe to it is to consume |
//! | `$exchange/<e>/<key>` | the exchange e |
//! | `$room/<r>/…` | `rooms/<r>/…` |

use super::template::Asked;
use super::{Action, Resource};
use crate::pattern::Token;

/// Which of a rule's lists is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Addresses.
    Names,
    /// Queues.
    Queues,
    /// Exchanges.
    Exchanges,
}

/// What is asked for in the end.
pub(super) fn resolve(action: Action, resource: Resource<'_>) -> (Action, Place, Asked<'_>) {
    let mut asked: Asked<'_> = match resource {
        Resource::Name(name) => name.segments().map(Token::Literal).collect(),
        Resource::Pattern(pattern) => pattern.tokens().collect(),
        Resource::Queue(name) => return (action, Place::Queues, words(name)),
        Resource::Exchange(name) => return (action, Place::Exchanges, words(name)),
    };
    // Each turn takes two segments away, so a delay within a delay ends.
    loop {
        match asked.as_slice() {
            [Token::Literal(b"$share" | b"$delayed"), _, _, ..] => {
                asked.drain(..2);
            }
            [Token::Literal(b"$queue" | b"$q"), queue, ..] => {
                let action = if action == Action::Subscribe { Action::Consume } else { action };
                return (action, Place::Queues, named(queue));
            }
            // The exchange that is the tree itself.
            [Token::Literal(b"$exchange"), Token::Literal(b"amq.topic"), _, ..] => {
                asked.drain(..2);
            }
            [Token::Literal(b"$exchange"), exchange, ..] => return (action, Place::Exchanges, named(exchange)),
            [Token::Literal(b"$room"), _, ..] => {
                asked[0] = Token::Literal(b"rooms");
                return (action, Place::Names, asked);
            }
            _ => return (action, Place::Names, asked),
        }
    }
}

/// A queue or exchange by the segment that names it; a wildcard is any.
fn named<'a>(segment: &Token<'a>) -> Asked<'a> {
    match segment {
        Token::Literal(name) => words(name),
        _ => Asked::from_slice(&[Token::Rest]),
    }
}

/// Names of queues and exchanges are written with dots, and rules speak of their words.
fn words(name: &[u8]) -> Asked<'_> {
    name.split(|&byte| byte == b'.').map(Token::Literal).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spelling::mqtt;

    fn asked(action: Action, filter: &str) -> String {
        let pattern = mqtt::decode_pattern(filter).unwrap();
        let (action, place, asked) = resolve(action, Resource::Pattern(&pattern));
        format!("{} {place:?} {asked:?}", action.word())
    }

    #[test]
    fn a_reserved_name_is_asked_as_what_it_stands_for() {
        for (filter, expected) in [
            ("a/+", r#"subscribe Names ["a", One]"#),
            ("$share/g/a/#", r#"subscribe Names ["a", Rest]"#),
            ("$delayed/5/$delayed/5/a", r#"subscribe Names ["a"]"#),
            ("$queue/orders.eu", r#"consume Queues ["orders", "eu"]"#),
            ("$share/g/$queue/+", "consume Queues [Rest]"),
            ("$exchange/amq.direct/k", r#"subscribe Exchanges ["amq", "direct"]"#),
            ("$exchange/amq.topic/$queue/q", r#"consume Queues ["q"]"#),
            ("$room/r/x", r#"subscribe Names ["rooms", "r", "x"]"#),
            ("$SYS/#", r#"subscribe Names ["$SYS", Rest]"#),
            ("$share/g", r#"subscribe Names ["$share", "g"]"#),
        ] {
            assert_eq!(asked(Action::Subscribe, filter), expected, "{filter}");
        }
        assert_eq!(asked(Action::Publish, "$q/a"), r#"publish Queues ["a"]"#);
    }
}
