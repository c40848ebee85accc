//! Bytes to and from a server, over TCP or TLS, and WebSocket on either.

use crate::options::Options;
use crate::websocket::WebSocket;
use bytes::{Buf as _, BytesMut};
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;

/// Read at least so many bytes at a time, and so many at most when there is more.
const READ_BYTES: (usize, usize) = (1 << 10, 256 << 10);

trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// WebSocket, where it was asked for.
async fn upgraded<S: Carrier + 'static>(stream: S, options: &Options) -> io::Result<Box<dyn Carrier>> {
    Ok(match &options.websocket {
        None => Box::new(stream),
        Some(path) => Box::new(WebSocket::open(stream, &options.address, path).await?),
    })
}

/// The carrier, with what was read and not taken, and what is to be written.
pub(crate) struct Pipe {
    carrier: Box<dyn Carrier>,
    pub(crate) input: BytesMut,
    /// To be written.
    pub(crate) out: BytesMut,
    /// How many bytes the frame at the front of the input has, as far as that is known.
    frame_len: fn(&[u8]) -> Option<usize>,
}

impl Pipe {
    /// Connects.
    pub(crate) async fn open(options: &Options, frame_len: fn(&[u8]) -> Option<usize>) -> io::Result<Self> {
        let stream = TcpStream::connect(&options.address).await?;
        stream.set_nodelay(true)?;
        let carrier: Box<dyn Carrier> = match &options.tls {
            None => upgraded(stream, options).await?,
            Some(tls) => {
                let connector = tokio_rustls::TlsConnector::from(tls.config.clone());
                upgraded(connector.connect(tls.name.clone(), stream).await?, options).await?
            }
        };
        Ok(Pipe { carrier, input: BytesMut::new(), out: BytesMut::new(), frame_len })
    }

    /// Writes all of the output.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Writes and reads until something was read, or all output is written. Can be dropped at any time.
    pub(crate) async fn pump(&mut self) -> io::Result<()> {
        let had_output = !self.out.is_empty();
        poll_fn(|cx| {
            let written = self.poll_write(cx)?.is_ready();
            let read = self.poll_read(cx)?.is_ready();
            if read || (had_output && written) { Poll::Ready(Ok(())) } else { Poll::Pending }
        })
        .await
    }

    fn poll_write(&mut self, cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.carrier).poll_write(cx, &self.out)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => self.out.advance(written),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut self.carrier).poll_flush(cx)
    }

    fn poll_read(&mut self, cx: &mut std::task::Context<'_>) -> Poll<io::Result<()>> {
        if self.input.is_empty() && self.input.capacity() > READ_BYTES.1 {
            self.input = BytesMut::new();
        }
        let missing = (self.frame_len)(&self.input).unwrap_or(0);
        let least = READ_BYTES.0.max(missing.saturating_sub(self.input.len()));
        if self.input.capacity() - self.input.len() < least {
            // What filled its room the last time gets twice of it.
            self.input.reserve(least.max((self.input.len() * 2).min(READ_BYTES.1)));
        }
        let read = std::task::ready!(pin!(self.carrier.read_buf(&mut self.input)).poll(cx))?;
        if read == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")));
        }
        Poll::Ready(Ok(()))
    }
}
