//! The accounts of new class files, made beside the committer: it needs the ledger for every batch, so they are made a slice
//! at a time, and what dies between the slices is taken out in the end.

use crate::class::Class;
use crate::ledger::{ClassLedger, Death, Ledger};
use crate::locator::Locator;
use crate::summary::Summary;

/// Notes entered under one hold of the ledger.
const SLICE: usize = 1_024;

/// Accounts in the making.
pub(crate) struct Entering<'a> {
    summaries: Vec<&'a Summary>,
    accounts: Vec<ClassLedger>,
    /// The next note: in which summary, and which of its notes.
    next: (usize, usize),
}

impl<'a> Entering<'a> {
    /// Begins: from now on the ledger notes what dies. The files' own accounts have no record yet.
    pub(crate) fn begin(files: impl Iterator<Item = (ClassLedger, &'a Summary)>, ledger: &mut Ledger) -> Self {
        ledger.deaths = Some(Vec::new());
        let (accounts, summaries) = files.unzip();
        Self { summaries, accounts, next: (0, 0) }
    }

    /// Enters a slice as of now; false when all is entered.
    pub(crate) fn enter(&mut self, ledger: &Ledger) -> bool {
        for _ in 0..SLICE {
            let (file, place) = self.next;
            let Some(summary) = self.summaries.get(file) else { return false };
            let Some(Note { class, object, at, body }) = note(summary, place) else {
                self.next = (file + 1, 0);
                continue;
            };
            let account = &mut self.accounts[file].ledger;
            match ledger.alive(object, at, class) {
                true => account.add(object, at, body),
                false => account.note_dead(at.address()),
            }
            self.next.1 += 1;
        }
        true
    }

    /// The dead records of every file, as far as they are known: whatever died since lies in segments that stay.
    pub(crate) fn dead(&self) -> impl Iterator<Item = Vec<u64>> {
        self.accounts.iter().map(|account| account.ledger.dead())
    }

    /// The accounts as of now; under the same hold of the ledger they take their place.
    pub(crate) fn finish(mut self, ledger: &mut Ledger) -> Vec<ClassLedger> {
        for death in ledger.deaths.take().into_iter().flatten() {
            match death {
                Death::Object(object) => self.accounts.iter_mut().for_each(|a| a.ledger.drop_object(object)),
                Death::Record { object, at, class } => {
                    let held = |a: &&mut ClassLedger| a.class == class && (a.first..=a.last).contains(&at.address());
                    self.accounts.iter_mut().filter(held).for_each(|account| account.ledger.remove(object, at));
                }
            }
        }
        self.accounts
    }
}

struct Note {
    class: Class,
    object: u64,
    at: Locator,
    body: Option<Locator>,
}

/// The notes of a summary in one row: entries, marks, keyed records.
fn note(summary: &Summary, place: usize) -> Option<Note> {
    let Summary { entries, marks, keyed, .. } = summary;
    if let Some(note) = entries.get(place) {
        return Some(Note { class: Class::Parked, object: note.object, at: note.at, body: note.body });
    }
    let place = place - entries.len();
    if let Some(note) = marks.get(place) {
        return Some(Note { class: Class::Parked, object: note.object, at: note.at, body: None });
    }
    let note = keyed.get(place - marks.len())?;
    Some(Note { class: Class::Keyed, object: note.object, at: note.at, body: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::SegmentLedger;
    use crate::summary::EntryNote;

    fn at(nth: u64) -> Locator {
        Locator::new(nth * 64, 64, false)
    }

    fn entry(nth: u64) -> EntryNote {
        EntryNote { object: 1 + nth % 2, seq: nth, at: at(nth), body: None, body_len: 0, head: None }
    }

    #[test]
    fn the_ledger_is_free_between_slices_and_what_dies_there_is_dead() {
        const COUNT: u64 = 5_000;
        let mut ledger = Ledger::new();
        ledger.open_segment(0);
        let summary = Summary { entries: (1..=COUNT).map(entry).collect(), ..Summary::default() };
        for note in &summary.entries {
            ledger.touch(note.object, Some(note.seq), note.at.address());
            ledger.add(note.object, note.at, None);
        }
        let (first, last) = (at(1).address(), at(COUNT).address());
        let empty = SegmentLedger::of_class();
        let file = ClassLedger { class: Class::Parked, number: 1, first, last, bytes: 0, size: 0, ledger: empty };
        let mut entering = Entering::begin(std::iter::once((file, &summary)), &mut ledger);
        let mut slices = 0;
        while entering.enter(&ledger) {
            slices += 1;
            // One that was entered with the first slice, one that is entered with the last.
            ledger.kill(1, at(2 * slices), Class::Parked);
            ledger.kill(1 + (COUNT - slices) % 2, at(COUNT - slices), Class::Parked);
        }
        assert!(slices >= COUNT / SLICE as u64, "{slices} slices");
        ledger.drop_object(2);
        let accounts = entering.finish(&mut ledger);
        assert_eq!(accounts[0].ledger.live_bytes, ledger.segments[0].live_bytes);
        assert_eq!(accounts[0].ledger.live_count, ledger.segments[0].live_count);
        assert!(
            (1..=COUNT)
                .filter(|nth| nth % 2 == 0)
                .all(|nth| { accounts[0].ledger.holds(at(nth).address()) == ledger.alive(1, at(nth), Class::Parked) })
        );
        assert!(ledger.deaths.is_none());
    }
}
