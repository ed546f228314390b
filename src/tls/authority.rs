//! A certificate authority for tests, created at the start or permanent, and the certificates that it issues.

use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;

use super::TlsError;
use super::certificates::certified;
use super::pem::Input;
use super::x509::Facts;
use crate::time::wall_time;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Validity of an authority created at the start.
const AUTHORITY_LASTS: Duration = DAY.saturating_mul(10 * 365);
/// Validity of a certificate; 200 days with the preceding day: the longest allowed for certificates of the web since
/// March 2026 (CA/Browser Forum's baseline requirements, section 6.3.2).
const CERTIFICATE_LASTS: Duration = DAY.saturating_mul(199);

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, and those above it if any.
    pub(super) pem: String,
    /// Sent after the certificates that it issues; empty if clients know the CA anyway.
    chain: Vec<CertificateDer<'static>>,
}

/// A certificate with those above it, and its key.
pub(super) type Issued = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Authority {
    /// Creates an authority with this name.
    pub(super) fn create(name: &str) -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params(name, Lifetime::Present, AUTHORITY_LASTS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem, chain: Vec::new() })
    }

    /// Reads a permanent authority.
    pub(super) fn from_pem(certificates: Input<'_>, key: Input<'_>) -> Result<Self, TlsError> {
        let (CertifiedKey { cert: chain, .. }, der) = certified(certificates, key)?;
        if let Some(why) = Facts::read(&chain[0]).and_then(|own| own.not_a_ca()) {
            return Err(certificates.wrong(format!("the certificate of a CA; this one {why}")));
        }
        let key = KeyPair::try_from(&der).map_err(|_| {
            key.wrong("an ECDSA, RSA or Ed25519 key that can sign certificates; this one can't")
        })?;
        let issuer = Issuer::from_ca_cert_der(&chain[0], key).map_err(|_| {
            certificates.wrong("the certificate of a CA; the names in this one can't be read")
        })?;
        Ok(Self { issuer, pem: certificates.text().to_owned(), chain })
    }

    /// Issues a certificate for these names, with a new key.
    pub(super) fn issue(&self, names: Vec<SanType>) -> Result<Issued, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        self.sign(&leaf(names, Lifetime::Present), &key)
    }

    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Result<Issued, rcgen::Error> {
        let certificate = params.signed_by(key, &self.issuer)?;
        Ok(issued(&certificate, key, &self.chain))
    }
}

pub(super) fn issued(certificate: &Certificate, key: &KeyPair, chain: &[CertificateDer<'static>]) -> Issued {
    let chain = std::iter::once(certificate.der().clone()).chain(chain.iter().cloned()).collect();
    (chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Lifetime {
    /// From yesterday: clocks differ.
    Present,
    /// Until yesterday.
    Past,
    /// From next month.
    Future,
}

/// The properties of a server certificate for these names.
pub(super) fn leaf(names: Vec<SanType>, lifetime: Lifetime) -> CertificateParams {
    let mut params = params("smtpmock", lifetime, CERTIFICATE_LASTS);
    params.subject_alt_names = names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

/// A subject name of a certificate: an IP address or host name, or with `*.` all names below it.
pub(super) fn subject(name: &str) -> Option<SanType> {
    if let Ok(ip) = name.parse() {
        return Some(SanType::IpAddress(ip));
    }
    DnsName::try_from(name.strip_prefix("*.").unwrap_or(name)).ok()?;
    Ia5String::try_from(name).ok().map(SanType::DnsName)
}

/// The properties of all certificates.
fn params(name: &str, lifetime: Lifetime, lasts: Duration) -> CertificateParams {
    let now = wall_time();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let day = |time| {
        let day = DateTime::<Utc>::from(time);
        date_time_ymd(day.year(), day.month() as u8, day.day() as u8)
    };
    let (begin, end) = match lifetime {
        Lifetime::Present => (now - DAY, now + lasts),
        Lifetime::Past => (now - lasts, now - DAY),
        Lifetime::Future => (now + 30 * DAY, now + 30 * DAY + lasts),
    };
    (params.not_before, params.not_after) = (day(begin), day(end));
    params
}
