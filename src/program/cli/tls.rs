//! TLS as configured by flags: reads the files that they name.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use smtpmock::{Pem, Tls, TlsVersion};

use super::flags::TlsOptions;
use super::goflags::Given;
use super::{Failure, typed_as};

/// TLS of a server; `None` without any flag for it.
pub(super) fn tls(
    options: &TlsOptions,
    given: &[Given],
    read_file: impl Fn(&Path) -> io::Result<String>,
) -> Result<Option<Tls>, Failure> {
    let TlsOptions {
        is_on,
        names,
        ca_out,
        ca_cert,
        ca_key,
        certs,
        keys,
        min,
        max,
        client_cas,
        client_required,
    } = options;
    if !is_on {
        return Ok(None);
    }
    let refused = |kebab, expected: &str| {
        let typed = typed_as(kebab, given);
        Err(Failure::Usage(format!("{typed}: expected {expected}")))
    };
    let read = |kebab: &str, path: &PathBuf| {
        let text = read_file(path).map_err(|error| {
            let typed = typed_as(kebab, given);
            let expected = match error.kind() {
                ErrorKind::InvalidData => {
                    format!("PEM, which is text: this file is binary; {}", converting(kebab, path))
                }
                _ => format!("a readable file: {error}"),
            };
            Failure::Usage(format!("invalid value {path:?} for {typed}: expected {expected}"))
        })?;
        Ok::<_, Failure>(Pem::of_file(path, text))
    };
    if client_required.is_some() && client_cas.is_empty() {
        return refused("tls-client", "--tls-client-ca beside it");
    }
    let tls = match (certs.len(), keys.len()) {
        (certs, keys) if certs > keys => return refused("tls-cert", "a --tls-key for each"),
        (certs, keys) if certs < keys => return refused("tls-key", "a --tls-cert for each"),
        (1.., _) if ca_out.is_some() => {
            return refused("tls-ca-out", "no --tls-cert beside it: its CA is not known");
        }
        _ => {
            let mut tls: Option<Tls> = None;
            for (cert, key) in certs.iter().zip(keys) {
                let (cert, key) = (read("tls-cert", cert)?, read("tls-key", key)?);
                tls = Some(match tls {
                    None => Tls::from_pem(cert, key),
                    Some(tls) => tls.and_pem(cert, key),
                });
            }
            tls.unwrap_or_else(Tls::self_signed)
        }
    };
    let tls = match (ca_cert, ca_key) {
        (None, None) => tls,
        (Some(cert), Some(key)) => tls.signed_by(read("tls-ca-cert", cert)?, read("tls-ca-key", key)?),
        (Some(_), None) => return refused("tls-ca-cert", "--tls-ca-key beside it"),
        (None, Some(_)) => return refused("tls-ca-key", "--tls-ca-cert beside it"),
    };
    let versions = min.unwrap_or(TlsVersion::V1_2)..=max.unwrap_or(TlsVersion::V1_3);
    let tls = tls.names(names).versions(versions).client_required(client_required.unwrap_or(false));
    let with_ca = |tls: Tls, path| Ok(tls.client_ca(read("tls-client-ca", path)?));
    client_cas.iter().try_fold(tls, with_ca).map(Some)
}

/// The commands that convert a binary file to PEM.
fn converting(kebab: &str, path: &Path) -> String {
    let path = path.display();
    let (command, left_out) = if kebab.ends_with("key") { ("pkey", "-nocerts") } else { ("x509", "-nokeys") };
    format!(
        "openssl {command} -inform DER -in {path} converts DER, and openssl pkcs12 -in {path} -nodes {left_out} PKCS #12"
    )
}
