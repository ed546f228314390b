//! Refuses client certificates with the specific alerts of RFC 8446 section 6.2, where rustls only has
//! `certificate_unknown`.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ExtendedKeyPurpose, SignatureScheme,
};

use super::x509::Facts;

/// webpki's error for a certificate without extensions, like those of `openssl x509 -req`: rustls has no equivalent.
const OLD_FORM: &str = "UnsupportedCertVersion";
/// webpki's error for the certificate of a CA that a client has presented as its own.
const OF_A_CA: &str = "CaUsedAsEndEntity";

/// A verifier that maps the errors of another one to better alerts.
#[derive(Debug)]
pub(super) struct Alerting(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Alerting {
    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_client_cert(own, above, now).map_err(|error| match &error {
            Error::InvalidCertificate(CertificateError::Other(other)) => {
                named(&other.0.to_string(), own).map_or(error, Error::InvalidCertificate)
            }
            _ => error,
        })
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The error with the appropriate alert. `why` is webpki's.
fn named(why: &str, own: &CertificateDer<'_>) -> Option<CertificateError> {
    let is_self_issued = || Facts::read(own).is_some_and(|own| own.is_self_issued());
    match why {
        // Alert unknown_ca. A self-signed certificate of version 1 would not be trusted with extensions either.
        OF_A_CA | OLD_FORM if is_self_issued() => Some(CertificateError::UnknownIssuer),
        OF_A_CA => Some(CertificateError::InvalidPurpose),
        OLD_FORM => Some(old_form()),
        _ => None,
    }
}

/// Alert unsupported_certificate: without extensions it can't state its purpose.
fn old_form() -> CertificateError {
    CertificateError::InvalidPurposeContext {
        required: ExtendedKeyPurpose::ClientAuth,
        presented: Vec::new(),
    }
}

/// Whether this is the error for a certificate of version 1.
pub(crate) fn is_of_old_form(error: &CertificateError) -> bool {
    *error == old_form()
}
