//! Web carriers: WebSocket (RFC 6455) with permessage-deflate (RFC 7692), as seen by a server, without IO.
//!
//! ```text
//!   GET /mqtt, Upgrade ──► handshake::accept ──► 101 + headers, WebSocket      or a Refusal: status, headers, text
//!                            origin (who may), extension (compression)
//!
//!   input ──► WebSocket::read ──► payload ──► the protocol's machine
//!               receive: frame, utf8, deflate         │
//!   out ◄── pongs, closes ◄───────────────────────────┘ write_binary + its bytes, or write_message
//! ```
//!
//! *The law: call [`WebSocket::read`] after every read from the transport, hand the payload on, write the answers,
//! flush `out` once. Repeat without reading while it says `PayloadFull`; after `PeerClosed` call
//! [`WebSocket::close`] behind the last answer; after `Closed` or an error flush and close the transport.*
//!
//! The machine knows no time: the driver sets a deadline after its own `close`, and sends pings when it likes.
//! Everything a peer can make grow has a bound in [`Config`]; what is left of a frame never waits for the rest of it.
//!
//! ```
//! use bytes::BytesMut;
//! use motet_web::{Policy, Progress, UpgradeRequest, accept};
//!
//! let headers: [(&str, &[u8]); 5] = [
//!     ("host", b"localhost:8083"),
//!     ("connection", b"Upgrade"),
//!     ("upgrade", b"websocket"),
//!     ("sec-websocket-version", b"13"),
//!     ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
//! ];
//! let mut websocket = accept(&UpgradeRequest::new("GET", (1, 1), "/", headers), &Policy::default())?.websocket;
//!
//! let mut input = BytesMut::from(&b"\x82\x83\x01\x02\x03\x04\x60\x60\x60"[..]);
//! let (mut payload, mut out) = (BytesMut::new(), BytesMut::new());
//! assert_eq!(websocket.read(&mut input, &mut payload, &mut out), Ok(Progress::NeedInput));
//! assert_eq!(&payload[..], b"abc");
//!
//! websocket.write_binary(&mut out, payload.len())?;
//! out.extend_from_slice(&payload);
//! assert_eq!(&out[..], b"\x82\x03abc");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod close;
pub mod deflate;
pub mod error;
mod extension;
pub mod frame;
pub mod handshake;
pub mod origin;
mod receive;
mod utf8;
pub mod websocket;

pub use close::{Close, CloseCode};
pub use deflate::{Compressor, Deflate, DeflatePolicy};
pub use error::{Refusal, WsError};
pub use frame::{FrameHeader, OpCode, frame_header};
pub use handshake::{Accepted, Policy, UpgradeRequest, accept};
pub use origin::AllowedOrigins;
pub use websocket::{Accepts, Config, Kind, Message, Progress, State, WebSocket};
