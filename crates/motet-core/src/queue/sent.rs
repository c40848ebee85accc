//! Which messages of a queue nobody takes from may have been sent before: small enough to be written down at each
//! detachment, so that a start need not call everything redelivered.

use super::Queue;

/// Bytes the marks may have; a queue that would need more is not worth being exact about.
const BYTES_MAX: usize = 48 * 1024;

/// Everything up to a sequence, and some runs of neighbours behind it, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SentMarks {
    through: u64,
    runs: Vec<(u64, u64)>,
}

impl SentMarks {
    /// Whether the message may have been sent.
    pub fn was_sent(&self, seq: u64) -> bool {
        if seq <= self.through {
            return true;
        }
        let after = self.runs.partition_point(|(first, _)| *first <= seq);
        after > 0 && seq <= self.runs[after - 1].1
    }

    /// Everything up to `through`, and nothing behind it.
    pub(super) fn all_through(through: u64) -> Self {
        SentMarks { through, runs: Vec::new() }
    }

    fn from_seqs(through: u64, mut seqs: Vec<u64>) -> Self {
        seqs.sort_unstable();
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for seq in seqs {
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == seq => *last = seq,
                _ => runs.push((seq, seq)),
            }
        }
        SentMarks { through, runs }
    }

    /// `through u64 │ per run: distance from what is before it, length, both as LEB128`.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.through.to_le_bytes());
        let mut end = self.through;
        for (first, last) in &self.runs {
            put_number(first - end, out);
            put_number(last - first, out);
            end = *last;
        }
    }

    /// What [`SentMarks::encode`] wrote; `None` when there is nothing, or nothing that makes sense.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (through, mut rest) = bytes.split_first_chunk::<8>()?;
        let through = u64::from_le_bytes(*through);
        let (mut runs, mut end) = (Vec::new(), through);
        while !rest.is_empty() {
            let first = end.checked_add(take_number(&mut rest)?)?;
            end = first.checked_add(take_number(&mut rest)?)?;
            runs.push((first, end));
        }
        Some(SentMarks { through, runs })
    }
}

fn put_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

impl<M> Queue<M> {
    /// Which of the messages may have been sent. `None`: too many to say, or dead letters are on their way.
    pub fn sent_marks(&self) -> Option<SentMarks> {
        // What was sent and is not settled came back, and what came back stands apart from the fresh: no walk.
        let delayed = self.delayed.iter().map(|std::cmp::Reverse((_, seq))| *seq);
        let aside = self.set_aside.iter().copied();
        let redelivered = |seq: &u64| self.entries.slot(*seq).is_some_and(|slot| slot.redelivered());
        let back = self.levels.returned().chain(delayed).chain(aside).filter(redelivered);
        if self.stats.moving > 0 {
            return None;
        }
        let seqs: Vec<u64> = back.chain(self.consumers.held()).filter(|seq| *seq > self.sent_through).collect();
        let marks = SentMarks::from_seqs(self.sent_through, seqs);
        let mut bytes = Vec::new();
        marks.encode(&mut bytes);
        (bytes.len() <= BYTES_MAX).then_some(marks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_survive_their_encoding_and_answer() {
        let marks = SentMarks::from_seqs(10, vec![300, 12, 13, 14, 1 << 40, 301]);
        let mut bytes = Vec::new();
        marks.encode(&mut bytes);
        assert_eq!(bytes.len(), 8 + 2 + 3 + 7);
        let back = SentMarks::decode(&bytes).expect("what was encoded");
        assert_eq!(back, marks);
        let sent: Vec<u64> = (9..16).chain(298..303).filter(|seq| back.was_sent(*seq)).collect();
        assert_eq!(sent, [9, 10, 12, 13, 14, 300, 301]);
    }

    #[test]
    fn what_makes_no_sense_is_no_marks() {
        assert_eq!(SentMarks::decode(&[]), None);
        assert_eq!(SentMarks::decode(&[0; 7]), None);
        assert_eq!(SentMarks::decode(&[0, 0, 0, 0, 0, 0, 0, 0, 0x80]), None);
        assert_eq!(SentMarks::decode(&[255; 40]), None);
    }
}
