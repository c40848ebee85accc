//! Queues with names, exchanges, vhosts: what AMQP, STOMP and shared subscriptions call.
//!
//! The calls of one connection, in order:
//!
//! ```
//! use motet_core::core::broker::QueueDeclaration;
//! use motet_core::core::{Core, CoreLimits, Outcome, Publisher};
//! use motet_core::exchange::{Arguments, ExchangeConfig, ExchangeKind};
//! use motet_core::fake::FakeEngine;
//! use motet_core::mailbox::{Mailbox, Overflow, Pulled};
//! use motet_core::message::{BatchBuilder, FaceId, MessageParts, Reliability};
//! use motet_core::principal::Principal;
//! use motet_core::queue::ConsumerOptions;
//! use motet_core::time::Now;
//! use motet_core::transaction::Settlement;
//!
//! let (core, now) = (Core::new(FakeEngine::default(), CoreLimits::default()), Now::default());
//! let mailbox = Mailbox::new(1 << 20, Overflow::DropNewest);
//! const CONNECTION: u64 = 7; // unique per live connection: owns exclusive queues
//!
//! // 1. Where: the vhost the client asked for.
//! let vhost = core.find_vhost("/").unwrap();
//!
//! // 2. Declare and bind. What touches a durable thing gives a position: answer when it is durable
//! //    (`core.wake_when_durable(position, &mailbox)`).
//! core.declare_exchange(now, &vhost, b"orders", ExchangeConfig::durable(ExchangeKind::Topic)).unwrap();
//! let declaration = QueueDeclaration { durable: true, ..QueueDeclaration::default() };
//! let declared = core.declare_queue(now, &vhost, b"eu", declaration, CONNECTION).unwrap();
//! let queue = declared.queue; // its name, its arguments, its numbers
//! core.bind_queue(now, &vhost, b"orders", &queue, b"eu.#", Arguments::default()).unwrap();
//!
//! // 3. Publish: `exchange` is cached per (exchange, key); its `name` is the address of the batch.
//! let mut publisher = Publisher::new(&core, Principal::anonymous(), None).in_vhost(&vhost);
//! let known = publisher.exchange(b"orders", b"eu.new").unwrap().clone();
//! let mut builder = BatchBuilder::new();
//! builder.push(MessageParts { payload: b"one", reliability: Reliability::ExactlyOnce, ..MessageParts::default() });
//! let batch = builder.finish(known.name.clone(), publisher.id(), FaceId::NONE);
//! let receipt = core.publish(now, &publisher, &known, batch, None);
//! assert_eq!(receipt.outcome, Outcome::Accepted); // Unroutable: `mandatory`; Rejected: nack
//!
//! // 4. Consume: the mailbox says which consumer has something, by the tag it was given.
//! let consumer = core.consume(now, &queue, &mailbox, ConsumerOptions::default(), 42).unwrap();
//! let mut pulled = Pulled::default();
//! mailbox.pull(&mut pulled);
//! assert_eq!((pulled.ready[0].consumer, pulled.ready[0].tag), (consumer, 42));
//! let mut taken = Vec::new();
//! while core.take_from(now, &pulled.ready[0].queue, consumer, 100, 1 << 20, &mut taken).more {}
//! assert_eq!(taken[0].queued.message.payload(), b"one");
//!
//! // 5. Settle: any mix of queues, consumers and ways in one atomic group.
//! use motet_core::core::broker::Settle;
//! let settle = Settle { queue: queue.clone(), consumer, seq: taken[0].seq, settlement: Settlement::Ack };
//! assert_eq!(core.settle_many(now, &[settle]).unknown, 0);
//!
//! // 6. The end of a channel: what its consumers hold goes back. The end of a connection: its exclusive queues go.
//! core.leave(now, &queue, consumer, motet_core::queue::Leaving::Orderly);
//! core.delete_exclusive(now, &vhost, CONNECTION);
//! ```
//!
//! **Addresses.** A message carries one address, from which exchange and key come back byte for byte
//! ([`exchange_and_key`]): a name of the topic tree is `amq.topic`, `$queue/<q>` is the default exchange, all others are
//! `$exchange/<e>/<words of the key>`. A dead letter has the address it was last published to, so take exchange and key
//! from there and not from what the publisher said; what it said of its expiry is void too
//! ([`Message::expires_at`](crate::message::Message::expires_at) holds). Its deaths are
//! [`Properties::deaths`](crate::message::Properties::deaths).
//!
//! **Locks.** A stage first, then a vhost's topology, then one queue at a time; the tree's own locks inside of any.
//!
//! | file | idea |
//! |---|---|
//! | `named.rs`, `arguments.rs`, `error.rs` | a queue with a name; what its arguments mean; refusals |
//! | `queues.rs`, `exchanges.rs`, `vhosts.rs` | declare, bind, delete |
//! | `records.rs` | how they are written down |
//! | `address.rs`, `routing.rs` | exchange and key as a name; who receives |
//! | `consumers.rs` | consume, get, settle, leave |
//! | `streams.rs` | append and read |
//! | `put_off.rs` | what a delayed exchange holds back |
//! | `dead.rs` | what becomes of a message that died |
//! | `commit.rs` | transactions |
//! | `restore.rs` | a start |

mod address;
mod arguments;
mod commit;
mod consumers;
mod dead;
mod error;
mod exchanges;
mod fitting;
mod named;
mod put_off;
mod queues;
mod records;
mod restore;
mod routing;
mod streams;
mod vhosts;

pub(super) use address::TREE_EXCHANGE;
pub use address::{address_of, exchange_and_key};
pub use arguments::age_ms;
pub use commit::{Committed, TxMessage, TxQueue};
pub use consumers::{Got, Settle, Settled};
pub use error::{ArgumentError, PublishError, QueueError, VhostError};
pub(super) use named::check_policy;
pub use named::{NamedQueue, QueueDeclaration};
pub use queues::{Declared, QueueTotals};

pub(crate) use address::{canonical, names_keys, without_bcc};
pub(super) use dead::Letter;
pub(super) use put_off::set_off;
pub(crate) use routing::{route_exchange, route_name};
pub(crate) use streams::StreamPart;
pub(super) use streams::{Appended, trim};
