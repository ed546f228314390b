//! TLS.

use std::time::Duration;

use super::Durations;
use super::catalogue::figures;
use crate::tls::{TlsSession, TlsVersion};

figures! {
    /// Handshakes of TLS, by STARTTLS or from the first octet of a connection.
    ///
    /// Each ends in exactly one way: it is done, or `refused`, `malformed`, `incompatible`, `no_client_certificate`,
    /// `bad_client_certificate`, `broken_off`, `timed_out` or `failed`, unless a stop ends it.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct TlsStats {
        /// Handshakes that were done.
        pub handshakes: u64 = ["tls.handshakes", Number, "TLS handshakes that were done"],
        /// Those of them by which the client resumed an earlier session.
        pub resumed: u64 = ["tls.resumed", Number, "handshakes that resumed an earlier session"],
        /// Those of them that agreed on TLS 1.2.
        pub v1_2: u64 = ["tls.v1_2", Number, "handshakes that agreed on TLS 1.2"],
        /// Those of them that agreed on TLS 1.2 though the server has 1.3.
        pub declined_1_3: u64 = ["tls.declined_1_3", Number, "handshakes that agreed on TLS 1.2, though 1.3 was possible"],
        /// Those of them in which the client is known by a certificate, of this handshake or of the session that it resumed.
        pub client_certificates: u64 =
            ["tls.client_certificates", Number, "handshakes with a client's certificate that is trusted"],
        /// From the first octet of the client's hello to the end of a handshake that was done.
        pub duration: Durations = ["tls.duration", Microseconds, "from the first octet of the hello to the end"],
        /// Handshakes that the client ended by an alert, mostly because it does not trust the certificate.
        pub refused: u64 = ["tls.refused", Number, "handshakes that the client ended by an alert"],
        /// Handshakes in which the client sent something that is no message of TLS.
        pub malformed: u64 = ["tls.malformed", Number, "handshakes that began with something else than TLS"],
        /// Handshakes without a version, cipher suite or group that both sides have.
        pub incompatible: u64 = ["tls.incompatible", Number, "handshakes without a version or suite in common"],
        /// Handshakes in which the client had no certificate, which was [required](crate::Tls::client_required).
        pub no_client_certificate: u64 =
            ["tls.no_client_certificate", Number, "handshakes without the client's certificate that is required"],
        /// Handshakes in which the client's certificate was not trusted, not valid now, not for clients, or not its own.
        pub bad_client_certificate: u64 =
            ["tls.bad_client_certificate", Number, "handshakes with a client's certificate that is not trusted"],
        /// Handshakes during which the client closed the connection.
        pub broken_off: u64 = ["tls.broken_off", Number, "closed by the client within the handshake"],
        /// Handshakes ended by the session timeout.
        pub timed_out: u64 = ["tls.timed_out", Number, "handshakes ended by the session timeout"],
        /// Handshakes that failed in another way.
        pub failed: u64 = ["tls.failed", Number, "handshakes that failed in another way"],
        /// Sessions in which the client sent something behind STARTTLS before the handshake: it was discarded (RFC 3207 section
        /// 4.2).
        pub injected: u64 = ["tls.injected", Number, "sessions with input behind STARTTLS, discarded"],
        /// Encrypted sessions that the client ended without QUIT and without close_notify (RFC 8446 section 6.1): more may have
        /// been on its way.
        pub truncated: u64 = ["tls.truncated", Number, "ended by the client without QUIT and without close_notify"],
        /// Sessions in which MAIL was accepted before TLS though STARTTLS was offered.
        pub mail_in_clear: u64 = ["tls.mail_in_clear", Number, "sessions with mail in clear, though STARTTLS was offered"],
        /// Sessions in which the client sent a password or token itself (by PLAIN, LOGIN, XOAUTH2 or OAUTHBEARER) before TLS,
        /// though STARTTLS was offered. Attempts that are refused for want of encryption, unless there is
        /// [`auth_in_clear`](crate::Config::auth_in_clear), do not count.
        pub secrets_in_clear: u64 =
            ["tls.secrets_in_clear", Number, "sessions with secrets in clear, though STARTTLS was offered"],
    }
}

impl TlsStats {
    /// Counts a handshake that is done; `newest` is the latest version that the server has.
    pub(crate) fn note(&mut self, session: &TlsSession, newest: TlsVersion, took: Duration) {
        self.handshakes += 1;
        self.declined_1_3 += u64::from(session.version() < newest);
        self.resumed += u64::from(session.is_resumed());
        self.v1_2 += u64::from(session.version() == TlsVersion::V1_2);
        self.client_certificates += u64::from(session.client_certificate().is_some());
        self.duration.add(took);
    }
}
