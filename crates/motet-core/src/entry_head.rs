//! The queue's own note in an enqueue record: what a start needs to know of an entry without reading its message.

use crate::mailbox::Grant;
use crate::message::Reliability;
use crate::queues::Queued;
use smallvec::SmallVec;

/// What of an entry only its queue knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadExtras<'a> {
    /// When it goes stale there, the queue's TTL included.
    pub(crate) expires_at_ms: Option<u64>,
    /// When it may be delivered.
    pub(crate) deliver_at_ms: Option<u64>,
    /// Under which name it is a duplicate of another, and when it came.
    pub(crate) dedup: Option<(u64, &'a [u8])>,
    /// When it was appended to a stream.
    pub(crate) appended_ms: Option<u64>,
    /// What it counts for there, where that is not the size of its record.
    pub(crate) counted: Option<u32>,
}

/// Flags of a head beside the reliability in the lowest two bits.
mod flag {
    pub(super) const AS_PUBLISHED: u8 = 1 << 2;
    pub(super) const RETAINED: u8 = 1 << 3;
    pub(super) const DELAYED: u8 = 1 << 4;
    pub(super) const DEDUP: u8 = 1 << 5;
    pub(super) const APPENDED: u8 = 1 << 6;
    pub(super) const COUNTED: u8 = 1 << 7;
    pub(super) const OF_VERSION_2: u8 = DELAYED | DEDUP | APPENDED | COUNTED;
}

/// The queue's own note in an enqueue record: what a start needs to know without reading the message, and the grant.
///
/// `version u8 │ flags u8 │ priority u8 │ expires u64 (0: never) │ [deliver at u64] │ [came u64 │ length u16 │ dedup id] │ [appended u64] │ [counted u32] │ identifiers u32…`
///
/// Version 1 has neither of the parts in brackets; version 2 says by its flags which it has.
pub(crate) fn encode_head(queued: &Queued, extras: &HeadExtras<'_>, out: &mut SmallVec<[u8; 32]>) {
    let grant = &queued.grant;
    let set = |bit: u8, on: bool| if on { bit } else { 0 };
    let flags = grant.reliability as u8
        | set(flag::AS_PUBLISHED, grant.retain_as_published)
        | set(flag::RETAINED, queued.retained)
        | set(flag::DELAYED, extras.deliver_at_ms.is_some())
        | set(flag::DEDUP, extras.dedup.is_some())
        | set(flag::APPENDED, extras.appended_ms.is_some())
        | set(flag::COUNTED, extras.counted.is_some());
    let version = if flags & flag::OF_VERSION_2 == 0 { 1 } else { 2 };
    out.extend_from_slice(&[version, flags, queued.priority()]);
    out.extend_from_slice(&extras.expires_at_ms.unwrap_or(0).to_le_bytes());
    if let Some(at) = extras.deliver_at_ms {
        out.extend_from_slice(&at.to_le_bytes());
    }
    if let Some((came, id)) = extras.dedup {
        out.extend_from_slice(&came.to_le_bytes());
        out.extend_from_slice(&u16::try_from(id.len()).expect("an identifier is cut to its bound").to_le_bytes());
        out.extend_from_slice(id);
    }
    if let Some(at) = extras.appended_ms {
        out.extend_from_slice(&at.to_le_bytes());
    }
    if let Some(counted) = extras.counted {
        out.extend_from_slice(&counted.to_le_bytes());
    }
    for id in &grant.identifiers {
        out.extend_from_slice(&id.to_le_bytes());
    }
}

/// What [`encode_head`] wrote.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) grant: Grant,
    pub(crate) retained: bool,
    pub(crate) priority: u8,
    pub(crate) extras: HeadExtras<'a>,
}

pub(crate) fn decode_head(head: &[u8]) -> Option<Head<'_>> {
    let [version @ 1..=2, flags, priority, rest @ ..] = head else { return None };
    let (expires, mut rest) = rest.split_first_chunk::<8>()?;
    let expires_at_ms = Some(u64::from_le_bytes(*expires)).filter(|&at| at != 0);
    let mut extras = HeadExtras { expires_at_ms, ..HeadExtras::default() };
    if *version == 2 && flags & flag::DELAYED != 0 {
        let (at, after) = rest.split_first_chunk::<8>()?;
        extras.deliver_at_ms = Some(u64::from_le_bytes(*at));
        rest = after;
    }
    if *version == 2 && flags & flag::DEDUP != 0 {
        let (came, after) = rest.split_first_chunk::<8>()?;
        let (len, after) = after.split_first_chunk::<2>()?;
        let (id, after) = after.split_at_checked(u16::from_le_bytes(*len).into())?;
        extras.dedup = Some((u64::from_le_bytes(*came), id));
        rest = after;
    }
    if *version == 2 && flags & flag::APPENDED != 0 {
        let (at, after) = rest.split_first_chunk::<8>()?;
        extras.appended_ms = Some(u64::from_le_bytes(*at));
        rest = after;
    }
    if *version == 2 && flags & flag::COUNTED != 0 {
        let (counted, after) = rest.split_first_chunk::<4>()?;
        extras.counted = Some(u32::from_le_bytes(*counted));
        rest = after;
    }
    let grant = Grant {
        reliability: Reliability::from_bits(flags & 3)?,
        retain_as_published: flags & flag::AS_PUBLISHED != 0,
        identifiers: rest.chunks_exact(4).map(|id| u32::from_le_bytes([id[0], id[1], id[2], id[3]])).collect(),
    };
    Some(Head { grant, retained: flags & flag::RETAINED != 0, priority: *priority, extras })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{BatchBuilder, FaceId, MessageParts, MessageRef, PublisherId};
    use crate::name::Name;
    use std::sync::Arc;

    #[test]
    fn a_head_survives_the_journal() {
        let grant =
            Grant { reliability: Reliability::AtLeastOnce, retain_as_published: true, identifiers: vec![1, 99] };
        let mut builder = BatchBuilder::new();
        builder.push(MessageParts::default());
        let batch = builder.finish(Name::empty(), PublisherId(1), FaceId::NONE);
        let queued = Queued { message: MessageRef::new(batch, 0), grant: Arc::new(grant.clone()), retained: true };
        for (deliver_at_ms, dedup) in [(None, None), (Some(7), None), (Some(7), Some((3, b"id".as_slice())))] {
            let (appended_ms, counted) = (deliver_at_ms, deliver_at_ms.map(|_| 300));
            let extras = || HeadExtras { expires_at_ms: Some(5), deliver_at_ms, dedup, appended_ms, counted };
            let mut head = SmallVec::new();
            encode_head(&queued, &extras(), &mut head);
            let expected = Head { grant: grant.clone(), retained: true, priority: 0, extras: extras() };
            assert_eq!(decode_head(&head), Some(expected));
            assert_eq!(head[0], if deliver_at_ms.is_some() { 2 } else { 1 });
        }
        assert_eq!(decode_head(&[]), None);
    }
}
