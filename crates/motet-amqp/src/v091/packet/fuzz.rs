//! One fuzz target for the whole codec: whatever is accepted must survive being written and read again.

use super::{ContentHeader, FieldTable, FrameKind, Method, Properties, frame, properties::put_header};
use bytes::BytesMut;

const FRAME_MAX: u32 = 1 << 20;

/// Reads `data` as a stream of frames.
///
/// # Panics
/// If something accepted differs after a round trip.
#[doc(hidden)]
pub fn fuzz_decode(data: &[u8]) {
    let mut rest = data;
    let mut out = BytesMut::new();
    while let Ok(Some(found)) = frame(rest, FRAME_MAX) {
        rest = &rest[found.len()..];
        out.clear();
        match FrameKind::from_wire(found.kind) {
            Some(FrameKind::Method) => {
                let Ok(method) = Method::decode(found.payload) else { continue };
                method.put(&mut out, found.channel);
                let again = frame(&out, u32::MAX).expect("we write frames").expect("we write whole frames");
                assert_eq!(again.len(), out.len(), "{method:?}");
                assert_eq!((again.channel, Method::decode(again.payload)), (found.channel, Ok(method)));
            }
            Some(FrameKind::Header) => {
                let Ok(header) = ContentHeader::decode(found.payload) else { continue };
                let Ok(properties) = Properties::decode(header.raw) else { continue };
                let mut raw = BytesMut::new();
                properties.encode(&mut raw);
                let mut said = header.raw.to_vec();
                said[1] &= !0b10; // Means nothing, and is not looked at.
                assert_eq!(raw, said, "properties have one spelling");
                put_header(&mut out, found.channel, header.body_size, header.raw);
                let again = frame(&out, u32::MAX).expect("we write frames").expect("we write whole frames");
                assert_eq!(ContentHeader::decode(again.payload).map(|header| header.raw), Ok(header.raw));
            }
            _ => {}
        }
    }
    if let Ok(table) = FieldTable::check(data) {
        table.iter().for_each(|(name, value)| drop((name, format!("{value:?}"))));
    }
}
