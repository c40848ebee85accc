//! Where one packet ends and the next begins: the fixed header [2.1].

use super::wire::{variable_byte_integer, variable_byte_integer_len};
use super::{PacketKind, QoS, Version};
use crate::error::DecodeError;

/// One complete packet in the read buffer, its fixed header validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The packet type.
    pub kind: PacketKind,
    /// The low four bits of the first byte.
    pub flags: u8,
    /// Everything after the fixed header.
    pub body: &'a [u8],
    /// The whole packet; the buffer advances by its length.
    pub bytes: &'a [u8],
}

/// Finds the packet at the front of `buf`; `None` until all of it has arrived.
///
/// `max_size` bounds the whole packet in bytes, fixed header included; a longer one is refused as soon as its length
/// is known. A padded Remaining Length passes here, since 3.x does not forbid it; `Packet::decode` refuses it in 5.0.
#[inline]
pub fn frame(buf: &[u8], max_size: u32) -> Result<Option<Frame<'_>>, DecodeError> {
    let Some(header) = FixedHeader::read(buf, max_size)? else { return Ok(None) };
    let Some(bytes) = buf.get(..header.total) else { return Ok(None) };
    Ok(Some(Frame { kind: header.kind, flags: header.flags, body: &bytes[header.len..], bytes }))
}

/// How many bytes the packet at the front of `buf` has in total, once its fixed header is there. A driver sizes its
/// buffer by it when `frame` says `None`.
pub fn frame_len(buf: &[u8], max_size: u32) -> Result<Option<usize>, DecodeError> {
    Ok(FixedHeader::read(buf, max_size)?.map(|header| header.total))
}

struct FixedHeader {
    kind: PacketKind,
    flags: u8,
    /// Bytes of the fixed header.
    len: usize,
    /// Bytes of the packet.
    total: usize,
}

impl FixedHeader {
    #[inline]
    fn read(buf: &[u8], max_size: u32) -> Result<Option<Self>, DecodeError> {
        let Some((&first, rest)) = buf.split_first() else { return Ok(None) };
        let kind = PacketKind::from_bits(first >> 4).ok_or(DecodeError::ReservedPacketType)?;
        let flags = first & 0x0f;
        check_flags(kind, flags)?;
        let Some((remaining, integer_len)) = variable_byte_integer(rest)? else { return Ok(None) };
        let len = 1 + integer_len;
        let size = remaining + len as u32;
        if size > max_size {
            return Err(DecodeError::PacketTooLarge { size, max: max_size });
        }
        Ok(Some(Self { kind, flags, len, total: size as usize }))
    }
}

#[inline]
fn check_flags(kind: PacketKind, flags: u8) -> Result<(), DecodeError> {
    match (kind, flags) {
        (PacketKind::Publish, _) if flags & 0b0110 == 0b0110 => Err(DecodeError::QoS3), // [MQTT-3.3.1-4]
        (PacketKind::Publish, _) if flags & 0b1110 == 0b1000 => Err(DecodeError::DupWithQoS0), // [MQTT-3.3.1-2]
        (PacketKind::Publish, _) => Ok(()),
        // In 3.1 these may be sent again with DUP; `check_version` refuses that for the others.
        (PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe, 0b1010) => Ok(()),
        _ if flags == kind.flags() => Ok(()),
        _ => Err(DecodeError::FixedHeaderFlags { kind, flags }), // [MQTT-2.1.3-1]
    }
}

impl Frame<'_> {
    /// The checks of the fixed header that need to know the version.
    #[inline]
    pub(crate) fn check_version(&self, version: Version) -> Result<(), DecodeError> {
        let Self { kind, flags, .. } = *self;
        if version != Version::V31 && kind != PacketKind::Publish && flags != kind.flags() {
            return Err(DecodeError::FixedHeaderFlags { kind, flags });
        }
        if version != Version::V5 {
            return match kind {
                PacketKind::Auth => Err(DecodeError::PacketTypeNotInVersion { kind, version }),
                _ => Ok(()),
            };
        }
        // [MQTT-1.5.5-1] in 5.0 Remaining Length is a variable byte integer like all others
        if self.bytes.len() - self.body.len() != 1 + variable_byte_integer_len(self.body.len() as u32) {
            return Err(DecodeError::IntegerNotMinimal);
        }
        Ok(())
    }

    /// The QoS bits of PUBLISH.
    #[inline]
    pub(crate) fn qos(&self) -> Result<QoS, DecodeError> {
        QoS::from_bits(self.flags >> 1 & 0b11).ok_or(DecodeError::QoS3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_found_once_its_last_byte_arrived() {
        let bytes = [0x30, 0x05, 0, 1, b't', b'h', b'i', 0xc0, 0x00];
        for cut in 0..7 {
            assert_eq!(frame(&bytes[..cut], 100), Ok(None));
            assert_eq!(frame_len(&bytes[..cut], 100), Ok((cut >= 2).then_some(7)));
        }
        let found = frame(&bytes, 100).unwrap().unwrap();
        assert_eq!((found.kind, found.body, found.bytes), (PacketKind::Publish, &bytes[2..7], &bytes[..7]));
        assert_eq!(frame(&bytes[7..], 100).unwrap().unwrap().kind, PacketKind::Pingreq);
    }

    #[test]
    fn an_oversized_packet_is_refused_before_its_body_arrives() {
        assert_eq!(frame(&[0x30, 0x08], 10), Ok(None));
        assert_eq!(frame(&[0x30, 0x09], 10), Err(DecodeError::PacketTooLarge { size: 11, max: 10 }));
        assert_eq!(
            frame(&[0x30, 0xff, 0xff, 0xff, 0x7f], 10),
            Err(DecodeError::PacketTooLarge { size: 268_435_460, max: 10 })
        );
    }

    #[test]
    fn bad_first_bytes_are_refused_at_once() {
        assert_eq!(frame(&[0x00], 10), Err(DecodeError::ReservedPacketType));
        assert_eq!(frame(&[0x36], 10), Err(DecodeError::QoS3));
        assert_eq!(frame(&[0x38], 10), Err(DecodeError::DupWithQoS0));
        assert_eq!(frame(&[0x30, 0x80, 0x80, 0x80, 0x80], 10), Err(DecodeError::IntegerTooLong));
        for kind in 1..=15u8 {
            let kind = PacketKind::from_bits(kind).unwrap();
            let accepted = (0..16).filter(|flags| frame(&[(kind as u8) << 4 | flags], 10).is_ok()).count();
            let expected = match kind {
                PacketKind::Publish => 10, // all but QoS 3 (four) and DUP with QoS 0 (two)
                PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe => 2,
                _ => 1,
            };
            assert_eq!(accepted, expected, "{kind:?}");
        }
    }

    #[test]
    fn a_padded_remaining_length_is_read_in_3_and_refused_in_5() {
        let found = frame(&[0xc0, 0x80, 0x00], 10).unwrap().unwrap();
        assert_eq!(found.check_version(Version::V311), Ok(()));
        assert_eq!(found.check_version(Version::V5), Err(DecodeError::IntegerNotMinimal));
    }

    #[test]
    fn only_3_1_sends_subscribe_again_with_dup() {
        let found = frame(&[0x8a, 0x00], 10).unwrap().unwrap();
        assert_eq!(found.check_version(Version::V31), Ok(()));
        assert!(found.check_version(Version::V311).is_err());
    }
}
