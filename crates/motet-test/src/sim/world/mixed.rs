//! Clients of AMQP in the same world: what they do and hear.

use super::World;
use crate::sim::courier::{Courier, Role};
use crate::sim::link::Link;
use motet_amqp::v091::packet::{FrameKind, Method, frame};
use std::sync::Arc;

impl World {
    /// A world with a publisher and a worker of AMQP.
    pub(in crate::sim) fn mixed(seed: u64) -> Self {
        let mut world = World::new(seed);
        let first = world.clients.len() + 10;
        world.couriers = vec![Courier::new(first, Role::Publisher), Courier::new(first + 1, Role::Worker)];
        world
    }

    pub(super) fn courier_acts(&mut self) {
        let which = self.dice.below(self.couriers.len());
        let courier = &mut self.couriers[which];
        let Some(link) = courier.link else { return self.courier_connects(which, false) };
        if self.dice.one_in(30) {
            return self.courier_leaves(which, link);
        }
        if courier.is_in {
            let said = courier.acts(&mut self.dice, &mut self.ledger);
            self.courier_says(which, link, &said);
        }
    }

    fn courier_connects(&mut self, which: usize, calm: bool) {
        let link = self.links.len();
        let machine = motet_amqp::Connection::new(Arc::new(motet_amqp::Config::default()));
        self.links.push(Link::new(Box::new(machine), &mut self.dice));
        self.connections += 1;
        let said = self.couriers[which].connect(link, calm, &mut self.dice, &mut self.ledger);
        self.courier_says(which, link, &said);
    }

    /// It walks away without a word.
    fn courier_leaves(&mut self, which: usize, link: usize) {
        self.trace.push(format!("{} leaves {link}", self.couriers[which].name));
        self.couriers[which].gone();
        self.links[link].abandon(&mut self.dice);
    }

    fn courier_says(&mut self, which: usize, link: usize, said: &[u8]) {
        self.links[link].to_server.extend_from_slice(said);
        let mut rest = said.strip_prefix(b"AMQP\0\0\x09\x01").unwrap_or(said);
        while let Ok(Some(found)) = frame(rest, u32::MAX) {
            rest = &rest[found.len()..];
            let what = match FrameKind::from_wire(found.kind) {
                Some(FrameKind::Method) => format!("{:?}", Method::decode(found.payload)),
                _ => String::from_utf8_lossy(found.payload).into_owned(),
            };
            self.trace.push(format!("{} says {what} on {link}", self.couriers[which].name));
        }
    }

    /// The courier at the other end hears up to `count` bytes; true when anything happened.
    pub(super) fn courier_hears(&mut self, which: usize, link: usize, count: usize) -> Result<bool, String> {
        let open = &mut self.links[link];
        let count = count.min(open.to_client.len());
        let bytes: Vec<u8> = open.to_client.drain(..count).collect();
        let over = !open.server_open && open.to_client.is_empty();
        let trace = &mut self.trace;
        let sent_away = self.couriers[which].hear(&bytes, &mut self.ledger, &mut |line| trace.push(line))?;
        if sent_away || over {
            self.courier_leaves(which, link);
        }
        Ok(count > 0 || over)
    }

    /// Whoever is away comes, and acknowledges what it has. True when anything happened.
    pub(super) fn calm_couriers(&mut self) -> bool {
        let mut moved = false;
        for which in 0..self.couriers.len() {
            match self.couriers[which].link {
                None => {
                    self.courier_connects(which, true);
                    moved = true;
                }
                Some(link) => {
                    let said = self.couriers[which].answers();
                    moved |= !said.is_empty();
                    self.courier_says(which, link, &said);
                }
            }
        }
        moved
    }
}
