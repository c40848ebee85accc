//! The PROXY protocol: who the peer behind a proxy is, told by the proxy before anything else.
//!
//! Versions 1 (a line of text) and 2 (binary) of "The PROXY protocol", HAProxy 2024; section numbers are its own. What
//! a proxy says is believed only where the configuration asks for it and from where it says.
//!
//! ```text
//!   stream ──peek──▶ parse ──▶ Incomplete: take what is there, peek again
//!                          ├─▶ Header: take exactly it; the rest is the protocol's
//!                          └─▶ Malformed: the connection is closed
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The longest line of version 1, with its end. [2.1]
const V1_BYTES_MAX: usize = 107;
/// A header of version 2 that we take, with its extensions: it must fit a segment of the smallest size. [2.2]
const V2_BYTES_MAX: usize = 536;
/// [2.2]
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED_BYTES: usize = 16;

/// What the bytes so far tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// It can still become a header.
    Incomplete,
    /// It is one, of so many bytes.
    Header {
        /// The peer; None when the proxy speaks for itself (a health check) or does not say.
        source: Option<SocketAddr>,
        len: usize,
    },
    /// It is none.
    Malformed(&'static str),
}

/// Judges the beginning of a connection, however little of it.
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    let begins = |word: &[u8]| bytes.iter().zip(word).all(|(a, b)| a == b);
    if begins(V2_SIGNATURE) {
        parse_v2(bytes)
    } else if begins(b"PROXY ") {
        parse_v1(bytes)
    } else {
        Parsed::Malformed("does not begin with a PROXY header")
    }
}

/// `PROXY TCP4 192.0.2.7 192.0.2.1 56324 1883` and a line end. [2.1]
fn parse_v1(bytes: &[u8]) -> Parsed {
    let window = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        let whole = bytes.len() >= V1_BYTES_MAX;
        return if whole { Parsed::Malformed("its line does not end") } else { Parsed::Incomplete };
    };
    let Ok(line) = std::str::from_utf8(&window[..end]) else { return Parsed::Malformed("its line is not text") };
    let len = end + 2;
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    // What follows UNKNOWN is to be ignored. [2.1]
    if family == Some("UNKNOWN") {
        return Parsed::Header { source: None, len };
    }
    let (Some(source), Some(_), Some(port), Some(_), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Parsed::Malformed("its line has not six words");
    };
    let ip = match family {
        Some("TCP4") => source.parse::<Ipv4Addr>().map(IpAddr::from).ok(),
        Some("TCP6") => source.parse::<Ipv6Addr>().map(IpAddr::from).ok(),
        _ => return Parsed::Malformed("its family is none of TCP4, TCP6, UNKNOWN"),
    };
    // No sign, no leading zeros. [2.1]
    let plain = port.bytes().all(|byte| byte.is_ascii_digit()) && (port == "0" || !port.starts_with('0'));
    match (ip, port.parse::<u16>().ok().filter(|_| plain)) {
        (Some(ip), Some(port)) => Parsed::Header { source: Some(SocketAddr::new(ip, port)), len },
        _ => Parsed::Malformed("its address is not readable"),
    }
}

/// Signature, version and command, family, length; addresses; extensions, which we pass over. [2.2]
fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED_BYTES>() else { return Parsed::Incomplete };
    let (version, command) = (fixed[12] >> 4, fixed[12] & 0x0F);
    if version != 2 || command > 1 {
        return Parsed::Malformed("its version or command is unknown");
    }
    let len = V2_FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if len > V2_BYTES_MAX {
        return Parsed::Malformed("it is longer than 536 bytes");
    }
    let Some(addresses) = bytes.get(V2_FIXED_BYTES..len) else { return Parsed::Incomplete };
    // LOCAL: the proxy itself, whatever the rest says. [2.2]
    if command == 0 {
        return Parsed::Header { source: None, len };
    }
    let source = match fixed[13] {
        0x11 => v2_source::<4, 12>(addresses, |ip| Ipv4Addr::from(ip).into()),
        0x21 => v2_source::<16, 36>(addresses, |ip| Ipv6Addr::from(ip).into()),
        // Unspecified, datagrams and Unix sockets: no address that we know of. [2.2]
        _ => return Parsed::Header { source: None, len },
    };
    match source {
        Some(source) => Parsed::Header { source: Some(source), len },
        None => Parsed::Malformed("it is too short for its addresses"),
    }
}

/// Source and destination address of `N` bytes each, source and destination port: `ALL` bytes.
fn v2_source<const N: usize, const ALL: usize>(block: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<SocketAddr> {
    let block = block.first_chunk::<ALL>()?;
    let source = *block.first_chunk::<N>()?;
    Some(SocketAddr::new(ip(source), u16::from_be_bytes([block[2 * N], block[2 * N + 1]])))
}

/// Takes the header off `stream`, and not a byte more. None: the proxy speaks for itself.
///
/// # Errors
/// The stream ends or fails, or begins with something else.
pub(crate) async fn take_header(stream: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let mut buffer = [0; V2_BYTES_MAX];
    let mut have = 0;
    loop {
        let seen = stream.peek(&mut buffer[have..]).await?;
        if seen == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within its PROXY header"));
        }
        let (take, answer) = match parse(&buffer[..have + seen]) {
            // All of it belongs to the header, so that the next look waits for what follows.
            Parsed::Incomplete => (seen, None),
            Parsed::Header { source, len } => (len - have, Some(source)),
            Parsed::Malformed(why) => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the PROXY header is wrong: {why}")));
            }
        };
        stream.read_exact(&mut buffer[have..have + take]).await?;
        have += take;
        if let Some(source) = answer {
            return Ok(source.map(|source| SocketAddr::new(source.ip().to_canonical(), source.port())));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&V2_SIGNATURE[..], &[0x20 | command, family], &length, block].concat()
    }

    fn block4() -> Vec<u8> {
        [&[192, 0, 2, 7, 10, 0, 0, 1][..], &56324_u16.to_be_bytes(), &1883_u16.to_be_bytes()].concat()
    }

    fn told(address: &str, len: usize) -> Parsed {
        Parsed::Header { source: Some(address.parse().unwrap()), len }
    }

    #[test]
    fn both_versions_tell_the_source() {
        let line = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883\r\n\x10\x0c";
        assert_eq!(parse(line), told("192.0.2.7:56324", 42));
        let line = b"PROXY TCP6 2001:db8::7 ::1 56324 1883\r\n";
        assert_eq!(parse(line), told("[2001:db8::7]:56324", line.len()));
        let header = v2(1, 0x11, &block4());
        assert_eq!(parse(&header), told("192.0.2.7:56324", 28));
        let ip: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let block = [&ip.octets()[..], &[0; 16], &7_u16.to_be_bytes(), &[0, 0]].concat();
        assert_eq!(parse(&v2(1, 0x21, &block)), told("[2001:db8::7]:7", 52));
    }

    #[test]
    fn extensions_are_passed_over_up_to_the_bound() {
        let with = |bytes: usize| v2(1, 0x11, &[block4(), vec![0xE0; bytes]].concat());
        assert_eq!(parse(&with(508)), told("192.0.2.7:56324", 536));
        assert!(matches!(parse(&with(509)), Parsed::Malformed(_)));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_tells_nobody() {
        for header in
            [v2(0, 0, &[]), v2(0, 0x11, &block4()), v2(1, 0, b"ab"), v2(1, 0x31, &[0; 216]), v2(1, 0x12, &block4())]
        {
            assert_eq!(parse(&header), Parsed::Header { source: None, len: header.len() });
        }
        let line = b"PROXY UNKNOWN ffff::1 whatever\r\n";
        assert_eq!(parse(line), Parsed::Header { source: None, len: line.len() });
    }

    #[test]
    fn a_part_of_a_header_waits_for_the_rest() {
        for header in [v2(1, 0x11, &block4()), b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883\r\n".to_vec()] {
            for at in 0..header.len() {
                assert_eq!(parse(&header[..at]), Parsed::Incomplete, "{at}");
            }
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let endless = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let mut wrong = v2(1, 0x11, &block4());
        wrong[12] = 0x31;
        let cases: [&[u8]; 14] = [
            b"\x10\x0c\x00\x04MQTT",
            b"proxy TCP4",
            &endless,
            &wrong,
            &v2(2, 0x11, &block4()),
            &v2(1, 0x11, &block4()[..11]),
            b"PROXY\tTCP4",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883 9\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 99999 1883\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 +1 1883\r\n",
            b"PROXY TCP4 ::1 10.0.0.1 1 1883\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 1 1883\r\n",
            b"PROXY \xff\xff\r\n",
        ];
        for case in cases {
            assert!(matches!(parse(case), Parsed::Malformed(_)), "{}", case.escape_ascii());
        }
    }

    #[tokio::test]
    async fn not_a_byte_behind_the_header_is_taken() {
        let header = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 1883\r\n";
        for cut in [0, 1, 20, header.len() - 1] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            proxy.write_all(&header[..cut]).await.unwrap();
            let taking = tokio::spawn(async move {
                let source = take_header(&mut stream).await.unwrap();
                (source, stream)
            });
            proxy.write_all(&[&header[cut..], b"rest"].concat()).await.unwrap();
            let (source, mut stream) = taking.await.unwrap();
            assert_eq!(source, Some("192.0.2.7:56324".parse().unwrap()));
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await.unwrap();
            assert_eq!(&rest, b"rest");
        }
    }

    #[tokio::test]
    async fn a_stream_that_ends_within_its_header_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxy = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        proxy.write_all(b"PROXY TC").await.unwrap();
        drop(proxy);
        assert_eq!(take_header(&mut stream).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
