use super::*;
use crate::Server;
use crate::config::Protocol;
use crate::tests::config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// guest:guest
const GUEST: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

async fn ask(server: &Server, at: Protocol, line: &str, headers: &str, body: &str) -> String {
    let address = server.addresses().iter().find(|bound| bound.protocol == at).unwrap().address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn started(dir: &tempfile::TempDir) -> Server {
    let protocols = [Protocol::Management, Protocol::Http, Protocol::Ws];
    Server::start(&Config { data_dir: dir.path().join("data"), ..config(&protocols) }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guest_logs_in_on_both_ports_and_others_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let server = started(&dir);
    for at in [Protocol::Management, Protocol::Http] {
        let answer = ask(&server, at, "GET /api/whoami", GUEST, "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with(r#"{"name":"guest","tags":["administrator"]}"#), "{answer}");
        let answer = ask(&server, at, "GET /api/whoami", "", "").await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("www-authenticate: Basic realm="), "{answer}");
        let wrong = "Authorization: Basic Z3Vlc3Q6d3Jvbmc=\r\n";
        let answer = ask(&server, at, "GET /api/whoami", wrong, "").await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.ends_with(r#"{"error":"not_authorized","reason":"Login failed"}"#), "{answer}");
    }
    let answer = ask(&server, Protocol::Ws, "GET /api/whoami", GUEST, "").await;
    assert!(answer.starts_with("HTTP/1.1 4") && !answer.contains("guest"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_of_the_data_directory_may_do_everything() {
    let dir = tempfile::tempdir().unwrap();
    let server = started(&dir);
    let token = std::fs::read_to_string(dir.path().join("data").join(crate::TOKEN_FILE)).unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let answer = ask(&server, Protocol::Http, "PUT /api/queues/%2F/q", &bearer, r#"{"durable":true}"#).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let answer = ask(&server, Protocol::Management, "GET /api/queues/%2F/q", GUEST, "").await;
    assert!(answer.contains(r#""name":"q""#), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_origin_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = started(&dir);
    let put = async |origin: &str| {
        let headers = format!("{GUEST}Origin: {origin}\r\n");
        ask(&server, Protocol::Management, "PUT /api/queues/%2F/q", &headers, "{}").await
    };
    assert!(put("https://evil.example").await.starts_with("HTTP/1.1 401 "));
    assert!(put("http://localhost:1").await.starts_with("HTTP/1.1 201 "));
    let answers = &server.counters().management_requests;
    let counts: Vec<_> = answers.iter().map(|count| count.load(std::sync::atomic::Ordering::Relaxed)).collect();
    assert_eq!(counts, [1, 0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_the_configuration_names_may_read_and_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config { data_dir: dir.path().join("data"), ..config(&[Protocol::Management]) };
    config.web.allowed_origins = vec!["https://app.example".into()];
    let server = Server::start(&config).unwrap();
    let asked = "Origin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n";
    let answer = ask(&server, Protocol::Management, "OPTIONS /api/queues/%2F/q", asked, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    for header in [
        "access-control-allow-origin: https://app.example\r\n",
        "access-control-allow-credentials: true\r\n",
        "access-control-allow-headers: authorization, content-type\r\n",
        "vary: origin\r\n",
    ] {
        assert!(answer.contains(header), "{header} in {answer}");
    }
    let from_there = format!("{GUEST}Origin: https://app.example\r\n");
    let answer = ask(&server, Protocol::Management, "PUT /api/queues/%2F/q", &from_there, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("access-control-allow-origin: "), "{answer}");
    let elsewhere = format!("{GUEST}Origin: https://evil.example\r\n");
    let answer = ask(&server, Protocol::Management, "GET /api/whoami", &elsewhere, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && !answer.contains("access-control"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_alone_take_credentials_in_the_query() {
    let dir = tempfile::tempdir().unwrap();
    let server = started(&dir);
    let ask = async |path: &str| ask(&server, Protocol::Management, &format!("GET /api/{path}"), "", "").await;
    assert!(ask("definitions?auth=Z3Vlc3Q6Z3Vlc3Q=").await.starts_with("HTTP/1.1 200 "));
    assert!(ask("definitions?auth=Z3Vlc3Q6d3Jvbmc=").await.starts_with("HTTP/1.1 401 "));
    assert!(ask("overview?auth=Z3Vlc3Q6Z3Vlc3Q=").await.starts_with("HTTP/1.1 401 "));
}
