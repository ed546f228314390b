//! The settings of TLS, and the configuration made from them.

use std::ops::RangeInclusive;
use std::sync::Arc;

use rcgen::SanType;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, SupportedCipherSuite};

use super::authority::{Authority, subject};
use super::certificates::{Certificates, certified, doubts_of};
use super::client::verifier;
use super::pem::Pem;
use super::server::{Basis, ServerTls};
use super::wrong::names_of;
use super::x509::Facts;
use super::{TlsError, TlsVersion};
use crate::process::host_name;

/// The names of a certificate created at the start, in addition to the host's.
const LOCAL: &[&str] = &["localhost", "127.0.0.1", "::1"];

/// The settings that take PEM, for errors.
const CERTIFICATE: &str = "Tls::from_pem(certificate)";
const KEY: &str = "Tls::from_pem(key)";
const CA_CERTIFICATE: &str = "Tls::signed_by(certificate)";
const CA_KEY: &str = "Tls::signed_by(key)";
const CLIENT_CA: &str = "Tls::client_ca";

/// The name of an authority created at the start.
const CA_NAME: &str = "smtpmock test CA";

/// TLS of a server, for [`Config::tls`](crate::Config::tls): by STARTTLS (RFC 3207), and at listeners like
/// `smtps://127.0.0.1` from the first octet (RFC 8314 section 3.3).
///
/// A client that verifies certificates, here lettre, only trusts the CA that has issued the server's:
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
    /// The signing CA; `None`: one created at the start, unless certificates are configured.
    authority: Option<Pair>,
    names: Vec<String>,
    versions: RangeInclusive<TlsVersion>,
    /// The CAs of clients, in PEM.
    client_ca: Vec<Pem>,
    client_required: bool,
}

/// The source of certificates.
#[derive(Clone)]
enum Source {
    /// They are created at the start.
    Made,
    /// They are configured.
    Given(Vec<Pair>),
}

/// One or more certificates, and a key.
#[derive(Clone)]
struct Pair {
    certificate: Pem,
    key: Pem,
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
    /// With a certificate (ECDSA, P-256) created when the server starts, for localhost, 127.0.0.1, ::1 and the name of
    /// this host, by a CA created with it: [`Server::ca_pem`](crate::Server::ca_pem).
    pub fn self_signed() -> Self {
        Self::of(Source::Made)
    }

    /// With your certificate: in PEM, the server's first, then those above it, and the server's private key, without a
    /// passphrase: ECDSA with P-256, P-384 or P-521, RSA of 2048 to 8192 bits, or Ed25519. Errors name the file of
    /// [`Pem::of_file`].
    pub fn from_pem(certificate: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        Self::of(Source::Given(Vec::new())).and_pem(certificate, key)
    }

    fn of(source: Source) -> Self {
        Self {
            source,
            authority: None,
            names: Vec::new(),
            versions: TlsVersion::V1_2..=TlsVersion::V1_3,
            client_ca: Vec::new(),
            client_required: false,
        }
    }

    /// Adds another certificate. A client gets the first that is valid for the name that it requests; otherwise the
    /// first of all. A client that connects to an IP address requests no name (RFC 6066 section 3).
    #[must_use]
    pub fn and_pem(mut self, certificate: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        let pem = Pair { certificate: certificate.into(), key: key.into() };
        match &mut self.source {
            Source::Given(given) => given.push(pem),
            Source::Made => self.source = Source::Given(vec![pem]),
        }
        self
    }

    /// Adds names to the created certificate: hosts, with `*.` all names below, and IP addresses.
    #[must_use]
    pub fn names<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.names.extend(names.into_iter().map(Into::into));
        self
    }

    /// Creates the certificate with this CA, which clients already trust: its certificate and its private key in PEM.
    /// With configured certificates it only signs those that are [wrong on
    /// purpose](crate::smtp::rules::Rule::certificate).
    #[must_use]
    pub fn signed_by(mut self, certificate: impl Into<Pem>, key: impl Into<Pem>) -> Self {
        self.authority = Some(Pair { certificate: certificate.into(), key: key.into() });
        self
    }

    /// Allows only these versions. Default: 1.2 and 1.3.
    #[must_use]
    pub fn versions(mut self, versions: RangeInclusive<TlsVersion>) -> Self {
        self.versions = versions;
        self
    }

    /// Asks clients for a certificate, and verifies it with these additional CAs, in PEM. A client without one is
    /// served unless it is [required](Self::client_required); a certificate that is not trusted, not valid now, or not
    /// for clients is refused with an alert. See
    /// [`TlsSession::client_certificate`](crate::TlsSession::client_certificate). If clients may authenticate, those
    /// with a certificate are offered AUTH EXTERNAL.
    #[must_use]
    pub fn client_ca(mut self, pem: impl Into<Pem>) -> Self {
        self.client_ca.push(pem.into());
        self
    }

    /// Also refuses clients without a certificate, with an alert (RFC 8446 section 6.2). Needs
    /// [`client_ca`](Self::client_ca).
    #[must_use]
    pub fn client_required(mut self, required: bool) -> Self {
        self.client_required = required;
        self
    }

    /// Whether this text is exactly one certificate, of a CA created by a server.
    #[doc(hidden)]
    pub fn is_made_ca(pem: &str) -> bool {
        let pem = Pem::from(pem);
        let pem = pem.at(CERTIFICATE, 1);
        let is_it = |chain: Vec<_>| Facts::read(&chain[0]).is_some_and(|own| own.is_named(CA_NAME));
        pem.is_one_certificate() && pem.certificates().is_ok_and(is_it)
    }

    /// Builds the configuration of a server's handshakes.
    ///
    /// # Errors
    /// The first setting with an invalid value.
    pub(crate) fn prepare(&self) -> Result<ServerTls, TlsError> {
        let authority = self.authority.as_ref();
        let authority = authority.map(|Pair { certificate, key }| {
            Authority::from_pem(certificate.at(CA_CERTIFICATE, 1), key.at(CA_KEY, 1))
        });
        let authority = authority.transpose()?;
        let (certificates, authority, names) = match &self.source {
            Source::Made => {
                let authority = match authority {
                    Some(authority) => authority,
                    None => Authority::create(CA_NAME).map_err(|error| internal(&error))?,
                };
                let names = self.subjects()?;
                (vec![make(&authority, names.clone())?], Some(authority), names)
            }
            Source::Given(given) => {
                let certificates = self.read(given)?;
                let own = certificates.iter().filter_map(|one| one.cert.first());
                let names = own.flat_map(names_of).collect();
                (certificates, authority, names)
            }
        };
        let made_by = authority.as_ref().filter(|_| matches!(self.source, Source::Made));
        let ca_pem = made_by.map(|authority| authority.pem.clone());
        let provider = Arc::new(provider());
        let basis = Basis {
            verifier: self.client_verifier(Arc::clone(&provider))?,
            provider,
            certificates: Arc::new(Certificates(certificates)),
            ticketer: aws_lc_rs::Ticketer::new().map_err(|error| internal(&error))?,
        };
        ServerTls::new(basis, self.versions.clone(), authority, names, ca_pem).map_err(|_| TlsError {
            setting: "Tls::versions",
            value: format!("{} to {}", self.versions.start(), self.versions.end()),
            expected: "a lowest version that is not above the highest".to_owned(),
        })
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
                setting: "Tls::client_required",
                value: "required".to_owned(),
                expected: "a CA of clients for it: --tls-client-ca, or Tls::client_ca".to_owned(),
            }),
            (pems, is_required) => {
                let pems = (1..).zip(pems).map(|(number, pem)| pem.at(CLIENT_CA, number));
                verifier(pems, is_required, provider)
            }
        }
    }

    /// The names of the created certificate, the configured ones first.
    fn subjects(&self) -> Result<Vec<SanType>, TlsError> {
        let mut subjects = Vec::new();
        for name in &self.names {
            let named = subject(name).ok_or_else(|| TlsError {
                setting: "Tls::names",
                value: name.clone(),
                expected: "names of hosts, like mx.example.com or *.example.com, or IP addresses".to_owned(),
            })?;
            subjects.push(named);
        }
        subjects.extend(LOCAL.iter().copied().chain([&*host_name()]).filter_map(subject));
        Ok(subjects)
    }

    fn read(&self, given: &[Pair]) -> Result<Vec<Arc<CertifiedKey>>, TlsError> {
        if let Some(name) = self.names.first() {
            let expected = "no names beside certificates of your own, which have theirs".to_owned();
            return Err(TlsError { setting: "Tls::names", value: name.clone(), expected });
        }
        let read = |(number, Pair { certificate, key }): (usize, &Pair)| {
            let (certified, _) = certified(certificate.at(CERTIFICATE, number), key.at(KEY, number))?;
            Ok(Arc::new(certified))
        };
        (1..).zip(given).map(read).collect()
    }

    /// Accepted settings that are probably mistakes: certificates that clients refuse.
    pub(crate) fn doubts(&self) -> impl Iterator<Item = TlsError> {
        let given = match &self.source {
            Source::Given(given) => &given[..],
            Source::Made => &[],
        };
        let own = (1..).zip(given).map(|(number, pair)| pair.certificate.at(CERTIFICATE, number));
        own.chain(self.authority.iter().map(|pair| pair.certificate.at(CA_CERTIFICATE, 1)))
            .filter_map(doubts_of)
    }
}

/// Cryptography that prefers the suites with AES-128, if the client supports them: with SHA-256, for which processors
/// have instructions, a handshake costs a sixth less than with the SHA-384 of AES-256.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let is_other = |suite: &SupportedCipherSuite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider.cipher_suites.sort_by_key(is_other);
    provider
}

fn make(authority: &Authority, names: Vec<SanType>) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain, key) = authority.issue(names).map_err(|error| internal(&error))?;
    let certified = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
    certified.map(Arc::new).map_err(|error| internal(&error))
}

pub(super) fn internal(error: &dyn std::error::Error) -> TlsError {
    let expected = format!("a certificate that can be made ({error})");
    TlsError { setting: "tls", value: "self-signed".to_owned(), expected }
}
