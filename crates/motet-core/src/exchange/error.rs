//! Refusals. The number in a comment is the AMQP 0-9-1 reply code a face answers with.

/// Why an exchange or queue was not declared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeclareError {
    /// It exists with another property. // 406 PRECONDITION_FAILED
    #[error("exchange '{exchange}' has {property} '{declared}', the declaration asks for '{asked}'")]
    Mismatch {
        /// Which exchange.
        exchange: String,
        /// The first property that differs.
        property: &'static str,
        /// What it is.
        declared: String,
        /// What was asked for.
        asked: String,
    },
    /// No such exchange type. // 503 COMMAND_INVALID
    #[error("there is no exchange type '{0}'")]
    UnknownType(String),
    /// An argument is missing or not of its form. // 406 PRECONDITION_FAILED
    #[error("argument '{name}' wants {wants}")]
    Argument {
        /// Which argument.
        name: &'static str,
        /// What it should be.
        wants: &'static str,
    },
    /// Names that begin with `amq.` are the broker's. // 403 ACCESS_REFUSED
    #[error("names that begin with 'amq.' are reserved")]
    Reserved,
    /// The queue exists already; whether it agrees the caller knows, who holds its configuration.
    #[error("the queue exists")]
    QueueExists,
    /// The vhost holds as many as it may. // 506 RESOURCE_ERROR
    #[error("the limit of {0} is reached")]
    Limit(usize),
    /// The store takes nothing for now. // 506 RESOURCE_ERROR
    #[error("the store takes nothing for now")]
    StoreFull,
    /// Passive declaration of something that is not there. // 404 NOT_FOUND
    #[error("there is no exchange '{0}'")]
    NotFound(String),
}

/// Why a binding was not made or ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The source does not exist. // 404 NOT_FOUND
    #[error("there is no exchange '{0}'")]
    NoExchange(String),
    /// The destination does not exist. // 404 NOT_FOUND
    #[error("there is no queue '{0}'")]
    NoQueue(String),
    /// The default exchange cannot be bound or unbound. // 403 ACCESS_REFUSED
    #[error("the default exchange cannot be bound")]
    DefaultExchange,
    /// `x-match` is none of the four words. // 406 PRECONDITION_FAILED
    #[error("x-match wants all, any, all-with-x or any-with-x")]
    HeadersMatch,
    /// The key of a consistent-hash binding is no weight. // 406 PRECONDITION_FAILED
    #[error("the binding key of a consistent hash is a weight from 1 to {}", super::WEIGHT_MAX)]
    Weight,
    /// The key is no pattern. // 406 PRECONDITION_FAILED
    #[error("the binding key is no pattern: {0}")]
    Pattern(#[from] crate::spelling::SpellingError),
    /// The exchange holds as many bindings as it may. // 506 RESOURCE_ERROR
    #[error("the limit of {0} bindings is reached")]
    Limit(usize),
    /// The store takes nothing for now. // 506 RESOURCE_ERROR
    #[error("the store takes nothing for now")]
    StoreFull,
}

/// Why an exchange was not deleted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeleteError {
    /// A pre-declared exchange stays. // 403 ACCESS_REFUSED
    #[error("a pre-declared exchange cannot be deleted")]
    Reserved,
    /// `if_unused` was asked for. // 406 PRECONDITION_FAILED
    #[error("the exchange has {0} bindings")]
    InUse(usize),
}

/// Why a publication has no route at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The exchange does not exist. // 404 NOT_FOUND
    #[error("there is no exchange '{0}'")]
    NoExchange(String),
    /// A peer may not publish to it. // 403 ACCESS_REFUSED
    #[error("exchange '{0}' is internal")]
    Internal(String),
    /// CC or BCC is no list of keys, or there are too many. // 406 PRECONDITION_FAILED
    #[error("header '{0}' wants a list of at most {max} keys", max = super::KEYS_MAX)]
    Keys(&'static str),
}
