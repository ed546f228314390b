//! Certificates with their keys, and their selection for a client.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use super::TlsError;
use super::pem::Input;
use super::x509::Facts;
use crate::time::wall_time;

/// The first certificate with its key.
///
/// # Errors
/// One of them can't be read, or they do not match.
pub(super) fn certified(
    certificates: Input<'_>,
    key: Input<'_>,
) -> Result<(CertifiedKey, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates.certificates()?;
    let own = Facts::read(&chain[0]);
    let der = key.key()?;
    if let Some(version @ 1..=2) = own.as_ref().map(Facts::version) {
        return Err(certificates.wrong(format!(
            "a certificate of version 3 of X.509, which has the names of its hosts; this one is of version {version}: openssl x509 \
             -req makes one of version 3 with -extfile and a subjectAltName"
        )));
    }
    let provider = aws_lc_rs::default_provider();
    let loaded = provider.key_provider.load_private_key(der.clone_key()).map_err(|_| {
        const RIGHT: &str =
            "an ECDSA key of P-256, P-384 or P-521, an RSA key of 2048 to 8192 bits, or an Ed25519 key";
        key.wrong(match own.as_ref().and_then(Facts::rsa_bits).filter(|bits| !(2048..=8192).contains(bits)) {
            Some(bits) => format!("{RIGHT}; its certificate is for an RSA key of {bits} bits"),
            None => format!("{RIGHT}; this is another key, or damaged"),
        })
    })?;
    let certified = CertifiedKey::new(chain, loaded);
    match certified.keys_match() {
        // Some keys don't have a known public key: handshakes will show whether they match.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok((certified, der)),
        Err(Error::InconsistentKeys(_)) => Err(of_another(&certified, certificates, key)),
        Err(_) => {
            let expected =
                "an X.509 certificate in PEM that clients can read; this one has parts that none can";
            Err(certificates.wrong(expected))
        }
    }
}

/// The error for a key that does not match the first certificate.
fn of_another(certified: &CertifiedKey, certificates: Input<'_>, key: Input<'_>) -> TlsError {
    let public = certified.key.public_key();
    let is_its = |one: &CertificateDer<'_>| {
        Facts::read(one).zip(public.as_deref()).is_some_and(|(facts, public)| facts.has_key(public))
    };
    let subject =
        |index: usize| Facts::read(&certified.cert[index]).map_or_else(String::new, |one| one.subject());
    match certified.cert.iter().position(is_its) {
        Some(index) => certificates.wrong(format!(
            "the server's own certificate first, then those above it; the key is that of certificate {} ({}), and the first one is {}",
            index + 1,
            subject(index),
            subject(0)
        )),
        None => key.wrong(format!(
            "the private key of the first certificate in {} ({}); this one is another's",
            certificates.name(),
            subject(0)
        )),
    }
}

/// The probable mistake in a chain of certificates: some are not valid now, or do not follow their issuer.
pub(super) fn doubts_of(certificates: Input<'_>) -> Option<TlsError> {
    let chain = certificates.certificates().ok()?;
    let facts: Vec<_> = chain.iter().filter_map(Facts::read).collect();
    let now = wall_time();
    let numbered = || facts.iter().enumerate().map(|(index, one)| (index + 1, one));
    let lapsed = |(number, one): (usize, &Facts<'_>)| {
        let why = one.not_valid(now)?;
        Some(certificates.wrong(format!(
            "a certificate that is valid now; certificate {number} ({}) {why}: clients that verify it refuse it",
            one.subject()
        )))
    };
    let stray = || {
        let (number, one) = numbered().skip(1).find(|&(number, one)| !facts[number - 2].is_issued_by(one))?;
        Some(certificates.wrong(format!(
            "each certificate to be followed by that of its issuer; certificate {number} ({}) has not issued the one before it: some \
             clients refuse that",
            one.subject()
        )))
    };
    numbered().find_map(lapsed).or_else(stray)
}

/// The certificates of a server. A client gets the first that is valid for its server name; otherwise, or without a
/// name, the first of all.
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
