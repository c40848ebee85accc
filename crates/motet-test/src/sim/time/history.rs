//! What the core's state was at each position of its log, so that a power cut is exact: what survives says what is.

use motet_core::engine::Position;
use std::collections::VecDeque;

/// A state, and those it may fall back to.
#[derive(Debug)]
pub(super) struct History<T> {
    /// As it is, if nothing is lost.
    pub(super) now: T,
    /// Every state since the last durable one, each with the position from which it is durable.
    past: VecDeque<(Position, T)>,
}

impl<T: Clone> History<T> {
    /// Begins with something durable.
    pub(super) fn new(begin: T) -> Self {
        History { now: begin.clone(), past: [(Position(0), begin)].into() }
    }

    /// The state of now is durable once everything staged is.
    pub(super) fn staged(&mut self, at: Position) {
        self.past.push_back((at, self.now.clone()));
    }

    /// Nothing falls back behind this any more.
    pub(super) fn durable(&mut self, at: Position) {
        while self.past.get(1).is_some_and(|(next, _)| *next <= at) {
            self.past.pop_front();
        }
    }

    /// Everything behind `kept` is lost.
    pub(super) fn cut(&mut self, kept: Position) {
        while self.past.len() > 1 && self.past.back().is_some_and(|(at, _)| *at > kept) {
            self.past.pop_back();
        }
        self.now = self.past.back().expect("the beginning stays").1.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_brings_back_what_was_durable() {
        let mut history = History::new(0);
        for state in 1..5 {
            history.now = state;
            history.staged(Position(state / 2));
        }
        history.durable(Position(1));
        history.cut(Position(1));
        assert_eq!(history.now, 3, "the last one at this position");
        history.cut(Position(0));
        assert_eq!(history.now, 3, "and nothing before what is durable");
    }
}
