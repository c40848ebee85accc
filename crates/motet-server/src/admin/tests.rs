use super::*;
use crate::Server;
use crate::config::{Config, Protocol};
use crate::testing::parts;
use crate::tests::{PUBLISH, config, packet};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[test]
fn the_token_is_new_at_each_start_and_for_the_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let first = Admin::open(dir.path()).unwrap();
    let second = Admin::open(dir.path()).unwrap();
    assert_ne!(first.token, second.token);
    let file = dir.path().join(TOKEN_FILE);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), second.token);
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn only_the_whole_token_is_admitted() {
    let dir = tempfile::tempdir().unwrap();
    let admin = Admin::open(dir.path()).unwrap();
    let token = admin.token.clone();
    let admits =
        |value: &str| admin.admits(&HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())]));
    assert!(admits(&format!("Bearer {token}")) && admits(&format!("bearer {token}")));
    for wrong in [&token, "Bearer ", "Bearer", "", &format!("Bearer {token}0"), &format!("Bearer {}", &token[1..])] {
        assert!(!admits(wrong), "{wrong}");
    }
    assert!(!admin.admits(&HeaderMap::new()));
}

fn address<E: Engine>(server: &Server<E>, at: Protocol) -> SocketAddr {
    server.addresses().iter().find(|bound| bound.protocol == at).unwrap().address
}

/// Sends a request and reads the answer to its end.
async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// The head and body of a request for a backup.
fn request(token: &str, body: &str) -> String {
    let length = body.len();
    let head = "POST /api/motet/backup HTTP/1.1\r\nHost: localhost\r\nConnection: close";
    format!("{head}\r\nAuthorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}")
}

fn token(config: &Config) -> String {
    std::fs::read_to_string(config.data_dir.join(TOKEN_FILE)).unwrap()
}

#[tokio::test]
async fn a_request_without_a_right_is_refused_and_a_wrong_one_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { data_dir: dir.path().join("data"), ..config(&[Protocol::Http, Protocol::Ws]) };
    let server = Server::start_with(&config, parts(&Arc::default())).unwrap();
    let asked = async |protocol, request: String| ask(address(&server, protocol), &request).await;
    let token = token(&config);
    let full = format!("{{\"target\":{:?}}}", dir.path());
    for (request, status, part) in [
        ("GET /api/motet/backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(), 405, "allow: POST"),
        (request(&"0".repeat(64), &full), 401, "www-authenticate: Bearer"),
        ("POST /api/motet/backup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(), 401, "admin-token"),
        (request(&token, &full).replace("localhost", "evil.example"), 403, "web.allowed_hosts"),
        (request(&token, "{}"), 400, "expected {\"target\""),
        (request(&token, &"x".repeat(BODY_BYTES_MAX + 1)), 400, "length limit exceeded"),
        (request(&token, "{\"target\":\"relative\"}"), 409, "whole path"),
        (request(&token, &full), 409, "is not empty"),
        (request(&token, "{\"target\":\"/nowhere/at/all\"}"), 409, "make it first"),
    ] {
        let answer = asked(Protocol::Http, request.clone()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        assert!(answer.contains(part), "{request}: {answer}");
    }
    let made = dir.path().join("made");
    let answer = asked(Protocol::Http, request(&token, &format!("{{\"target\":{made:?}}}"))).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("{\"bytes\":0,\"position\":7}\n"), "{answer}");
    assert!(made.join("journal").is_dir());
    let answer = asked(Protocol::Ws, request(&token, &full)).await;
    assert!(
        answer.starts_with("HTTP/1.1 4") && !answer.contains("is not empty"),
        "a WebSocket listener knows no operators: {answer}"
    );
}

/// MQTT 5, session expiry for ever; the client identifier is one letter.
fn connect(client: u8) -> Vec<u8> {
    [&b"\x10\x13\x00\x04MQTT\x05\x00\x00\x3c\x05\x11\xff\xff\xff\xff\x00\x01"[..], &[client]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_running_server_starts_with_the_messages_of_its_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| Config { data_dir: dir.path().join(name), ..config(&[Protocol::Mqtt, Protocol::Http]) };
    let original = at("original");
    let server = Server::start(&original).unwrap();
    let (mqtt, http) = (address(&server, Protocol::Mqtt), address(&server, Protocol::Http));

    let mut away = TcpStream::connect(mqtt).await.unwrap();
    away.write_all(&connect(b'a')).await.unwrap();
    assert_eq!(packet(&mut away).await[0], 0x20);
    away.write_all(b"\x82\x07\x00\x01\x00\x00\x01t\x01").await.unwrap();
    assert_eq!(packet(&mut away).await[0], 0x90);
    away.write_all(b"\xe0\x00").await.unwrap();
    drop(away);
    let mut publisher = TcpStream::connect(mqtt).await.unwrap();
    publisher.write_all(&connect(b'b')).await.unwrap();
    assert_eq!(packet(&mut publisher).await[0], 0x20);
    publisher.write_all(PUBLISH).await.unwrap();
    assert_eq!(
        packet(&mut publisher).await[..4],
        [0x40, 2, 0, 2],
        "PUBACK without a reason code: success, it is on disk"
    );

    let copy = at("copy");
    let body = format!("{{\"target\":{:?}}}", copy.data_dir);
    let answer = ask(http, &request(&token(&original), &body)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(publisher);
    server.shutdown().await;
    std::fs::remove_dir_all(&original.data_dir).unwrap();

    let server = Server::start(&copy).unwrap();
    let mut back = TcpStream::connect(address(&server, Protocol::Mqtt)).await.unwrap();
    back.write_all(&connect(b'a')).await.unwrap();
    assert_eq!(packet(&mut back).await[2], 1, "the session is there");
    let message = packet(&mut back).await;
    assert_eq!((message[0] & 0xf6, &message[message.len() - 2..]), (0x32, &b"hi"[..]));
    drop(back);
    server.shutdown().await;
}
