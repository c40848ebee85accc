//! A message on its way in: method, header, body, over however many frames [4.2.6].

use super::running::Running;
use crate::v091::config::Config;
use crate::v091::error::{Failure, ReplyCode};
use crate::v091::packet::{CLASS_BASIC, ContentHeader, Frame, FrameKind, MethodId, basic, frame};
use bytes::BytesMut;
use motet_core::engine::Engine;
use motet_core::machine::Context;

/// Room for a body is made as it comes, at most this much ahead.
const AHEAD_BYTES_MAX: u64 = 64 * 1024;

/// What of a basic.publish is needed once its body is there.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) exchange: Box<str>,
    pub(super) key: Box<[u8]>,
    pub(super) mandatory: bool,
}

/// Which frame of a content comes next.
#[derive(Debug)]
pub(super) enum Content {
    /// A method.
    None,
    /// The header.
    AwaitHeader(Publishing),
    /// More of the body.
    AwaitBody {
        publishing: Publishing,
        /// Flags and properties as they came.
        raw: Box<[u8]>,
        /// Bytes of the whole body.
        size: u64,
        body: BytesMut,
    },
}

impl Content {
    /// Bytes that have been announced.
    pub(super) fn announced(&self) -> u64 {
        match self {
            Content::AwaitBody { size, .. } => *size,
            Content::None | Content::AwaitHeader(_) => 0,
        }
    }

    /// What is wrong with a method now, when something is.
    pub(super) fn unexpected_method(&self) -> Option<Failure> {
        let text = match self {
            Content::None => return None,
            Content::AwaitHeader(_) => "expected content header for class 60, got non content header frame instead",
            Content::AwaitBody { .. } => "expected content body, got non content body frame instead",
        };
        // It is the publication that was broken off.
        Some(Failure::new(ReplyCode::UnexpectedFrame, text).by(MethodId::of::<basic::Publish<'_>>()))
    }
}

/// A content that lies whole in the buffer behind its method.
pub(super) struct Whole<'a> {
    pub(super) header: ContentHeader<'a>,
    pub(super) body: &'a [u8],
    /// Bytes of its frames.
    pub(super) len: usize,
}

/// The content at the front of `rest`, when it is there whole, in one body frame at most, and in order. Anything else
/// takes the way frame by frame, where its mistakes are found.
pub(super) fn whole<'a>(rest: &'a [u8], channel: u16, frame_max: u32) -> Option<Whole<'a>> {
    let of_kind = |bytes: &'a [u8], kind: FrameKind| {
        let found = frame(bytes, frame_max).ok()??;
        (found.channel == channel && found.kind == kind.number()).then_some(found)
    };
    let head = of_kind(rest, FrameKind::Header)?;
    let header = ContentHeader::decode(head.payload).ok()?;
    if header.class != CLASS_BASIC || header.weight != 0 {
        return None;
    }
    if header.body_size == 0 {
        return Some(Whole { header, body: &[], len: head.len() });
    }
    let body = of_kind(&rest[head.len()..], FrameKind::Body)?;
    let is_all = body.payload.len() as u64 == header.body_size;
    is_all.then(|| Whole { header, body: body.payload, len: head.len() + body.len() })
}

/// A body may be as large as the operator allows.
pub(super) fn check_size(config: &Config, size: u64) -> Result<(), Failure> {
    let max = config.message_bytes_max;
    if size > max {
        let text = format!("message size {size} is larger than configured max size {max}");
        return Err(Failure::new(ReplyCode::PreconditionFailed, text));
    }
    Ok(())
}

/// A header or body that no method has announced.
fn stray() -> Failure {
    Failure::new(ReplyCode::UnexpectedFrame, "expected method frame, got non method frame instead")
}

impl Running {
    /// A header or a part of a body.
    pub(super) fn content_frame<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        kind: FrameKind,
        frame: Frame<'_>,
    ) -> Result<(), Failure> {
        let number = frame.channel;
        let by_publish = |failure: Failure| failure.by(MethodId::of::<basic::Publish<'_>>());
        let Some(channel) = self.channels.get_mut(&number) else {
            return Err(stray());
        };
        if channel.is_closing {
            return Ok(());
        }
        match (std::mem::replace(&mut channel.content, Content::None), kind) {
            (Content::AwaitHeader(publishing), FrameKind::Header) => {
                self.header(config, cx, number, publishing, frame.payload).map_err(by_publish)
            }
            (Content::AwaitBody { publishing, raw, size, body }, FrameKind::Body) => {
                self.body(config, cx, number, (publishing, raw, size, body), frame.payload).map_err(by_publish)
            }
            (Content::None, _) => Err(stray()),
            (content, _) => Err(content.unexpected_method().expect("a content is awaited")),
        }
    }

    fn header<E: Engine>(
        &mut self,
        config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        publishing: Publishing,
        payload: &[u8],
    ) -> Result<(), Failure> {
        let header = ContentHeader::decode(payload)?;
        if header.class != CLASS_BASIC {
            let text = format!("expected content header for class 60, got one for class {} instead", header.class);
            return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
        }
        if header.weight != 0 {
            let text = "expected content header for class 60, got non content header frame instead";
            return Err(Failure::new(ReplyCode::UnexpectedFrame, text));
        }
        check_size(config, header.body_size)?;
        if header.body_size == 0 {
            return self.message(cx, number, &publishing.as_ref(), header.raw, &[]);
        }
        let size = header.body_size;
        if self.partial_bytes.saturating_add(size) > Self::partial_bytes_max(config) {
            return Err(Failure::new(ReplyCode::ResourceError, "too many messages are being received at once"));
        }
        self.partial_bytes += size;
        let body = BytesMut::with_capacity(size.min(AHEAD_BYTES_MAX) as usize);
        let raw = header.raw.into();
        self.channel(number).content = Content::AwaitBody { publishing, raw, size, body };
        Ok(())
    }

    fn body<E: Engine>(
        &mut self,
        _config: &Config,
        cx: &mut Context<'_, E>,
        number: u16,
        (publishing, raw, size, mut body): (Publishing, Box<[u8]>, u64, BytesMut),
        payload: &[u8],
    ) -> Result<(), Failure> {
        let left = size - body.len() as u64;
        if payload.len() as u64 > left {
            self.partial_bytes -= size;
            return Err(Failure::new(ReplyCode::FrameError, "content body frame exceeds remaining content size"));
        }
        body.extend_from_slice(payload);
        if (body.len() as u64) < size {
            self.channel(number).content = Content::AwaitBody { publishing, raw, size, body };
            return Ok(());
        }
        self.partial_bytes -= size;
        self.message(cx, number, &publishing.as_ref(), &raw, &body)
    }
}
