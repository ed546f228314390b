//! The names of SASL mechanisms.

use std::fmt;
use std::str::FromStr;

use crate::smtp::rules::{Fault, GrammarError};

/// A supported SASL mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// LOGIN (draft-murchison-sasl-login).
    Login,
    /// CRAM-MD5 (RFC 2195).
    CramMd5,
    /// SCRAM-SHA-1 (RFC 5802).
    ScramSha1,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// XOAUTH2, Google's and Microsoft's.
    XOAuth2,
    /// OAUTHBEARER (RFC 7628).
    OAuthBearer,
    /// EXTERNAL (RFC 4422 appendix A).
    External,
    /// ANONYMOUS (RFC 4505).
    Anonymous,
}

impl Mechanism {
    /// All mechanisms, in the order in which they are offered.
    pub const ALL: &'static [Self] = &[
        Self::Plain,
        Self::Login,
        Self::CramMd5,
        Self::ScramSha1,
        Self::ScramSha256,
        Self::XOAuth2,
        Self::OAuthBearer,
        Self::External,
        Self::Anonymous,
    ];

    /// Its registered name, in capitals.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
            Self::CramMd5 => "CRAM-MD5",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::XOAuth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::External => "EXTERNAL",
            Self::Anonymous => "ANONYMOUS",
        }
    }

    /// The mechanism of this name, in any case.
    pub(in crate::smtp) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// The client sends the secret itself, readable on the network unless encrypted.
    pub(crate) fn sends_the_secret(self) -> bool {
        matches!(self, Self::Plain | Self::Login | Self::XOAuth2 | Self::OAuthBearer)
    }

    /// The server sends the first message of an exchange: an initial response is an error (RFC 4954 section 4). For
    /// LOGIN it is accepted as the user's name, since clients send it.
    pub(super) fn is_server_first(self) -> bool {
        self == Self::CramMd5
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mechanism {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        let word = text.trim();
        Self::named(word.as_bytes()).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|one| one.name()).collect();
            GrammarError::new(text, 0..text.len(), Fault::unknown("mechanism", word, &names))
        })
    }
}
