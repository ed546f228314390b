//! The protocols of a session.

use std::fmt;

/// A protocol of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// RFC 5321.
    #[default]
    Smtp,
    /// LMTP (RFC 2033): LHLO in place of HELO and EHLO, extensions always, and after the message a reply for each
    /// accepted recipient.
    Lmtp,
}

impl Protocol {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Lmtp => "lmtp",
        }
    }
}

/// As in URLs and the ready line: `smtp`, `lmtp`.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
