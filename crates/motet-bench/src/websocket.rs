//! A client's end of WebSocket [RFC 6455] as a carrier: what is written goes out in masked binary frames, what is read are
//! the payloads that come in. Compression is not offered: it would measure the compressor.

use bytes::{Buf as _, BufMut as _, BytesMut};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

/// The key of the specification's own example and what answers it [1.3]. It is there against caches that mistake one
/// protocol for another; there are none between us and a server that we measure.
const KEY: (&str, &str) = ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// The answer to a handshake is not longer.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Bytes of payload in one of our frames.
const FRAME_BYTES_MAX: usize = 64 << 10;
/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
/// Of a control frame [5.5].
const CONTROL_BYTES_MAX: u64 = 125;

/// A connection that has been upgraded.
pub(crate) struct WebSocket<S> {
    stream: S,
    /// As it came, from the next frame's header on or within its payload.
    raw: BytesMut,
    /// Bytes of the current frame's payload still to come.
    left: u64,
    /// Frames to be written.
    out: BytesMut,
    /// Differs from frame to frame [5.3].
    mask: u32,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Asks for the upgrade and has it granted [4.1].
    pub(crate) async fn open(mut stream: S, host: &str, path: &str) -> io::Result<Self> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
            KEY.0
        );
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let mut raw = BytesMut::with_capacity(1 << 10);
        let end = loop {
            if let Some(end) = raw.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            if raw.len() > HEAD_BYTES_MAX || stream.read_buf(&mut raw).await? == 0 {
                return Err(broken("the server did not answer the WebSocket handshake"));
            }
        };
        check(&String::from_utf8_lossy(&raw[..end]))?;
        raw.advance(end);
        Ok(WebSocket { stream, raw, left: 0, out: BytesMut::new(), mask: 0x9e37_79b9 })
    }
}

/// The head of an answer that is a consent [4.1].
fn check(head: &str) -> io::Result<()> {
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(broken(&format!("the server refused the WebSocket: {status}")));
    }
    let accepts = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_default();
        name.eq_ignore_ascii_case("sec-websocket-accept") && value.trim() == KEY.1
    };
    if lines.any(accepts) { Ok(()) } else { Err(broken("the server's answer belongs to no handshake of ours")) }
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A frame's header as a server sends it [5.2].
#[derive(Debug, PartialEq, Eq)]
struct Header {
    opcode: u8,
    payload: u64,
    bytes: usize,
}

/// None while it is not complete.
fn header(raw: &[u8]) -> io::Result<Option<Header>> {
    let [first, second, ..] = *raw else { return Ok(None) };
    if first & 0x70 != 0 || second & 0x80 != 0 {
        return Err(broken("the server sent a frame that is masked, or of an extension that nobody asked for"));
    }
    let (payload, bytes) = match second {
        126 => match raw.get(2..4).and_then(|bytes| bytes.try_into().ok()) {
            Some(len) => (u64::from(u16::from_be_bytes(len)), 4),
            None => return Ok(None),
        },
        127 => match raw.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(len) => (u64::from_be_bytes(len), 10),
            None => return Ok(None),
        },
        len => (u64::from(len), 2),
    };
    Ok(Some(Header { opcode: first & 0xf, payload, bytes }))
}

impl<S> WebSocket<S> {
    /// Goes to the next payload that is for the user, answering what is not. False when more must be read first.
    fn find_payload(&mut self) -> io::Result<bool> {
        while self.left == 0 {
            let Some(Header { opcode, payload, bytes }) = header(&self.raw)? else { return Ok(false) };
            match opcode {
                // A binary frame, or one that continues it.
                0 | BINARY => {
                    self.raw.advance(bytes);
                    self.left = payload;
                }
                PING | PONG | CLOSE if payload <= CONTROL_BYTES_MAX => {
                    if (self.raw.len() - bytes) < payload as usize {
                        return Ok(false);
                    }
                    self.raw.advance(bytes);
                    let said = self.raw.split_to(payload as usize);
                    match opcode {
                        PING => self.put_frame(PONG, &said),
                        CLOSE => {
                            return Err(io::Error::new(
                                io::ErrorKind::UnexpectedEof,
                                "the server closed the WebSocket",
                            ));
                        }
                        _ => {}
                    }
                }
                _ => return Err(broken("the server sent a frame that has no place here")),
            }
        }
        Ok(!self.raw.is_empty())
    }

    fn put_frame(&mut self, opcode: u8, payload: &[u8]) {
        self.mask = self.mask.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        let mask = self.mask.to_be_bytes();
        self.out.put_u8(0x80 | opcode);
        match payload.len() {
            len @ 0..=125 => self.out.put_u8(0x80 | len as u8),
            len @ 126..=0xffff => {
                self.out.put_u8(0x80 | 126);
                self.out.put_u16(len as u16);
            }
            len => {
                self.out.put_u8(0x80 | 127);
                self.out.put_u64(len as u64);
            }
        }
        self.out.put_slice(&mask);
        let begin = self.out.len();
        self.out.put_slice(payload);
        for four in self.out[begin..].chunks_mut(4) {
            four.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
        }
    }
}

impl<S: AsyncWrite + Unpin> WebSocket<S> {
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.out.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while !this.find_payload()? {
            this.raw.reserve(READ_BYTES);
            let reading = std::pin::pin!(this.stream.read_buf(&mut this.raw));
            if ready!(reading.poll(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        // Pongs leave with what is written next, or now.
        let _ = this.poll_out(cx)?;
        let len = this.raw.len().min(into.remaining()).min(usize::try_from(this.left).unwrap_or(usize::MAX));
        into.put_slice(&this.raw[..len]);
        this.raw.advance(len);
        this.left -= len as u64;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // One frame at a time waits here.
        ready!(self.poll_out(cx))?;
        let len = bytes.len().min(FRAME_BYTES_MAX);
        self.put_frame(BINARY, &bytes[..len]);
        // What does not go out now goes with the flush.
        let _ = self.poll_out(cx)?;
        Poll::Ready(Ok(len))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn websocket(raw: &[u8]) -> WebSocket<tokio::io::Empty> {
        WebSocket { stream: tokio::io::empty(), raw: raw.into(), left: 0, out: BytesMut::new(), mask: 1 }
    }

    #[tokio::test]
    async fn payloads_are_read_across_frames_and_a_ping_is_answered() {
        let mut socket = websocket(b"\x82\x02ab\x89\x02hi\x82\x7e\x00\x7ecd");
        let mut room = [0; 16];
        assert_eq!(socket.read(&mut room).await.unwrap(), 2);
        assert_eq!(socket.read(&mut room[2..]).await.unwrap(), 2);
        assert_eq!((&room[..4], socket.left), (&b"abcd"[..], 124));
    }

    #[test]
    fn frames_are_masked_and_say_their_length() {
        let mut socket = websocket(b"");
        for (len, head) in [(1, 2), (125, 2), (126, 4), (0xffff, 4), (0x1_0000, 10)] {
            socket.out.clear();
            socket.put_frame(BINARY, &vec![0; len]);
            assert_eq!(socket.out.len(), head + 4 + len);
            let (mask, payload) = socket.out[head..].split_at(4);
            assert!(payload.iter().enumerate().all(|(at, byte)| *byte == mask[at % 4]), "{len}");
        }
    }

    #[test]
    fn strange_frames_and_answers_are_refused() {
        for raw in [&b"\x82\x82"[..], b"\xc2\x01", b"\x81\x01a", b"\x89\x7e\x01\x00"] {
            assert!(websocket(raw).find_payload().is_err(), "{raw:?}");
        }
        assert_eq!(websocket(b"\x88\x00").find_payload().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert!(!websocket(b"\x82\x7e\x00").find_payload().unwrap());
        assert!(check(&format!("HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: {}\r\n\r\n", KEY.1)).is_ok());
        assert!(check("HTTP/1.1 101 Yes\r\nSec-WebSocket-Accept: abc\r\n\r\n").is_err());
        assert!(check("HTTP/1.1 403 No\r\n\r\n").unwrap_err().to_string().contains("403"));
    }
}
