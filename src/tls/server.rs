//! The configurations of a server's handshakes: a common one, and others for rules.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use rcgen::SanType;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::authority::Authority;
use super::settings::internal;
use super::wrong;
use super::{TlsError, TlsVersion};
use crate::smtp::rules::WrongCertificate;

/// The parts that all configurations of a server share.
pub(super) struct Basis {
    pub(super) provider: Arc<CryptoProvider>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// The right certificates.
    pub(super) certificates: Arc<dyn ResolvesServerCert>,
    /// Issues and reads the tickets of sessions that may be resumed.
    pub(super) ticketer: Arc<dyn ProducesTickets>,
}

impl Basis {
    /// A configuration for these versions. With a wrong certificate it neither issues nor accepts tickets: a client
    /// that resumes sees no certificate.
    fn config(
        &self,
        versions: &RangeInclusive<TlsVersion>,
        wrong: Option<Arc<CertifiedKey>>,
    ) -> Result<ServerConfig, rustls::Error> {
        let spoken =
            [(TlsVersion::V1_3, &rustls::version::TLS13), (TlsVersion::V1_2, &rustls::version::TLS12)];
        let spoken = spoken.into_iter().filter(|(version, _)| versions.contains(version));
        let spoken: Vec<_> = spoken.map(|(_, version)| version).collect();
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&spoken)?;
        let config = config.with_client_cert_verifier(Arc::clone(&self.verifier));
        let mut config = match wrong {
            None => {
                let mut config = config.with_cert_resolver(Arc::clone(&self.certificates));
                // Sessions are only resumed by tickets, which any shard can read; early data is disabled.
                config.ticketer = Arc::clone(&self.ticketer);
                config
            }
            Some(wrong) => {
                let mut config = config.with_cert_resolver(Arc::new(SingleCertAndKey::from(wrong)));
                config.send_tls13_tickets = 0;
                config
            }
        };
        config.ignore_client_order = true;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }
}

/// The configurations of a server's handshakes. Cloning shares them.
#[derive(Clone)]
pub(crate) struct ServerTls {
    config: Arc<ServerConfig>,
    /// The certificate of the CA that has issued the server's.
    pub(crate) ca_pem: Option<String>,
    versions: RangeInclusive<TlsVersion>,
    others: Arc<Others>,
}

/// The configurations for rules. Each is built once, when the rules are set.
struct Others {
    basis: Basis,
    /// Signs wrong certificates; `None` without a CA.
    authority: Option<Authority>,
    /// The names of the right certificates.
    names: Vec<SanType>,
    certificates: [OnceLock<Arc<CertifiedKey>>; WrongCertificate::ALL.len()],
    configs: [OnceLock<Arc<ServerConfig>>; CHOICES],
}

/// All pairs of a certificate and a version, each of which may be the server's own.
const CHOICES: usize = (1 + WrongCertificate::ALL.len()) * (1 + TlsVersion::ALL.len());

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("versions", &self.versions).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// # Errors
    /// No version is enabled.
    pub(super) fn new(
        basis: Basis,
        versions: RangeInclusive<TlsVersion>,
        authority: Option<Authority>,
        names: Vec<SanType>,
        ca_pem: Option<String>,
    ) -> Result<Self, rustls::Error> {
        let config = Arc::new(basis.config(&versions, None)?);
        let others = Others {
            basis,
            authority,
            names,
            certificates: std::array::from_fn(|_| OnceLock::new()),
            configs: std::array::from_fn(|_| OnceLock::new()),
        };
        Ok(Self { config, ca_pem, versions, others: Arc::new(others) })
    }

    pub(crate) fn newest(&self) -> TlsVersion {
        *self.versions.end()
    }

    /// The configuration without a rule.
    pub(crate) fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The configuration with this certificate and only this version, if given. The first call for a choice builds it,
    /// later ones are fast.
    ///
    /// # Errors
    /// No CA can sign a wrong certificate.
    pub(crate) fn config_for(
        &self,
        certificate: Option<WrongCertificate>,
        version: Option<TlsVersion>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        if certificate.is_none() && version.is_none() {
            return Ok(Arc::clone(&self.config));
        }
        let index_of = |version| TlsVersion::ALL.iter().position(|one| *one == version).unwrap_or(0);
        let place = certificate.map_or(0, |certificate| 1 + certificate as usize)
            * (1 + TlsVersion::ALL.len())
            + version.map_or(0, |version| 1 + index_of(version));
        let Others { configs, basis, .. } = &*self.others;
        if let Some(config) = configs[place].get() {
            return Ok(Arc::clone(config));
        }
        let wrong = certificate.map(|certificate| self.others.certificate(certificate)).transpose()?;
        let versions = version.map_or_else(|| self.versions.clone(), |version| version..=version);
        let config = basis.config(&versions, wrong).map_err(|error| internal(&error))?;
        Ok(Arc::clone(configs[place].get_or_init(|| Arc::new(config))))
    }
}

impl Others {
    fn certificate(&self, which: WrongCertificate) -> Result<Arc<CertifiedKey>, TlsError> {
        let place = &self.certificates[which as usize];
        if let Some(made) = place.get() {
            return Ok(Arc::clone(made));
        }
        let authority = self.authority.as_ref().ok_or_else(|| TlsError {
            setting: "rule",
            value: format!("certificate={which}"),
            expected: "beside a certificate of your own the CA that signs this one: --tls-ca-cert and --tls-ca-key, or \
                       Tls::signed_by"
                .to_owned(),
        })?;
        let (chain, key) = wrong::make(authority, &self.names, which).map_err(|error| internal(&error))?;
        let made = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let made = made.map_err(|error| internal(&error))?;
        Ok(Arc::clone(place.get_or_init(|| Arc::new(made))))
    }
}
