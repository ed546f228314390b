//! Texts in PEM (RFC 7468): their contents and errors.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;
use super::x509::Facts;

const CERTIFICATE: &str = "CERTIFICATE";
/// Labels of supported keys: PKCS #8, PKCS #1, SEC 1.
const KEYS: &[&str] = &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// A certificate, certificates or a key in PEM, for [`Tls`](super::Tls); texts are converted implicitly. One from a
/// file has the file's name, for errors.
#[derive(Clone)]
pub struct Pem {
    text: String,
    file: Option<PathBuf>,
}

/// Without the text, which may be a key.
impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pem").field("file", &self.file).finish_non_exhaustive()
    }
}

impl<T: Into<String>> From<T> for Pem {
    fn from(text: T) -> Self {
        Self { text: text.into(), file: None }
    }
}

impl Pem {
    /// The text of this file.
    pub fn of_file(file: impl AsRef<Path>, text: impl Into<String>) -> Self {
        Self { file: Some(file.as_ref().to_owned()), ..Self::from(text) }
    }

    pub(super) fn text(&self) -> &str {
        // Some editors prepend it.
        self.text.trim_start_matches('\u{feff}')
    }

    /// Its position in a setting that takes several, from 1.
    pub(super) fn at(&self, setting: &'static str, number: usize) -> Input<'_> {
        Input { pem: self, setting, number }
    }

    /// The labels of its sections, in order.
    fn labels(&self) -> impl Iterator<Item = &str> {
        let lines = self.text().lines().map(str::trim_end);
        lines.filter_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))
    }
}

/// A text with its setting.
#[derive(Clone, Copy)]
pub(super) struct Input<'p> {
    pem: &'p Pem,
    setting: &'static str,
    number: usize,
}

impl<'p> Input<'p> {
    /// The error for an unexpected text.
    pub(super) fn wrong(&self, expected: impl Into<String>) -> TlsError {
        TlsError { setting: self.setting, value: self.name(), expected: expected.into() }
    }

    /// Its file, or its position.
    pub(super) fn name(&self) -> String {
        self.pem
            .file
            .as_ref()
            .map_or_else(|| format!("PEM text {}", self.number), |file| file.display().to_string())
    }

    /// The file, for a suggested command.
    fn file(&self) -> String {
        self.pem.file.as_ref().map_or_else(|| "FILE".to_owned(), |file| file.display().to_string())
    }

    pub(super) fn text(&self) -> &'p str {
        self.pem.text()
    }

    /// Whether it is exactly one certificate.
    pub(super) fn is_one_certificate(&self) -> bool {
        let text = self.text().trim();
        text.starts_with("-----BEGIN CERTIFICATE-----")
            && text.ends_with("-----END CERTIFICATE-----")
            && text.matches("-----BEGIN ").count() == 1
    }

    /// The certificates, at least one; each can be read.
    ///
    /// # Errors
    /// It has none, or one can't be read.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        if !self.pem.labels().any(|label| label == CERTIFICATE) {
            return Err(self.wrong(self.no_certificate()));
        }
        let read = CertificateDer::pem_slice_iter(self.text().as_bytes()).collect::<Result<Vec<_>, _>>();
        let read = read.map_err(|error| self.wrong(format!("certificates in PEM; {}", damage(&error))))?;
        match read.iter().position(|certificate| Facts::read(certificate).is_none()) {
            Some(index) => Err(self.wrong(format!(
                "X.509 certificates in PEM; what certificate {} has in its base64 is none",
                index + 1
            ))),
            None => Ok(read),
        }
    }

    /// The expected form of a text without certificates.
    fn no_certificate(&self) -> String {
        let file = self.file();
        match self.pem.labels().next() {
            None => self.no_section("certificates"),
            Some("CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST") => {
                "a certificate in PEM; this is a request for one (BEGIN CERTIFICATE REQUEST), which a CA has to sign first"
                    .to_owned()
            }
            Some("TRUSTED CERTIFICATE") => format!(
                "a certificate in PEM; this one is of OpenSSL's own form (BEGIN TRUSTED CERTIFICATE): openssl x509 -in {file} \
                 converts it"
            ),
            Some(label) if is_key(label) => format!(
                "a certificate in PEM (BEGIN CERTIFICATE); this is a private key (BEGIN {label}): are certificate and key exchanged?"
            ),
            Some(label) => {
                format!("certificates in PEM (BEGIN CERTIFICATE); this has only BEGIN {label}")
            }
        }
    }

    /// The first key.
    ///
    /// # Errors
    /// It has none, or it can't be read.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let file = self.file();
        let mut labels = self.pem.labels();
        let first = labels.find(|label| is_key(label));
        let is_encrypted = self.text().contains("Proc-Type: 4,ENCRYPTED");
        match first {
            Some(label) if label == ENCRYPTED || is_encrypted => Err(self.wrong(format!(
                "a private key without a passphrase; this one is encrypted (BEGIN {label}): openssl pkey -in {file} -out plain.key \
                 decrypts it"
            ))),
            Some(label) if !KEYS.contains(&label) => Err(self.wrong(format!(
                "a private key in PEM (BEGIN PRIVATE KEY); this one is of another form (BEGIN {label}): openssl pkey -in {file} \
                 converts it, if it is ECDSA, RSA or Ed25519"
            ))),
            Some(_) => PrivateKeyDer::from_pem_slice(self.text().as_bytes())
                .map_err(|error| self.wrong(format!("a private key in PEM; {}", damage(&error)))),
            None => Err(self.wrong(self.no_key())),
        }
    }

    /// The expected form of a text without keys.
    fn no_key(&self) -> String {
        match self.pem.labels().find(|label| *label != "EC PARAMETERS") {
            Some(CERTIFICATE) => "a private key in PEM (BEGIN PRIVATE KEY); this is a certificate (BEGIN CERTIFICATE): are \
                                  certificate and key exchanged?"
                .to_owned(),
            Some(label) => format!("a private key in PEM (BEGIN PRIVATE KEY); this has only BEGIN {label}"),
            None if self.pem.labels().next().is_some() => {
                "a private key in PEM (BEGIN PRIVATE KEY); this has only BEGIN EC PARAMETERS, the name of the curve".to_owned()
            }
            None => self.no_section("a private key"),
        }
    }

    fn no_section(&self, what: &str) -> String {
        match self.text().trim().is_empty() {
            true => format!("{what} in PEM; this is empty"),
            false => format!("{what} in PEM; no line of this begins with -----BEGIN"),
        }
    }
}

/// Whether a section of this label is a private key.
fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

fn damage(error: &rustls::pki_types::pem::Error) -> &'static str {
    use rustls::pki_types::pem::Error;
    match error {
        Error::MissingSectionEnd { .. } => "the line -----END is missing: is it cut?",
        Error::Base64Decode(_) => "what is between BEGIN and END is no base64: is it damaged?",
        _ => "it can't be read: is it damaged?",
    }
}
