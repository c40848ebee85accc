//! A core in memory and a process that is none, to ask the API in tests.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use crate::{Api, Asker, ConnectionSeen, ListenerSeen, Method, Node, NodeFigures, Request, Response};
use bytes::Bytes;
use motet_auth::Tags;
use motet_core::conversation::Conversation;
use motet_core::core::{Core, CoreLimits};
use motet_core::fake::FakeEngine;
use motet_core::message::Value as Field;
use motet_core::principal::Principal;
use motet_core::time::{Instant, Now, WallMillis};
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An API with what is below it.
pub(crate) struct Bench {
    pub(crate) core: Arc<Core<FakeEngine>>,
    pub(crate) node: Arc<FakeNode>,
    pub(crate) api: Api<FakeEngine>,
}

/// A process whose time is a number and whose disk turns whenever somebody waits.
pub(crate) struct FakeNode {
    core: Arc<Core<FakeEngine>>,
    pub(crate) wall_ms: AtomicU64,
    pub(crate) figures: Mutex<NodeFigures>,
    pub(crate) connections: Mutex<Vec<ConnectionSeen>>,
    pub(crate) closed: Mutex<Vec<(u64, String)>>,
}

impl Node for FakeNode {
    fn now(&self) -> Now {
        let ms = self.wall_ms.load(Ordering::Relaxed);
        Now { instant: Instant::from_nanos(ms * 1_000_000), wall: WallMillis(ms) }
    }

    fn pause(&self) {
        for completion in self.core.engine().step() {
            self.core.complete(completion);
        }
    }

    fn figures(&self) -> NodeFigures {
        self.figures.lock().clone()
    }

    fn listeners(&self) -> Vec<ListenerSeen> {
        [("amqp", "127.0.0.1:5672"), ("mqtt", "127.0.0.1:1883"), ("http", "127.0.0.1:15672")]
            .map(|(protocol, address)| ListenerSeen { protocol, address: address.parse().unwrap() })
            .into()
    }

    fn connections(&self, visit: &mut dyn FnMut(ConnectionSeen)) {
        self.connections.lock().iter().cloned().for_each(visit);
    }

    fn close(&self, id: u64, reason: &str) -> bool {
        self.closed.lock().push((id, reason.into()));
        true
    }

    fn tags(&self, _: &str) -> Tags {
        Tags::NONE
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        let core = Arc::new(Core::new(FakeEngine::default(), CoreLimits::default()));
        let figures = NodeFigures {
            name: "motet@here".into(),
            version: "1.2.3".into(),
            uptime_ms: 5_000,
            ..NodeFigures::default()
        };
        let node = Arc::new(FakeNode {
            core: core.clone(),
            wall_ms: AtomicU64::new(1_000_000),
            figures: Mutex::new(figures),
            connections: Mutex::default(),
            closed: Mutex::default(),
        });
        Bench { api: Api::new(core.clone(), node.clone()), core, node }
    }

    /// Asks as somebody with these tags. The path is as on the wire, with its query.
    pub(crate) fn ask_as(&self, user: &str, tags: &str, method: &str, path: &str, body: &str) -> Response {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let method = Method::from_name(method);
        let request = Request::read(method, path, query, Bytes::copy_from_slice(body.as_bytes())).unwrap();
        let asker = Asker { principal: Principal::named(user), tags: Tags::read(tags).unwrap() };
        self.api.answer(&request, Some(&asker))
    }

    /// Asks as an administrator.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Response {
        self.ask_as("guest", "administrator", method, path, body)
    }

    /// What an administrator is told.
    pub(crate) fn get(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.told()
    }

    /// The status of what an administrator does.
    pub(crate) fn status(&self, method: &str, path: &str, body: &str) -> u16 {
        self.ask(method, path, body).status
    }
}

impl Response {
    pub(crate) fn told(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }
}

/// A connection of AMQP with one channel, from port 40000 and its number.
pub(crate) fn connection(id: u64, user: &str) -> ConnectionSeen {
    let mut conversation = Conversation::default();
    conversation.protocol = "AMQP 0-9-1";
    conversation.user = user.into();
    conversation.vhost = "/".into();
    conversation.mechanism = "PLAIN";
    conversation.client_properties = vec![("connection_name".into(), Field::Text("me".into()))];
    conversation.open(1);
    ConnectionSeen {
        id,
        carrier: "amqp",
        encrypted: false,
        peer: Some(([127, 0, 0, 1], 40_000 + id as u16).into()),
        local: Some(([127, 0, 0, 1], 5_672).into()),
        since: WallMillis(1_000),
        bytes: (10, 20),
        conversation: Some(Arc::new(conversation)),
    }
}
