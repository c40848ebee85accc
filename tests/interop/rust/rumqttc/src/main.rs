//! rumqttc against a server: `motet-interop-rumqttc HOST PORT PREFIX`. Says what failed and exits with 1, else with 0.

use rumqttc::{Client, Connection, Event, Incoming, MqttOptions, QoS};
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, prefix] = &arguments[..] else { return Err("HOST PORT PREFIX".into()) };
    let port = port.parse()?;
    three_one_one(host, port, &format!("{prefix}/4"))?;
    five(host, port, &format!("{prefix}/5"))
}

/// The next event that `wanted` makes something of.
fn next<T>(connection: &mut Connection, mut wanted: impl FnMut(Incoming) -> Option<T>) -> Result<T, Failure> {
    loop {
        if let Event::Incoming(packet) = connection.recv_timeout(WAIT).map_err(|_| "nothing came in time")??
            && let Some(found) = wanted(packet)
        {
            return Ok(found);
        }
    }
}

fn three_one_one(host: &str, port: u16, topic: &str) -> Result<(), Failure> {
    let options = |name: &str| {
        let mut options = MqttOptions::new(format!("{topic}-{name}"), host, port);
        options.set_keep_alive(Duration::from_secs(5)).set_clean_session(false);
        options
    };
    let (client, mut connection) = Client::new(options("sub"), 100);
    client.subscribe(format!("{topic}/#"), QoS::ExactlyOnce)?;
    next(&mut connection, |packet| matches!(packet, Incoming::SubAck(_)).then_some(()))?;
    for (at, qos) in QOS.into_iter().enumerate() {
        client.publish(format!("{topic}/{at}"), qos, at == 1, vec![b'x'; at * 1000])?;
    }
    // All three, and both exchanges of QoS 2 to their end: what is open when a client leaves comes again.
    let (mut heard, mut finished) = ([false; 3], 0);
    while heard != [true; 3] || finished < 2 {
        let found = next(&mut connection, |packet| match packet {
            Incoming::Publish(publish) => Some(Some(publish)),
            Incoming::PubRel(_) | Incoming::PubComp(_) => Some(None),
            _ => None,
        })?;
        let Some(found) = found else {
            finished += 1;
            continue;
        };
        let at: usize = found.topic.rsplit('/').next().unwrap_or_default().parse()?;
        if found.qos != QOS[at] || found.payload.len() != at * 1000 || heard[at] {
            return Err(format!("3.1.1: {found:?}").into());
        }
        heard[at] = true;
    }
    // What waits for a session while its client is away.
    client.disconnect()?;
    while connection.recv_timeout(WAIT).map_err(|_| "nothing came in time")?.is_ok() {}
    let (other, mut others) = Client::new(options("pub"), 100);
    other.publish(format!("{topic}/away"), QoS::AtLeastOnce, false, "waits")?;
    next(&mut others, |packet| matches!(packet, Incoming::PubAck(_)).then_some(()))?;
    let (_again, mut connection) = Client::new(options("sub"), 100);
    let present = next(&mut connection, |packet| match packet {
        Incoming::ConnAck(connack) => Some(connack.session_present),
        _ => None,
    })?;
    let payload = next(&mut connection, |packet| match packet {
        Incoming::Publish(publish) => Some(publish.payload),
        _ => None,
    })?;
    match present && payload == "waits" {
        true => Ok(()),
        false => Err(format!("3.1.1: session present {present}, {payload:?}").into()),
    }
}

fn five(host: &str, port: u16, topic: &str) -> Result<(), Failure> {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
    use rumqttc::v5::{Client, Event, MqttOptions};

    let mut options = MqttOptions::new(format!("{topic}-five"), host, port);
    options.set_keep_alive(Duration::from_secs(5)).set_topic_alias_max(Some(10));
    let (client, mut connection) = Client::new(options, 100);
    client.subscribe(format!("$share/g/{topic}/+"), QoS::AtLeastOnce)?;
    let properties = PublishProperties {
        message_expiry_interval: Some(600),
        response_topic: Some("answers".into()),
        correlation_data: Some("7".into()),
        user_properties: vec![("a".into(), "2".into()), ("a".into(), "1".into())],
        content_type: Some("text/plain".into()),
        ..PublishProperties::default()
    };
    let mut heard = 0;
    while heard < 3 {
        match connection.recv_timeout(WAIT).map_err(|_| "nothing came in time")?? {
            Event::Incoming(Packet::SubAck(_)) => {
                for _ in 0..3 {
                    client.publish_with_properties(
                        format!("{topic}/t"),
                        QoS::AtLeastOnce,
                        false,
                        "x",
                        properties.clone(),
                    )?;
                }
            }
            Event::Incoming(Packet::Publish(found)) => {
                heard += 1;
                let same = found.properties.as_ref().is_some_and(|found| {
                    found.user_properties == properties.user_properties
                        && found.response_topic == properties.response_topic
                        && found.correlation_data == properties.correlation_data
                        && found.content_type == properties.content_type
                        && found.message_expiry_interval.is_some_and(|left| left > 0 && left <= 600)
                });
                if !same || found.payload != "x" {
                    return Err(format!("5.0: {found:?}").into());
                }
            }
            _ => {}
        }
    }
    Ok(())
}
