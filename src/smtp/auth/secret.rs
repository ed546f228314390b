//! Octets that are never displayed.

use std::fmt;

use subtle::ConstantTimeEq;

#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(pub(super) Box<[u8]>);

impl Secret {
    /// Compares in a time that depends only on the lengths.
    pub(super) fn is(&self, other: &[u8]) -> bool {
        is_same(&self.0, other)
    }
}

/// Compares in a time that depends only on the lengths.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.ct_eq(other).into()
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}
