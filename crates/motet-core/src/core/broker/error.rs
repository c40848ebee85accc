//! Refusals. The number in a comment is the AMQP 0-9-1 reply code a face answers with.

use crate::exchange::RouteError;

/// An `x-` argument that is not of its form. // 406 PRECONDITION_FAILED
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("argument '{name}' is {value}, it wants {wants}")]
pub struct ArgumentError {
    /// Which argument.
    pub name: Box<str>,
    /// What it is.
    pub value: String,
    /// What it should be.
    pub wants: &'static str,
}

/// Why a queue was not declared, found or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueueError {
    /// Passive declaration of something that is not there. // 404 NOT_FOUND
    #[error("there is no queue '{0}'")]
    NotFound(String),
    /// It belongs to another connection. // 405 RESOURCE_LOCKED
    #[error("queue '{0}' is exclusive to another connection")]
    Locked(String),
    /// It exists with another property. // 406 PRECONDITION_FAILED
    #[error("queue '{queue}' has {property} {declared}, the declaration asks for {asked}")]
    Mismatch {
        /// Which queue.
        queue: String,
        /// The first property that differs.
        property: String,
        /// What it is.
        declared: String,
        /// What was asked for.
        asked: String,
    },
    /// See [`ArgumentError`]. // 406 PRECONDITION_FAILED
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// A queue of its type cannot be this. // 406 PRECONDITION_FAILED
    #[error("a queue of this type cannot be {0}")]
    Property(&'static str),
    /// The argument means nothing for a queue of its type. // 406 PRECONDITION_FAILED
    #[error("argument '{argument}' means nothing for a {queue_type} queue")]
    NotForType {
        /// Which argument.
        argument: Box<str>,
        /// The type asked for.
        queue_type: &'static str,
    },
    /// A name of the server's own choice is for queues that go again. // 406 PRECONDITION_FAILED
    #[error("a {0} queue wants a name")]
    Nameless(&'static str),
    /// A key for dead letters, and no exchange for them. // 406 PRECONDITION_FAILED
    #[error("x-dead-letter-routing-key wants x-dead-letter-exchange")]
    KeyWithoutExchange,
    /// Names that begin with `amq.` are the broker's. // 403 ACCESS_REFUSED
    #[error("names that begin with 'amq.' are reserved")]
    Reserved,
    /// The name does not fit a name. // 502 SYNTAX_ERROR
    #[error("the queue's name is longer than {NAME_BYTES_MAX} bytes")]
    NameTooLong,
    /// See [`crate::queue::DeleteRefused`]. // 406 PRECONDITION_FAILED
    #[error(transparent)]
    NotDeleted(#[from] crate::queue::DeleteRefused),
    /// The vhost holds as many as it may. // 506 RESOURCE_ERROR
    #[error("the limit of {0} queues is reached")]
    Limit(u64),
    /// The vhost is being deleted. // 530 NOT_ALLOWED
    #[error("the vhost is gone")]
    NoVhost,
    /// The store takes nothing for now. // 506 RESOURCE_ERROR
    #[error("the store takes nothing for now")]
    StoreFull,
}

/// Bytes of a queue's or exchange's name at most: far beyond what AMQP's short strings hold.
pub(super) const NAME_BYTES_MAX: usize = 4_096;

/// Why nothing can be published to an exchange and key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// See [`RouteError`].
    #[error(transparent)]
    Route(#[from] RouteError),
    /// Exchange and key are too long together.
    #[error("exchange and routing key are too long together")]
    NameTooLong,
}

/// Why a vhost was not made or deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VhostError {
    /// The name is empty or too long.
    #[error("a vhost's name has 1 to {VHOST_NAME_BYTES_MAX} bytes")]
    Name,
    /// There are as many as there may be.
    #[error("the limit of {0} vhosts is reached")]
    Limit(usize),
    /// The vhost that always exists stays.
    #[error("the vhost '/' cannot be deleted")]
    Root,
    /// There is none of this name.
    #[error("there is no vhost '{0}'")]
    NotFound(String),
}

/// Bytes of a vhost's name at most: a short string of AMQP.
pub(super) const VHOST_NAME_BYTES_MAX: usize = 255;
