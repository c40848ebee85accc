//! What the queue remembers of every message, resident or not: sixteen bytes.

/// The locator of a message whose journal record is not placed (yet, or ever).
pub(super) const NOWHERE: u64 = u64::MAX;

/// Where a message is in its life. Each is counted once in [`super::QueueStats`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Settled; the slot waits for its chunk to go.
    Gone,
    /// In its level, to be taken.
    Ready,
    /// In the delay heap, to become ready when due.
    Delayed,
    /// With a consumer.
    Unacked,
    /// On its way to a dead-letter target.
    Moving,
    /// Its record cannot be read: it stays on disk and stands in nobody's way.
    SetAside,
}

/// One message, without its body.
#[derive(Clone, Copy)]
pub(super) struct Slot {
    pub(super) locator: u64,
    pub(super) bytes: u32,
    /// Failed attempts, saturating.
    pub(super) attempts: u16,
    pub(super) priority: u8,
    /// State in the low three bits, flags above.
    mark: u8,
}

const STATE: u8 = 0b111;
const PERSISTENT: u8 = 1 << 3;
const REDELIVERED: u8 = 1 << 4;
const LOADING: u8 = 1 << 5;
/// A consumer was there for it when it came: it does not go stale on its way.
const PROMISED: u8 = 1 << 6;

impl Slot {
    pub(super) const GONE: Self = Self { locator: NOWHERE, bytes: 0, attempts: 0, priority: 0, mark: 0 };

    pub(super) fn new(state: State, bytes: u32, priority: u8, persistent: bool) -> Self {
        let mark = state as u8 | if persistent { PERSISTENT } else { 0 };
        Self { locator: NOWHERE, bytes, attempts: 0, priority, mark }
    }

    pub(super) fn state(&self) -> State {
        match self.mark & STATE {
            0 => State::Gone,
            1 => State::Ready,
            2 => State::Delayed,
            3 => State::Unacked,
            4 => State::Moving,
            _ => State::SetAside,
        }
    }

    pub(super) fn set_state(&mut self, state: State) {
        self.mark = self.mark & !STATE | state as u8;
    }

    pub(super) fn persistent(&self) -> bool {
        self.mark & PERSISTENT != 0
    }

    pub(super) fn redelivered(&self) -> bool {
        self.mark & REDELIVERED != 0
    }

    pub(super) fn set_redelivered(&mut self) {
        self.mark |= REDELIVERED;
    }

    pub(super) fn promised(&self) -> bool {
        self.mark & PROMISED != 0
    }

    pub(super) fn set_promised(&mut self, promised: bool) {
        self.mark = if promised { self.mark | PROMISED } else { self.mark & !PROMISED };
    }

    pub(super) fn loading(&self) -> bool {
        self.mark & LOADING != 0
    }

    pub(super) fn set_loading(&mut self, loading: bool) {
        self.mark = if loading { self.mark | LOADING } else { self.mark & !LOADING };
    }

    pub(super) fn locator(&self) -> Option<u64> {
        (self.locator != NOWHERE).then_some(self.locator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_sixteen_bytes() {
        assert_eq!(size_of::<Slot>(), 16);
    }

    #[test]
    fn state_and_flags_do_not_disturb_each_other() {
        let mut slot = Slot::new(State::Ready, 7, 3, true);
        slot.set_redelivered();
        slot.set_loading(true);
        slot.set_promised(true);
        for state in [State::Delayed, State::Unacked, State::Moving, State::SetAside, State::Gone, State::Ready] {
            slot.set_state(state);
            assert_eq!(slot.state(), state);
            assert!(slot.persistent() && slot.redelivered() && slot.loading() && slot.promised());
        }
        slot.set_promised(false);
        slot.set_loading(false);
        assert!(!slot.loading() && !slot.promised() && slot.redelivered());
    }
}
