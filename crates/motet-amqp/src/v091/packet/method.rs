//! From one table of facts (`methods.rs`) to types: a struct per method, an enum per class, an enum over all.

use super::{FrameKind, PacketError, put_frame};
use bytes::{BufMut, BytesMut};

/// A method with its fields.
pub trait MethodFields {
    /// The number of its class.
    const CLASS: u16;
    /// Its number within the class.
    const METHOD: u16;
    /// Writes its fields.
    fn put_fields(&self, out: &mut BytesMut);
}

/// Class and method number, as close methods report them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct MethodId {
    /// Of the class; 0 when no method is meant.
    pub class: u16,
    /// Within the class.
    pub method: u16,
}

impl MethodId {
    /// No method.
    pub const NONE: MethodId = MethodId { class: 0, method: 0 };

    /// The number of `M`.
    pub const fn of<M: MethodFields>() -> Self {
        MethodId { class: M::CLASS, method: M::METHOD }
    }

    /// What the payload of a method frame begins with.
    ///
    /// # Errors
    /// [`PacketError::Truncated`].
    #[inline]
    pub fn peek(payload: &[u8]) -> Result<Self, PacketError> {
        let [a, b, c, d] = *payload.first_chunk::<4>().ok_or(PacketError::Truncated)?;
        Ok(MethodId { class: u16::from_be_bytes([a, b]), method: u16::from_be_bytes([c, d]) })
    }
}

/// Writes a method frame.
#[inline]
pub fn put_method<M: MethodFields>(out: &mut BytesMut, channel: u16, method: &M) {
    put_frame(out, FrameKind::Method, channel, |out| {
        out.put_u16(M::CLASS);
        out.put_u16(M::METHOD);
        method.put_fields(out);
    });
}

/// What the macro below makes of a class: its module with structs and an enum.
macro_rules! classes {
    ($(
        $(#[$class_doc:meta])*
        $class:ident, $Class:ident $(<$class_life:lifetime>)? = $class_number:literal {
            $(
                $(#[$doc:meta])*
                $Name:ident $(<$life:lifetime>)? = $number:literal {
                    $( $(#[$field_doc:meta])* $field:ident : $type:ty ),* $(,)?
                }
            )*
        }
    )*) => {
        $(
            $(#[$class_doc])*
            pub mod $class {
                #[allow(unused_imports, reason = "not every class has every kind of field")]
                use super::super::{FieldTable, LongString, PacketError, Reserved};
                #[allow(unused_imports, reason = "a class may have no fields at all")]
                use super::super::wire::{Field, Reader, Writer};
                #[allow(unused_imports, reason = "a class may have no fields at all")]
                use super::super::told::{Tell, Told};

                /// The class number.
                pub const CLASS: u16 = $class_number;

                $(
                    $(#[$doc])*
                    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
                    pub struct $Name $(<$life>)? {
                        $( $(#[$field_doc])* pub $field: $type, )*
                    }

                    impl $(<$life>)? super::MethodFields for $Name $(<$life>)? {
                        const CLASS: u16 = $class_number;
                        const METHOD: u16 = $number;
                        #[inline]
                        fn put_fields(&self, out: &mut bytes::BytesMut) {
                            let to = &mut Writer::new(out);
                            let _ = &to; // a method may have no fields
                            $( self.$field.write(to); )*
                        }
                    }
                )*

                /// Any method of the class.
                #[derive(Debug, Clone, Copy, PartialEq, Eq)]
                pub enum Method $(<$class_life>)? {
                    $( $(#[$doc])* $Name($Name $(<$life>)?), )*
                }

                pub(super) fn read<'a>(number: u16, from: &mut Reader<'a>) -> Result<Method $(<$class_life>)?, PacketError> {
                    let _ = &from; // a class may have no fields at all
                    Ok(match number {
                        $( $number => Method::$Name($Name { $( $field: Field::read(from)?, )* }), )*
                        method => return Err(PacketError::UnknownMethod { class: $class_number, method }),
                    })
                }

                pub(super) fn from_told<'a>(
                    name: &str,
                    ask: &mut dyn FnMut(&'static str) -> Option<Told<'a>>,
                ) -> Option<Method $(<$class_life>)?> {
                    let _ = &ask; // a class may have no fields at all
                    Some(match name {
                        $( stringify!($Name) => Method::$Name($Name {
                            $( $field: Tell::from_told(ask(stringify!($field)))?, )*
                        }), )*
                        _ => return None,
                    })
                }

                pub(super) fn tell<'a>(
                    method: &Method $(<$class_life>)?,
                    say: &mut dyn FnMut(&'static str, Told<'a>),
                ) -> &'static str {
                    let _ = &say; // a class may have no fields at all
                    match method {
                        $( Method::$Name(method) => {
                            let _ = &method; // a method may have no fields
                            $( if let Some(told) = method.$field.told() {
                                say(stringify!($field), told);
                            } )*
                            stringify!($Name)
                        } )*
                    }
                }

                impl $(<$class_life>)? Method $(<$class_life>)? {
                    /// Writes a frame of it.
                    pub fn put(&self, out: &mut bytes::BytesMut, channel: u16) {
                        match self {
                            $( Method::$Name(method) => super::put_method(out, channel, method), )*
                        }
                    }
                }
            }
        )*

        /// Any method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Method<'a> {
            $( $(#[$class_doc])* $Class($class::Method $(<$class_life>)?), )*
        }

        impl<'a> Method<'a> {
            /// Reads the payload of a method frame, to its last byte.
            ///
            /// # Errors
            /// [`PacketError`] when class or method are unknown, or the fields are not what they should be.
            #[inline]
            pub fn decode(payload: &'a [u8]) -> Result<Self, PacketError> {
                let mut from = Reader::new(payload);
                let (class, number) = (from.u16()?, from.u16()?);
                let method = match class {
                    $( $class_number => Method::$Class($class::read(number, &mut from)?), )*
                    class => return Err(PacketError::UnknownMethod { class, method: number }),
                };
                from.finish()?;
                Ok(method)
            }

            /// Tells its fields in order; returns its class and its name, as `basic` and `ConsumeOk`.
            pub fn tell(
                &self,
                say: &mut dyn FnMut(&'static str, super::told::Told<'a>),
            ) -> (&'static str, &'static str) {
                match self {
                    $( Method::$Class(method) => (stringify!($class), $class::tell(method, say)), )*
                }
            }

            /// The method of this class and name, made of what `ask` answers for each field; `None` where there is no
            /// such method, or an answer does not fit.
            pub fn from_told(
                class: &str,
                name: &str,
                ask: &mut dyn FnMut(&'static str) -> Option<super::told::Told<'a>>,
            ) -> Option<Self> {
                Some(match class {
                    $( stringify!($class) => Method::$Class($class::from_told(name, ask)?), )*
                    _ => return None,
                })
            }

            /// Writes a frame of it.
            pub fn put(&self, out: &mut BytesMut, channel: u16) {
                match self {
                    $( Method::$Class(method) => method.put(out, channel), )*
                }
            }
        }
    };
}

pub(super) use classes;
