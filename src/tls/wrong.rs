//! Certificates that are wrong on purpose, each in exactly one way.

use rcgen::{DnType, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustls::pki_types::{CertificateDer, DnsName};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::authority::{Authority, Issued, Lifetime, issued, leaf, subject};
use crate::smtp::rules::WrongCertificate;

/// A name that no server has (RFC 6761 section 6.4).
const NOBODY: &str = "wrong-name.invalid";
/// The default common name.
const LOCALHOST: &str = "localhost";

/// Creates a certificate of this server that is wrong in this way, with a new key. `names` are those of the right one.
pub(super) fn make(
    authority: &Authority,
    names: &[SanType],
    which: WrongCertificate,
) -> Result<Issued, rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let of_names = |lifetime| leaf(names.to_vec(), lifetime);
    match which {
        WrongCertificate::Expired => authority.sign(&of_names(Lifetime::Past), &key),
        WrongCertificate::NotYetValid => authority.sign(&of_names(Lifetime::Future), &key),
        WrongCertificate::WrongName => {
            authority.sign(&leaf(subject(NOBODY).into_iter().collect(), Lifetime::Present), &key)
        }
        WrongCertificate::NoSan => {
            let mut params = leaf(Vec::new(), Lifetime::Present);
            params.distinguished_name.push(DnType::CommonName, common_name(names));
            authority.sign(&params, &key)
        }
        WrongCertificate::SelfSigned => {
            let certificate = of_names(Lifetime::Present).self_signed(&key)?;
            Ok(issued(&certificate, &key, &[]))
        }
        WrongCertificate::Untrusted => {
            Authority::create("smtpmock unknown CA")?.sign(&of_names(Lifetime::Present), &key)
        }
    }
}

/// The first host name: the one that clients most likely request.
fn common_name(names: &[SanType]) -> &str {
    let mut hosts = names.iter().filter_map(|name| match name {
        SanType::DnsName(host) => Some(host.as_str()),
        _ => None,
    });
    hosts.find(|host| DnsName::try_from(*host).is_ok()).unwrap_or(LOCALHOST)
}

/// The hosts and addresses of a certificate.
pub(super) fn names_of(certificate: &CertificateDer<'_>) -> Vec<SanType> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names);
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(host) => subject(host),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(*octets).map(Into::into);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(*octets).map(Into::into));
            ip.ok().map(SanType::IpAddress)
        }
        _ => None,
    };
    names.filter_map(name).collect()
}
