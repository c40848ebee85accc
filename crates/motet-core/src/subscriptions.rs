//! The subscriptions of a session: most sessions have one or two, some have ten thousand.

use crate::engine::Locator;
use crate::pattern::Pattern;
use crate::session::SubscribeOptions;
use foldhash::quality::RandomState;
use std::collections::HashMap;

/// A subscription and where the journal has it.
pub(crate) type Held = (SubscribeOptions, Option<Locator>);

/// Beyond this many a hash map pays; below, it would cost an idle session more than everything else it has.
const FEW_MAX: usize = 8;

/// A map from patterns that costs what it holds.
#[derive(Debug)]
pub(crate) enum Subscriptions {
    Few(Vec<(Pattern, Held)>),
    // Boxed, because almost everybody has few.
    #[allow(clippy::box_collection)]
    Many(Box<HashMap<Pattern, Held, RandomState>>),
}

impl Default for Subscriptions {
    fn default() -> Self {
        Subscriptions::Few(Vec::new())
    }
}

impl Subscriptions {
    pub(crate) fn len(&self) -> usize {
        match self {
            Subscriptions::Few(few) => few.len(),
            Subscriptions::Many(many) => many.len(),
        }
    }

    pub(crate) fn get(&self, pattern: &Pattern) -> Option<&Held> {
        match self {
            Subscriptions::Few(few) => few.iter().find(|(known, _)| known == pattern).map(|(_, held)| held),
            Subscriptions::Many(many) => many.get(pattern),
        }
    }

    pub(crate) fn get_mut(&mut self, pattern: &Pattern) -> Option<&mut Held> {
        match self {
            Subscriptions::Few(few) => few.iter_mut().find(|(known, _)| known == pattern).map(|(_, held)| held),
            Subscriptions::Many(many) => many.get_mut(pattern),
        }
    }

    /// Adds or replaces.
    pub(crate) fn insert(&mut self, pattern: Pattern, held: Held) {
        if let Some(known) = self.get_mut(&pattern) {
            *known = held;
            return;
        }
        if let Subscriptions::Few(few) = self
            && few.len() == FEW_MAX
        {
            *self = Subscriptions::Many(Box::new(std::mem::take(few).into_iter().collect()));
        }
        match self {
            Subscriptions::Few(few) => {
                few.reserve_exact(1);
                few.push((pattern, held));
            }
            Subscriptions::Many(many) => {
                many.insert(pattern, held);
            }
        }
    }

    pub(crate) fn remove(&mut self, pattern: &Pattern) -> Option<Held> {
        match self {
            Subscriptions::Few(few) => {
                let at = few.iter().position(|(known, _)| known == pattern)?;
                Some(few.swap_remove(at).1)
            }
            Subscriptions::Many(many) => many.remove(pattern),
        }
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        let (few, many) = match self {
            Subscriptions::Few(few) => (Some(few), None),
            Subscriptions::Many(many) => (None, Some(many)),
        };
        few.into_iter().flatten().map(|(pattern, _)| pattern).chain(many.into_iter().flat_map(|many| many.keys()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spelling::mqtt;

    fn pattern(number: usize) -> Pattern {
        mqtt::decode_pattern(&format!("a/{number}/#")).expect("a filter")
    }

    #[test]
    fn few_and_many_are_kept_alike() {
        for count in [1, FEW_MAX, FEW_MAX + 1, 100] {
            let mut subscriptions = Subscriptions::default();
            for number in 0..count {
                subscriptions.insert(pattern(number), (SubscribeOptions::default(), None));
                subscriptions
                    .insert(pattern(number), (SubscribeOptions { no_local: true, ..Default::default() }, None));
            }
            assert_eq!(subscriptions.len(), count);
            assert_eq!(subscriptions.patterns().count(), count);
            assert!(subscriptions.get(&pattern(count - 1)).is_some_and(|(options, _)| options.no_local));
            assert!(subscriptions.get(&pattern(count)).is_none());
            assert!(subscriptions.remove(&pattern(0)).is_some());
            assert!(subscriptions.remove(&pattern(0)).is_none());
            assert_eq!(subscriptions.len(), count - 1);
        }
    }
}
