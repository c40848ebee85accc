//! In which round ready messages are allotted to consumers, and who is woken.
//!
//! An allotment is a count, not a set of messages: *you may take n*. It keeps dispatch pull-only (no second mailbox) and fair
//! (one message each in turn), and costs nothing when a message is removed before it is taken: a consumer that finds nothing
//! loses its allotment. A consumer stands in the ring of its priority while it has free credit.

use std::collections::{HashMap, VecDeque};

use super::chunk::Hold;
use super::consumer::{AckMode, ConsumeError, Consumer, ConsumerOptions};
use super::effect::{ConsumerId, Effect, Effects};
use super::entries::Entries;

/// Everybody who takes, and the rings they stand in.
pub(super) struct Consumers {
    table: Vec<Option<Consumer>>,
    vacant: Vec<u32>,
    by_id: HashMap<ConsumerId, u32, foldhash::fast::RandomState>,
    /// Consumers with free credit per priority, highest first.
    rings: Vec<(i32, VecDeque<u32>)>,
    /// Sum of allotments; may exceed the ready messages when some of those left another way.
    allotted: u64,
    /// Consumers that are neither departed nor fetch-only.
    count: u64,
    arrivals: u64,
    exclusive: bool,
    single_active: bool,
    active: Option<u32>,
}

impl Consumers {
    pub(super) fn new(single_active: bool) -> Self {
        Self {
            table: Vec::new(),
            vacant: Vec::new(),
            by_id: HashMap::default(),
            rings: Vec::new(),
            allotted: 0,
            count: 0,
            arrivals: 0,
            exclusive: false,
            single_active,
            active: None,
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn allotted(&self) -> u64 {
        self.allotted
    }

    pub(super) fn active(&self) -> Option<ConsumerId> {
        self.get(self.active?).map(|consumer| consumer.id)
    }

    pub(super) fn find(&self, id: ConsumerId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn get(&self, index: u32) -> Option<&Consumer> {
        self.table.get(index as usize)?.as_ref()
    }

    fn get_mut(&mut self, index: u32) -> &mut Consumer {
        self.table[index as usize].as_mut().expect("an index names a consumer while it is in the table")
    }

    /// Ids of those who consume, in no order that means anything.
    pub(super) fn ids(&self) -> impl Iterator<Item = ConsumerId> {
        self.table.iter().flatten().filter(|c| !c.departed && !c.options.fetch_only).map(|c| c.id)
    }

    pub(super) fn add<M>(
        &mut self,
        id: ConsumerId,
        options: ConsumerOptions,
        fx: &mut Effects<M>,
    ) -> Result<(), ConsumeError> {
        if self.by_id.contains_key(&id) {
            return Err(ConsumeError::Exists);
        }
        if !options.fetch_only {
            if self.exclusive {
                return Err(ConsumeError::ExclusivelyUsed);
            }
            if options.exclusive && self.count > 0 {
                return Err(ConsumeError::InUse);
            }
            self.exclusive = options.exclusive;
            self.count += 1;
        }
        self.arrivals += 1;
        let consumer = Consumer::new(id, options, self.arrivals);
        let index = self.vacant.pop().unwrap_or(self.table.len() as u32);
        if index as usize == self.table.len() {
            self.table.push(None);
        }
        self.table[index as usize] = Some(consumer);
        self.by_id.insert(id, index);
        if self.single_active && self.active.is_none() && !options.fetch_only {
            self.active = Some(index);
            fx.push(Effect::Activated(id));
        }
        self.stand_up(index);
        Ok(())
    }

    /// The consumer receives nothing more. Its allotment returns; what it holds stays until settled or requeued.
    pub(super) fn depart<M>(&mut self, index: u32, fx: &mut Effects<M>) {
        self.sit_down(index);
        let consumer = self.get_mut(index);
        if !consumer.departed {
            consumer.departed = true;
            if !consumer.options.fetch_only {
                self.count -= 1;
                self.exclusive = false;
            }
        }
        if self.active == Some(index) {
            self.hand_over(fx);
        }
        // Priorities come from peers: a ring nobody stands in goes, at the latest when somebody leaves.
        self.rings.retain(|(_, ring)| !ring.is_empty());
        self.forget_if_done(index);
    }

    /// Names the next single active consumer: the highest priority, then the longest waiting.
    fn hand_over<M>(&mut self, fx: &mut Effects<M>) {
        let candidates =
            self.table.iter().enumerate().filter_map(|(index, consumer)| Some((index, consumer.as_ref()?)));
        let next = candidates
            .filter(|(_, consumer)| !consumer.departed && !consumer.options.fetch_only)
            .max_by_key(|(_, consumer)| (consumer.options.priority, std::cmp::Reverse(consumer.arrival)));
        self.active = next.map(|(index, _)| index as u32);
        if let Some((index, consumer)) = next {
            fx.push(Effect::Activated(consumer.id));
            self.stand_up(index as u32);
        }
    }

    fn forget_if_done(&mut self, index: u32) {
        let consumer = self.get_mut(index);
        if consumer.departed && consumer.unacked == 0 {
            let id = consumer.id;
            self.by_id.remove(&id);
            self.table[index as usize] = None;
            self.vacant.push(index);
        }
    }

    /// Nobody is there, not even to settle what it holds.
    pub(super) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Gives back the memory of those who have gone, when all have.
    pub(super) fn rest(&mut self) {
        if self.by_id.is_empty() {
            self.table = Vec::new();
            self.vacant = Vec::new();
            self.by_id = HashMap::default();
            self.rings = Vec::new();
        }
    }

    pub(super) fn set_credit(&mut self, index: u32, credit: Option<u32>) {
        self.sit_down(index);
        self.get_mut(index).credit = credit;
        self.stand_up(index);
    }

    pub(super) fn set_paused(&mut self, index: u32, paused: bool) {
        self.sit_down(index);
        self.get_mut(index).paused = paused;
        self.stand_up(index);
    }

    /// Messages the consumer may still be allotted.
    fn free(&self, index: u32) -> u32 {
        let active = !self.single_active || self.active == Some(index);
        self.get(index).filter(|_| active).map_or(0, Consumer::free)
    }

    /// Joins the ring of its priority if it has free credit.
    fn stand_up(&mut self, index: u32) {
        if self.free(index) == 0 || self.get_mut(index).in_ring {
            return;
        }
        let consumer = self.get_mut(index);
        consumer.in_ring = true;
        let priority = consumer.options.priority;
        let at = self.rings.partition_point(|(ring, _)| *ring > priority);
        if self.rings.get(at).is_none_or(|(ring, _)| *ring != priority) {
            self.rings.insert(at, (priority, VecDeque::new()));
        }
        self.rings[at].1.push_back(index);
    }

    /// Leaves the ring and gives its allotment back to the others.
    fn sit_down(&mut self, index: u32) {
        self.clear_allotment(index);
        let consumer = self.get_mut(index);
        if std::mem::take(&mut consumer.in_ring) {
            let priority = consumer.options.priority;
            if let Some(at) = self.rings.iter().position(|(ring, _)| *ring == priority) {
                self.rings[at].1.retain(|member| *member != index);
            }
        }
    }

    /// Whether somebody could be allotted one more message.
    /// Whether consumers could take one more when `ready` messages are before it, if they took all at once.
    pub(super) fn have_room_behind(&self, ready: u64) -> bool {
        let active = |index: usize| !self.single_active || self.active == u32::try_from(index).ok();
        let there = self.table.iter().enumerate().filter(|(index, _)| active(*index));
        there.filter_map(|(_, consumer)| consumer.as_ref()).map(Consumer::room).fold(0, u64::saturating_add) > ready
    }

    pub(super) fn somebody_free(&self) -> bool {
        self.rings.iter().any(|(_, ring)| ring.iter().any(|index| self.free(*index) > 0))
    }

    /// Gives each unallotted ready message to the next in the round. Wakes those that had none, except `taking`.
    pub(super) fn allot<M>(&mut self, ready: u64, taking: Option<u32>, fx: &mut Effects<M>) {
        while ready > self.allotted {
            let Some(at) = self.rings.iter().position(|(_, ring)| !ring.is_empty()) else { return };
            let index = self.rings[at].1[0];
            let alone = self.rings[at].1.len() == 1;
            let free = self.free(index);
            let share = if alone { (ready - self.allotted).min(u64::from(free)) as u32 } else { free.min(1) };
            if share > 0 {
                self.allotted += u64::from(share);
                let consumer = self.get_mut(index);
                consumer.allotted += share;
                if consumer.allotted == share && taking != Some(index) {
                    fx.push(Effect::Wake(consumer.id));
                }
            }
            if free > share {
                self.rings[at].1.rotate_left(1);
            } else {
                self.rings[at].1.pop_front();
                self.get_mut(index).in_ring = false;
            }
        }
    }

    /// Reminds every consumer that has an allotment.
    pub(super) fn wake_allotted<M>(&self, fx: &mut Effects<M>) {
        for consumer in self.table.iter().flatten().filter(|consumer| consumer.allotted > 0) {
            fx.push(Effect::Wake(consumer.id));
        }
    }

    /// The consumer found nothing to take.
    pub(super) fn clear_allotment(&mut self, index: u32) {
        let allotted = std::mem::take(&mut self.get_mut(index).allotted);
        self.allotted -= u64::from(allotted);
        self.stand_up(index);
    }

    /// One message of the allotment was taken (`allotted`), and is held unless it was settled at once.
    pub(super) fn lend(&mut self, index: u32, seq: u64, allotted: bool) -> Option<Hold> {
        if allotted {
            self.allotted -= 1;
        }
        let consumer = self.get_mut(index);
        if allotted {
            debug_assert!(consumer.allotted > 0, "only what was allotted is taken");
            consumer.allotted -= 1;
        }
        if consumer.options.ack == AckMode::Auto {
            return None;
        }
        consumer.unacked += 1;
        Some(Hold { consumer: index, position: consumer.holding.push(seq) })
    }

    /// After a turn of taking: back into the ring if there is room.
    pub(super) fn took(&mut self, index: u32) {
        self.stand_up(index);
    }

    /// A held message is settled or returned.
    pub(super) fn release<M>(&mut self, hold: Hold, entries: &mut Entries<M>) {
        let consumer = self.get_mut(hold.consumer);
        consumer.unacked -= 1;
        consumer.holding.settle(hold.position);
        for (seq, position) in consumer.holding.squeeze(consumer.unacked) {
            entries.set_hold(seq, Hold { consumer: hold.consumer, position });
        }
        if consumer.departed {
            self.forget_if_done(hold.consumer);
        } else {
            self.stand_up(hold.consumer);
        }
    }

    /// Everything the consumer holds, in delivery order; it holds nothing afterwards.
    pub(super) fn release_all(&mut self, index: u32) -> Vec<u64> {
        let consumer = self.get_mut(index);
        consumer.unacked = 0;
        let holding = std::mem::take(&mut consumer.holding);
        if consumer.departed {
            self.forget_if_done(index);
        } else {
            self.stand_up(index);
        }
        holding.into_seqs().collect()
    }

    /// What settling has cost a consumer so far.
    #[cfg(test)]
    pub(super) fn steps(&self, id: ConsumerId) -> u64 {
        self.find(id).and_then(|index| self.get(index)).map_or(0, |consumer| consumer.holding.steps)
    }

    /// Both sides of every account agree.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let members = || self.table.iter().flatten();
        assert_eq!(self.allotted, members().map(|member| u64::from(member.allotted)).sum::<u64>());
        assert_eq!(self.by_id.len(), members().count());
        for (index, member) in
            self.table.iter().enumerate().filter_map(|(i, member)| Some((i as u32, member.as_ref()?)))
        {
            let standing = self.rings.iter().filter(|(_, ring)| ring.contains(&index)).count();
            assert_eq!(standing, usize::from(member.in_ring), "a member stands in one ring, or in none");
            assert!(member.in_ring || self.free(index) == 0, "whoever has free credit stands in a ring");
            assert_eq!(member.holding.count(), member.unacked as usize);
        }
    }
}
