//! The TLS of a run: what is trusted, under which name, and what is offered. Pure: the caller reads the files.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, NamedGroup, RootCertStore, SignatureScheme,
    SupportedProtocolVersion, version,
};
use smtpmock::TlsVersion;

/// Tickets stored for each connection of the run: servers send two with each handshake, and each resumes once
/// (RFC 8446 section C.4).
const TICKETS_PER_CONNECTION: usize = 2;

/// The most tickets stored, each of about a kilobyte.
const TICKETS_LIMIT: usize = 16 * 1024;

/// The TLS of a run, shared by all of its connections.
#[derive(Clone, Debug)]
pub(crate) struct Security {
    pub(crate) config: Arc<ClientConfig>,
    /// The name to verify, which is sent as SNI unless it is an IP address.
    pub(crate) name: ServerName<'static>,
    pub(crate) settings: Settings,
}

/// Settings of TLS that reports state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) trust: Trust,
    /// The only version, if one is set.
    pub(crate) version: Option<TlsVersion>,
    pub(crate) resumption: bool,
    pub(crate) has_certificate: bool,
}

/// Which certificates of servers are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those of the system's authorities.
    System,
    /// Those of the authorities of `--ca`.
    Authorities,
    /// All.
    Any,
}

/// Why there is no TLS with these certificates.
#[derive(Debug)]
pub(crate) enum SecurityError {
    /// Not PEM.
    Pem(pem::Error),
    /// No certificate among what was read.
    NoCertificate,
    /// One that can't be an authority's.
    Authority(Error),
    /// The certificate and the key do not fit, or are of an unknown kind.
    Identity(Error),
    /// What has no certificate can't be verified.
    Name(String),
    /// The system has no TLS that could be used.
    Provider(Error),
}

impl fmt::Display for SecurityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecurityError::Pem(pem::Error::NoItemsFound) => {
                f.write_str("there is no private key in PEM (`-----BEGIN PRIVATE KEY-----`) in it")
            }
            SecurityError::Pem(error) => write!(f, "is not PEM: {error}"),
            SecurityError::NoCertificate => {
                f.write_str("there is no certificate in PEM (`-----BEGIN CERTIFICATE-----`) in it")
            }
            SecurityError::Authority(error) => write!(f, "a certificate in it can't be used: {error}"),
            SecurityError::Identity(error) => write!(f, "do not fit: {error}"),
            SecurityError::Name(name) => {
                write!(f, "`{name}` is no host name or IP address; --tls-name sets the name to verify")
            }
            SecurityError::Provider(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl std::error::Error for SecurityError {}

/// Reads the certificates of a PEM file, at least one.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err(SecurityError::NoCertificate),
        Ok(all) => Ok(all),
        Err(error) => Err(SecurityError::Pem(error)),
    }
}

/// Adds the authorities of a PEM file to `roots`.
pub(crate) fn add_authorities(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), SecurityError> {
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(SecurityError::Authority)?;
    }
    Ok(())
}

/// A certificate chain and its key.
pub(crate) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Reads the key of a PEM file.
pub(crate) fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, SecurityError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(SecurityError::Pem)
}

/// What makes the TLS of a run.
pub(crate) struct Parts {
    pub(crate) name: String,
    pub(crate) trust: Trust,
    /// Of the authorities; not used where all certificates are accepted.
    pub(crate) roots: RootCertStore,
    pub(crate) version: Option<TlsVersion>,
    pub(crate) resumption: bool,
    pub(crate) identity: Option<Identity>,
    pub(crate) connections: usize,
}

impl Security {
    pub(crate) fn new(parts: Parts) -> Result<Security, SecurityError> {
        let Parts { name, trust, roots, version: only, resumption, identity, connections } = parts;
        let settings = Settings { trust, version: only, resumption, has_certificate: identity.is_some() };
        let name = ServerName::try_from(name.clone()).map_err(|_| SecurityError::Name(name))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        // Gathers entropy for the process, which takes tens of milliseconds: not within the first handshake of the run.
        provider.secure_random.fill(&mut [0]).map_err(|error| SecurityError::Provider(error.into()))?;
        let versions: Vec<&SupportedProtocolVersion> =
            [(TlsVersion::V1_3, &version::TLS13), (TlsVersion::V1_2, &version::TLS12)]
                .into_iter()
                .filter(|(one, _)| only.is_none_or(|only| only == *one))
                .map(|(_, version)| version)
                .collect();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(SecurityError::Provider)?;
        let builder = match trust {
            Trust::Any => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptsAny(provider)))
            }
            Trust::System | Trust::Authorities => builder.with_root_certificates(roots),
        };
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(SecurityError::Identity)?
            }
        };
        config.resumption = if resumption {
            Resumption::store(Arc::new(Tickets::new(connections)))
        } else {
            Resumption::disabled()
        };
        Ok(Security { config: Arc::new(config), name, settings })
    }
}

/// Accepts every certificate. The server still has to prove that it has the key, as in production.
#[derive(Debug)]
struct AcceptsAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptsAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What resumes sessions with the one target of the run, bounded. The store of rustls has eight tickets for each server:
/// of 16 connections that begin at once, eight would have none.
#[derive(Debug)]
struct Tickets {
    limit: usize,
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    group: Option<NamedGroup>,
    tls_1_2: Option<Tls12ClientSessionValue>,
    /// The newest last.
    tls_1_3: VecDeque<Tls13ClientSessionValue>,
}

impl Tickets {
    fn new(connections: usize) -> Tickets {
        let limit = connections.saturating_mul(TICKETS_PER_CONNECTION).clamp(8, TICKETS_LIMIT);
        Tickets { limit, stored: Mutex::default() }
    }

    fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.stored().group = Some(group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.stored().group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.stored().tls_1_2 = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.stored().tls_1_2.clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.stored().tls_1_2 = None;
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        let mut stored = self.stored();
        if stored.tls_1_3.len() >= self.limit {
            stored.tls_1_3.pop_front();
        }
        stored.tls_1_3.push_back(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.stored().tls_1_3.pop_back()
    }
}
