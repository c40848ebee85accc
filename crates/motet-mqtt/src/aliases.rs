//! Topic aliases that we set towards one client [3.3.2.3.4].
//!
//! A topic has a few places it may stand in, by its hash. While one of them is free it gets that place's number at once.
//! Later a topic that comes twice in a row takes over the first of its places. So a client that hears a few topics again
//! and again hears their names once, and one that hears a new topic each time soon pays nothing.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::num::NonZeroU16;

/// Shorter topics cost less than their alias.
const TOPIC_BYTES_MIN: usize = 4;
/// Places a topic may stand in; a client that takes no more than these aliases gets them all used.
const PLACES_OF_ONE: usize = 8;

/// How a topic is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alias {
    /// By its name.
    Unused,
    /// By its name, and this number from now on, once [`Aliases::set`] has been told that it was sent.
    New(NonZeroU16),
    /// By this number alone.
    Known(NonZeroU16),
}

#[derive(Debug, Clone, Default)]
struct Place {
    /// The hash of the topic that came last and found no place but this.
    last: u64,
    /// The topic that the client knows by this place's number; empty at first.
    topic: Vec<u8>,
}

/// What the client knows.
#[derive(Debug)]
pub(crate) struct Aliases {
    max: NonZeroU16,
    /// Empty until the first topic that could have one.
    places: Vec<Place>,
}

impl Aliases {
    /// For a client that takes `max` aliases; `None` when it takes none.
    pub(crate) fn new(max: u16) -> Option<Box<Self>> {
        NonZeroU16::new(max).map(|max| Box::new(Aliases { max, places: Vec::new() }))
    }

    /// How to send `topic` now.
    pub(crate) fn of(&mut self, topic: &[u8]) -> Alias {
        if topic.len() < TOPIC_BYTES_MIN {
            return Alias::Unused;
        }
        if self.places.is_empty() {
            self.places.resize(self.max.get().into(), Place::default());
        }
        let hash = FixedState::default().hash_one(topic);
        let count = self.places.len();
        let home = (hash % count as u64) as usize;
        let number = |at: usize| NonZeroU16::new(at as u16 + 1).expect("places have numbers from 1 to their maximum");
        for at in (home..home + PLACES_OF_ONE.min(count)).map(|at| at % count) {
            let known = &self.places[at].topic;
            if known == topic {
                self.places[home].last = hash;
                return Alias::Known(number(at));
            }
            // Places are never given back, so the topic stands in none behind this.
            if known.is_empty() {
                return Alias::New(number(at));
            }
        }
        match std::mem::replace(&mut self.places[home].last, hash) == hash {
            true => Alias::New(number(home)),
            false => Alias::Unused,
        }
    }

    /// The client has been sent `topic` together with `number`.
    pub(crate) fn set(&mut self, number: NonZeroU16, topic: &[u8]) {
        let place = &mut self.places[usize::from(number.get()) - 1];
        place.topic.clear();
        place.topic.extend_from_slice(topic);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(aliases: &mut Aliases, topic: &[u8]) -> NonZeroU16 {
        let Alias::New(number) = aliases.of(topic) else { panic!("a place is free") };
        aliases.set(number, topic);
        number
    }

    #[test]
    fn a_topic_gets_its_number_at_once_and_is_known_the_second_time() {
        let mut aliases = Aliases::new(8).expect("more than none");
        let Alias::New(number) = aliases.of(b"plant/one") else { panic!("all places are free") };
        // Not told that it was sent: it is still new.
        assert_eq!(aliases.of(b"plant/one"), Alias::New(number));
        aliases.set(number, b"plant/one");
        assert_eq!(aliases.of(b"plant/one"), Alias::Known(number));
    }

    #[test]
    fn all_numbers_are_used_and_then_none_is_taken_by_what_passes() {
        let mut aliases = Aliases::new(PLACES_OF_ONE as u16).expect("more than none");
        let topic = |n: usize| format!("steady/{n}").into_bytes();
        let mut numbers: Vec<_> = (0..PLACES_OF_ONE).map(|n| tell(&mut aliases, &topic(n)).get()).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=PLACES_OF_ONE as u16).collect::<Vec<_>>());
        for n in 0..100 {
            assert_eq!(aliases.of(format!("passing/{n}").as_bytes()), Alias::Unused);
            assert!(matches!(aliases.of(&topic(n % PLACES_OF_ONE)), Alias::Known(_)));
        }
    }

    #[test]
    fn a_topic_that_comes_twice_in_a_row_takes_a_place_over() {
        let mut aliases = Aliases::new(1).expect("more than none");
        let number = tell(&mut aliases, b"steady");
        assert_eq!(aliases.of(b"follower"), Alias::Unused);
        assert_eq!(aliases.of(b"steady"), Alias::Known(number));
        assert_eq!(aliases.of(b"follower"), Alias::Unused);
        assert_eq!(aliases.of(b"follower"), Alias::New(number));
    }

    #[test]
    fn short_topics_and_clients_without_aliases_have_none() {
        assert!(Aliases::new(0).is_none());
        let mut aliases = Aliases::new(u16::MAX).expect("more than none");
        (0..3).for_each(|_| assert_eq!(aliases.of(b"a/b"), Alias::Unused));
        assert!(aliases.places.is_empty());
    }
}
