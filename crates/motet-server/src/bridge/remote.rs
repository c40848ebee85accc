//! The other side of a bridge: TCP, TLS where asked for, CONNECT and its answer.

use super::task::Trouble;
use bytes::{Buf as _, BytesMut};
use motet_mqtt::bridge::{Accepted, Hello};
use motet_mqtt::packet::frame;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::future::Future as _;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// From the first packet of TCP to the answer to CONNECT.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// Room for a read.
const READ_BYTES: usize = 64 << 10;

trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// A connection to the other server.
pub(super) struct Remote {
    carrier: Box<dyn Carrier>,
    pub(super) input: BytesMut,
    pub(super) out: BytesMut,
}

impl Remote {
    /// Connects and is accepted.
    pub(super) async fn open(
        host: &str,
        port: u16,
        tls: Option<&Arc<ClientConfig>>,
        hello: &Hello,
        packet_bytes_max: u32,
    ) -> Result<(Self, Accepted), Trouble> {
        let opened = timeout(CONNECT_TIMEOUT, async {
            let stream = TcpStream::connect((host, port)).await?;
            stream.set_nodelay(true)?;
            let carrier: Box<dyn Carrier> = match tls {
                None => Box::new(stream),
                Some(config) => {
                    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                    Box::new(tokio_rustls::TlsConnector::from(config.clone()).connect(name, stream).await?)
                }
            };
            let mut remote = Remote { carrier, input: BytesMut::new(), out: BytesMut::new() };
            hello.connect(&mut remote.out);
            remote.flush().await?;
            loop {
                if let Some(frame) = frame(&remote.input, packet_bytes_max).map_err(Trouble::decode)? {
                    let (accepted, len) = (hello.accepted(frame)?, frame.bytes.len());
                    remote.input.advance(len);
                    return Ok((remote, accepted));
                }
                std::future::poll_fn(|cx| remote.poll_read(cx)).await?;
            }
        });
        opened.await.unwrap_or(Err(Trouble::Silent))
    }

    /// Writes all that waits.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_write(cx)).await
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.carrier).poll_write(cx, &self.out)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => self.out.advance(written),
                Poll::Pending => return Poll::Pending,
            }
        }
        Pin::new(&mut self.carrier).poll_flush(cx)
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.input.capacity() - self.input.len() < READ_BYTES / 4 {
            self.input.reserve(READ_BYTES);
        }
        let read = std::task::ready!(pin!(self.carrier.read_buf(&mut self.input)).poll(cx))?;
        match read {
            0 => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other server closed the connection")))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}
