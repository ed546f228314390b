//! The result of a handshake, from rustls.

use rustls::server::UnbufferedServerConnection;
use rustls::{CertificateError, CipherSuite, HandshakeKind, ProtocolVersion};

use crate::net::stream::HandshakeFault;
use crate::smtp::rules::Alert;
use crate::tls::{ClientCertificate, TlsSession, TlsVersion, is_of_old_form};

/// The parameters that the handshake has agreed on.
pub(super) fn agreed(
    connection: &UnbufferedServerConnection,
    server_name: Option<Box<str>>,
) -> Option<TlsSession> {
    let version = match connection.protocol_version()? {
        ProtocolVersion::TLSv1_3 => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    let cipher_suite = match connection.negotiated_cipher_suite()?.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        suite => suite.as_str().unwrap_or("unknown"),
    };
    let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    // A certificate was verified: now, or in the session that is resumed.
    let client = connection.peer_certificates().and_then(<[_]>::first);
    let client = client.map(|certificate| ClientCertificate::read(certificate));
    Some(TlsSession { version, cipher_suite, server_name, is_resumed, client })
}

pub(super) fn fault_of(error: &rustls::Error) -> HandshakeFault {
    match error {
        rustls::Error::AlertReceived(alert) => {
            HandshakeFault::Alert(Alert::name_of(u8::from(*alert)).unwrap_or("unknown"))
        }
        rustls::Error::InvalidMessage(_) => HandshakeFault::Malformed,
        rustls::Error::PeerIncompatible(_) => HandshakeFault::Incompatible,
        rustls::Error::General(_)
        | rustls::Error::FailedToGetCurrentTime
        | rustls::Error::FailedToGetRandomBytes
        | rustls::Error::InconsistentKeys(_) => HandshakeFault::Own,
        rustls::Error::NoCertificatesPresented => HandshakeFault::NoCertificate,
        rustls::Error::InvalidCertificate(error) => HandshakeFault::BadCertificate(match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "is not valid yet",
            CertificateError::UnknownIssuer => "is of no CA that is trusted",
            error if is_of_old_form(error) => "is of version 1 of X.509, where 3 is needed",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "is not for clients"
            }
            CertificateError::BadSignature => "has a wrong signature, or is not its own",
            CertificateError::BadEncoding => "can't be read",
            _ => "is not trusted",
        }),
        _ => HandshakeFault::Other,
    }
}
