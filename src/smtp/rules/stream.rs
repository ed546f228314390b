//! Where chance comes from: one independent stream for each impairment at each step of each session.
//!
//! A stream is a ChaCha key made of what it is for, so nothing has to be remembered between draws, a
//! session's draws do not depend on what other sessions do, and a rule that is added takes nothing from
//! the others. ChaCha is defined to the bit: one seed gives the same draws on every platform.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// What draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) struct Impairment(u64);

impl Impairment {
    /// Identified by its words, not by its place in a list: what is put before it does not change it.
    /// `occurrence` distinguishes equal ones.
    pub(in crate::smtp) fn named(words: &str, occurrence: u64) -> Self {
        Self(hash(words.bytes().chain(occurrence.to_le_bytes())))
    }
}

/// FNV-1a: the standard library's hash may change with its version, and with it every run.
pub(super) fn hash(octets: impl Iterator<Item = u8>) -> u64 {
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Where in a run something is drawn.
#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Moment {
    pub(in crate::smtp) seed: u64,
    /// The session's number.
    pub(in crate::smtp) session: u64,
    /// The step's number within the session, the greeting being 0.
    pub(in crate::smtp) step: u32,
}

impl Moment {
    pub(in crate::smtp) fn stream(self, of: Impairment) -> ChaCha8Rng {
        let words = [self.seed, self.session, u64::from(self.step), of.0];
        let mut key = [0; 32];
        for (octets, word) in key.chunks_exact_mut(8).zip(words) {
            octets.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}
