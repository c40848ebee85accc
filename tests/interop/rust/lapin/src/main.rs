//! lapin against the server at `AMQP_URL`: confirms, consumers, returns, transactions, errors of a channel. Panics at the first surprise.

use futures_lite::StreamExt;
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ErrorKind, ExchangeKind};
use std::time::Duration;

type Outcome = Result<(), lapin::Error>;

fn exclusive() -> QueueDeclareOptions {
    QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() }
}

#[tokio::main]
async fn main() -> Outcome {
    let url = std::env::var("AMQP_URL").expect("AMQP_URL names the server");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
    confirms_and_a_consumer(&connection.create_channel().await?).await?;
    println!("confirms and a consumer: fine");
    what_nobody_gets_is_returned(&connection.create_channel().await?).await?;
    println!("returns: fine");
    a_transaction(&connection.create_channel().await?).await?;
    println!("transactions: fine");
    rejection_and_dead_letters(&connection.create_channel().await?).await?;
    println!("dead letters: fine");
    an_error_ends_its_channel_alone(&connection).await?;
    println!("errors: fine");
    // A channel that was just dropped may still be closing, which lapin calls an error.
    connection.close(200, "bye".into()).await.ok();
    Ok(())
}

async fn confirms_and_a_consumer(channel: &Channel) -> Outcome {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let exchange = "lapin-topic";
    let auto_delete = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(exchange.into(), ExchangeKind::Topic, auto_delete, FieldTable::default()).await?;
    let queue = channel.queue_declare("".into(), exclusive(), FieldTable::default()).await?;
    let name = queue.name().clone();
    channel
        .queue_bind(name.clone(), exchange.into(), "a.#".into(), QueueBindOptions::default(), FieldTable::default())
        .await?;
    let mut headers = FieldTable::default();
    headers.insert("number".into(), AMQPValue::LongInt(7));
    let properties = BasicProperties::default().with_delivery_mode(2).with_headers(headers.clone());
    let mut confirms = Vec::new();
    for number in 0..100_u8 {
        let options = BasicPublishOptions::default();
        let confirm =
            channel.basic_publish(exchange.into(), "a.b".into(), options, &[number], properties.clone()).await?;
        confirms.push(confirm);
    }
    for confirm in confirms {
        assert_eq!(confirm.await?, Confirmation::Ack(None));
    }
    channel.basic_qos(10, BasicQosOptions::default()).await?;
    let mut consumer =
        channel.basic_consume(name, "tag".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    for number in 0..100_u8 {
        let delivery = consumer.next().await.expect("the consumer lives")?;
        assert_eq!(delivery.data, [number]);
        assert_eq!(delivery.properties.headers(), &Some(headers.clone()));
        delivery.ack(BasicAckOptions::default()).await?;
    }
    channel.basic_cancel("tag".into(), BasicCancelOptions::default()).await
}

async fn what_nobody_gets_is_returned(channel: &Channel) -> Outcome {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel
        .basic_publish("".into(), "lapin-nobody".into(), options, b"x", BasicProperties::default())
        .await?
        .await?;
    let Confirmation::Ack(Some(returned)) = confirm else { panic!("it was not returned: {confirm:?}") };
    assert_eq!((returned.reply_code, returned.reply_text.as_str()), (312, "NO_ROUTE"));
    Ok(())
}

async fn a_transaction(channel: &Channel) -> Outcome {
    let queue = channel.queue_declare("".into(), exclusive(), FieldTable::default()).await?;
    let name = queue.name().clone();
    channel.tx_select().await?;
    for (body, commits) in [(b"no", false), (b"go", true)] {
        let options = BasicPublishOptions::default();
        drop(channel.basic_publish("".into(), name.clone(), options, body, BasicProperties::default()).await?);
        if commits { channel.tx_commit().await? } else { channel.tx_rollback().await? }
    }
    let message = channel.basic_get(name, BasicGetOptions { no_ack: true }).await?.expect("what was committed");
    assert_eq!((&*message.data, message.message_count), (&b"go"[..], 0));
    Ok(())
}

async fn rejection_and_dead_letters(channel: &Channel) -> Outcome {
    let dead = channel.queue_declare("".into(), exclusive(), FieldTable::default()).await?.name().clone();
    let mut arguments = FieldTable::default();
    arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
    arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.as_str().into()));
    let queue = channel.queue_declare("".into(), exclusive(), arguments).await?.name().clone();
    let options = BasicPublishOptions::default();
    drop(channel.basic_publish("".into(), queue.clone(), options, b"bad", BasicProperties::default()).await?);
    let mut live =
        channel.basic_consume(queue, "live".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    live.next().await.expect("the consumer lives")?.reject(BasicRejectOptions { requeue: false }).await?;
    let mut graves =
        channel.basic_consume(dead, "dead".into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
    let letter = tokio::time::timeout(Duration::from_secs(10), graves.next()).await;
    let letter = letter.expect("in time").expect("the consumer lives")?;
    let headers = letter.properties.headers().clone().expect("it has died");
    let reason = AMQPValue::LongString("rejected".into());
    assert_eq!(headers.inner().get("x-first-death-reason"), Some(&reason));
    assert!(letter.ack(BasicAckOptions::default()).await?);
    Ok(())
}

async fn an_error_ends_its_channel_alone(connection: &Connection) -> Outcome {
    let (one, other) = (connection.create_channel().await?, connection.create_channel().await?);
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let refused = one.queue_declare("lapin-not-there".into(), passive, FieldTable::default()).await;
    let refused = refused.expect_err("there is no such queue");
    let ErrorKind::ProtocolError(error) = refused.kind() else { panic!("another error: {refused}") };
    assert_eq!(error.get_id(), 404);
    assert_eq!(error.get_message().as_str(), "NOT_FOUND - no queue 'lapin-not-there' in vhost '/'");
    other.queue_declare("".into(), exclusive(), FieldTable::default()).await?;
    Ok(())
}
