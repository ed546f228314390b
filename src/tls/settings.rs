//! The settings of TLS, and what a server makes of them.

use std::fs;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rcgen::SanType;
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use super::authority::{Authority, subject};
use super::certificates::{Certificates, certificates_in, certified_key};
use super::client::verifier;
use super::{TlsError, TlsVersion};

/// The names that a certificate made at the start is always for, beside the host's.
const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// TLS of a server, for [`Config::tls`](crate::Config::tls): by STARTTLS (RFC 3207), and at listeners like
/// `smtps://127.0.0.1` from the first octet (RFC 8314 section 3.3).
///
/// A client that verifies certificates, here lettre, trusts the CA that has made the server's, and nothing else:
///
/// ```
/// use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls as ClientTls, TlsParameters};
/// use lettre::{Message, SmtpTransport, Transport};
/// use smtpmock::{Config, Server, Tls};
///
/// let server = Server::start(Config::default().tls(Tls::self_signed().names(["mx.example.com"])))?;
/// let ca = server.ca_pem().expect("a certificate that was made at the start");
/// let parameters = TlsParameters::builder("localhost".to_owned())
///     .certificate_store(CertificateStore::None)
///     .add_root_certificate(Certificate::from_pem(ca.as_bytes())?)
///     .build()?;
/// let client = SmtpTransport::builder_dangerous("localhost").port(server.port());
/// let client = client.tls(ClientTls::Required(parameters)).build();
/// let mail = Message::builder().from("ann@example.com".parse()?).to("bob@example.com".parse()?);
/// client.send(&mail.body("Hello".to_owned())?)?;
/// let tls = server.messages()[0].tls().cloned().expect("an encrypted session");
/// assert_eq!((tls.version().to_string().as_str(), tls.server_name()), ("1.3", Some("localhost")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Tls {
    source: Source,
    names: Vec<String>,
    versions: RangeInclusive<TlsVersion>,
    /// The CAs of clients, in PEM.
    client_ca: Vec<String>,
    client_required: bool,
}

/// Where certificates come from.
#[derive(Clone)]
enum Source {
    /// They are made at the start, by this authority; `None`: by one that is made too.
    Made { authority: Option<Pem> },
    /// They are given.
    Given(Vec<Pem>),
}

/// A certificate, or several, and a key.
#[derive(Clone)]
struct Pem {
    certificate: String,
    key: String,
}

/// Without keys.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("names", &self.names)
            .field("versions", &self.versions)
            .field("client_required", &self.client_required)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// With a certificate (ECDSA, P-256) that is made when the server starts, for localhost, 127.0.0.1, ::1 and the name of
    /// this host, by a CA that is made too: [`Server::ca_pem`](crate::Server::ca_pem).
    pub fn self_signed() -> Self {
        Self::of(Source::Made { authority: None })
    }

    /// With a certificate of your own: in PEM, the server's first, then those above it, and the server's private key.
    pub fn from_pem(certificate: impl Into<String>, key: impl Into<String>) -> Self {
        Self::of(Source::Given(Vec::new())).and_pem(certificate, key)
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            names: Vec::new(),
            versions: TlsVersion::V1_2..=TlsVersion::V1_3,
            client_ca: Vec::new(),
            client_required: false,
        }
    }

    /// Has another certificate of your own. A client gets the first that is valid for the name that it asks for; otherwise
    /// the first of all.
    #[must_use]
    pub fn and_pem(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        let pem = Pem { certificate: certificate.into(), key: key.into() };
        match &mut self.source {
            Source::Given(given) => given.push(pem),
            Source::Made { .. } => self.source = Source::Given(vec![pem]),
        }
        self
    }

    /// Makes the certificate for these names too: hosts, with `*.` in front for all names below, and IP addresses.
    #[must_use]
    pub fn names<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.names.extend(names.into_iter().map(Into::into));
        self
    }

    /// Makes the certificate by this CA, which clients trust already: its certificate and its private key in PEM.
    #[must_use]
    pub fn signed_by(mut self, certificate: impl Into<String>, key: impl Into<String>) -> Self {
        let authority = Some(Pem { certificate: certificate.into(), key: key.into() });
        if matches!(self.source, Source::Made { .. }) {
            self.source = Source::Made { authority };
        }
        self
    }

    /// Speaks only these versions. Default: 1.2 and 1.3.
    #[must_use]
    pub fn versions(mut self, versions: RangeInclusive<TlsVersion>) -> Self {
        self.versions = versions;
        self
    }

    /// Asks clients for a certificate, and verifies it by these CAs, in PEM, too. A client without one is served all the same,
    /// unless it is [required](Self::client_required); one with a certificate that is not trusted, not valid now, or not for
    /// clients, is refused by an alert. See [`TlsSession::client_certificate`](crate::TlsSession::client_certificate).
    /// Where clients may authenticate, one with a certificate is offered AUTH EXTERNAL.
    #[must_use]
    pub fn client_ca(mut self, pem: impl Into<String>) -> Self {
        self.client_ca.push(pem.into());
        self
    }

    /// Refuses clients without a certificate, too, by an alert (RFC 8446 section 6.2). Needs [`client_ca`](Self::client_ca).
    #[must_use]
    pub fn client_required(mut self, required: bool) -> Self {
        self.client_required = required;
        self
    }

    /// What a server decides handshakes by.
    ///
    /// # Errors
    /// The first setting with an invalid value.
    pub(crate) fn prepare(&self) -> Result<ServerTls, TlsError> {
        let (certificates, ca_pem) = match &self.source {
            Source::Made { authority } => self.make(authority.as_ref())?,
            Source::Given(given) => (self.read(given)?, None),
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let spoken =
            [(TlsVersion::V1_3, &rustls::version::TLS13), (TlsVersion::V1_2, &rustls::version::TLS12)];
        let spoken = spoken.into_iter().filter(|(version, _)| self.versions.contains(version));
        let spoken: Vec<_> = spoken.map(|(_, version)| version).collect();
        let config =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&spoken);
        let config = config.map_err(|_| TlsError {
            setting: "tls versions",
            value: format!("{} to {}", self.versions.start(), self.versions.end()),
            expected: "a lowest version that is not above the highest".to_owned(),
        })?;
        let config = config.with_client_cert_verifier(self.client_verifier(provider)?);
        let mut config = config.with_cert_resolver(Arc::new(Certificates(certificates)));
        config.ignore_client_order = true;
        // Sessions are resumed by tickets alone, which any shard can read; early data stays off.
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| internal(&error))?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(ServerTls { config: Arc::new(config), ca_pem, newest: *self.versions.end() })
    }

    /// Clients are asked for certificates.
    pub(crate) fn asks_clients(&self) -> bool {
        !self.client_ca.is_empty()
    }

    fn client_verifier(
        &self,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        match (&self.client_ca[..], self.client_required) {
            ([], false) => Ok(WebPkiClientVerifier::no_client_auth()),
            ([], true) => Err(TlsError {
                setting: "tls client",
                value: "required".to_owned(),
                expected: "a CA of clients for it: --tls-client-ca, or Tls::client_ca".to_owned(),
            }),
            (pems, is_required) => verifier(pems, is_required, provider),
        }
    }

    fn make(&self, authority: Option<&Pem>) -> Result<(Vec<Arc<CertifiedKey>>, Option<String>), TlsError> {
        let mut subjects: Vec<SanType> =
            LOCAL.iter().copied().chain([&*host_name()]).filter_map(subject).collect();
        for name in &self.names {
            let named = subject(name).ok_or_else(|| TlsError {
                setting: "tls names",
                value: name.clone(),
                expected: "names of hosts, like mx.example.com or *.example.com, or IP addresses".to_owned(),
            })?;
            subjects.push(named);
        }
        let authority = match authority {
            Some(Pem { certificate, key }) => Authority::from_pem(certificate, key)?,
            None => Authority::create().map_err(|error| internal(&error))?,
        };
        let (chain, key) = authority.issue(subjects).map_err(|error| internal(&error))?;
        let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| internal(&error))?;
        Ok((vec![Arc::new(certified)], Some(authority.pem)))
    }

    fn read(&self, given: &[Pem]) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
        if let Some(name) = self.names.first() {
            let expected = "no names beside certificates of your own, which have theirs".to_owned();
            return Err(TlsError { setting: "tls names", value: name.clone(), expected });
        }
        let read = |(index, Pem { certificate, key }): (usize, &Pem)| {
            let chain = certificates_in("tls certificate", certificate)?;
            let certified = certified_key(chain, key).map_err(|error| TlsError {
                setting: "tls key",
                value: format!("key {}", index + 1),
                expected: format!("the private key of the first certificate in PEM ({error})"),
            })?;
            Ok(Arc::new(certified))
        };
        given.iter().enumerate().map(read).collect()
    }
}

pub(super) fn internal(error: &dyn std::error::Error) -> TlsError {
    let expected = format!("a certificate that can be made ({error})");
    TlsError { setting: "tls", value: "self-signed".to_owned(), expected }
}

/// The name of this host; empty where it is not known.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// What a server decides handshakes by. Cloning shares it.
#[derive(Clone, Debug)]
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// The certificate of the CA that has made the server's.
    pub(crate) ca_pem: Option<String>,
    newest: TlsVersion,
}

impl ServerTls {
    /// The latest version that is spoken.
    pub(crate) fn newest(&self) -> TlsVersion {
        self.newest
    }
}
