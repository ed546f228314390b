//! The flags for TLS.

use std::path::PathBuf;

use smtpmock::TlsVersion;

use super::Options;
use crate::program::cli::flag::{Arity, Flag, reading, reading_or_default};
use crate::program::cli::values;

/// The flags' values; files are read when the settings are complete.
#[derive(Clone, Debug, Default)]
pub(in crate::program::cli) struct TlsOptions {
    pub(in crate::program::cli) is_on: bool,
    pub(in crate::program::cli) names: Vec<String>,
    pub(in crate::program::cli) ca_out: Option<PathBuf>,
    pub(in crate::program::cli) ca_cert: Option<PathBuf>,
    pub(in crate::program::cli) ca_key: Option<PathBuf>,
    pub(in crate::program::cli) certs: Vec<PathBuf>,
    pub(in crate::program::cli) keys: Vec<PathBuf>,
    pub(in crate::program::cli) min: Option<TlsVersion>,
    pub(in crate::program::cli) max: Option<TlsVersion>,
    pub(in crate::program::cli) client_cas: Vec<PathBuf>,
    /// Whether clients must have a certificate, if that is configured.
    pub(in crate::program::cli) client_required: Option<bool>,
}

const VERSIONS: &[(&str, TlsVersion)] = &[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

impl Options {
    /// Changes a TLS setting, which turns TLS on.
    fn with_tls(mut self, change: impl FnOnce(&mut TlsOptions)) -> Self {
        self.tls.is_on = true;
        change(&mut self.tls);
        self
    }
}

pub(super) fn tls() -> Vec<Flag> {
    let mut all = created_certificate();
    all.extend(certificates_and_versions());
    all.extend(clients());
    all
}

fn created_certificate() -> Vec<Flag> {
    vec![
        Flag::switch(
            "tls",
            "Offer STARTTLS, with a certificate for localhost, 127.0.0.1, ::1 and this host's name, created at the \
             start with its own CA; and allow --listen smtps:// and lmtps://. Turns on --esmtp",
            |options, on| if on { options.with_tls(|_| {}) } else { options },
        )
        .checked_as("tls"),
        Flag::new(
            "tlsName",
            "NAME,...",
            "Add these names to the certificate: hosts, *.example.com, IP addresses. This flag and those below turn \
             on --tls",
            reading_or_default(
                |raw| Ok(Some(values::names(raw)?).filter(|names| !names.is_empty())),
                |options: Options, names| options.with_tls(|tls| tls.names = names),
            ),
        )
        .listing()
        .checked_as("Tls::names"),
        file(
            "tlsCaOut",
            "Write the CA's certificate to this file, for clients to trust; the ready line names it as tls_ca. Only replaces that of \
             an earlier run, which has ended",
            |tls, path| tls.ca_out = Some(path),
        ),
        file(
            "tlsCaCert",
            "Create the certificate with the CA in this file, which clients already trust; with --tls-ca-key. With \
             --tls-cert only certificates of rules are created (certificate=)",
            |tls, path| tls.ca_cert = Some(path),
        )
        .checked_as("Tls::signed_by(certificate)"),
        file("tlsCaKey", "The private key of that CA", |tls, path| tls.ca_key = Some(path))
            .checked_as("Tls::signed_by(key)"),
    ]
}

fn certificates_and_versions() -> Vec<Flag> {
    let version = |name: &str, help: &str, set: fn(&mut TlsOptions, TlsVersion)| {
        let set = move |options: Options, version| options.with_tls(|tls| set(tls, version));
        Flag::choosing(name, "VERSION", help, VERSIONS, set).checked_as("Tls::versions")
    };
    vec![
        files(
            "tlsCert",
            "Use the certificate in this file, followed by those above it, in PEM; with --tls-key. Both may be \
             repeated: a client gets the first that is valid for the name it requests (SNI; none for an IP address), \
             otherwise the first of all",
            |tls, paths| tls.certs.extend(paths),
        )
        .checked_as("Tls::from_pem(certificate)"),
        files("tlsKey", "The private key of the --tls-cert at the same position: ECDSA, RSA or Ed25519, without a passphrase", |tls, paths| {
            tls.keys.extend(paths);
        })
        .checked_as("Tls::from_pem(key)"),
        version("tlsMin", "Lowest TLS version: 1.2 or 1.3. Default 1.2", |tls, version| {
            tls.min = Some(version);
        }),
        version("tlsMax", "Highest TLS version: 1.2 or 1.3. Default 1.3", |tls, version| {
            tls.max = Some(version);
        }),
    ]
}

/// What clients must do.
fn clients() -> Vec<Flag> {
    vec![
        files(
            "tlsClientCa",
            "Ask clients for a certificate, and verify it with the CAs in this file, in PEM; may be repeated",
            |tls, paths| tls.client_cas.extend(paths),
        )
        .checked_as("Tls::client_ca"),
        Flag::choosing(
            "tlsClient",
            "WHAT",
            "With --tls-client-ca: whether a client without a certificate is served (optional) or refused (required). \
             Default optional",
            &[("optional", false), ("required", true)],
            |options, required| options.with_tls(|tls| tls.client_required = Some(required)),
        )
        .checked_as("Tls::client_required"),
        Flag::switch(
            "tlsRequired",
            "Before TLS refuse all commands except EHLO, LHLO, NOOP, QUIT and STARTTLS with 530; clients must be able to encrypt",
            |options, on| match on {
                true => options.with_tls(|_| {}).with(|config| config.tls_required(true)),
                false => options,
            },
        )
        .checked_as("tls_required"),
        Flag::choosing(
            "authClear",
            "WHAT",
            "Whether PLAIN, LOGIN, XOAUTH2 and OAUTHBEARER are possible before TLS: allow or refuse (with 538). Default: \
             refuse with --tls, otherwise allow",
            &[("allow", true), ("refuse", false)],
            |options, value| options.with(|config| config.auth_in_clear(value)),
        )
        .checked_as("auth_in_clear"),
    ]
}

fn file(name: &str, help: &str, set: fn(&mut TlsOptions, PathBuf)) -> Flag {
    let read = reading(values::path, move |options: Options, path| options.with_tls(|tls| set(tls, path)));
    Flag::new(name, "PATH", help, read)
}

fn files(name: &str, help: &str, set: fn(&mut TlsOptions, Vec<PathBuf>)) -> Flag {
    let read = reading(values::paths, move |options: Options, paths: Vec<PathBuf>| {
        options.with_tls(|tls| set(tls, paths))
    });
    Flag { arity: Arity::Repeated, ..Flag::new(name, "PATH", help, read) }
}
