//! Alerts of TLS as reports name them: those of RFC 8446 section 6 by name, others by number. Pure.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use smtpmock::smtp::rules as known;

/// What stands before the name in reports.
const PREFIX: &str = "alert-";

/// An alert, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Alert(pub(crate) u8);

impl Alert {
    /// Its name (RFC 8446 section 6); `None` if it has none.
    pub(crate) fn name(self) -> Option<&'static str> {
        known::Alert::with_code(self.0).map(known::Alert::name)
    }

    /// Whether it is about the certificate of the side that receives it.
    pub(crate) fn is_of_certificate(self) -> bool {
        self.name().is_some_and(|name| name.contains("certificate") || name == "unknown_ca")
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Serialize for Alert {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{PREFIX}{self}"))
    }
}

impl<'de> Deserialize<'de> for Alert {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Alert, D::Error> {
        let text = String::deserialize(deserializer)?;
        // Older reports have hyphens in the names.
        let name = text.strip_prefix(PREFIX).unwrap_or_default().replace('-', "_");
        let code = known::Alert::named(&name).map(known::Alert::code).or_else(|| name.parse().ok());
        code.map(Alert).ok_or_else(|| D::Error::custom(format_args!("`{text}` is no reason of an abort")))
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
        assert_eq!(serde_json::to_string(&Alert(40)).unwrap(), r#""alert-handshake_failure""#);
        assert_eq!(serde_json::to_string(&Alert(200)).unwrap(), r#""alert-200""#);
        assert_eq!(serde_json::from_str::<Alert>(r#""alert-handshake-failure""#).unwrap(), Alert(40));
        assert_eq!(Alert(40).to_string(), "handshake_failure");
        for text in ["\"alert-\"", "\"alert-256\"", "\"alert-no-such\"", "\"refused\"", "40"] {
            assert!(serde_json::from_str::<Alert>(text).is_err(), "{text}");
        }
    }
}
