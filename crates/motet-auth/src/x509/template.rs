//! From a certificate to a user: a text with places that the certificate fills.

use super::{distinguished_name, general_names, parse};
use crate::accounts::USER_BYTES_MAX;
use std::fmt;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// A template such as `%cn` or `device-%san_dns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The subject's common name.
    CommonName,
    /// The whole subject. [RFC 4514]
    DistinguishedName,
    /// The first DNS name.
    Dns,
    /// The first mail address.
    Email,
    /// The first URI, such as a SPIFFE id.
    Uri,
    /// A percent sign.
    Percent,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

const PLACES: [(&str, Place); 6] = [
    ("%cn", Place::CommonName),
    ("%dn", Place::DistinguishedName),
    ("%san_dns", Place::Dns),
    ("%san_email", Place::Email),
    ("%san_uri", Place::Uri),
    ("%%", Place::Percent),
];

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// [`TemplateError`] for a place that does not exist, or none at all: then everybody would be the same user.
    pub fn read(text: &str) -> Result<Self, TemplateError> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (plain, after) = rest.split_at(rest.find('%').unwrap_or(rest.len()));
            if !plain.is_empty() {
                pieces.push(Piece::Text(plain.into()));
            }
            rest = after;
            if let Some((word, place)) = PLACES.iter().find(|(word, _)| after.starts_with(word)) {
                pieces.push(Piece::Place(*place));
                rest = &after[word.len()..];
            } else if !after.is_empty() {
                return Err(TemplateError);
            }
        }
        let tells = pieces.iter().any(|piece| matches!(piece, Piece::Place(place) if *place != Place::Percent));
        if tells { Ok(Template(pieces)) } else { Err(TemplateError) }
    }

    /// The user that this certificate (in DER) makes; none when something that the template names is not in it, is
    /// there more than once where it must be one, or makes no name that a user can have.
    pub fn apply(&self, der: &[u8]) -> Option<String> {
        let certificate = parse(der)?;
        let mut user = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => user.push_str(text),
                Piece::Place(place) => user.push_str(&find(*place, &certificate)?),
            }
        }
        let is_name = !user.is_empty() && user.len() <= USER_BYTES_MAX && !user.chars().any(char::is_control);
        is_name.then_some(user)
    }
}

fn find(place: Place, certificate: &X509Certificate<'_>) -> Option<String> {
    let first = |pick: for<'n> fn(&'n GeneralName<'n>) -> Option<&'n str>| {
        general_names(certificate).iter().find_map(pick).map(str::to_owned)
    };
    let found = match place {
        Place::CommonName => {
            let mut names = certificate.subject().iter_common_name();
            let only = names.next().filter(|_| names.next().is_none())?;
            Some(only.as_str().ok()?.to_owned())
        }
        Place::DistinguishedName => distinguished_name::written(certificate.subject()),
        Place::Dns => first(|name| if let GeneralName::DNSName(name) = name { Some(name) } else { None }),
        Place::Email => first(|name| if let GeneralName::RFC822Name(name) = name { Some(name) } else { None }),
        Place::Uri => first(|name| if let GeneralName::URI(name) = name { Some(name) } else { None }),
        Place::Percent => Some("%".into()),
    };
    found.filter(|found| !found.is_empty())
}

/// The text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateError;

impl std::error::Error for TemplateError {}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "expected a text with at least one of %cn, %dn, %san_dns, %san_email, %san_uri; %% is a percent sign",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn device() -> Vec<u8> {
        certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Example, Inc.");
            params.distinguished_name.push(DnType::OrganizationalUnitName, "plant");
            params.distinguished_name.push(DnType::CommonName, "device-7");
            let text = |text: &str| text.try_into().unwrap();
            params.subject_alt_names = vec![
                SanType::Rfc822Name(text("seven@example.org")),
                SanType::DnsName(text("seven.example.org")),
                SanType::DnsName(text("other.example.org")),
                SanType::URI(text("spiffe://example.org/seven")),
            ];
        })
    }

    #[test]
    fn every_place_is_filled_from_the_certificate() {
        for (template, expected) in [
            ("%cn", "device-7"),
            ("%dn", "CN=device-7,OU=plant,O=Example\\, Inc."),
            ("%san_dns", "seven.example.org"),
            ("%san_email", "seven@example.org"),
            ("%san_uri", "spiffe://example.org/seven"),
            ("100%% %cn@plant", "100% device-7@plant"),
        ] {
            assert_eq!(Template::read(template).unwrap().apply(&device()).as_deref(), Some(expected), "{template}");
        }
    }

    #[test]
    fn what_the_certificate_does_not_say_makes_no_user() {
        let nameless = certificate(|_| {});
        for template in ["%cn", "%dn", "%san_dns", "%san_email", "%san_uri", "device-%cn"] {
            assert_eq!(Template::read(template).unwrap().apply(&nameless), None, "{template}");
        }
        let control = certificate(|params| params.distinguished_name.push(DnType::CommonName, "a\nb"));
        assert_eq!(Template::read("%cn").unwrap().apply(&control), None);
        assert_eq!(Template::read("%cn").unwrap().apply(b"no certificate"), None);
    }

    #[test]
    fn a_template_must_tell_one_holder_from_another() {
        for wrong in ["", "device", "%%", "%", "%CN", "%cn%", "%name"] {
            assert_eq!(Template::read(wrong), Err(TemplateError), "{wrong:?}");
        }
    }
}
