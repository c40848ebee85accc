//! One fuzz target for the whole codec: whatever is accepted must survive being written and read again.

use super::{Frame, Packet, Version, frame};

const MAX_SIZE: u32 = 1 << 20;

/// Reads `data` as a stream of packets in each version.
///
/// # Panics
/// If an accepted packet differs after a round trip, or its announced length is not its length.
#[doc(hidden)]
pub fn fuzz_decode(data: &[u8]) {
    for version in [Version::V31, Version::V311, Version::V5] {
        let mut rest = data;
        while let Ok(Some(found)) = frame(rest, MAX_SIZE) {
            if let Ok(packet) = Packet::decode(found, version) {
                let mut out = Vec::new();
                packet.encode(version, &mut out);
                assert_eq!(out.len(), packet.encoded_len(version), "{packet:?}");
                assert_same(found, &out, version);
            }
            rest = &rest[found.bytes.len()..];
        }
    }
}

fn assert_same(original: Frame<'_>, written: &[u8], version: Version) {
    let again = frame(written, u32::MAX).expect("we write valid headers").expect("we write whole packets");
    assert_eq!(again.bytes.len(), written.len());
    assert_eq!(Packet::decode(again, version), Packet::decode(original, version));
}

#[cfg(test)]
mod tests {
    use super::super::reject_tests;
    use super::*;

    /// xorshift: seeded, so that a failing run repeats.
    struct Random(u64);

    impl Random {
        fn next(&mut self, below: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % below as u64) as usize
        }
    }

    #[test]
    fn noise_never_panics() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for _ in 0..100_000 {
            let data = (0..random.next(40)).map(|_| random.next(256) as u8).collect::<Vec<_>>();
            fuzz_decode(&data);
        }
    }

    #[test]
    fn mutated_packets_never_panic_and_what_is_accepted_survives() {
        let seeds = reject_tests::packets();
        let mut random = Random(0x2545_f491_4f6c_dd1d);
        for _ in 0..400_000 {
            let mut data = seeds[random.next(seeds.len())].clone();
            for _ in 0..=random.next(3) {
                let at = random.next(data.len());
                match random.next(4) {
                    0 => data[at] = random.next(256) as u8,
                    1 => data[at] ^= 1 << random.next(8),
                    2 if data.len() > 2 => {
                        // a byte less, with Remaining Length kept true
                        data.remove(at);
                        data[1] = data[1].wrapping_sub(1);
                    }
                    _ => {
                        data.insert(at, random.next(256) as u8);
                        data[1] = data[1].wrapping_add(1);
                    }
                }
            }
            fuzz_decode(&data);
        }
    }
}
