//! Two servers of ours with a bridge between them; other servers are in the interoperability suite.

use crate::Server;
use crate::config::{Config, Sources, load};
use crate::metrics;
use std::path::Path;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

fn configured(dir: &Path, keys: &[String]) -> Config {
    let mut sources = Sources::default();
    sources.set("listener.0.address=127.0.0.1:0").unwrap();
    sources.set("listener.0.protocol=mqtt").unwrap();
    keys.iter().for_each(|key| sources.set(key).unwrap());
    sources.option("--data-dir", "data_dir", dir.to_str().unwrap());
    load(&sources).unwrap().config
}

fn bridge(address: &str, more: &[&str]) -> Vec<String> {
    let keys = [&["name=up", "reconnect_min=10ms", "reconnect_max=20ms"][..], more].concat();
    let mut keys: Vec<_> = keys.into_iter().map(|key| format!("bridge.0.{key}")).collect();
    keys.push(format!("bridge.0.address={address}"));
    keys
}

/// MQTT 5 by hand: enough to publish with QoS 1 and to hear what comes.
struct Client(TcpStream, Vec<Vec<u8>>);

impl Client {
    async fn connect(server: &Server, name: &str) -> Self {
        let mut stream = TcpStream::connect(server.addresses()[0].address).await.unwrap();
        let head = b"\x00\x04MQTT\x05\x02\x00\x00\x00\x00";
        let mut packet = vec![0x10, (head.len() + 1 + name.len()) as u8];
        packet.extend_from_slice(head);
        packet.push(name.len() as u8);
        packet.extend_from_slice(name.as_bytes());
        stream.write_all(&packet).await.unwrap();
        let mut client = Client(stream, Vec::new());
        assert_eq!(client.packet().await[0], 0x20);
        client
    }

    async fn packet(&mut self) -> Vec<u8> {
        let mut packet = vec![self.0.read_u8().await.unwrap(), self.0.read_u8().await.unwrap()];
        assert!(packet[1] < 128, "a short packet");
        packet.resize(2 + usize::from(packet[1]), 0);
        self.0.read_exact(&mut packet[2..]).await.unwrap();
        packet
    }

    async fn subscribe(&mut self, filter: &str) {
        let mut packet = vec![0x82, (6 + filter.len()) as u8, 0, 1, 0, 0, filter.len() as u8];
        packet.extend_from_slice(filter.as_bytes());
        packet.push(1);
        self.0.write_all(&packet).await.unwrap();
        assert_eq!(self.packet().await[0], 0x90);
    }

    async fn publish(&mut self, topic: &str, payload: &str) {
        let mut packet = vec![0x32, (5 + topic.len() + payload.len()) as u8, 0, topic.len() as u8];
        packet.extend_from_slice(topic.as_bytes());
        packet.extend_from_slice(&[0, 1, 0]);
        packet.extend_from_slice(payload.as_bytes());
        self.0.write_all(&packet).await.unwrap();
        // What it subscribes to itself may come before the acknowledgement.
        loop {
            let packet = self.packet().await;
            match packet[0] & 0xf0 {
                0x40 => return,
                _ => self.1.push(packet),
            }
        }
    }

    /// The next message that is not the state of a bridge: topic, payload.
    async fn message(&mut self) -> (String, String) {
        let packet = if self.1.is_empty() { self.packet().await } else { self.1.remove(0) };
        assert_eq!(packet[0] & 0xf0, 0x30, "{packet:?}");
        let ends = 4 + usize::from(packet[3]);
        let topic = String::from_utf8(packet[4..ends].to_vec()).unwrap();
        let (identifier, properties_at) = match packet[0] & 0x06 {
            0 => (None, ends),
            _ => (Some(packet[ends..ends + 2].to_vec()), ends + 2),
        };
        let payload = packet[properties_at + 1 + usize::from(packet[properties_at])..].to_vec();
        if let Some(identifier) = identifier {
            self.0.write_all(&[0x40, 2, identifier[0], identifier[1]]).await.unwrap();
        }
        (topic, String::from_utf8(payload).unwrap())
    }
}

/// Waits until the bridge says that it is (not) connected.
async fn until(server: &Server, state: &str) {
    let mut watcher = Client::connect(server, "watcher").await;
    watcher.subscribe("$SYS/broker/connection/up/state").await;
    while watcher.message().await.1 != state {}
}

fn pair(topic: &str, payload: &str) -> (String, String) {
    (topic.into(), payload.into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cross_in_both_directions_and_come_back_to_nobody() {
    for version in ["5", "3.1.1"] {
        let dir = tempfile::tempdir().unwrap();
        let far = Server::start(&configured(&dir.path().join("far"), &[])).unwrap();
        let far_address = far.addresses()[0].address.to_string();
        let topic = |at: usize, key: &str| format!("bridge.0.topic.{at}.{key}");
        let mut keys = bridge(&far_address, &[&format!("version={version}")]);
        keys.extend([
            topic(0, "filter=#"),
            topic(0, "direction=out"),
            topic(0, "local_prefix=up/"),
            topic(0, "remote_prefix=from-near/"),
            topic(1, "filter=#"),
            topic(1, "direction=in"),
            topic(1, "local_prefix=from-far/"),
            topic(1, "remote_prefix=down/"),
        ]);
        if version == "5" {
            // Both ways on one topic: nothing but No Local keeps it from going round.
            keys.extend([topic(2, "filter=both/+"), topic(2, "direction=both")]);
        }
        let near = Server::start(&configured(&dir.path().join("near"), &keys)).unwrap();
        until(&near, "1").await;
        let (mut here, mut there) = (Client::connect(&near, "here").await, Client::connect(&far, "there").await);
        here.subscribe("from-far/#").await;
        there.subscribe("from-near/#").await;
        here.publish("up/a/b", "hello").await;
        assert_eq!(there.message().await, pair("from-near/a/b", "hello"));
        there.publish("down/c", "world").await;
        assert_eq!(here.message().await, pair("from-far/c", "world"));
        if version == "5" {
            here.subscribe("both/+").await;
            there.subscribe("both/+").await;
            for round in ["1", "2"] {
                here.publish("both/x", round).await;
                assert_eq!(here.message().await, pair("both/x", round));
                assert_eq!(there.message().await, pair("both/x", round));
                there.publish("both/y", round).await;
                assert_eq!(here.message().await, pair("both/y", round));
                assert_eq!(there.message().await, pair("both/y", round));
            }
        }
        let page = metrics::render(&near.house);
        assert!(page.contains("motet_bridge_connected{bridge=\"up\"} 1\n"), "{page}");
        near.shutdown().await;
        far.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_while_the_other_server_is_away_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    // Somebody has the port, so that the other server gets the same one later.
    let far_config = configured(&dir.path().join("far"), &[]);
    let far = Server::start(&far_config).unwrap();
    let address = far.addresses()[0].address.to_string();
    far.shutdown().await;
    let mut keys = bridge(&address, &[]);
    keys.extend(["bridge.0.topic.0.filter=a/#".into(), "bridge.0.topic.0.qos=2".into()]);
    let near_config = configured(&dir.path().join("near"), &keys);
    let near = Server::start(&near_config).unwrap();
    until(&near, "0").await;
    while near.house.core.session("$bridge/up").is_none_or(|(_, held)| held.is_empty()) {
        tokio::task::yield_now().await;
    }
    let mut here = Client::connect(&near, "here").await;
    here.publish("a/1", "kept").await;
    drop(here);
    near.shutdown().await;
    // Also over a restart of ours.
    let near = Server::start(&near_config).unwrap();
    let mut here = Client::connect(&near, "here").await;
    here.publish("a/2", "kept too").await;

    let far = configured(&dir.path().join("far"), &[format!("listener.0.address={address}")]);
    let far = Server::start(&far).unwrap();
    let mut there = Client::connect(&far, "there").await;
    there.subscribe("a/#").await;
    assert_eq!(there.message().await, pair("a/1", "kept"));
    assert_eq!(there.message().await, pair("a/2", "kept too"));

    // A reload without the bridge ends it.
    near.reload(&configured(&dir.path().join("near"), &[]));
    until(&near, "0").await;
    assert!(!metrics::render(&near.house).contains("motet_bridge"));
    near.shutdown().await;
    far.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_of_three_ends_where_it_began() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let everything = ["topic.0.filter=t", "topic.0.direction=out"];
    let first = Server::start(&configured(&at("first"), &[])).unwrap();
    let third =
        Server::start(&configured(&at("third"), &bridge(&first.addresses()[0].address.to_string(), &everything)))
            .unwrap();
    let second =
        Server::start(&configured(&at("second"), &bridge(&third.addresses()[0].address.to_string(), &everything)))
            .unwrap();
    first.reload(&configured(&at("first"), &bridge(&second.addresses()[0].address.to_string(), &everything)));
    for server in [&first, &second, &third] {
        until(server, "1").await;
    }
    let mut client = Client::connect(&first, "client").await;
    client.subscribe("t").await;
    client.publish("t", "round").await;
    assert_eq!(client.message().await, pair("t", "round"));
    // It goes all the way round, and first refuses to send it a second time: its own name is in it.
    assert_eq!(client.message().await, pair("t", "round"), "by way of the others");
    while !metrics::render(&first.house).contains("motet_bridge_looped_total{bridge=\"up\"} 1\n") {
        tokio::task::yield_now().await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    for server in [first, second, third] {
        server.shutdown().await;
    }
}
