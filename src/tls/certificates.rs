//! Certificates with their keys, and which of them a client gets.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::TlsError;

/// The certificates of a PEM text, at least one.
pub(super) fn certificates_in(
    setting: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    certificates.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| TlsError {
        setting,
        value: "the certificate".to_owned(),
        expected: "certificates in PEM, the server's own first, then those above it".to_owned(),
    })
}

/// The first certificate with its key, both usable.
///
/// # Errors
/// The key can't be read, or is another one.
pub(super) fn certified_key(
    chain: Vec<CertificateDer<'static>>,
    key: &str,
) -> Result<CertifiedKey, rustls::Error> {
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
}

/// The certificates of a server. A client gets the first that is valid for the name that it asks for; otherwise, and without
/// a name, the first of all.
#[derive(Debug)]
pub(super) struct Certificates(pub(super) Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Self(certificates) = self;
        let name = hello.server_name().filter(|_| certificates.len() > 1);
        let name = name.and_then(|name| ServerName::try_from(name).ok());
        let fitting = name.and_then(|name| certificates.iter().find(|one| is_valid_for(one, &name)));
        fitting.or(certificates.first()).cloned()
    }
}

fn is_valid_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let own = certificate.end_entity_cert().and_then(ParsedCertificate::try_from);
    own.is_ok_and(|own| verify_server_name(&own, name).is_ok())
}
