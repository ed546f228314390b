//! The fate of every single message, in two bits each, for `--verify`.

/// The fate of a message, as far as the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Never started.
    Unsent = 0,
    /// The server accepted it: it must be in the capture once.
    Accepted = 1,
    /// The server refused it, or its final dot was never sent: it must not be in the capture.
    NotDelivered = 2,
    /// No reply to its final dot arrived: it may be in the capture.
    InDoubt = 3,
}

/// Fates by the place of a message among those of the part.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    words: Vec<u64>,
}

const PER_WORD: u64 = 32;

impl Ledger {
    /// Sets the fate of a message, once.
    pub(crate) fn set(&mut self, nth: u64, fate: Fate) {
        debug_assert_eq!(self.get(nth), Fate::Unsent, "message {nth} has a fate already");
        let word = usize::try_from(nth / PER_WORD).unwrap_or(usize::MAX);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= (fate as u64) << (nth % PER_WORD * 2);
    }

    pub(crate) fn get(&self, nth: u64) -> Fate {
        let word = usize::try_from(nth / PER_WORD).unwrap_or(usize::MAX);
        let bits = self.words.get(word).map_or(0, |word| word >> (nth % PER_WORD * 2) & 3);
        match bits {
            1 => Fate::Accepted,
            2 => Fate::NotDelivered,
            3 => Fate::InDoubt,
            _ => Fate::Unsent,
        }
    }

    /// One past the last place that may have a fate.
    pub(crate) fn end(&self) -> u64 {
        self.words.len() as u64 * PER_WORD
    }

    /// Adds the fates of another thread; no message belongs to two threads.
    pub(crate) fn merge(&mut self, other: &Ledger) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        debug_assert!(self.words.iter().zip(&other.words).all(|(mine, theirs)| mine & theirs == 0));
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
    }
}
