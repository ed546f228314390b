//! Random streams: an independent one for each impairment at each step of each session.
//!
//! A stream's ChaCha key is derived from its purpose. So no state is needed between draws, a session's draws do not
//! depend on other sessions, and an added rule does not change the draws of others. ChaCha is fully specified: a seed
//! gives the same draws on every platform.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// The purpose of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) struct Impairment(u64);

impl Impairment {
    /// A rule, identified by its text and not by its position, so that a rule added before it does not change its
    /// draws. `occurrence` distinguishes equal rules.
    pub(in crate::smtp) fn named(words: &str, occurrence: u64) -> Self {
        Self(hash(words.bytes().chain(occurrence.to_le_bytes())))
    }
}

/// FNV-1a: the standard library's hash may change between versions, which would change every run.
pub(super) fn hash(octets: impl Iterator<Item = u8>) -> u64 {
    octets.fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The point of a run at which a value is drawn.
#[derive(Clone, Copy, Debug)]
pub(in crate::smtp) struct Moment {
    pub(in crate::smtp) seed: u64,
    pub(in crate::smtp) session: u64,
    /// The step's number within the session; the greeting's is 0.
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
