//! The negotiation of permessage-deflate: which offer is taken, and with which parameters. [RFC6455-9.1], [RFC7692-7.1]

use std::fmt::Write;

use crate::deflate::{Deflate, DeflatePolicy};
use crate::error::Refusal;

const HEADER: &str = "sec-websocket-extensions";

/// One offered extension: a name and parameters with or without a value.
#[derive(Debug, PartialEq, Eq)]
struct Offer<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, Option<&'a str>)>,
}

/// Takes the first offer that is valid and possible, and writes the answer to it. Offers of other extensions, and
/// those with parameters nobody defined, are declined by silence; a header outside the grammar is refused.
pub(crate) fn negotiate<'a>(
    headers: impl Iterator<Item = &'a str>,
    policy: Option<&DeflatePolicy>,
) -> Result<Option<(Deflate, String)>, Refusal> {
    let mut taken = None;
    for header in headers {
        for offer in offers(header)? {
            if taken.is_none() && offer.name == "permessage-deflate" {
                taken = policy.and_then(|policy| accept(&offer, policy));
            }
        }
    }
    Ok(taken)
}

/// Reads `1#extension`. Commas and semicolons cannot hide in values: a quoted value must be a token too.
fn offers(header: &str) -> Result<Vec<Offer<'_>>, Refusal> {
    let malformed = || Refusal::Malformed(HEADER);
    let mut offers = Vec::new();
    for element in header.split(',').map(trim).filter(|element| !element.is_empty()) {
        let mut parts = element.split(';').map(trim);
        let name = parts.next().filter(|name| is_token(name)).ok_or_else(malformed)?;
        let mut parameters = Vec::new();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (trim(name), Some(unquoted(trim(value)))),
                None => (part, None),
            };
            if !is_token(name) || value.is_some_and(|value| !is_token(value)) {
                return Err(malformed());
            }
            parameters.push((name, value));
        }
        offers.push(Offer { name, parameters });
    }
    Ok(offers)
}

/// What an offer asks of us; None when it is invalid. [RFC7692-7.1]
fn accept(offer: &Offer<'_>, policy: &DeflatePolicy) -> Option<(Deflate, String)> {
    let (mut server_fresh, mut client_fresh) = (false, false);
    let (mut server_bits, mut client_bits) = (None, None);
    for (index, &(name, value)) in offer.parameters.iter().enumerate() {
        if offer.parameters[..index].iter().any(|(earlier, _)| *earlier == name) {
            return None; // [RFC7692-7] the same parameter twice
        }
        match (name, value) {
            ("server_no_context_takeover", None) => server_fresh = true,
            ("client_no_context_takeover", None) => client_fresh = true,
            ("server_max_window_bits", Some(bits)) => server_bits = Some(window_bits(bits)?),
            ("client_max_window_bits", None) => client_bits = Some(None),
            ("client_max_window_bits", Some(bits)) => client_bits = Some(Some(window_bits(bits)?)),
            _ => return None,
        }
    }

    // What we compress: the smaller window of both wishes. zlib has no raw stream with a window of 256 bytes, so an
    // offer that insists on 8 bits is declined.
    let server_window = server_bits.unwrap_or(15).min(policy.server_max_window_bits.clamp(9, 15));
    if server_window < 9 {
        return None;
    }
    // What we inflate: [RFC7692-7.1.2.2] only a client that names the parameter can be told a smaller window.
    let client_window = match client_bits {
        Some(hint) => hint.unwrap_or(15).min(policy.client_max_window_bits.clamp(9, 15)),
        None => 15,
    };
    let deflate = Deflate {
        server_no_context_takeover: server_fresh || !policy.server_context_takeover,
        client_no_context_takeover: client_fresh || !policy.client_context_takeover,
        server_max_window_bits: server_window,
        client_max_window_bits: client_window,
    };
    Some((deflate, answer(&deflate, server_bits.is_some())))
}

fn answer(deflate: &Deflate, server_bits_offered: bool) -> String {
    let mut answer = String::from("permessage-deflate");
    if deflate.server_no_context_takeover {
        answer.push_str("; server_no_context_takeover");
    }
    if deflate.client_no_context_takeover {
        answer.push_str("; client_no_context_takeover");
    }
    // [RFC7692-7.1.2.1] who limits our window wants to read the limit in the answer
    if server_bits_offered || deflate.server_max_window_bits < 15 {
        write!(answer, "; server_max_window_bits={}", deflate.server_max_window_bits).expect("a String takes all");
    }
    if deflate.client_max_window_bits < 15 {
        write!(answer, "; client_max_window_bits={}", deflate.client_max_window_bits).expect("a String takes all");
    }
    answer
}

/// [RFC7692-7.1.2] a decimal integer from 8 to 15 without leading zeros
fn window_bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        _ if value.len() == 2 => value.parse().ok().filter(|bits| (10..=15).contains(bits)),
        _ => None,
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)
}

/// [RFC9110-5.6.2]
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_with(headers: &[&str], policy: &DeflatePolicy) -> Option<String> {
        negotiate(headers.iter().copied(), Some(policy)).unwrap().map(|(_, answer)| answer)
    }

    fn answer_to(header: &str) -> Option<String> {
        let takeover =
            DeflatePolicy { server_context_takeover: true, client_context_takeover: true, ..Default::default() };
        answer_with(&[header], &takeover)
    }

    #[test]
    fn each_parameter_is_answered() {
        for (offer, expected) in [
            ("permessage-deflate", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits", "permessage-deflate"),
            ("permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"),
            ("permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"),
            ("permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"),
            ("permessage-deflate; server_max_window_bits=\"15\"", "permessage-deflate; server_max_window_bits=15"),
            ("permessage-deflate ; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"),
            ("permessage-deflate;\tclient_no_context_takeover", "permessage-deflate; client_no_context_takeover"),
            ("x-webkit-deflate-frame, permessage-deflate", "permessage-deflate"),
            (", ,permessage-deflate,", "permessage-deflate"),
        ] {
            assert_eq!(answer_to(offer).as_deref(), Some(expected), "{offer}");
        }
    }

    #[test]
    fn invalid_offers_are_declined() {
        for offer in [
            "permessage-deflate; unknown",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_no_context_takeover=true",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8", // valid, but not possible here
            "permessage-deflate; server_max_window_bits=7",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=010",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=x",
            "Permessage-Deflate",
            "permessage-bzip2",
            "",
        ] {
            assert_eq!(answer_to(offer), None, "{offer}");
        }
    }

    #[test]
    fn the_next_offer_is_considered_over_several_lines() {
        let policy = DeflatePolicy::default();
        let offers =
            ["permessage-deflate; server_max_window_bits=8, foo; a=b", "permessage-deflate; server_max_window_bits=12"];
        assert_eq!(
            answer_with(&offers, &policy).unwrap(),
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12"
        );
    }

    #[test]
    fn a_small_window_is_asked_only_of_clients_that_can() {
        let policy = DeflatePolicy { client_max_window_bits: 11, server_max_window_bits: 10, ..Default::default() };
        assert!(
            answer_with(&["permessage-deflate; client_max_window_bits"], &policy)
                .unwrap()
                .ends_with("server_max_window_bits=10; client_max_window_bits=11")
        );
        assert!(answer_with(&["permessage-deflate"], &policy).unwrap().ends_with("server_max_window_bits=10"));
    }

    #[test]
    fn a_header_outside_the_grammar_is_refused() {
        for header in ["permessage-deflate;", "permessage-deflate; =1", "a b", "x; y=\"", "x; y=\"a b\"", "x; y="] {
            let result = negotiate([header].into_iter(), Some(&DeflatePolicy::default()));
            assert_eq!(result, Err(Refusal::Malformed(HEADER)), "{header}");
        }
    }

    #[test]
    fn without_a_policy_every_offer_is_declined() {
        assert_eq!(negotiate(["permessage-deflate"].into_iter(), None), Ok(None));
    }
}
