//! Every method of AMQP 0-9-1, section 1 of its specification, and those that RabbitMQ added.
//!
//! Fields of type `&str` are short strings of UTF-8 (names, texts), `&[u8]` short strings of any bytes (routing keys);
//! [`Reserved`](super::Reserved) ones meant something in older versions.

use super::PacketError;
use super::method::{MethodFields, classes, put_method};
use super::wire::Reader;
use bytes::BytesMut;

classes! {
    /// The connection itself, always on channel 0.
    connection, Connection<'a> = 10 {
        /// What the server is and how one may log in.
        Start<'a> = 10 {
            /// 0
            version_major: u8,
            /// 9
            version_minor: u8,
            /// Product, version, capabilities.
            server_properties: FieldTable<'a>,
            /// Names with spaces between.
            mechanisms: LongString<'a>,
            /// Names with spaces between.
            locales: LongString<'a>,
        }
        /// What the client is and how it logs in.
        StartOk<'a> = 11 {
            /// Product, version, capabilities.
            client_properties: FieldTable<'a>,
            /// One of those offered.
            mechanism: &'a str,
            /// The mechanism's first word.
            response: LongString<'a>,
            /// One of those offered.
            locale: &'a str,
        }
        /// The mechanism's next word from the server.
        Secure<'a> = 20 {
            /// The mechanism's own.
            challenge: LongString<'a>,
        }
        /// The mechanism's next word from the client.
        SecureOk<'a> = 21 {
            /// The mechanism's own.
            response: LongString<'a>,
        }
        /// Bounds that the server offers.
        Tune = 30 {
            /// The highest channel number; 0 is any.
            channel_max: u16,
            /// The largest frame, in bytes; 0 is any.
            frame_max: u32,
            /// Seconds; 0 is none.
            heartbeat: u16,
        }
        /// Bounds that hold.
        TuneOk = 31 {
            /// The highest channel number; 0 is any.
            channel_max: u16,
            /// The largest frame, in bytes; 0 is any.
            frame_max: u32,
            /// Seconds; 0 is none.
            heartbeat: u16,
        }
        /// Chooses a vhost.
        Open<'a> = 40 {
            /// Its name.
            virtual_host: &'a str,
            /// Capabilities of old.
            reserved_1: Reserved<&'a str>,
            /// Insist, of old.
            reserved_2: Reserved<bool>,
        }
        /// The vhost is open.
        OpenOk<'a> = 41 {
            /// Known hosts of old.
            reserved_1: Reserved<&'a str>,
        }
        /// The end, and why.
        Close<'a> = 50 {
            /// See [`crate::v091::error::ReplyCode`].
            reply_code: u16,
            /// For people.
            reply_text: &'a str,
            /// The class of the method that failed, or 0.
            class_id: u16,
            /// The method that failed, or 0.
            method_id: u16,
        }
        /// The end is agreed.
        CloseOk = 51 {}
        /// Publishing makes no progress for now (RabbitMQ).
        Blocked<'a> = 60 {
            /// For people.
            reason: &'a str,
        }
        /// It does again (RabbitMQ).
        Unblocked = 61 {}
        /// New credentials for those that end (RabbitMQ).
        UpdateSecret<'a> = 70 {
            /// The new credential.
            new_secret: LongString<'a>,
            /// For people.
            reason: &'a str,
        }
        /// The new credentials hold (RabbitMQ).
        UpdateSecretOk = 71 {}
    }

    /// A channel: a conversation within the connection.
    channel, Channel<'a> = 20 {
        /// Opens it.
        Open<'a> = 10 {
            /// Out-of-band settings of old.
            reserved_1: Reserved<&'a str>,
        }
        /// It is open.
        OpenOk<'a> = 11 {
            /// Its identifier of old.
            reserved_1: Reserved<LongString<'a>>,
        }
        /// Stops or starts deliveries.
        Flow = 20 {
            /// They shall flow.
            active: bool,
        }
        /// They do, or do not.
        FlowOk = 21 {
            /// They flow.
            active: bool,
        }
        /// The channel's end, and why.
        Close<'a> = 40 {
            /// See [`crate::v091::error::ReplyCode`].
            reply_code: u16,
            /// For people.
            reply_text: &'a str,
            /// The class of the method that failed, or 0.
            class_id: u16,
            /// The method that failed, or 0.
            method_id: u16,
        }
        /// The end is agreed.
        CloseOk = 41 {}
    }

    /// Access tickets of 0-8, which some clients still ask for.
    access, Access<'a> = 30 {
        /// Asks for a ticket.
        Request<'a> = 10 {
            /// To what.
            realm: &'a str,
            /// Alone.
            exclusive: bool,
            /// To ask about.
            passive: bool,
            /// To create and delete.
            active: bool,
            /// To publish.
            write: bool,
            /// To consume.
            read: bool,
        }
        /// A ticket that nobody looks at.
        RequestOk = 11 {
            /// Always 1.
            ticket: u16,
        }
    }

    /// Exchanges.
    exchange, Exchange<'a> = 40 {
        /// Makes one, or asks whether it is there.
        Declare<'a> = 10 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name.
            exchange: &'a str,
            /// How it picks.
            kind: &'a str,
            /// Only ask.
            passive: bool,
            /// Survives a restart.
            durable: bool,
            /// Goes when its last binding goes.
            auto_delete: bool,
            /// Only for other exchanges (RabbitMQ).
            internal: bool,
            /// No answer.
            no_wait: bool,
            /// Such as `alternate-exchange`.
            arguments: FieldTable<'a>,
        }
        /// It is there.
        DeclareOk = 11 {}
        /// Ends one.
        Delete<'a> = 20 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name.
            exchange: &'a str,
            /// Only when nothing is bound to it.
            if_unused: bool,
            /// No answer.
            no_wait: bool,
        }
        /// It is gone.
        DeleteOk = 21 {}
        /// Binds an exchange to an exchange (RabbitMQ).
        Bind<'a> = 30 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Where messages go.
            destination: &'a str,
            /// Where they come from.
            source: &'a str,
            /// The binding key.
            routing_key: &'a [u8],
            /// No answer.
            no_wait: bool,
            /// What a headers exchange compares.
            arguments: FieldTable<'a>,
        }
        /// It is bound.
        BindOk = 31 {}
        /// Ends such a binding (RabbitMQ).
        Unbind<'a> = 40 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Where messages go.
            destination: &'a str,
            /// Where they come from.
            source: &'a str,
            /// The binding key.
            routing_key: &'a [u8],
            /// No answer.
            no_wait: bool,
            /// What a headers exchange compares.
            arguments: FieldTable<'a>,
        }
        /// It is no longer bound; 51 is RabbitMQ's number.
        UnbindOk = 51 {}
    }

    /// Queues.
    queue, Queue<'a> = 50 {
        /// Makes one, or asks whether it is there.
        Declare<'a> = 10 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty lets the server choose.
            queue: &'a str,
            /// Only ask.
            passive: bool,
            /// Survives a restart.
            durable: bool,
            /// For this connection alone, and gone with it.
            exclusive: bool,
            /// Goes when its last consumer goes.
            auto_delete: bool,
            /// No answer.
            no_wait: bool,
            /// Such as `x-message-ttl`.
            arguments: FieldTable<'a>,
        }
        /// It is there.
        DeclareOk<'a> = 11 {
            /// Its name.
            queue: &'a str,
            /// Messages that wait.
            message_count: u32,
            /// Consumers.
            consumer_count: u32,
        }
        /// Binds one to an exchange.
        Bind<'a> = 20 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty is the one declared last.
            queue: &'a str,
            /// Where messages come from.
            exchange: &'a str,
            /// The binding key.
            routing_key: &'a [u8],
            /// No answer.
            no_wait: bool,
            /// What a headers exchange compares.
            arguments: FieldTable<'a>,
        }
        /// It is bound.
        BindOk = 21 {}
        /// Drops what waits.
        Purge<'a> = 30 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty is the one declared last.
            queue: &'a str,
            /// No answer.
            no_wait: bool,
        }
        /// It is dropped.
        PurgeOk = 31 {
            /// Messages dropped.
            message_count: u32,
        }
        /// Ends one.
        Delete<'a> = 40 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty is the one declared last.
            queue: &'a str,
            /// Only without consumers.
            if_unused: bool,
            /// Only without messages.
            if_empty: bool,
            /// No answer.
            no_wait: bool,
        }
        /// It is gone.
        DeleteOk = 41 {
            /// Messages that went with it.
            message_count: u32,
        }
        /// Ends a binding.
        Unbind<'a> = 50 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty is the one declared last.
            queue: &'a str,
            /// Where messages came from.
            exchange: &'a str,
            /// The binding key.
            routing_key: &'a [u8],
            /// What a headers exchange compared.
            arguments: FieldTable<'a>,
        }
        /// It is no longer bound.
        UnbindOk = 51 {}
    }

    /// Messages.
    basic, Basic<'a> = 60 {
        /// How much may be on its way unacknowledged.
        Qos = 10 {
            /// Bytes; only 0 is spoken.
            prefetch_size: u32,
            /// Messages; 0 is any number.
            prefetch_count: u16,
            /// For the channel as a whole instead of each new consumer.
            global: bool,
        }
        /// It holds.
        QosOk = 11 {}
        /// Begins to consume.
        Consume<'a> = 20 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty is the one declared last.
            queue: &'a str,
            /// The consumer's name; empty lets the server choose.
            consumer_tag: &'a str,
            /// Not what this connection published; RabbitMQ does not look at it.
            no_local: bool,
            /// Without acknowledgements.
            no_ack: bool,
            /// Alone.
            exclusive: bool,
            /// No answer.
            no_wait: bool,
            /// Such as `x-priority`.
            arguments: FieldTable<'a>,
        }
        /// It is consuming.
        ConsumeOk<'a> = 21 {
            /// The consumer's name.
            consumer_tag: &'a str,
        }
        /// Ends a consumer; from the server: it has ended (RabbitMQ).
        Cancel<'a> = 30 {
            /// The consumer's name.
            consumer_tag: &'a str,
            /// No answer.
            no_wait: bool,
        }
        /// It has ended.
        CancelOk<'a> = 31 {
            /// The consumer's name.
            consumer_tag: &'a str,
        }
        /// A message for an exchange; a header and a body follow.
        Publish<'a> = 40 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty is the default exchange.
            exchange: &'a str,
            /// By which it is routed.
            routing_key: &'a [u8],
            /// To come back when it reaches no queue.
            mandatory: bool,
            /// To come back when no consumer waits; not spoken.
            immediate: bool,
        }
        /// A message that comes back; a header and a body follow.
        Return<'a> = 50 {
            /// Why.
            reply_code: u16,
            /// Why, for people.
            reply_text: &'a str,
            /// Where it was published.
            exchange: &'a str,
            /// And how.
            routing_key: &'a [u8],
        }
        /// A message for a consumer; a header and a body follow.
        Deliver<'a> = 60 {
            /// Whose.
            consumer_tag: &'a str,
            /// By which it is acknowledged.
            delivery_tag: u64,
            /// May have been seen before.
            redelivered: bool,
            /// Where it was published.
            exchange: &'a str,
            /// And how.
            routing_key: &'a [u8],
        }
        /// Asks for one message.
        Get<'a> = 70 {
            /// Access ticket of old.
            reserved_1: Reserved<u16>,
            /// Its name; empty is the one declared last.
            queue: &'a str,
            /// Without acknowledgement.
            no_ack: bool,
        }
        /// Here it is; a header and a body follow.
        GetOk<'a> = 71 {
            /// By which it is acknowledged.
            delivery_tag: u64,
            /// May have been seen before.
            redelivered: bool,
            /// Where it was published.
            exchange: &'a str,
            /// And how.
            routing_key: &'a [u8],
            /// Messages that still wait.
            message_count: u32,
        }
        /// There is none.
        GetEmpty<'a> = 72 {
            /// A cluster identifier of old.
            reserved_1: Reserved<&'a str>,
        }
        /// Done with; from the server: confirmed (RabbitMQ).
        Ack = 80 {
            /// Which.
            delivery_tag: u64,
            /// And all before.
            multiple: bool,
        }
        /// Not done.
        Reject = 90 {
            /// Which.
            delivery_tag: u64,
            /// To be delivered again.
            requeue: bool,
        }
        /// Delivers again what is not acknowledged; no answer.
        RecoverAsync = 100 {
            /// To whomever; false is not spoken.
            requeue: bool,
        }
        /// Delivers again what is not acknowledged.
        Recover = 110 {
            /// To whomever; false is not spoken.
            requeue: bool,
        }
        /// It will be.
        RecoverOk = 111 {}
        /// Not done, several; from the server: refused (RabbitMQ).
        Nack = 120 {
            /// Which.
            delivery_tag: u64,
            /// And all before.
            multiple: bool,
            /// To be delivered again.
            requeue: bool,
        }
    }

    /// Publisher confirms (RabbitMQ).
    confirm, Confirm = 85 {
        /// From now on.
        Select = 10 {
            /// No answer.
            no_wait: bool,
        }
        /// From now on.
        SelectOk = 11 {}
    }

    /// Transactions.
    tx, Tx = 90 {
        /// The channel is transactional from now on.
        Select = 10 {}
        /// It is.
        SelectOk = 11 {}
        /// Publications and acknowledgements since the last commit happen.
        Commit = 20 {}
        /// They happened.
        CommitOk = 21 {}
        /// They are forgotten.
        Rollback = 30 {}
        /// They are.
        RollbackOk = 31 {}
    }
}
