//! Places in the log. An address counts bytes from the beginning of the log's life and never changes its meaning:
//! which file holds it today is the segment table's business. That is why a record keeps its locator when it is moved,
//! and why a batch that must be written a second time into another segment keeps the locators already given out.

/// Records begin at multiples of this many bytes.
pub(crate) const GRANULE: u64 = 16;

/// A place in the log, in bytes. What lies before [`crate::Journal::durable`] is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position(pub u64);

/// Where a record lies, for as long as it lives. Opaque, non-zero, and ordered as the log is.
///
/// 54 bits of address in granules, one bit "its body is shared", nine bits of size as a small float: the size lets
/// the journal count live bytes without asking the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locator(u64);

const ADDRESS_SHIFT: u32 = 10;
const SHARED: u64 = 1 << 9;
const SIZE_MASK: u64 = SHARED - 1;

impl Locator {
    pub(crate) fn new(address: u64, size: usize, shared: bool) -> Self {
        debug_assert!(address > 0 && address.is_multiple_of(GRANULE), "records are aligned");
        let flag = if shared { SHARED } else { 0 };
        Self((address / GRANULE) << ADDRESS_SHIFT | flag | size_code(size as u64 / GRANULE))
    }

    /// The number to keep in one's own records.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The reverse of [`Locator::to_bits`]; `None` for what no locator is.
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits >> ADDRESS_SHIFT != 0).then_some(Self(bits))
    }

    /// The address of the record's first byte.
    pub(crate) fn address(self) -> u64 {
        (self.0 >> ADDRESS_SHIFT) * GRANULE
    }

    /// The record's size in bytes, header and padding included, rounded up by at most 1/16.
    pub(crate) fn size(self) -> u64 {
        let code = self.0 & SIZE_MASK;
        let (exponent, mantissa) = (code >> 4, code & 15);
        GRANULE * if exponent == 0 { mantissa } else { (16 + mantissa) << (exponent - 1) }
    }

    /// Does the entry refer to a body record instead of carrying its body?
    pub(crate) fn shared(self) -> bool {
        self.0 & SHARED != 0
    }
}

/// Five bits of exponent, four of mantissa, rounding up.
fn size_code(granules: u64) -> u64 {
    if granules < 16 {
        return granules;
    }
    let mut exponent = u64::from(granules.ilog2()) - 4;
    let mut mantissa = (granules + (1 << exponent) - 1) >> exponent;
    if mantissa == 32 {
        exponent += 1;
        mantissa = 16;
    }
    (exponent + 1) << 4 | (mantissa - 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_rounded_up_by_at_most_a_sixteenth() {
        for granules in (1..5_000).chain([65_535, 65_536, 65_537, 1 << 26]) {
            let size = granules * GRANULE;
            let coarse = Locator::new(16, size as usize, false).size();
            assert!(coarse >= size && coarse <= size + size / 16, "{size} became {coarse}");
        }
    }

    #[test]
    fn locators_keep_address_flag_and_order() {
        let first = Locator::new(1 << 40, 96, true);
        let second = Locator::new((1 << 40) + 96, 32, false);
        assert!(first < second && first.shared() && !second.shared());
        assert_eq!(first.address(), 1 << 40);
        assert_eq!(Locator::from_bits(first.to_bits()), Some(first));
        assert_eq!(Locator::from_bits(0), None);
    }
}
