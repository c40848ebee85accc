//! The weighted rendezvous of a consistent-hash exchange.
//!
//! Every destination draws a number from (its name, the hashed value), shortened by its weight; the shortest draw wins. What a
//! destination draws depends on nothing else, so one that joins or leaves moves only what it wins or had won. The work is one draw
//! per destination.

use super::Target;

/// The greatest weight of one binding.
pub const WEIGHT_MAX: u32 = 65_535;

#[derive(Debug, Default)]
pub(super) struct Rendezvous {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    target: Target,
    /// Of the name, which outlives a restart, where the target's number need not.
    identity: u64,
    /// The sum of its bindings' weights.
    weight: u64,
}

impl Rendezvous {
    pub(super) fn add(&mut self, target: Target, name: &[u8], weight: u32) {
        match self.members.iter_mut().find(|member| member.target == target) {
            Some(member) => member.weight += u64::from(weight),
            None => {
                let kind = u64::from(matches!(target, Target::Exchange(_)));
                self.members.push(Member { target, identity: mix(fnv1a(name) ^ kind), weight: u64::from(weight) });
            }
        }
    }

    pub(super) fn remove(&mut self, target: Target, weight: u32) {
        if let Some(at) = self.members.iter().position(|member| member.target == target) {
            self.members[at].weight -= u64::from(weight);
            if self.members[at].weight == 0 {
                self.members.swap_remove(at);
            }
        }
    }

    pub(super) fn winner(&self, hashed: u64) -> Option<Target> {
        let drawn = self.members.iter().map(|member| (member.draw(hashed), member));
        // A tie goes to the smaller identity, so that the order of binding does not matter.
        let winner = drawn.min_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| x.identity.cmp(&y.identity)));
        winner.map(|(_, member)| member.target)
    }
}

impl Member {
    /// Exponentially distributed with rate `weight`: the smallest of such draws is the member's with probability weight / sum.
    fn draw(&self, hashed: u64) -> f64 {
        let uniform = ((mix(self.identity ^ hashed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln() / self.weight as f64
    }
}

/// The hash of what is hashed; fixed, since it decides where a running system's messages go.
pub(super) fn hash_value(bytes: &[u8]) -> u64 {
    mix(fnv1a(bytes))
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The finalizer of SplitMix64: every input bit reaches every output bit.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
