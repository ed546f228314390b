//! Facts about configured certificates: subject, validity, and whether they belong to a CA.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::X509Name;

use super::client::distinguished_name;

/// A certificate that was read.
pub(super) struct Facts<'c>(X509Certificate<'c>);

impl<'c> Facts<'c> {
    /// `None`: not an X.509 certificate, or with trailing data.
    pub(super) fn read(der: &'c CertificateDer<'_>) -> Option<Self> {
        let (behind, certificate) = X509Certificate::from_der(der).ok()?;
        behind.is_empty().then_some(Self(certificate))
    }

    /// The subject, for people.
    pub(super) fn subject(&self) -> String {
        match distinguished_name(self.0.subject()) {
            subject if subject.is_empty() => "without a subject".to_owned(),
            subject => subject,
        }
    }

    /// Its subject is only this common name.
    pub(super) fn is_named(&self, common_name: &str) -> bool {
        let mut attributes = self.0.subject().iter_attributes();
        let mut names = self.0.subject().iter_common_name();
        names.next().and_then(|name| name.as_str().ok()) == Some(common_name)
            && attributes.by_ref().count() == 1
    }

    /// It names itself as its issuer.
    pub(super) fn is_self_issued(&self) -> bool {
        self.names(self.0.issuer())
    }

    /// It names this one as its issuer.
    pub(super) fn is_issued_by(&self, issuer: &Self) -> bool {
        issuer.names(self.0.issuer())
    }

    fn names(&self, name: &X509Name<'_>) -> bool {
        self.0.subject().as_raw() == name.as_raw()
    }

    /// The version of X.509, from 1.
    pub(super) fn version(&self) -> u32 {
        self.0.version().0 + 1
    }

    /// Its public key is this one, in DER.
    pub(super) fn has_key(&self, public_key: &[u8]) -> bool {
        self.0.public_key().raw == public_key
    }

    /// The bits of its key, if RSA.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        match self.0.public_key().parsed() {
            Ok(PublicKey::RSA(key)) => Some(key.key_size()),
            _ => None,
        }
    }

    /// Why it is not a CA's (RFC 5280 sections 4.2.1.3 and 4.2.1.9); `None`: it is. A certificate of version 1, which
    /// can't state it, counts as a CA's if self-signed.
    pub(super) fn not_a_ca(&self) -> Option<&'static str> {
        if self.0.version() == X509Version::V1 {
            return (!self.is_self_issued()).then_some("is of version 1 of X.509, and of another issuer");
        }
        let signs = self.0.key_usage().ok().flatten().is_none_or(|usage| usage.value.key_cert_sign());
        match self.0.basic_constraints().ok().flatten() {
            None => Some("has no basic constraints: it is that of a server or client"),
            Some(constraints) if !constraints.value.ca => Some("is that of a server or client (CA:FALSE)"),
            Some(_) => (!signs).then_some("may not sign certificates (its key usage)"),
        }
    }

    /// Why it is not valid now; `None`: it is.
    pub(super) fn not_valid(&self, now: SystemTime) -> Option<String> {
        let validity = self.0.validity();
        let now = now.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs().cast_signed();
        let day = |seconds| {
            let time = DateTime::<Utc>::from_timestamp(seconds, 0).unwrap_or_default();
            time.to_rfc3339_opts(SecondsFormat::Secs, true)
        };
        let (begin, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        match () {
            () if now < begin => Some(format!("is not valid before {}", day(begin))),
            () if now > end => Some(format!("has expired at {}", day(end))),
            () => None,
        }
    }
}
