//! The decision of rules at `tls` about a handshake: a value that the driver of the session carries out.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::rule::Drop;
use super::state::Identity;

/// A version of TLS. Older ones are not supported (RFC 8996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    /// All versions, the oldest first.
    pub const ALL: &'static [Self] = &[Self::V1_2, Self::V1_3];
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        })
    }
}

impl FromStr for TlsVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        Self::ALL.iter().copied().find(|version| version.to_string() == text.trim()).ok_or(UnknownVersion)
    }
}

/// The text is not a supported version of TLS. Displays the expected form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownVersion;

impl UnknownVersion {
    pub(super) const EXPECTED: &str = "a version of TLS: 1.2 or 1.3";
}

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::EXPECTED)
    }
}

impl std::error::Error for UnknownVersion {}

/// A certificate that every client must reject, wrong in exactly this way (RFC 5280 section 6, RFC 9525).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WrongCertificate {
    /// Its validity ended yesterday.
    Expired,
    /// Its validity begins next month.
    NotYetValid,
    /// It is valid only for `wrong-name.invalid`.
    WrongName,
    /// It is signed with its own key, not by a CA.
    SelfSigned,
    /// It is signed by an unknown CA.
    Untrusted,
    /// It has the server's name only as its common name, which clients must ignore (RFC 9525 section 2).
    NoSan,
}

impl WrongCertificate {
    /// All of them, in the order of declaration.
    pub const ALL: &'static [Self] =
        &[Self::Expired, Self::NotYetValid, Self::WrongName, Self::SelfSigned, Self::Untrusted, Self::NoSan];

    pub(super) const BY_WORD: &[(&str, Self)] = &[
        ("expired", Self::Expired),
        ("not-yet-valid", Self::NotYetValid),
        ("wrong-name", Self::WrongName),
        ("self-signed", Self::SelfSigned),
        ("untrusted", Self::Untrusted),
        ("no-san", Self::NoSan),
    ];
}

/// As in rules: `not-yet-valid`.
impl fmt::Display for WrongCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::BY_WORD.iter().find(|(_, other)| other == self);
        f.write_str(word.map_or("", |(word, _)| word))
    }
}

/// A TLS alert, by its name in the IANA registry (RFC 8446 section 6).
///
/// ```
/// use smtpmock::smtp::rules::Alert;
///
/// assert_eq!(Alert::named("unrecognized_name").unwrap().to_string(), "unrecognized_name");
/// assert_eq!(Alert::named("no_such_alert"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Alert(u8);

impl Alert {
    /// The names and codes of RFC 8446 section 6.
    pub(super) const BY_WORD: &[(&str, Self)] = &[
        ("close_notify", Self(0)),
        ("unexpected_message", Self(10)),
        ("bad_record_mac", Self(20)),
        ("record_overflow", Self(22)),
        ("handshake_failure", Self(40)),
        ("bad_certificate", Self(42)),
        ("unsupported_certificate", Self(43)),
        ("certificate_revoked", Self(44)),
        ("certificate_expired", Self(45)),
        ("certificate_unknown", Self(46)),
        ("illegal_parameter", Self(47)),
        ("unknown_ca", Self(48)),
        ("access_denied", Self(49)),
        ("decode_error", Self(50)),
        ("decrypt_error", Self(51)),
        ("protocol_version", Self(70)),
        ("insufficient_security", Self(71)),
        ("internal_error", Self(80)),
        ("inappropriate_fallback", Self(86)),
        ("user_canceled", Self(90)),
        ("missing_extension", Self(109)),
        ("unsupported_extension", Self(110)),
        ("unrecognized_name", Self(112)),
        ("bad_certificate_status_response", Self(113)),
        ("unknown_psk_identity", Self(115)),
        ("certificate_required", Self(116)),
        ("no_application_protocol", Self(120)),
    ];

    /// The alert with this name; `None` if not in RFC 8446.
    pub fn named(name: &str) -> Option<Self> {
        Self::BY_WORD.iter().find(|(word, _)| *word == name).map(|(_, alert)| *alert)
    }

    /// The alert with this code; `None` if not in RFC 8446.
    pub fn with_code(code: u8) -> Option<Self> {
        Self::BY_WORD.iter().find(|(_, alert)| alert.0 == code).map(|(_, alert)| *alert)
    }

    /// Its code.
    pub fn code(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::BY_WORD.iter().find(|(_, other)| *other == self).map_or("", |(word, _)| word)
    }

    /// The name of the alert with this code; `None` if not in RFC 8446.
    #[cfg(feature = "tls")]
    pub(crate) fn name_of(code: u8) -> Option<&'static str> {
        Self::BY_WORD.iter().find(|(_, alert)| alert.0 == code).map(|(word, _)| *word)
    }

    /// Its record, in clear: fatal, except for the two that never are.
    pub fn record(self) -> [u8; 7] {
        let level = if matches!(self.0, 0 | 90) { 1 } else { 2 };
        [21, 3, 3, 0, 2, level, self.0]
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The end of a handshake instead of an answer to the hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeEnd {
    /// This alert, then the connection is closed.
    Alert(Alert),
    /// Plain text, then the connection is closed.
    Garbage,
    /// No answer, until the session timeout.
    Silent,
    /// The connection is dropped.
    Drop(Drop),
}

/// The decision of rules about a handshake. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakePlan {
    /// The delay before the hello is answered.
    pub delay: Duration,
    /// The certificate presented instead of the server's. The session is not resumed and can't be resumed later: a
    /// client that resumes sees no certificate.
    pub certificate: Option<WrongCertificate>,
    /// The only version allowed.
    pub version: Option<TlsVersion>,
    /// The end of the handshake, if it must fail.
    pub end: Option<HandshakeEnd>,
    /// The rule that decided it: see [`Policy::rule_of`](crate::smtp::Policy::rule_of).
    pub(in crate::smtp) rule: Option<Identity>,
}

impl HandshakePlan {
    /// It differs from the default.
    pub(crate) fn changes_course(&self) -> bool {
        Self { rule: None, ..*self } != Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_complete() {
        for certificate in WrongCertificate::ALL {
            assert_eq!(WrongCertificate::BY_WORD.iter().filter(|(_, other)| other == certificate).count(), 1);
        }
        for &(word, alert) in Alert::BY_WORD {
            assert_eq!((Alert::named(word), alert.to_string().as_str()), (Some(alert), word));
            assert_eq!(Alert::with_code(alert.code()), Some(alert));
        }
    }

    /// The levels of RFC 8446 section 6.
    #[test]
    fn alerts_are_fatal_but_for_those_that_close() {
        let record = |name| Alert::named(name).expect(name).record();
        assert_eq!(record("handshake_failure"), [21, 3, 3, 0, 2, 2, 40]);
        assert_eq!(record("close_notify"), [21, 3, 3, 0, 2, 1, 0]);
    }
}
