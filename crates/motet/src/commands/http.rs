//! The little of HTTP that our commands need: one request over plain TCP, bounded in time and size.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);
/// For work, such as a copy of many gigabytes; a server that ends in the meantime ends the connection.
const WORK_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Aggregated metrics are some kilobytes; more than this is not our server.
const RESPONSE_BYTES_MAX: u64 = 4 << 20;
/// What goes on for an hour at the highest rate is less.
const STREAM_BYTES_MAX: u64 = 64 << 30;
const HEAD_BYTES_MAX: usize = 64 << 10;

/// An answer, its body as text.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// Host and port of `http://host[:port]`; the port is 80 when it is not named.
pub(crate) fn authority(url: &str) -> Option<String> {
    let authority = url.strip_prefix("http://")?.trim_end_matches('/');
    let host_ends = authority.rfind(']').unwrap_or(0);
    if authority.is_empty() || authority.contains(['/', '@', ' ', '\r', '\n']) {
        return None;
    }
    Some(if authority[host_ends..].contains(':') { authority.into() } else { format!("{authority}:80") })
}

/// Asks for `path`.
pub(crate) fn get(authority: &str, path: &str) -> io::Result<Response> {
    exchange(connect(authority)?, &format!("GET {path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\n\r\n"))
}

/// Asks for `path` as the one whom `token` names.
pub(crate) fn ask(authority: &str, method: &str, path: &str, token: &str) -> io::Result<Response> {
    let head = format!("{method} {path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close");
    exchange(connect(authority)?, &format!("{head}\r\nAuthorization: Bearer {token}\r\n\r\n"))
}

/// Asks for work, as the one whom `token` names, and waits until it is done.
pub(crate) fn post(authority: &str, path: &str, token: &str, json: &str) -> io::Result<Response> {
    let stream = connect(authority)?;
    stream.set_read_timeout(Some(WORK_TIMEOUT))?;
    exchange(stream, &post_request(authority, path, token, json))
}

/// Puts `json` at a path, as the one whom `token` names.
pub(crate) fn put(authority: &str, path: &str, token: &str, json: &str) -> io::Result<Response> {
    let request = post_request(authority, path, token, json).replacen("POST", "PUT", 1);
    exchange(connect(authority)?, &request)
}

/// Asks for what goes on, as the one whom `token` names: each line as it comes. Some: the answer is none, but a refusal.
pub(crate) fn stream(
    authority: &str,
    path: &str,
    token: &str,
    json: &str,
    mut each: impl FnMut(&str),
) -> io::Result<Option<Response>> {
    let mut stream = connect(authority)?;
    stream.set_read_timeout(Some(WORK_TIMEOUT))?;
    stream.write_all(post_request(authority, path, token, json).as_bytes())?;
    let mut reader = BufReader::new(stream).take(STREAM_BYTES_MAX);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 || head.len() > HEAD_BYTES_MAX {
            return Err(io::Error::other("the answer is not HTTP"));
        }
    }
    let mut response = parse(&head).ok_or_else(|| io::Error::other("the answer is not HTTP"))?;
    if response.status != 200 {
        reader.take(RESPONSE_BYTES_MAX).read_to_string(&mut response.body)?;
        return Ok(Some(response));
    }
    let mut line = String::new();
    while reader.read_line(&mut line)? > 0 {
        each(line.trim_end());
        line.clear();
    }
    Ok(None)
}

fn post_request(authority: &str, path: &str, token: &str, json: &str) -> String {
    let length = json.len();
    format!(
        "POST {path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{json}"
    )
}

/// HTTP/1.0 spares us the chunks: the body ends with the connection [RFC 9112 §6.3].
fn exchange(mut stream: TcpStream, request: &str) -> io::Result<Response> {
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.take(RESPONSE_BYTES_MAX).read_to_end(&mut response)?;
    parse(&String::from_utf8_lossy(&response)).ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn connect(authority: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in authority.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(TIMEOUT))?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn parse(response: &str) -> Option<Response> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.get(..3)?.parse().ok()?;
    Some(Response { status, body: body.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_of_a_url_has_a_port() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://localhost/", Some("localhost:80")),
            ("http://[::1]", Some("[::1]:80")),
            ("http://[::1]:8080", Some("[::1]:8080")),
            ("https://localhost", None),
            ("http://", None),
            ("http://host/path", None),
        ] {
            assert_eq!(authority(url).as_deref(), expected, "{url}");
        }
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let response = parse("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\nstarting\n").unwrap();
        assert_eq!((response.status, response.body.as_str()), (503, "starting\n"));
        assert!(parse("SSH-2.0\r\n\r\n").is_none());
        assert!(parse("HTTP/1.1\r\n\r\n").is_none());
    }

    #[test]
    fn a_page_is_fetched_from_a_server() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut piece = [0; 256];
                let count = stream.read(&mut piece).unwrap();
                request.extend_from_slice(&piece[..count]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok\n").unwrap();
            String::from_utf8(request).unwrap()
        });
        let response = get(&authority, "/healthz").unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, "ok\n"));
        assert!(server.join().unwrap().starts_with("GET /healthz HTTP/1.0\r\nHost: 127.0.0.1:"));
    }
}
