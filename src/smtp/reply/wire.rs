//! The octets of a reply.

use std::fmt;
use std::ops::Deref;

/// Octets stored inline. A reply with places is built for each command, and most are shorter.
const SHORT: usize = 62;

/// Octets, stored inline if few.
#[derive(Clone)]
pub(super) enum Wire {
    Short { length: u8, octets: [u8; SHORT] },
    Long(Vec<u8>),
}

impl Wire {
    pub(super) fn append(&mut self, more: &[u8]) {
        match self {
            Self::Short { length, octets } => {
                let end = usize::from(*length) + more.len();
                match octets.get_mut(usize::from(*length)..end) {
                    Some(free) => {
                        free.copy_from_slice(more);
                        *length = end as u8;
                    }
                    None => *self = Self::Long([&**self, more].concat()),
                }
            }
            Self::Long(octets) => octets.extend_from_slice(more),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(octets) => octets.capacity(),
        }
    }
}

impl Default for Wire {
    fn default() -> Self {
        Self::Short { length: 0, octets: [0; SHORT] }
    }
}

impl From<&[u8]> for Wire {
    fn from(octets: &[u8]) -> Self {
        let mut wire = Self::default();
        wire.append(octets);
        wire
    }
}

impl Deref for Wire {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Short { length, octets } => &octets[..usize::from(*length)],
            Self::Long(octets) => octets,
        }
    }
}

impl PartialEq for Wire {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Wire {}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
