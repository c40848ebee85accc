//! A client's end of AMQP 0-9-1: one connection with one channel.

use crate::connection::{ANSWER_TIMEOUT, ClientError};
use crate::options::Options;
use crate::pipe::Pipe;
use bytes::{Buf as _, BytesMut};
use motet_amqp::v091::packet::{
    FieldTable, Frame, FrameKind, LongString, Method, MethodFields, PROTOCOL_HEADER, Reserved, basic, channel, confirm,
    connection, exchange, frame, frame_len, put_method, queue,
};
use std::time::Duration;
use tokio::time::timeout;

/// The channel of everything.
pub(super) const CHANNEL: u16 = 1;
/// The frames that we offer to take, in bytes.
const FRAME_MAX: u32 = 131_072;

/// An open connection with an open channel.
pub(super) struct Connection {
    pub(super) pipe: Pipe,
    /// Bytes of the largest frame.
    pub(super) frame_max: u32,
}

/// What a server sends besides bodies.
pub(super) enum Heard<'a> {
    Method(Method<'a>),
    /// A header: bytes of the body behind it.
    Header(u64),
    Body(&'a [u8]),
}

impl Connection {
    /// Connects and is let in.
    pub(super) async fn open(options: &Options) -> Result<Self, ClientError> {
        timeout(ANSWER_TIMEOUT, Self::open_patiently(options)).await.unwrap_or(Err(ClientError::Silent("AMQP")))
    }

    async fn open_patiently(options: &Options) -> Result<Self, ClientError> {
        let pipe = Pipe::open(options, frame_len).await?;
        let mut it = Connection { pipe, frame_max: FRAME_MAX };
        it.pipe.out.extend_from_slice(&PROTOCOL_HEADER);
        it.answer("Start", |_| ()).await?;
        let (user, password) = (options.user.as_deref().unwrap_or("guest"), options.password.as_deref());
        let response = [b"\0", user.as_bytes(), b"\0", password.unwrap_or(b"guest")].concat();
        let start_ok = connection::StartOk {
            client_properties: FieldTable::EMPTY,
            mechanism: "PLAIN",
            response: LongString(&response),
            locale: "en_US",
        };
        it.say(0, &start_ok);
        let (channel_max, frame_max) = it
            .answer("Tune", |method| match method {
                Method::Connection(connection::Method::Tune(tune)) => (tune.channel_max, tune.frame_max),
                _ => (0, 0),
            })
            .await?;
        it.frame_max = if frame_max == 0 { FRAME_MAX } else { frame_max.min(FRAME_MAX) };
        it.say(0, &connection::TuneOk { channel_max, frame_max: it.frame_max, heartbeat: 0 });
        let virtual_host = options.vhost.as_str();
        it.say(0, &connection::Open { virtual_host, reserved_1: Reserved::NONE, reserved_2: Reserved::NONE });
        it.answer("OpenOk", |_| ()).await?;
        it.say(CHANNEL, &channel::Open { reserved_1: Reserved::NONE });
        it.answer("OpenOk", |_| ()).await?;
        Ok(it)
    }

    /// Writes a method.
    pub(super) fn say(&mut self, channel: u16, method: &impl MethodFields) {
        put_method(&mut self.pipe.out, channel, method);
    }

    /// Makes a queue that this run will delete.
    pub(super) async fn declare(&mut self, queue: &str, durable: bool) -> Result<(), ClientError> {
        let declare = queue::Declare {
            reserved_1: Reserved::NONE,
            queue,
            passive: false,
            durable,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: FieldTable::EMPTY,
        };
        self.say(CHANNEL, &declare);
        self.answer("DeclareOk", |_| ()).await
    }

    /// Makes a fan-out exchange.
    pub(super) async fn declare_fanout(&mut self, exchange: &str) -> Result<(), ClientError> {
        let declare = exchange::Declare {
            reserved_1: Reserved::NONE,
            exchange,
            kind: "fanout",
            passive: false,
            durable: false,
            auto_delete: false,
            internal: false,
            no_wait: false,
            arguments: FieldTable::EMPTY,
        };
        self.say(CHANNEL, &declare);
        self.answer("DeclareOk", |_| ()).await
    }

    pub(super) async fn bind(&mut self, queue: &str, exchange: &str) -> Result<(), ClientError> {
        let (reserved_1, arguments) = (Reserved::NONE, FieldTable::EMPTY);
        self.say(CHANNEL, &queue::Bind { reserved_1, queue, exchange, routing_key: b"", no_wait: false, arguments });
        self.answer("BindOk", |_| ()).await
    }

    pub(super) async fn delete(&mut self, queue: &str) -> Result<(), ClientError> {
        let reserved_1 = Reserved::NONE;
        self.say(CHANNEL, &queue::Delete { reserved_1, queue, if_unused: false, if_empty: false, no_wait: false });
        self.answer("DeleteOk", |_| ()).await
    }

    pub(super) async fn delete_exchange(&mut self, exchange: &str) -> Result<(), ClientError> {
        self.say(CHANNEL, &exchange::Delete { reserved_1: Reserved::NONE, exchange, if_unused: false, no_wait: false });
        self.answer("DeleteOk", |_| ()).await
    }

    pub(super) async fn confirm(&mut self) -> Result<(), ClientError> {
        self.say(CHANNEL, &confirm::Select { no_wait: false });
        self.answer("SelectOk", |_| ()).await
    }

    /// Consumes; deliveries may come at once.
    pub(super) async fn consume(&mut self, queue: &str, no_ack: bool, prefetch: u16) -> Result<(), ClientError> {
        if !no_ack {
            self.say(CHANNEL, &basic::Qos { prefetch_size: 0, prefetch_count: prefetch, global: false });
            self.answer("QosOk", |_| ()).await?;
        }
        let consume = basic::Consume {
            reserved_1: Reserved::NONE,
            queue,
            consumer_tag: "bench",
            no_local: false,
            no_ack,
            exclusive: false,
            no_wait: false,
            arguments: FieldTable::EMPTY,
        };
        self.say(CHANNEL, &consume);
        self.answer("ConsumeOk", |_| ()).await
    }

    /// Writes what is to be said and waits for the method of this name, which nothing else may precede.
    async fn answer<T>(&mut self, name: &'static str, read: impl FnOnce(&Method<'_>) -> T) -> Result<T, ClientError> {
        let arrived = timeout(ANSWER_TIMEOUT, async {
            self.pipe.flush().await?;
            while next(&self.pipe.input)?.is_none() {
                self.pipe.pump().await?;
            }
            Ok::<_, ClientError>(())
        });
        arrived.await.unwrap_or(Err(ClientError::Silent(name)))?;
        let found = next(&self.pipe.input)?.expect("it has just been found");
        let Heard::Method(method) = heard(found)? else { return Err(unexpected(&"a content")) };
        let (_, told) = method.tell(&mut |_, _| {});
        if told != name {
            return Err(unexpected(&told));
        }
        let (len, read) = (found.len(), read(&method));
        self.pipe.input.advance(len);
        Ok(read)
    }

    /// Gives everything complete to `each`, with the output to answer into.
    pub(super) fn take(
        &mut self,
        mut each: impl FnMut(Heard<'_>, &mut BytesMut) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let mut taken = 0;
        while let Some(found) = next(&self.pipe.input[taken..])? {
            taken += found.len();
            if found.kind != FrameKind::Heartbeat.number() {
                each(heard(found)?, &mut self.pipe.out)?;
            }
        }
        self.pipe.input.advance(taken);
        Ok(())
    }

    /// Says goodbye and waits until the server has closed the connection, but not for ever.
    pub(super) async fn close(mut self) {
        self.say(0, &connection::Close { reply_code: 200, reply_text: "done", class_id: 0, method_id: 0 });
        let _ = timeout(Duration::from_secs(1), async {
            self.pipe.flush().await?;
            loop {
                self.pipe.input.clear();
                self.pipe.pump().await?;
            }
            #[allow(unreachable_code, reason = "names the error's type")]
            Ok::<(), std::io::Error>(())
        })
        .await;
    }
}

pub(super) fn unexpected(what: &dyn std::fmt::Display) -> ClientError {
    ClientError::Amqp(format!("{what} has no place here"))
}

fn next(input: &[u8]) -> Result<Option<Frame<'_>>, ClientError> {
    frame(input, FRAME_MAX).map_err(|error| ClientError::Amqp(error.to_string()))
}

fn heard(found: Frame<'_>) -> Result<Heard<'_>, ClientError> {
    let wrong = |error: &dyn std::fmt::Display| ClientError::Amqp(error.to_string());
    Ok(match FrameKind::from_wire(found.kind) {
        Some(FrameKind::Body) => Heard::Body(found.payload),
        Some(FrameKind::Header) => {
            let header = motet_amqp::v091::packet::ContentHeader::decode(found.payload).map_err(|e| wrong(&e))?;
            Heard::Header(header.body_size)
        }
        Some(FrameKind::Method) => match Method::decode(found.payload).map_err(|e| wrong(&e))? {
            Method::Connection(connection::Method::Close(close)) => {
                let (code, text) = (close.reply_code, close.reply_text.to_owned());
                return Err(ClientError::Closed { what: "connection", code, text });
            }
            Method::Channel(channel::Method::Close(close)) => {
                let (code, text) = (close.reply_code, close.reply_text.to_owned());
                return Err(ClientError::Closed { what: "channel", code, text });
            }
            method => Heard::Method(method),
        },
        _ => return Err(unexpected(&"a frame of another kind")),
    })
}
