//! What is alive, judged from the summaries of all files together, and the telling of it.

use foldhash::{HashMap, HashSet};

use crate::checkpoint::Checkpoint;
use crate::class::ClassFile;
use crate::disk::Disk;
use crate::error::{Damage, OpenError, ReadError};
use crate::events::{RecoveredBody, Recovery};
use crate::journal::Journal;
use crate::ledger::{Ledger, ObjectState};
use crate::locator::Locator;
use crate::summary::{MarkNote, Summary};

/// Everything alive, gathered from summaries in the order of the log.
#[derive(Default)]
pub(crate) struct Survivors {
    pub objects: HashMap<u64, ObjectState>,
    killed: HashSet<u64>,
    /// The latest mark of an entry: where, in which summary, which note.
    marks: HashMap<u64, (Locator, usize, usize)>,
}

impl Survivors {
    /// `objects` are those the checkpoint knows.
    pub(crate) fn gather(objects: &HashMap<u64, ObjectState>, summaries: &[&Summary]) -> Self {
        let mut survivors = Self { objects: objects.clone(), ..Self::default() };
        for summary in summaries {
            for (object, address) in &summary.drops {
                if survivors.objects.get(object).is_some_and(|state| state.born < *address) {
                    survivors.objects.remove(object);
                }
            }
            for note in &summary.objects {
                let fresh = ObjectState { born: note.born, last_seq: 0 };
                let state = survivors.objects.entry(note.object).or_insert(fresh);
                state.last_seq = state.last_seq.max(note.last_seq);
            }
            survivors.killed.extend(summary.kills.iter().map(|(_, at)| at.address()));
        }
        for (index, summary) in summaries.iter().enumerate() {
            for (place, note) in summary.marks.iter().enumerate() {
                let newer = survivors.marks.get(&note.entry.address()).is_none_or(|(at, ..)| *at < note.at);
                if newer && survivors.alive(note.object, note.entry) {
                    survivors.marks.insert(note.entry.address(), (note.at, index, place));
                }
            }
        }
        survivors
    }

    pub(crate) fn alive(&self, object: u64, at: Locator) -> bool {
        !self.killed.contains(&at.address())
            && self.objects.get(&object).is_some_and(|state| state.born <= at.address())
    }

    /// Is this the mark that counts?
    fn marks(&self, note: &MarkNote) -> bool {
        self.marks.get(&note.entry.address()).is_some_and(|(at, ..)| *at == note.at)
    }

    /// The living records of a summary: object, place, shared body.
    pub(crate) fn living<'a>(
        &'a self,
        summary: &'a Summary,
    ) -> impl Iterator<Item = (u64, Locator, Option<Locator>)> + 'a {
        let entries = summary.entries.iter().filter(|note| self.alive(note.object, note.at));
        let keyed = summary.keyed.iter().filter(|note| self.alive(note.object, note.at));
        let marks = summary.marks.iter().filter(|note| self.marks(note));
        entries
            .map(|note| (note.object, note.at, note.body))
            .chain(keyed.map(|note| (note.object, note.at, None)))
            .chain(marks.map(|note| (note.object, note.at, None)))
    }

    /// Tells the ledger of a segment's living records.
    pub(crate) fn enter(&self, summary: &Summary, ledger: &mut Ledger) {
        self.living(summary).for_each(|(object, at, body)| ledger.add(object, at, body));
        self.enter_marks(summary, ledger);
    }

    /// Tells the ledger of a class file's living and dead records.
    pub(crate) fn enter_class<D: Disk>(
        &self,
        file: &ClassFile<D>,
        summary: &Summary,
        checkpoint: &Checkpoint,
        ledger: &mut Ledger,
    ) {
        let mut account = file.ledger();
        self.living(summary).for_each(|(object, at, body)| account.ledger.add(object, at, body));
        let entries = summary.entries.iter().filter(|note| !self.alive(note.object, note.at)).map(|note| note.at);
        let keyed = summary.keyed.iter().filter(|note| !self.alive(note.object, note.at)).map(|note| note.at);
        let marks = summary.marks.iter().filter(|note| !self.marks(note)).map(|note| note.at);
        entries.chain(keyed).chain(marks).for_each(|at| account.ledger.note_dead(at.address()));
        let known = checkpoint.classes.iter().filter(|known| (known.0, known.1) == (file.class, file.number));
        known.flat_map(|known| &known.2).for_each(|address| account.ledger.note_dead(*address));
        ledger.classes.push(account);
        ledger.classes.sort_unstable_by_key(|account| (account.class, account.first));
        self.enter_marks(summary, ledger);
    }

    fn enter_marks(&self, summary: &Summary, ledger: &mut Ledger) {
        let marks = summary.marks.iter().filter(|note| self.marks(note));
        ledger.marks.extend(marks.map(|note| (note.entry.address(), note.at)));
    }
}

/// Tells the user what survived, object by object.
pub(crate) fn tell<D: Disk>(
    journal: &Journal<D>,
    summaries: &[&Summary],
    survivors: &Survivors,
    recovery: &mut dyn Recovery,
) -> Result<(), OpenError> {
    let mut entries = Vec::new();
    let mut keyed = Vec::new();
    for (index, summary) in summaries.iter().enumerate() {
        let living = summary.entries.iter().enumerate().filter(|(_, note)| survivors.alive(note.object, note.at));
        entries.extend(living.map(|(place, note)| (note.object, note.seq, note.at, index as u32, place as u32)));
        let living = summary.keyed.iter().enumerate().filter(|(_, note)| survivors.alive(note.object, note.at));
        keyed.extend(living.map(|(place, note)| (note.object, note.at, index, place)));
    }
    entries.sort_unstable();
    keyed.sort_unstable();
    let mut objects: Vec<(u64, u64)> =
        survivors.objects.iter().map(|(object, state)| (*object, state.last_seq)).collect();
    objects.sort_unstable();
    let (mut entries, mut keyed) = (entries.into_iter().peekable(), keyed.into_iter().peekable());
    for (object, last_seq) in objects {
        recovery.object(object, last_seq);
        while let Some((.., index, place)) = entries.next_if(|entry| entry.0 == object) {
            tell_entry(journal, summaries, survivors, (index as usize, place as usize), recovery)?;
        }
        while let Some((_, at, index, place)) = keyed.next_if(|keyed| keyed.0 == object) {
            match summaries[index].keyed[place].pair {
                Some((key, value)) => {
                    recovery.keyed(object, summaries[index].text(key), summaries[index].text(value), at);
                }
                None => {
                    let record = read(journal, at)?;
                    recovery.keyed(object, &record.head, &record.body, at);
                }
            }
        }
    }
    Ok(())
}

fn tell_entry<D: Disk>(
    journal: &Journal<D>,
    summaries: &[&Summary],
    survivors: &Survivors,
    (index, place): (usize, usize),
    recovery: &mut dyn Recovery,
) -> Result<(), OpenError> {
    let note = summaries[index].entries[place];
    let mut body = RecoveredBody { length: note.body_len, bytes: None };
    let mark_record;
    let mark = match survivors.marks.get(&note.at.address()) {
        Some((at, index, place)) => match summaries[*index].marks[*place].data {
            Some(span) => Some(summaries[*index].text(span)),
            None => {
                mark_record = read(journal, *at)?;
                Some(&mark_record.body[..])
            }
        },
        None => None,
    };
    match note.head {
        Some(span) => recovery.entry(note.object, note.seq, summaries[index].text(span), body, note.at, mark),
        None => {
            let record = read(journal, note.at)?;
            body.bytes = Some(&record.body);
            recovery.entry(note.object, note.seq, &record.head, body, note.at, mark);
        }
    }
    Ok(())
}

fn read<D: Disk>(journal: &Journal<D>, at: Locator) -> Result<crate::journal::Record, OpenError> {
    journal.read(at).map_err(|error| match error {
        ReadError::Corrupt(damage) => OpenError::Corrupt(damage),
        ReadError::Disk(source) => OpenError::Disk { what: "cannot read", path: journal.dir.clone(), source },
        ReadError::Gone => OpenError::Corrupt(Damage {
            file: journal.dir.clone(),
            offset: at.address(),
            what: "a footer names a record that is not there".into(),
        }),
    })
}
