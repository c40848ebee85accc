//! `multipart/form-data`: what a browser sends when a file is chosen. [RFC7578]

/// Parts of a form at most.
const PARTS_MAX: usize = 16;

/// The parts by name; None when that is not what `content_type` says, or the form is torn.
pub(super) fn read<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<(String, &'a [u8])>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary")?;
    // [RFC2046-5.1.1] It has one character at least and seventy at most.
    if boundary.is_empty() || boundary.len() > 70 {
        return None;
    }
    let delimiter = format!("\r\n--{boundary}");
    let mut rest =
        body.strip_prefix(&delimiter.as_bytes()[2..]).or_else(|| Some(after(body, delimiter.as_bytes())?.1))?;
    let mut parts = Vec::new();
    while parts.len() < PARTS_MAX && !rest.starts_with(b"--") {
        let (part, next) = after(rest, delimiter.as_bytes())?;
        let (head, content) = after(part, b"\r\n\r\n")?;
        parts.extend(name(head).map(|name| (name, content)));
        rest = next;
    }
    Some(parts)
}

/// What stands before `what` and what behind it.
fn after<'a>(text: &'a [u8], what: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(what.len()).position(|window| window == what)?;
    Some((&text[..at], &text[at + what.len()..]))
}

/// The name in a part's `Content-Disposition`.
fn name(head: &[u8]) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut lines = lines.filter(|(key, _)| key.trim().eq_ignore_ascii_case("content-disposition"));
    parameter(lines.next()?.1, "name")
}

/// A parameter of a header, without its quotes.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    let mut found = pairs.filter(|(key, _)| key.trim().eq_ignore_ascii_case(wanted));
    found.next().map(|(_, value)| value.trim().trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_parts_with_names() {
        let body = b"--x y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n--x y\r\n\
                     content-disposition: form-data; filename=f; name=b\r\nContent-Type: text/plain\r\n\r\n\r\n--x y--";
        let parts = read("multipart/form-data; boundary=\"x y\"", body).unwrap();
        assert_eq!(parts, [("a".to_owned(), &b"1\r\n2"[..]), ("b".to_owned(), &b""[..])]);
    }

    #[test]
    fn what_is_no_form_or_a_torn_one_is_none() {
        assert_eq!(read("application/json", b"{}"), None);
        assert_eq!(read("multipart/form-data", b""), None);
        for torn in [&b""[..], b"--b", b"--b\r\n\r\nx", b"--b\r\nx\r\n--b--"] {
            assert_eq!(read("multipart/form-data; boundary=b", torn), None);
        }
    }
}
