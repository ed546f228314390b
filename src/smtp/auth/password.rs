//! Stored passwords and their comparison.

use super::check::Check;
use super::secret::Secret;
#[cfg(feature = "auth")]
use super::secret::is_same;

/// A password, or a hash of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Password {
    Clear(Secret),
    /// SHA-1 of the password and the salt (RFC 2307); the salt of `{SHA}` is empty.
    #[cfg(feature = "auth")]
    Sha1 {
        digest: [u8; 20],
        salt: Box<[u8]>,
    },
    /// In the form of `crypt(3)`.
    #[cfg(feature = "auth")]
    Bcrypt(Box<str>),
}

#[derive(Debug)]
pub(super) enum Comparison {
    Same,
    Different,
    /// The comparison is slow.
    #[cfg_attr(not(feature = "auth"), expect(dead_code, reason = "without hashes nothing takes long"))]
    Pending(Check),
}

impl Password {
    pub(super) fn as_clear(&self) -> Option<&[u8]> {
        match self {
            Self::Clear(password) => Some(&password.0),
            #[cfg(feature = "auth")]
            Self::Sha1 { .. } | Self::Bcrypt(_) => None,
        }
    }

    pub(super) fn compare(&self, password: &[u8]) -> Comparison {
        let is_same = match self {
            Self::Clear(own) => own.is(password),
            #[cfg(feature = "auth")]
            Self::Sha1 { digest, salt } => {
                use sha1::Digest as _;
                let own = sha1::Sha1::new().chain_update(password).chain_update(salt).finalize();
                is_same(digest, &own)
            }
            #[cfg(feature = "auth")]
            Self::Bcrypt(hash) => return Comparison::Pending(Check::bcrypt(password, hash)),
        };
        if is_same { Comparison::Same } else { Comparison::Different }
    }
}
