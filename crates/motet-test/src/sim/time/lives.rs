//! The second world of this simulation, over the same place: sessions, wills and last values (`guests`), and
//! a queue that is worked off (`work`).
//!
//! Both keep a book of the core's state at each position of its log. What a power cut leaves is known exactly, and
//! with it what has to be where at any millisecond after it.

use super::guests::Guests;
use super::place::Place;
use super::work::Work;
use crate::sim::{Dice, Failure};
use motet_core::engine::Position;

/// Turns of a run.
const TURNS: usize = 300;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lived {
    /// Wills and last values found where they had to be.
    pub looked: u64,
    /// Tasks that were taken and done.
    pub done: u64,
    /// Power cuts.
    pub crashes: u64,
}

/// Runs one world to its end.
///
/// # Errors
/// The first thing that was not where it had to be, or was where it must not be.
pub fn run(seed: u64) -> Result<Lived, Box<Failure>> {
    let place = Place::new(seed);
    let (guests, work) = (Guests::new(&place), Work::new(&place));
    let mut world = World { dice: Dice::new(seed), place, guests, work, crashes: 0, trace: Vec::new() };
    match world.live() {
        Ok(()) => Ok(Lived { looked: world.guests.looked, done: world.work.done, crashes: world.crashes }),
        Err(what) => Err(Box::new(Failure { seed, what, trace: world.trace })),
    }
}

struct World {
    dice: Dice,
    place: Place,
    guests: Guests,
    work: Work,
    crashes: u64,
    trace: Vec<String>,
}

impl World {
    fn live(&mut self) -> Result<(), String> {
        self.place.settle();
        for _ in 0..TURNS {
            self.turn()?;
        }
        self.audit()?;
        // Long enough for everything to be due, except for what never is.
        self.pass(60_000)?;
        self.audit()
    }

    fn turn(&mut self) -> Result<(), String> {
        match self.dice.below(40) {
            0 if self.dice.one_in(2) => self.crash()?,
            1 if self.dice.one_in(2) => self.audit()?,
            2..=10 => {
                let millis = self.dice.below(600) as u64;
                self.pass(millis)?;
            }
            11..=16 => {
                self.place.step();
            }
            17..=27 => {
                let line = self.guests.acts(&mut self.place, &mut self.dice)?;
                self.trace.push(line);
            }
            _ => {
                let line = self.work.acts(&mut self.place, &mut self.dice)?;
                self.trace.push(line);
            }
        }
        self.look()
    }

    fn look(&mut self) -> Result<(), String> {
        self.work.pass(&self.place);
        self.guests.pass(&self.place)
    }

    fn pass(&mut self, millis: u64) -> Result<(), String> {
        self.place.pass(millis);
        self.trace.push(format!("{} now", self.place.now()));
        self.look()
    }

    fn crash(&mut self) -> Result<(), String> {
        self.crashes += 1;
        let groups = self.place.pending();
        let keep = self.dice.below(groups + 1);
        let kept = Position(self.place.durable().0 + keep as u64);
        self.trace.push(format!("{} POWER CUT: {keep} of {groups} pending groups survive", self.place.now()));
        let restarted = self.place.crash(keep, self.dice.seed());
        self.guests.crashed(&self.place, kept, restarted);
        self.work.crashed(&self.place, kept);
        self.look()
    }

    fn audit(&mut self) -> Result<(), String> {
        self.trace.push(format!("{} audit", self.place.now()));
        for _ in 0..4 {
            self.place.settle();
            self.place.pass(0);
        }
        self.guests.audit(&mut self.place)?;
        self.work.audit(&mut self.place)?;
        self.look()
    }
}
