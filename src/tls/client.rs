//! Client certificates: which are trusted, and the names in them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::alerting::Alerting;
use super::pem::Input;
use super::x509::Facts;
use super::{ClientCertificate, TlsError};

/// Longest subject, which is truncated, and longest other name, beyond which it is dropped, in octets.
const MOST_SUBJECT: usize = 1024;
const MOST_NAME: usize = 255;

/// A verifier of client certificates with these CAs in PEM, at least one. `is_required`: clients without a certificate
/// are refused.
pub(super) fn verifier<'p>(
    pems: impl Iterator<Item = Input<'p>>,
    is_required: bool,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for pem in pems {
        for (index, certificate) in pem.certificates()?.into_iter().enumerate() {
            let wrong = |own: &Facts<'_>, why: &str| {
                let (number, subject) = (index + 1, own.subject());
                pem.wrong(format!("certificates of CAs; certificate {number} ({subject}) {why}"))
            };
            let own = Facts::read(&certificate);
            // A self-signed client certificate serves as a CA for that client.
            let judged = own.as_ref().filter(|own| !own.is_self_issued());
            if let Some((own, why)) = judged.and_then(|own| own.not_a_ca().map(|why| (own, why))) {
                return Err(wrong(own, why));
            }
            let added = roots.add(certificate.clone());
            added.map_err(|_| {
                own.map_or_else(|| pem.wrong("certificates"), |own| wrong(&own, "can't be read"))
            })?;
        }
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = if is_required { builder } else { builder.allow_unauthenticated() };
    let verifier = builder.build().map_err(|error| super::settings::internal(&error))?;
    Ok(Arc::new(Alerting(verifier)))
}

impl ClientCertificate {
    /// The contents of a verified certificate.
    pub(crate) fn read(der: &[u8]) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Self::default() };
        let subject = certificate.subject();
        let common_name = subject.iter_common_name().find_map(|one| one.as_str().ok()).and_then(bounded);
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.iter().flat_map(|names| &names.value.general_names);
        let alternative_name = names.filter_map(alternative_name).find_map(|name| bounded(&name));
        let mut subject = distinguished_name(subject);
        if subject.len() > MOST_SUBJECT {
            let end = (0..=MOST_SUBJECT).rfind(|end| subject.is_char_boundary(*end));
            subject.truncate(end.unwrap_or(0));
            subject.push('…');
        }
        Self { subject: subject.into(), common_name, alternative_name }
    }
}

fn bounded(name: &str) -> Option<Box<str>> {
    (!name.is_empty() && name.len() <= MOST_NAME).then(|| name.into())
}

/// The name of a mailbox, host, URI or address.
fn alternative_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::RFC822Name(name) | GeneralName::DNSName(name) | GeneralName::URI(name) => {
            Some((*name).to_owned())
        }
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(|octets| Ipv4Addr::from(octets).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(|octets| Ipv6Addr::from(octets).to_string()))
                .ok()
        }
        _ => None,
    }
}

/// In the format of RFC 4514: the last part first.
pub(super) fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            match index {
                0 if text.is_empty() => {}
                0 => text.push(','),
                _ => text.push('+'),
            }
            append_attribute(&mut text, attribute);
        }
    }
    text
}

/// The short names of RFC 4514 section 3, and the common one of a mailbox.
const SHORT: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// A type without a short name, and a value that is not a string, has its value as hexadecimal octets (RFC 4514 section
/// 2.4).
fn append_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let dotted = attribute.attr_type().to_id_string();
    let short = SHORT.iter().find(|(oid, _)| *oid == dotted).map(|(_, short)| *short);
    text.push_str(short.unwrap_or(&dotted));
    text.push('=');
    match attribute.as_str().ok().filter(|_| short.is_some()) {
        Some(value) => append_escaped(text, value),
        None => {
            text.push('#');
            // The tag and length in DER; the length is below 64 KiB.
            let (value, tag) = (attribute.as_slice(), attribute.attr_value().tag().0 as u8);
            let length = match value.len() {
                short @ ..0x80 => vec![short as u8],
                middle @ ..0x100 => vec![0x81, middle as u8],
                long => vec![0x82, (long >> 8) as u8, long as u8],
            };
            for octet in [tag].iter().chain(&length).chain(value) {
                let _ = write!(text, "{octet:02x}");
            }
        }
    }
}

/// Escapes as required by RFC 4514 section 2.4; control characters also as hexadecimal octets.
fn append_escaped(text: &mut String, value: &str) {
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if index == 0 => text.push_str("\\#"),
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            c if c.is_control() => {
                for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{octet:02x}");
                }
            }
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, SanType};

    use super::*;

    fn read(attributes: Vec<(DnType, DnValue)>, names: Vec<SanType>) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind, value);
        }
        params.subject_alt_names = names;
        let key = KeyPair::generate().expect("a key");
        ClientCertificate::read(params.self_signed(&key).expect("a certificate").der())
    }

    #[test]
    fn a_subject_is_written_as_a_distinguished_name_and_has_a_name() {
        let text = |text: &str| DnValue::Utf8String(text.to_owned());
        // The examples of RFC 4514 section 4.
        for (attributes, expected) in [
            (
                vec![
                    (DnType::from_oid(&[0, 9, 2342, 19200300, 100, 1, 25]), text("net")),
                    (DnType::OrganizationalUnitName, text("Sales")),
                    (DnType::CommonName, text("J.  Smith")),
                ],
                "CN=J.  Smith,OU=Sales,DC=net",
            ),
            (
                vec![(DnType::CommonName, text("James \"Jim\" Smith, III"))],
                "CN=James \\\"Jim\\\" Smith\\, III",
            ),
            (vec![(DnType::CommonName, text("Before\rAfter"))], "CN=Before\\0dAfter"),
            (vec![(DnType::CommonName, text("Lučić"))], "CN=Lučić"),
            (vec![(DnType::CommonName, text("#a+b ;"))], "CN=\\#a\\+b \\;"),
            (vec![(DnType::CommonName, text(" a "))], "CN=\\ a\\ "),
            (
                vec![(DnType::from_oid(&[1, 3, 6, 1, 4, 1, 1466, 0]), text("Hi"))],
                "1.3.6.1.4.1.1466.0=#0c024869",
            ),
            (vec![], ""),
        ] {
            assert_eq!(read(attributes, vec![]).subject(), expected);
        }
    }

    #[test]
    fn the_name_is_the_common_name_or_else_the_first_alternative_name_or_else_the_subject() {
        let common = vec![(DnType::CommonName, DnValue::Utf8String("ann".to_owned()))];
        let other = vec![(DnType::OrganizationName, DnValue::Utf8String("Example".to_owned()))];
        let email = || SanType::Rfc822Name("ann@example.com".try_into().expect("a mailbox"));
        let both = read(common, vec![email()]);
        assert_eq!((both.name(), both.alternative_name()), (Some("ann"), Some("ann@example.com")));
        let address = SanType::IpAddress(Ipv6Addr::LOCALHOST.into());
        assert_eq!(read(other.clone(), vec![address, email()]).name(), Some("::1"));
        assert_eq!(read(other, vec![]).name(), Some("O=Example"));
        assert_eq!(read(vec![], vec![]).name(), None);
    }

    #[test]
    fn what_is_retained_is_bounded() {
        let long = vec![(DnType::CommonName, DnValue::Utf8String("ä".repeat(5000)))];
        let read = read(long, vec![]);
        assert_eq!((read.common_name(), read.subject().len()), (None, MOST_SUBJECT + 2));
        assert_eq!(ClientCertificate::read(b"no certificate"), ClientCertificate::default());
    }
}
