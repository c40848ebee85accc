//! PINGREQ and PINGRESP [3.12, 3.13]: nothing but a fixed header.

use bytes::BufMut;

use super::wire::Reader;
use super::{Encode, Frame, PacketKind, Properties, Version};
use crate::error::DecodeError;

macro_rules! ping {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;

        impl $name {
            /// Decodes a frame of this kind.
            pub fn decode(frame: Frame<'_>, version: Version) -> Result<Self, DecodeError> {
                frame.check_version(version)?;
                Reader::new(frame.body).finish()?;
                Ok(Self)
            }
        }

        impl Encode for $name {
            fn first_byte(&self) -> u8 {
                (PacketKind::$name as u8) << 4
            }

            fn properties(&self) -> Properties<'_> {
                Properties::EMPTY
            }

            fn body_len(&self, _: Version, _: Properties<'_>) -> usize {
                0
            }

            fn encode_body(&self, _: Version, _: Properties<'_>, _: &mut impl BufMut) {}
        }
    };
}

ping! {
    /// The client is alive and asks whether the server is.
    Pingreq
}
ping! {
    /// The server is.
    Pingresp
}
