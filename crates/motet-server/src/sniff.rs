//! What is spoken on a shared port, by its first bytes.
//!
//! | first bytes | protocol |
//! |---|---|
//! | `16 03`, a ClientHello in a TLS record | TLS [RFC8446-5.1] |
//! | `10`, a remaining length, `00 04 MQTT` or `00 06 MQIsdp` | MQTT CONNECT [3.1] |
//! | `AMQP` | AMQP [4.2.2]; whichever version, so that a wrong one is told which is right |
//! | an HTTP method and a space | HTTP/1.1 [RFC9112-3] |

use bytes::{Buf as _, Bytes, BytesMut};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The longest beginning that is needed to decide: of MQTT, the fixed header with a remaining length of four bytes,
/// and the longer name, `MQIsdp`, with its own length.
pub(crate) const SNIFF_BYTES_MAX: usize = 13;

/// The methods of HTTP that our pages or a client's mistake may use. [RFC9110-9.3]
const METHODS: [&[u8]; 9] =
    [b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT "];

/// A protocol that shares the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    Tls,
    Mqtt,
    Amqp,
    Http,
}

/// What the bytes so far tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is this.
    Is(Spoken),
    /// It can still become one of ours.
    Undecided,
    /// It is none of ours.
    Unknown,
}

/// Judges the beginning of a connection, however little of it.
pub(crate) fn sniff(bytes: &[u8]) -> Verdict {
    match bytes.first() {
        None => Verdict::Undecided,
        Some(0x16) => whole_or_part(&bytes[1..], &[b"\x03"], Spoken::Tls),
        Some(0x10) => sniff_connect(&bytes[1..]),
        Some(b'A') => whole_or_part(bytes, &[b"AMQP"], Spoken::Amqp),
        Some(_) => whole_or_part(bytes, &METHODS, Spoken::Http),
    }
}

/// `Is` when one of the words begins the bytes, `Undecided` while the bytes begin one of the words.
fn whole_or_part(bytes: &[u8], words: &[&[u8]], spoken: Spoken) -> Verdict {
    if words.iter().any(|word| bytes.starts_with(word)) {
        Verdict::Is(spoken)
    } else if words.iter().any(|word| word.starts_with(bytes)) {
        Verdict::Undecided
    } else {
        Verdict::Unknown
    }
}

/// Behind the packet type: a remaining length of one to four bytes [2.1.4], then the protocol's name.
fn sniff_connect(rest: &[u8]) -> Verdict {
    let continued = rest.iter().take(4).take_while(|byte| **byte & 0x80 != 0).count();
    match rest.get(continued + 1..) {
        _ if continued == 4 => Verdict::Unknown,
        None => Verdict::Undecided,
        Some(name) => whole_or_part(name, &[b"\x00\x04MQTT", b"\x00\x06MQIsdp"], Spoken::Mqtt),
    }
}

/// Reads as little as decides. None: the peer went, or speaks nothing of ours; the bytes are what it said.
pub(crate) async fn listen_to(carrier: &mut (impl AsyncRead + Unpin)) -> io::Result<(Option<Spoken>, Bytes)> {
    let mut heard = BytesMut::with_capacity(SNIFF_BYTES_MAX);
    loop {
        match sniff(&heard) {
            Verdict::Is(spoken) => return Ok((Some(spoken), heard.freeze())),
            Verdict::Unknown => return Ok((None, heard.freeze())),
            Verdict::Undecided => {}
        }
        let room = SNIFF_BYTES_MAX.saturating_sub(heard.len()).max(1);
        if (&mut *carrier).take(room as u64).read_buf(&mut heard).await? == 0 {
            return Ok((None, heard.freeze()));
        }
    }
}

/// A carrier whose first bytes were read already.
#[derive(Debug)]
pub(crate) struct Prefixed<S> {
    prefix: Bytes,
    carrier: S,
}

impl<S> Prefixed<S> {
    pub(crate) fn new(prefix: Bytes, carrier: S) -> Self {
        Prefixed { prefix, carrier }
    }

    /// The carrier and what of the prefix nobody has read.
    pub(crate) fn into_parts(self) -> (Bytes, S) {
        (self.prefix, self.carrier)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.prefix.is_empty() {
            return pin!(&mut this.carrier).poll_read(cx, into);
        }
        let count = into.remaining().min(this.prefix.len());
        into.put_slice(&this.prefix[..count]);
        this.prefix.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().carrier).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().carrier).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().carrier).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use motet_core::machine::Random;

    const BEGINNINGS: [(&[u8], Spoken); 10] = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Spoken::Tls),
        (b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c", Spoken::Mqtt),
        (b"\x10\x12\x00\x06MQIsdp\x03\x02", Spoken::Mqtt),
        (b"\x10\xff\xff\xff\x7f\x00\x04MQTT", Spoken::Mqtt),
        (b"\x10\xff\xff\xff\x7f\x00\x06MQIsdp", Spoken::Mqtt),
        (b"AMQP\x00\x00\x09\x01", Spoken::Amqp),
        (b"GET / HTTP/1.1\r\n", Spoken::Http),
        (b"POST /api HTTP/1.1\r\n", Spoken::Http),
        (b"OPTIONS * HTTP/1.1\r\n", Spoken::Http),
        (b"CONNECT a:1 HTTP/1.1\r\n", Spoken::Http),
    ];

    #[test]
    fn a_beginning_is_undecided_until_it_is_known() {
        for (bytes, spoken) in BEGINNINGS {
            let known = (0..=bytes.len()).find(|len| sniff(&bytes[..*len]) != Verdict::Undecided).unwrap();
            assert!(known <= SNIFF_BYTES_MAX, "{bytes:?} needs {known} bytes");
            for len in known..=bytes.len() {
                assert_eq!(sniff(&bytes[..len]), Verdict::Is(spoken), "{bytes:?} after {len}");
            }
        }
    }

    #[test]
    fn what_is_none_of_ours_is_known_at_once() {
        for bytes in
            [&b"SSH-2.0-x"[..], b"\x00", b"\x16\x02", b"\x10\xff\xff\xff\xff", b"\x10\x04\x00\x05", b"GETX", b"get "]
        {
            assert_eq!(sniff(bytes), Verdict::Unknown, "{bytes:?}");
        }
    }

    #[test]
    fn as_many_bytes_as_promised_decide_and_no_later_byte_changes_it() {
        let mut random = Random::seeded(7);
        for round in 0..100_000_usize {
            let mut bytes: Vec<u8> = (0..2).flat_map(|_| random.next_u64().to_be_bytes()).collect();
            let (begin, _) = BEGINNINGS[round % BEGINNINGS.len()];
            let kept = random.next_u64() as usize % (begin.len() + 1);
            bytes[..kept.min(16)].copy_from_slice(&begin[..kept.min(16)]);
            let verdict = sniff(&bytes[..SNIFF_BYTES_MAX]);
            assert_ne!(verdict, Verdict::Undecided, "{bytes:x?}");
            let first = (0..=SNIFF_BYTES_MAX).find(|len| sniff(&bytes[..*len]) != Verdict::Undecided).unwrap();
            for len in first..=bytes.len() {
                assert_eq!(sniff(&bytes[..len]), verdict, "{bytes:x?} after {len}");
            }
        }
    }

    #[tokio::test]
    async fn what_was_heard_is_read_again() {
        let bytes = b"GET / HTTP/1.1\r\n\r\n";
        let mut carrier = &bytes[..];
        let (spoken, heard) = listen_to(&mut carrier).await.unwrap();
        assert_eq!(spoken, Some(Spoken::Http));
        assert!(heard.len() <= SNIFF_BYTES_MAX);
        let mut whole = Vec::new();
        Prefixed::new(heard, carrier).read_to_end(&mut whole).await.unwrap();
        assert_eq!(whole, bytes);
    }
}
