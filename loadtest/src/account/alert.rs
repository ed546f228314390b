//! Alerts of TLS by name (RFC 8446 section 6). Pure.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// What stands before the name in reports.
const PREFIX: &str = "alert-";

/// The alerts that a server may send, with their names of the RFC.
const NAMES: [(u8, &str); 27] = [
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (22, "record_overflow"),
    (40, "handshake_failure"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

/// An alert, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alert(pub(crate) u8);

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{PREFIX}{}", self.to_string().replace('_', "-")))
    }
}

impl<'de> Deserialize<'de> for Alert {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Alert, D::Error> {
        let text = String::deserialize(deserializer)?;
        let name = text.strip_prefix(PREFIX).unwrap_or_default().replace('-', "_");
        let known = NAMES.iter().find(|(_, known)| *known == name).map(|(number, _)| *number);
        let number = known.or_else(|| name.parse().ok());
        number.map(Alert).ok_or_else(|| D::Error::custom(format_args!("`{text}` is no reason of an abort")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_is_read_as_it_was_written() {
        for number in 0..=u8::MAX {
            let text = serde_json::to_string(&Alert(number)).unwrap();
            assert_eq!(serde_json::from_str::<Alert>(&text).unwrap(), Alert(number), "{text}");
        }
        assert_eq!(serde_json::to_string(&Alert(40)).unwrap(), r#""alert-handshake-failure""#);
        assert_eq!(Alert(40).to_string(), "handshake_failure");
        for text in ["\"alert-\"", "\"alert-256\"", "\"alert-no-such\"", "\"refused\"", "40"] {
            assert!(serde_json::from_str::<Alert>(text).is_err(), "{text}");
        }
    }
}
