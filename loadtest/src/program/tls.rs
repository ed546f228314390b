//! The flags of TLS, and the [`Security`] that they describe. Errors name the flag.

use std::fmt;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use rustls::RootCertStore;
use smtpmock::TlsVersion;

use crate::client::dialect::Encryption;
use crate::load::security::{self, Identity, Parts, Security, SecurityError, Trust};
use crate::load::target;

/// The largest file of certificates or keys, in bytes: bundles of all public authorities have a quarter of a megabyte.
const PEM_LIMIT: u64 = 16 << 20;

/// How sessions are encrypted.
#[derive(Debug, Args)]
pub(crate) struct TlsArgs {
    /// Encrypt each session with STARTTLS (RFC 3207): `opportunistic` goes on in the clear where it is not offered or
    /// refused, with `required` these are errors. A target `smtps://HOST` is encrypted from the start instead
    #[arg(long, value_name = "WHEN", value_enum)]
    starttls: Option<When>,
    /// Accept certificates of the authorities in this PEM file instead of the system's; repeatable
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Vec<PathBuf>,
    /// Accept any certificate
    #[arg(long)]
    insecure: bool,
    /// The name to verify, and to send as SNI (default: the target's host)
    #[arg(long, value_name = "NAME")]
    tls_name: Option<String>,
    /// Use only this version of TLS (default: 1.3, or 1.2 where the server has no 1.3)
    #[arg(long, value_name = "VERSION", value_parser = versions())]
    tls_version: Option<TlsVersion>,
    /// Resume TLS sessions of earlier connections, of all threads
    #[arg(long, value_name = "SWITCH", value_enum, default_value = "on")]
    resumption: Switch,
    /// A certificate chain of the client's own, in PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its private key, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    /// Where the server offers and accepts it
    Opportunistic,
    /// Or fail
    Required,
}

/// `1.2`, `1.3`.
fn versions() -> impl TypedValueParser<Value = TlsVersion> {
    let names = TlsVersion::ALL.iter().map(ToString::to_string);
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Why these flags make no TLS; displays as the flag and the remedy.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// A flag of TLS without TLS.
    Off(&'static str),
    /// STARTTLS within TLS.
    Twice,
    /// The target has no name that a certificate could have.
    NoName,
    /// A file can't be read.
    Unread { flag: &'static str, path: PathBuf, error: std::io::Error },
    /// A file, or two of them, can't be used.
    Unfit { flag: &'static str, path: Option<PathBuf>, error: SecurityError },
    /// The system's authorities are not found.
    NoRoots(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::Off(flag) => {
                write!(f, "{flag}: nothing is encrypted; add --starttls required, or write smtps://HOST")
            }
            TlsError::Twice => {
                f.write_str("--starttls: the target smtps:// is encrypted from the start; omit one of them")
            }
            TlsError::NoName => {
                f.write_str("--starttls: a Unix socket has no name to verify; add --tls-name NAME")
            }
            TlsError::Unread { flag, path, error } => write!(f, "{flag} {}: {error}", path.display()),
            TlsError::Unfit { flag, path: Some(path), error } => {
                write!(f, "{flag} {}: {error}", path.display())
            }
            TlsError::Unfit { flag, path: None, error } => write!(f, "{flag}: {error}"),
            TlsError::NoRoots(why) => write!(
                f,
                "this system has no certificates of authorities to verify servers with{why}; add --ca FILE or --insecure"
            ),
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsArgs {
    /// The input files, each with its flag.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let own = [("--cert", &self.cert), ("--key", &self.key)];
        let own = own.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?)));
        self.ca.iter().map(|path| ("--ca", path.as_path())).chain(own)
    }

    /// When sessions with `target` are encrypted.
    pub(crate) fn encryption(&self, target: &str) -> Result<Encryption, TlsError> {
        match (self.starttls, target::is_smtps(target)) {
            (Some(_), true) => Err(TlsError::Twice),
            (None, true) => Ok(Encryption::Implicit),
            (Some(When::Opportunistic), false) => Ok(Encryption::Opportunistic),
            (Some(When::Required), false) => Ok(Encryption::Required),
            (None, false) => match self.first_flag() {
                Some(flag) => Err(TlsError::Off(flag)),
                None => Ok(Encryption::Never),
            },
        }
    }

    /// The first flag that is set and of no use without TLS.
    fn first_flag(&self) -> Option<&'static str> {
        let set = [
            (!self.ca.is_empty(), "--ca"),
            (self.insecure, "--insecure"),
            (self.tls_name.is_some(), "--tls-name"),
            (self.tls_version.is_some(), "--tls-version"),
            (self.resumption == Switch::Off, "--resumption off"),
            (self.cert.is_some(), "--cert"),
        ];
        set.iter().find(|(is_set, _)| *is_set).map(|(_, flag)| *flag)
    }

    /// The TLS of sessions with `target`; `None` if none is encrypted.
    pub(crate) fn security(&self, target: &str, connections: usize) -> Result<Option<Security>, TlsError> {
        if self.encryption(target)? == Encryption::Never {
            return Ok(None);
        }
        let name = self.tls_name.as_deref().or_else(|| target::host(target)).ok_or(TlsError::NoName)?;
        let (trust, roots) = self.roots()?;
        let parts = Parts {
            name: name.to_owned(),
            trust,
            roots,
            version: self.tls_version,
            resumption: self.resumption == Switch::On,
            identity: self.identity()?,
            connections,
        };
        let built = Security::new(parts).map_err(|error| {
            let flag = match &error {
                SecurityError::Identity(_) => "--cert and --key",
                _ => "--tls-name",
            };
            TlsError::Unfit { flag, path: None, error }
        });
        built.map(Some)
    }

    fn roots(&self) -> Result<(Trust, RootCertStore), TlsError> {
        let mut roots = RootCertStore::empty();
        if self.insecure {
            return Ok((Trust::Any, roots));
        }
        for path in &self.ca {
            let pem = read("--ca", path)?;
            security::add_authorities(&mut roots, &pem).map_err(unfit("--ca", path))?;
        }
        if !self.ca.is_empty() {
            return Ok((Trust::Authorities, roots));
        }
        let found = rustls_native_certs::load_native_certs();
        // Systems have some that are not usable; the others are trusted.
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            return Err(TlsError::NoRoots(why));
        }
        Ok((Trust::System, roots))
    }

    fn identity(&self) -> Result<Option<Identity>, TlsError> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        let chain = security::certificates(&read("--cert", cert)?).map_err(unfit("--cert", cert))?;
        let key = security::key(&read("--key", key)?).map_err(unfit("--key", key))?;
        Ok(Some((chain, key)))
    }
}

fn read(flag: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    smtpmock::read_bounded(path, PEM_LIMIT).map_err(|error| TlsError::Unread {
        flag,
        path: path.to_owned(),
        error,
    })
}

fn unfit(flag: &'static str, path: &Path) -> impl FnOnce(SecurityError) -> TlsError {
    let path = Some(path.to_owned());
    move |error| TlsError::Unfit { flag, path, error }
}
