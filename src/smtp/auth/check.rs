//! A slow comparison of a password, as a value.

use super::secret::Secret;

/// A password to compare with a deliberately slow hash (50 ms or more). It leaves its session as an owned value, in
/// [`Progress::check`](crate::smtp::Progress::check), and may be run on any thread; the result goes back by
/// [`Session::resume`](crate::smtp::Session::resume).
#[derive(Debug)]
pub struct Check {
    password: Secret,
    #[cfg(feature = "auth")]
    hash: Box<str>,
}

/// The result of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    pub(in crate::smtp) is_right: bool,
}

impl Check {
    #[cfg(feature = "auth")]
    pub(super) fn bcrypt(password: &[u8], hash: &str) -> Self {
        Self { password: Secret(password.into()), hash: hash.into() }
    }

    pub(crate) fn memory(&self) -> usize {
        #[cfg(feature = "auth")]
        let hash = self.hash.len();
        #[cfg(not(feature = "auth"))]
        let hash = 0;
        size_of::<Self>() + self.password.0.len() + hash
    }

    /// Compares the password with the hash. Blocks for the time that its cost requires, 50 ms or more.
    pub fn run(&self) -> Checked {
        #[cfg(feature = "auth")]
        // The hash was valid when it was configured: an error means that no hash can match this password.
        let is_right = bcrypt::verify(&self.password.0, &self.hash).unwrap_or(false);
        #[cfg(not(feature = "auth"))]
        let is_right = false;
        Checked { is_right }
    }
}

#[cfg(all(test, feature = "auth"))]
pub(crate) fn a_check(password: &[u8]) -> Box<Check> {
    Box::new(Check::bcrypt(password, "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"))
}
