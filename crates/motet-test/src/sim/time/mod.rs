//! What time does to messages, measured: queues that age, delay, page, remember identifiers and go, in two vhosts, over
//! power cuts, against a model that knows for each message from when and until when it must be where.
//!
//! | queue | what is measured |
//! |---|---|
//! | `ttl` | messages live two seconds, then are dead letters in `dead`, once |
//! | `own` | each message has a life of its own, and is never handed out after it |
//! | `late` | messages of an `x-delayed-message` exchange, and those published for later, arrive when due and not before |
//! | `once` | an identifier is taken once within its window |
//! | `deep` | thousands of messages, most of them on disk, in order |
//! | `log` | a stream: an offset means one message for ever, and none is lost that was confirmed |
//! | `gone` | a queue that expires three seconds after its last use |
//!
//! [`lives`] is a second world over the same place: how long sessions, delayed wills and last values live, and a queue whose
//! messages are taken, done, refused and put off while they age.

mod audit;
mod guests;
mod history;
pub mod lives;
mod model;
mod place;
mod work;

use super::{Dice, Failure};
use model::{Kind, Model};
use place::Place;

/// Turns of a run.
const TURNS: usize = 250;
/// Messages that one burst puts into the deep queue: more than stay in memory.
const BURST: u64 = 5_000;
/// Identifiers that may come twice.
const IDENTIFIERS: usize = 6;

/// What a run did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measured {
    /// Messages published.
    pub published: u64,
    /// Messages looked for at an audit and found where they had to be.
    pub found: u64,
    /// Power cuts.
    pub crashes: u64,
}

/// Runs one world to its end.
///
/// # Errors
/// The first thing that was not where it had to be, or was where it must not be.
pub fn run(seed: u64) -> Result<Measured, Box<Failure>> {
    let mut world =
        World { dice: Dice::new(seed), place: Place::new(seed), model: Model::default(), trace: Vec::new() };
    match world.live() {
        Ok(measured) => Ok(measured),
        Err(what) => Err(Box::new(Failure { seed, what, trace: world.trace })),
    }
}

struct World {
    dice: Dice,
    place: Place,
    model: Model,
    trace: Vec<String>,
}

impl World {
    fn live(&mut self) -> Result<Measured, String> {
        let mut measured = Measured::default();
        let is_deep = self.dice.one_in(12);
        self.declare();
        for _ in 0..TURNS {
            match self.dice.below(40) {
                0 if self.dice.one_in(3) => {
                    measured.crashes += 1;
                    self.crash();
                }
                1 if self.dice.one_in(2) => measured.found += self.audit()?,
                2 if is_deep && self.dice.one_in(4) => self.burst(),
                3 => self.touch(),
                4..=12 => {
                    let millis = self.dice.below(400) as u64;
                    self.pass(millis);
                }
                13..=20 => {
                    self.place.step();
                }
                _ => self.publish(),
            }
            self.model.confirm(self.place.durable());
        }
        measured.found += self.audit()?;
        // Long enough for everything to be due, except for what never is.
        self.pass(60_000);
        measured.found += self.audit()?;
        measured.published = self.model.published();
        Ok(measured)
    }

    fn declare(&mut self) {
        self.place.declare();
        self.model.touched(self.place.now());
        self.place.settle();
    }

    fn publish(&mut self) {
        let vhost = self.dice.below(2);
        let millis = [1, 500, 1_500, 4_000][self.dice.below(4)] + self.dice.below(50) as u64;
        let kind = match self.dice.below(8) {
            0 | 1 => Kind::Ttl,
            2 => Kind::Own { life: millis },
            3 => Kind::Late { pause: millis },
            4 => Kind::Later { pause: millis },
            5 => Kind::Once { identifier: self.dice.below(IDENTIFIERS) },
            6 => Kind::Log,
            _ => Kind::Deep,
        };
        self.send(vhost, kind);
    }

    fn send(&mut self, vhost: usize, kind: Kind) {
        let name = self.model.next_name();
        let now = self.place.now();
        let position = self.place.publish(vhost, kind, &name);
        self.trace.push(format!("{now} {name} to {vhost} as {kind:?}, position {position:?}"));
        self.model.sent(now, vhost, kind, name, position);
    }

    fn burst(&mut self) {
        let vhost = self.dice.below(2);
        for _ in 0..BURST {
            self.send(vhost, Kind::Deep);
        }
    }

    /// Somebody declares the expiring queues again, which is a use of them.
    fn touch(&mut self) {
        self.trace.push(format!("{} touched", self.place.now()));
        self.place.declare_gone();
        self.model.touched(self.place.now());
    }

    fn pass(&mut self, millis: u64) {
        self.place.pass(millis);
        self.trace.push(format!("{} now", self.place.now()));
    }

    fn crash(&mut self) {
        let groups = self.place.pending();
        let keep = self.dice.below(groups + 1);
        self.trace.push(format!("{} POWER CUT: {keep} of {groups} pending groups survive", self.place.now()));
        self.place.crash(keep, self.dice.seed());
        self.model.crashed(self.place.now());
    }
}
