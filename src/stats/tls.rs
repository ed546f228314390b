//! TLS.

use std::time::Duration;

use super::catalogue::figures;
use super::{Durations, Tally};
use crate::tls::{TlsSession, TlsVersion};

figures! {
    /// Handshakes of TLS, by STARTTLS or from the first octet of a connection.
    ///
    /// Each ends in exactly one way: it succeeds, or `refused`, `malformed`, `incompatible`, `no_client_certificate`,
    /// `bad_client_certificate`, `broken_off`, `timed_out`, `failed`, `own_failures` or `by_rule`, unless a stop ends
    /// it.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct TlsStats {
        /// Handshakes that were done.
        pub handshakes: u64 = ["tls.handshakes", Number, "TLS handshakes that were done"],
        /// Handshakes in which the client resumed an earlier session.
        pub resumed: u64 = ["tls.resumed", Number, "handshakes that resumed an earlier session"],
        /// Handshakes that agreed on TLS 1.2.
        pub v1_2: u64 = ["tls.v1_2", Number, "handshakes that agreed on TLS 1.2"],
        /// Handshakes that agreed on TLS 1.3.
        pub v1_3: u64 = ["tls.v1_3", Number, "handshakes that agreed on TLS 1.3"],
        /// Handshakes that agreed on TLS 1.2 although the server has 1.3.
        pub declined_1_3: u64 = ["tls.declined_1_3", Number, "handshakes that agreed on TLS 1.2, though 1.3 was possible"],
        /// Handshakes in which the client was identified by a certificate, of this handshake or of the resumed session.
        pub client_certificates: u64 =
            ["tls.client_certificates", Number, "handshakes with a client's certificate that is trusted"],
        /// Handshakes by cipher suite, with its name in the IANA registry.
        pub cipher_suites: Tally = ["tls.cipher_suites", Number, "handshakes, by cipher suite"],
        /// Handshakes in which the client requested a name (server name indication, RFC 6066 section 3), by that name
        /// in lower case.
        pub server_names: Tally = ["tls.server_names", Number, "handshakes in which the client asked for a name, by name"],
        /// From the first octet of the client's hello to the end of a successful handshake, without the delay of a
        /// rule: the sum of the next two.
        pub duration: Durations =
            ["tls.duration", Microseconds, "from the first octet of the hello to the end, without the delay of a rule"],
        /// The client's share of it: the server waited for its next message.
        pub think: Durations = ["tls.think", Microseconds, "the client's share of it"],
        /// The server's share of it: from when the client's last octets could be read until the server's answer was
        /// written. Includes time in which the server was busy with other sessions.
        pub service: Durations = ["tls.service", Microseconds, "the server's share of it"],
        /// Handshakes that the client ended with an alert, mostly because it does not trust the certificate.
        pub refused: u64 = ["tls.refused", Number, "handshakes that the client ended by an alert"],
        /// Handshakes in which the client sent something other than TLS.
        pub malformed: u64 = ["tls.malformed", Number, "handshakes that began with something else than TLS"],
        /// Handshakes without a version, cipher suite or group that both sides have.
        pub incompatible: u64 = ["tls.incompatible", Number, "handshakes without a version or suite in common"],
        /// Handshakes without the required client certificate (`Tls::client_required`).
        pub no_client_certificate: u64 =
            ["tls.no_client_certificate", Number, "handshakes without the client's certificate that is required"],
        /// Handshakes in which the client's certificate was not trusted, not valid now, not for clients, or not its
        /// own.
        pub bad_client_certificate: u64 =
            ["tls.bad_client_certificate", Number, "handshakes with a client's certificate that is not trusted"],
        /// Handshakes during which the client closed the connection, unless a rule had changed their course.
        pub broken_off: u64 = ["tls.broken_off", Number, "closed by the client within the handshake"],
        /// Handshakes ended by the session timeout, which restarts after the delay of a rule.
        pub timed_out: u64 = ["tls.timed_out", Number, "handshakes ended by the session timeout"],
        /// Handshakes that failed in another way.
        pub failed: u64 = ["tls.failed", Number, "handshakes that failed in another way"],
        /// Handshakes that failed because of the server: an error of its own, or no time to process the client's input
        /// before the session timeout.
        pub own_failures: u64 = ["tls.own_failures", Number, "handshakes that failed for the server's own reasons"],
        /// Handshakes that failed for any reason after a [rule](crate::smtp::rules) at `tls` had changed their course.
        pub by_rule: u64 = ["tls.by_rule", Number, "handshakes that failed where a rule had changed them"],
        /// Handshakes with a certificate made [wrong](crate::smtp::rules::WrongCertificate) by a rule, successful or
        /// not.
        pub wrong_certificates: u64 =
            ["tls.wrong_certificates", Number, "handshakes with a certificate that is wrong by a rule"],
        /// Sessions within such handshakes in which MAIL was accepted, or the client sent credentials.
        pub wrong_certificates_accepted: u64 =
            ["tls.wrong_certificates_accepted", Number, "sessions that went on in spite of that"],
        /// These sessions by the certificate and the rule's id or text: `expired by tls certificate=expired`.
        pub accepted_certificates: Tally =
            ["tls.accepted_certificates", Number, "the same, by certificate and rule"],
        /// Handshakes that the client ended with an alert, by its name in RFC 8446, including those changed by a rule.
        pub alerts: Tally = ["tls.alerts", Number, "handshakes that the client ended by an alert, by its name"],
        /// Sessions in which MAIL was accepted in clear, though STARTTLS was offered, within a minute after TLS had
        /// failed, in the handshake or by a refusal of STARTTLS, in an earlier session from the same IP address with
        /// the same name in EHLO. They do not count in `mail_in_clear`. Mail of an address and name that have sent mail
        /// in clear before without such a failure only counts there: more than one program may use them.
        pub fell_back: u64 = ["tls.fell_back", Number, "sessions with mail in clear after TLS had failed, by address and EHLO"],
        /// Sessions in which the client sent something after STARTTLS before the handshake: it was discarded (RFC 3207
        /// section 4.2).
        pub injected: u64 = ["tls.injected", Number, "sessions with input behind STARTTLS, discarded"],
        /// Successful handshakes after which the client left without a command, or with QUIT: some clients verify the
        /// certificate only then.
        pub unused: u64 = ["tls.unused", Number, "left behind the handshake without a command"],
        /// Encrypted sessions that the client ended after a command without QUIT and without close_notify (RFC 8446
        /// section 6.1): input may have been lost.
        pub truncated: u64 = ["tls.truncated", Number, "ended by the client without QUIT and without close_notify"],
        /// Sessions in which MAIL was accepted before TLS although STARTTLS was offered, and not refused when the
        /// client sent it. A session in `fell_back` does not count.
        pub mail_in_clear: u64 = ["tls.mail_in_clear", Number, "sessions with mail in clear, though STARTTLS was offered"],
        /// Sessions in which the client sent a password or token itself (by PLAIN, LOGIN, XOAUTH2 or OAUTHBEARER)
        /// before TLS, although STARTTLS was offered, and not refused when the client sent it. Refused commands count
        /// too: an initial response is sent before the reply.
        pub secrets_in_clear: u64 =
            ["tls.secrets_in_clear", Number, "sessions with secrets in clear, though STARTTLS was offered"],
    }
}

/// The duration of a handshake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandshakeTimes {
    pub(crate) whole: Duration,
    /// The server's share.
    pub(crate) service: Duration,
}

impl TlsStats {
    /// Counts a successful handshake; `newest` is the latest version that the server supports.
    pub(crate) fn note(&mut self, session: &TlsSession, newest: TlsVersion, times: HandshakeTimes) {
        let HandshakeTimes { whole, service } = times;
        self.handshakes += 1;
        self.declined_1_3 += u64::from(session.version() < newest);
        self.resumed += u64::from(session.is_resumed());
        match session.version() {
            TlsVersion::V1_2 => self.v1_2 += 1,
            TlsVersion::V1_3 => self.v1_3 += 1,
        }
        self.client_certificates += u64::from(session.client_certificate().is_some());
        self.cipher_suites.add(session.cipher_suite(), 1);
        if let Some(name) = session.server_name() {
            self.server_names.add(&name.to_ascii_lowercase(), 1);
        }
        self.duration.add(whole);
        self.think.add(whole.saturating_sub(service));
        self.service.add(service.min(whole));
    }

    /// Handshakes that failed because the client ended them: with an alert, or by closing the connection.
    pub fn ended_by_client(&self) -> u64 {
        self.refused.saturating_add(self.broken_off)
    }

    /// Handshakes that failed because the server ended them.
    pub fn ended_by_server(&self) -> u64 {
        let Self { malformed, incompatible, no_client_certificate, bad_client_certificate, .. } = self;
        let Self { timed_out, failed, own_failures, .. } = self;
        let reasons = [malformed, incompatible, no_client_certificate, bad_client_certificate];
        let others = [timed_out, failed, own_failures];
        reasons.into_iter().chain(others).fold(0, |sum, count| sum.saturating_add(*count))
    }
}
