//! From bytes to messages: frames are taken as they come, in pieces, and the rules between them are kept here.
//! [RFC6455-5.4]

use bytes::{Buf, BytesMut};

use crate::close::Close;
use crate::deflate::{Deflate, Inflated, Inflater, TAIL};
use crate::error::WsError;
use crate::frame::{Header, OpCode, unmask};
use crate::utf8::Utf8;
use crate::websocket::{Config, Kind};

/// What the input held next. Data was appended to the sink before any of these is said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Everything was taken; more must be read.
    NeedInput,
    /// The budget of this call is used up; call again.
    Full,
    /// The data appended since the last one is a whole message.
    MessageEnd(Kind),
    /// Answer with the same payload.
    Ping(BytesMut),
    /// Nothing to do.
    Pong,
    /// The last frame of the peer.
    Close(Close),
}

/// Where data goes.
pub(crate) enum Sink<'a> {
    /// Appended here, at most so many bytes in this call.
    Append(&'a mut BytesMut, usize),
    /// Nowhere: we have closed and only wait for the peer's Close.
    Discard,
}

/// The receiving half of a connection.
#[derive(Debug)]
pub(crate) struct Receiver {
    deflate: Option<Deflate>,
    /// The data frame whose payload is arriving.
    frame: Option<DataFrame>,
    /// The message whose frames are arriving.
    message: Option<Incoming>,
    /// Made by the first compressed message.
    inflater: Option<Box<Inflater>>,
}

#[derive(Debug)]
struct DataFrame {
    fin: bool,
    mask: [u8; 4],
    /// Payload bytes not yet taken from the input.
    remaining: u64,
    /// Of those, how many at the front of the input are unmasked already: inflating stopped among them.
    unmasked: usize,
    /// How much of the tail the inflater has seen, after the last payload byte of a compressed message.
    tail: usize,
}

#[derive(Debug)]
struct Incoming {
    kind: Kind,
    compressed: bool,
    /// Bytes delivered so far, after inflating.
    size: u64,
    utf8: Utf8,
}

impl Receiver {
    pub(crate) fn new(deflate: Option<Deflate>) -> Self {
        Self { deflate, frame: None, message: None, inflater: None }
    }

    pub(crate) fn deflate(&self) -> Option<&Deflate> {
        self.deflate.as_ref()
    }

    /// Drops the inflater if nothing depends on what it remembers.
    pub(crate) fn release_idle(&mut self) {
        if self.message.is_none() && self.deflate.is_none_or(|deflate| deflate.client_no_context_takeover) {
            self.inflater = None;
        }
    }

    /// Takes input until something is to be told.
    pub(crate) fn poll(&mut self, config: &Config, input: &mut BytesMut, mut sink: Sink<'_>) -> Result<Event, WsError> {
        loop {
            if self.frame.is_some() {
                if let Some(event) = self.take_payload(config, input, &mut sink)? {
                    return Ok(event);
                }
                if let Some(kind) = self.end_frame()? {
                    return Ok(Event::MessageEnd(kind));
                }
                continue;
            }
            let Some((header, header_len)) = Header::from_client(input, self.deflate.is_some())? else {
                return Ok(Event::NeedInput);
            };
            if header.opcode.is_control() {
                // At most 125 bytes: waiting for all of them costs nothing.
                if ((input.len() - header_len) as u64) < header.len {
                    return Ok(Event::NeedInput);
                }
                input.advance(header_len);
                return control(header, input);
            }
            self.begin_frame(header, config)?;
            input.advance(header_len);
        }
    }

    /// Checks a data frame's place in its message and the bounds it announces.
    fn begin_frame(&mut self, header: Header, config: &Config) -> Result<(), WsError> {
        if header.len > config.frame_bytes_max {
            return Err(WsError::FrameTooBig { len: header.len, max: config.frame_bytes_max });
        }
        let kind = match header.opcode {
            OpCode::Text => Some(Kind::Text),
            OpCode::Binary => Some(Kind::Binary),
            _ => None,
        };
        let message = match (kind, &mut self.message) {
            (None, None) => return Err(WsError::UnexpectedContinuation),
            (Some(_), Some(_)) => return Err(WsError::InterleavedMessage),
            (None, Some(message)) => message,
            (Some(kind), none) => {
                config.accepts.check(kind)?;
                none.insert(Incoming { kind, compressed: header.rsv1, size: 0, utf8: Utf8::default() })
            }
        };
        // A message that is not compressed shows early that it will be too big.
        if !message.compressed && message.size.saturating_add(header.len) > config.message_bytes_max {
            return Err(WsError::MessageTooBig { max: config.message_bytes_max });
        }
        self.frame =
            Some(DataFrame { fin: header.fin, mask: header.mask, remaining: header.len, unmasked: 0, tail: 0 });
        Ok(())
    }

    /// Takes payload of the current frame; None when all of it was taken.
    fn take_payload(
        &mut self,
        config: &Config,
        input: &mut BytesMut,
        sink: &mut Sink<'_>,
    ) -> Result<Option<Event>, WsError> {
        let frame = self.frame.as_mut().expect("called with a frame");
        let message = self.message.as_mut().expect("a frame belongs to a message");
        match sink {
            Sink::Discard => {
                let len = available(frame, input);
                frame.remaining -= len as u64;
                input.advance(len);
                message.utf8 = Utf8::default(); // its text is not judged any more
                Ok((frame.remaining > 0).then_some(Event::NeedInput))
            }
            Sink::Append(sink, budget) if message.compressed => {
                let deflate = self.deflate.as_ref().expect("RSV1 is refused unless deflate was negotiated");
                let inflater = self.inflater.get_or_insert_with(|| Box::new(Inflater::new(deflate)));
                take_compressed(frame, message, inflater, config, input, sink, budget)
            }
            Sink::Append(sink, budget) => take_plain(frame, message, input, sink, budget),
        }
    }

    /// The current frame is complete. Gives the kind of the message when it was its last one.
    fn end_frame(&mut self) -> Result<Option<Kind>, WsError> {
        let frame = self.frame.take().expect("called with a frame");
        if !frame.fin {
            return Ok(None);
        }
        let message = self.message.take().expect("a frame belongs to a message");
        message.utf8.finish()?;
        if let (true, Some(deflate), Some(inflater)) = (message.compressed, &self.deflate, &mut self.inflater) {
            inflater.end_message(deflate);
        }
        Ok(Some(message.kind))
    }
}

fn control(header: Header, input: &mut BytesMut) -> Result<Event, WsError> {
    let mut payload = input.split_to(header.len as usize);
    let mut mask = header.mask;
    unmask(&mut payload, &mut mask);
    match header.opcode {
        OpCode::Close => Close::from_payload(&payload).map(Event::Close),
        OpCode::Ping => Ok(Event::Ping(payload)),
        _ => Ok(Event::Pong),
    }
}

/// How many bytes of the input belong to the frame.
fn available(frame: &DataFrame, input: &BytesMut) -> usize {
    usize::try_from(frame.remaining).unwrap_or(usize::MAX).min(input.len())
}

fn take_plain(
    frame: &mut DataFrame,
    message: &mut Incoming,
    input: &mut BytesMut,
    sink: &mut BytesMut,
    budget: &mut usize,
) -> Result<Option<Event>, WsError> {
    let len = available(frame, input).min(*budget);
    let start = sink.len();
    sink.extend_from_slice(&input[..len]);
    input.advance(len);
    unmask(&mut sink[start..], &mut frame.mask);
    frame.remaining -= len as u64;
    *budget -= len;
    message.count(&sink[start..]).inspect_err(|_| sink.truncate(start))?;
    Ok(match frame.remaining {
        0 => None,
        _ if input.is_empty() => Some(Event::NeedInput),
        _ => Some(Event::Full),
    })
}

fn take_compressed(
    frame: &mut DataFrame,
    message: &mut Incoming,
    inflater: &mut Inflater,
    config: &Config,
    input: &mut BytesMut,
    sink: &mut BytesMut,
    budget: &mut usize,
) -> Result<Option<Event>, WsError> {
    let len = available(frame, input);
    unmask(&mut input[frame.unmasked..len], &mut frame.mask);
    frame.unmasked = len;
    loop {
        if frame.remaining == 0 && frame.fin && inflater.ended() {
            frame.tail = TAIL.len();
        }
        let data = match frame.remaining {
            0 if frame.fin => &TAIL[frame.tail..],
            _ => &input[..frame.unmasked],
        };
        if data.is_empty() && !inflater.pending() {
            return Ok((frame.remaining > 0).then_some(Event::NeedInput));
        }
        if *budget == 0 {
            return Ok(Some(Event::Full));
        }
        // One byte above the limit is enough to know: this stops a bomb while it inflates.
        let allowed = (config.message_bytes_max - message.size).saturating_add(1);
        let room = usize::try_from(allowed).unwrap_or(usize::MAX).min(*budget);
        let Inflated { consumed, produced } = inflater.step(data, sink, room)?;
        if frame.remaining > 0 {
            frame.remaining -= consumed as u64;
            frame.unmasked -= consumed;
            input.advance(consumed);
        } else {
            frame.tail += consumed;
        }
        *budget -= produced;
        let start = sink.len() - produced;
        message.count(&sink[start..]).inspect_err(|_| sink.truncate(start))?;
        if message.size > config.message_bytes_max {
            return Err(WsError::MessageTooBig { max: config.message_bytes_max });
        }
    }
}

impl Incoming {
    fn count(&mut self, data: &[u8]) -> Result<(), WsError> {
        self.size += data.len() as u64;
        match self.kind {
            Kind::Text => self.utf8.feed(data),
            Kind::Binary => Ok(()),
        }
    }
}
