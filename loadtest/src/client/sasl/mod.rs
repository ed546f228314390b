//! The client's side of AUTH (RFC 4954): mechanisms, and the exchange of one session.
//!
//! Hashes are from libraries. The mechanisms are written here and not taken from the server in the same repository, so
//! that a mistake in one is not hidden by the same mistake in the other.

mod exchange;
mod scram;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use exchange::{BadChallenge, Exchange};
use scram::Derived;

/// A mechanism that this client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802.
    ScramSha1,
    /// RFC 2195.
    CramMd5,
    /// RFC 4616.
    Plain,
    Login,
    /// RFC 7628.
    OAuthBearer,
    XOAuth2,
}

impl Mechanism {
    pub(crate) const COUNT: usize = 7;

    /// All mechanisms; those that take a password come first, the strongest at the beginning.
    pub(crate) const ALL: [Mechanism; Mechanism::COUNT] = [
        Mechanism::ScramSha256,
        Mechanism::ScramSha1,
        Mechanism::CramMd5,
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::OAuthBearer,
        Mechanism::XOAuth2,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::CramMd5 => "CRAM-MD5",
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::OAuthBearer => "OAUTHBEARER",
            Mechanism::XOAuth2 => "XOAUTH2",
        }
    }

    /// The position in [`Mechanism::ALL`].
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Whether it takes a token and not a password.
    fn takes_token(self) -> bool {
        matches!(self, Mechanism::OAuthBearer | Mechanism::XOAuth2)
    }

    /// The mechanism of a name, in any case.
    fn named(name: &[u8]) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|known| name.eq_ignore_ascii_case(known.name().as_bytes()))
    }
}

/// The mechanisms that a server offers, of those that are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mechanisms(u8);

impl Mechanisms {
    /// Adds a name of the server's list.
    pub(crate) fn add(&mut self, name: &[u8]) {
        if let Some(mechanism) = Mechanism::named(name) {
            self.0 |= 1 << mechanism.index();
        }
    }

    fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & 1 << mechanism.index() != 0
    }
}

/// The credentials of a run, and what its sessions share.
pub(crate) struct Login {
    user: String,
    /// A password, or the token of a mechanism that takes one.
    secret: String,
    /// `None` for the strongest that is offered.
    mechanism: Option<Mechanism>,
    /// The next nonce: counted from a random number, so that it is unique.
    nonces: AtomicU64,
    /// Keys of SCRAM that were derived already: a derivation takes milliseconds.
    derived: Mutex<Vec<Derived>>,
}

impl Login {
    /// The mechanism to use, of those offered. Without a name it is the strongest that takes a password.
    pub(crate) fn choose(&self, offered: Mechanisms) -> Option<Mechanism> {
        let mut may = Mechanism::ALL.into_iter().filter(|mechanism| match self.mechanism {
            Some(named) => named == *mechanism,
            None => !mechanism.takes_token(),
        });
        may.find(|mechanism| offered.contains(*mechanism))
    }

    /// The mechanism that was named.
    pub(crate) fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    fn next_nonce(&self) -> u64 {
        self.nonces.fetch_add(1, Ordering::Relaxed)
    }
}

/// Secrets are not shown.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

/// What is missing in a text that is no `USER:PASSWORD[@MECHANISM]`. The text is not shown: it may have a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginError {
    Colon,
    User,
    Password,
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            LoginError::Colon => "there is no colon",
            LoginError::User => "there is no user before the first colon",
            LoginError::Password => "there is no password behind the first colon",
        };
        let names = Mechanism::ALL.map(Mechanism::name).join(", ");
        write!(f, "{what}; expected USER:PASSWORD or USER:PASSWORD@MECHANISM, of {names}")
    }
}

impl std::error::Error for LoginError {}

impl Login {
    /// Reads `USER:PASSWORD[@MECHANISM]`; `drawn` is a random number. Only the name of a known mechanism behind the
    /// last `@` is one: passwords may have an `@`.
    pub(crate) fn read(text: &str, drawn: u64) -> Result<Login, LoginError> {
        let (user, rest) = text.split_once(':').ok_or(LoginError::Colon)?;
        let named = rest
            .rsplit_once('@')
            .and_then(|(secret, name)| Some((secret, Mechanism::named(name.as_bytes())?)));
        let (secret, mechanism) = named.map_or((rest, None), |(secret, mechanism)| (secret, Some(mechanism)));
        if user.is_empty() {
            return Err(LoginError::User);
        }
        if secret.is_empty() {
            return Err(LoginError::Password);
        }
        Ok(Login {
            user: user.to_owned(),
            secret: secret.to_owned(),
            mechanism,
            nonces: AtomicU64::new(drawn),
            derived: Mutex::default(),
        })
    }
}

#[cfg(test)]
mod tests;
