//! Credentials with which clients may authenticate.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
#[cfg(feature = "auth")]
use std::sync::OnceLock;

use super::password::Password;
#[cfg(feature = "auth")]
use super::scram::{Hash, Keys};
use super::secret::Secret;
use crate::smtp::rules::GrammarError;

const A_CREDENTIAL: &str = "USER:PASSWORD, like ann:secret, or any";

/// A user with a password, a token, or a wildcard for both. `Debug` omits the secret.
///
/// ```
/// use smtpmock::smtp::auth::Credential;
///
/// assert_eq!("ann:se:cret".parse(), Ok(Credential::user("ann", "se:cret")));
/// assert_eq!("any".parse(), Ok(Credential::any()));
/// assert_eq!(Credential::from(("ann", "secret")), Credential::user("ann", "secret"));
/// assert!(!format!("{:?}", Credential::user("ann", "secret")).contains("secret"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential(pub(super) Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    User(Box<[u8]>, Arc<User>),
    Token(Secret),
}

impl Credential {
    /// Any user with any password, and any token.
    pub fn any() -> Self {
        Self(Kind::Any)
    }

    /// A user with this password. Both are compared octet by octet.
    pub fn user(name: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> Self {
        Self::with_password(name.as_ref(), Password::Clear(Secret(password.as_ref().into())))
    }

    /// Any user with this token (RFC 6750).
    pub fn token(token: impl AsRef<[u8]>) -> Self {
        Self(Kind::Token(Secret(token.as_ref().into())))
    }

    pub(super) fn with_password(name: &[u8], password: Password) -> Self {
        Self(Kind::User(name.into(), Arc::new(User::new(name, password))))
    }
}

impl<N: AsRef<[u8]>, P: AsRef<[u8]>> From<(N, P)> for Credential {
    fn from((name, password): (N, P)) -> Self {
        Self::user(name, password)
    }
}

impl FromStr for Credential {
    type Err = GrammarError;

    fn from_str(text: &str) -> Result<Self, GrammarError> {
        match text.split_once(':') {
            None if text == "any" => Ok(Self::any()),
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                Ok(Self::user(name, password))
            }
            _ => Err(GrammarError::expected("", 0..0, A_CREDENTIAL)),
        }
    }
}

/// A user's password, and the keys derived from it.
pub(super) struct User {
    pub(super) password: Password,
    #[cfg(feature = "auth")]
    salt: [u8; 16],
    #[cfg(feature = "auth")]
    keys: [OnceLock<Keys>; Hash::ALL.len()],
}

impl User {
    fn new(name: &[u8], password: Password) -> Self {
        #[cfg(not(feature = "auth"))]
        let _ = name;
        Self {
            password,
            #[cfg(feature = "auth")]
            salt: super::scram::salt_of(name),
            #[cfg(feature = "auth")]
            keys: [const { OnceLock::new() }; Hash::ALL.len()],
        }
    }

    /// The keys of SCRAM, derived once, as that takes thousands of hashes. `None` without a clear password.
    #[cfg(feature = "auth")]
    pub(super) fn keys(&self, hash: Hash) -> Option<&Keys> {
        let password = self.password.as_clear()?;
        Some(self.keys[hash as usize].get_or_init(|| Keys::derive(hash, password, &self.salt)))
    }
}

/// Ignores derived keys.
impl PartialEq for User {
    fn eq(&self, other: &Self) -> bool {
        self.password == other.password
    }
}

impl Eq for User {}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("password", &self.password).finish_non_exhaustive()
    }
}
