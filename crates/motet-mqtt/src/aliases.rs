//! Topic aliases that we set towards one client [3.3.2.3.4].
//!
//! A topic has one place it may stand in, by its hash. Seen there twice in a row it gets the place's number; from then on
//! the number stands for it until another topic has come twice. So a client that hears a few topics again and again
//! hears their names once, and one that hears a new topic each time pays nothing.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;
use std::num::NonZeroU16;

/// Shorter topics cost less than their alias.
const TOPIC_BYTES_MIN: usize = 4;

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
    /// The hash of the topic that came last.
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
        let at = (hash % u64::from(self.max.get())) as u16;
        let place = &mut self.places[usize::from(at)];
        let Some(number) = NonZeroU16::new(at + 1) else { return Alias::Unused };
        if place.topic == topic {
            place.last = hash;
            return Alias::Known(number);
        }
        if std::mem::replace(&mut place.last, hash) == hash { Alias::New(number) } else { Alias::Unused }
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

    #[test]
    fn a_topic_gets_its_number_the_second_time_and_is_known_the_third() {
        let mut aliases = Aliases::new(8).expect("more than none");
        assert_eq!(aliases.of(b"plant/one"), Alias::Unused);
        let Alias::New(number) = aliases.of(b"plant/one") else { panic!("seen twice") };
        // Not told that it was sent: it is still new.
        assert_eq!(aliases.of(b"plant/one"), Alias::New(number));
        aliases.set(number, b"plant/one");
        assert_eq!(aliases.of(b"plant/one"), Alias::Known(number));
        assert!(number.get() <= 8);
    }

    #[test]
    fn a_new_topic_each_time_takes_no_number_away() {
        let mut aliases = Aliases::new(1).expect("more than none");
        aliases.of(b"steady");
        let Alias::New(number) = aliases.of(b"steady") else { panic!("seen twice") };
        aliases.set(number, b"steady");
        for n in 0..100 {
            assert_eq!(aliases.of(format!("passing/{n}").as_bytes()), Alias::Unused);
            assert_eq!(aliases.of(b"steady"), Alias::Known(number));
        }
        assert_eq!(aliases.of(b"follower"), Alias::Unused);
        assert_eq!(aliases.of(b"follower"), Alias::New(number), "twice in a row takes the place over");
    }

    #[test]
    fn short_topics_and_clients_without_aliases_have_none() {
        assert!(Aliases::new(0).is_none());
        let mut aliases = Aliases::new(u16::MAX).expect("more than none");
        (0..3).for_each(|_| assert_eq!(aliases.of(b"a/b"), Alias::Unused));
        assert!(aliases.places.is_empty());
    }
}
