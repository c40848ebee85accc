//! Which records of a file are alive, in as little memory as the case allows.

use foldhash::{HashSet, HashSetExt};

use crate::locator::GRANULE;

/// Which records of a file live.
pub(crate) enum Presence {
    /// Those with a bit, in chunks of 64 KiB.
    Bits(Vec<Chunk>),
    /// Those not listed here by their address: of class files, most of whose records live.
    AllBut(HashSet<u64>),
}

impl Default for Presence {
    fn default() -> Self {
        Self::Bits(Vec::new())
    }
}

impl Presence {
    /// For a class file: everything lives until it is removed.
    pub(crate) fn all() -> Self {
        Self::AllBut(HashSet::new())
    }

    /// The addresses of the dead, ascending; known of class files only.
    pub(crate) fn dead(&self) -> Vec<u64> {
        let Self::AllBut(dead) = self else { return Vec::new() };
        let mut dead: Vec<u64> = dead.iter().copied().collect();
        dead.sort_unstable();
        dead
    }

    /// False when it was there.
    pub(crate) fn insert(&mut self, address: u64, base: u64) -> bool {
        let Self::Bits(chunks) = self else { return true };
        let index = chunk_of(address - base);
        if chunks.len() <= index {
            chunks.resize_with(index + 1, Chunk::default);
        }
        chunks[index].insert(granule(address - base))
    }

    /// False when it was not there.
    pub(crate) fn remove(&mut self, address: u64, base: u64) -> bool {
        match self {
            Self::Bits(chunks) => {
                chunks.get_mut(chunk_of(address - base)).is_some_and(|chunk| chunk.remove(granule(address - base)))
            }
            Self::AllBut(dead) => dead.insert(address),
        }
    }

    pub(crate) fn holds(&self, address: u64, base: u64) -> bool {
        match self {
            Self::Bits(chunks) => {
                chunks.get(chunk_of(address - base)).is_some_and(|chunk| chunk.holds(granule(address - base)))
            }
            Self::AllBut(dead) => !dead.contains(&address),
        }
    }
}

/// The live records that begin in 64 KiB of a segment.
pub(crate) enum Chunk {
    /// Few: their granules, ascending.
    Few(Vec<u16>),
    /// Many: one bit per granule.
    Many(Box<[u64; 64]>),
}

const CHUNK_GRANULES: u64 = 4096;
/// Above this a bitmap is smaller.
const FEW: usize = 256;

fn chunk_of(offset: u64) -> usize {
    (offset / GRANULE / CHUNK_GRANULES) as usize
}

fn granule(offset: u64) -> u16 {
    (offset / GRANULE % CHUNK_GRANULES) as u16
}

impl Default for Chunk {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Chunk {
    /// False when it was there.
    fn insert(&mut self, granule: u16) -> bool {
        match self {
            Self::Few(list) => {
                let place = list.partition_point(|other| *other < granule);
                if list.get(place) == Some(&granule) {
                    return false;
                }
                list.insert(place, granule);
                if list.len() > FEW {
                    let mut bits = Box::new([0; 64]);
                    list.iter().for_each(|granule| set(&mut bits, *granule));
                    *self = Self::Many(bits);
                }
                true
            }
            Self::Many(bits) => {
                let fresh = !bit(bits, granule);
                set(bits, granule);
                fresh
            }
        }
    }

    /// False when it was not there.
    fn remove(&mut self, granule: u16) -> bool {
        match self {
            Self::Few(list) => match list.binary_search(&granule) {
                Ok(place) => {
                    list.remove(place);
                    if list.is_empty() {
                        *list = Vec::new();
                    }
                    true
                }
                Err(_) => false,
            },
            Self::Many(bits) => {
                let held = bit(bits, granule);
                bits[usize::from(granule / 64)] &= !(1 << (granule % 64));
                if held && bits[usize::from(granule / 64)] == 0 && bits.iter().all(|word| *word == 0) {
                    *self = Self::default();
                }
                held
            }
        }
    }

    fn holds(&self, granule: u16) -> bool {
        match self {
            Self::Few(list) => list.binary_search(&granule).is_ok(),
            Self::Many(bits) => bit(bits, granule),
        }
    }
}

fn bit(bits: &[u64; 64], granule: u16) -> bool {
    bits[usize::from(granule / 64)] & 1 << (granule % 64) != 0
}

fn set(bits: &mut [u64; 64], granule: u16) {
    bits[usize::from(granule / 64)] |= 1 << (granule % 64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_remember_the_same() {
        let base = 1 << 20;
        let mut presence = Presence::default();
        let addresses: Vec<u64> = (0..9_000).map(|n| base + n * 7 % 9_001 * 48).collect();
        for address in &addresses {
            assert!(presence.insert(*address, base) && !presence.insert(*address, base));
        }
        for (index, address) in addresses.iter().enumerate() {
            assert!(presence.holds(*address, base) && !presence.holds(address + 16, base));
            if index % 3 > 0 {
                assert!(presence.remove(*address, base) && !presence.remove(*address, base));
            }
        }
        for (index, address) in addresses.iter().enumerate() {
            assert_eq!(presence.holds(*address, base), index % 3 == 0);
        }
    }
}
