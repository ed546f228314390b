//! A part of a run: the messages whose index has one remainder. Pure.
//!
//! A run is cut into parts, one for each machine, and a part into shares of its threads and targets by the same rule.
//! Part `k` of `n` has the messages `k`, `k + n`, `k + 2n`, …, so that the parts together are the run.

use std::fmt;
use std::str::FromStr;

/// The most parts of a run.
pub(crate) const PARTS_LIMIT: u64 = 10_000;

/// Part `index` of `of`; parts count from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Below `of`.
    index: u64,
    /// At least one.
    of: u64,
}

impl Part {
    /// The only part of a run.
    pub(crate) const WHOLE: Part = Part { index: 0, of: 1 };

    pub(crate) fn new(index: u64, of: u64) -> Result<Part, PartError> {
        match (index, of) {
            (_, 0) => Err(PartError::NoParts),
            (_, of) if of > PARTS_LIMIT => Err(PartError::TooMany(of)),
            (index, of) if index >= of => Err(PartError::Beyond { index, of }),
            (index, of) => Ok(Part { index, of }),
        }
    }

    pub(crate) fn index(self) -> u64 {
        self.index
    }

    /// The number of parts.
    pub(crate) fn of(self) -> u64 {
        self.of
    }

    /// How many of `whole` are this part's. The shares of all parts add up to `whole`; the first parts have the
    /// remainder.
    pub(crate) fn share(self, whole: u64) -> u64 {
        whole / self.of + u64::from(self.index < whole % self.of)
    }

    /// The index in the whole run of this part's message `nth`, from zero.
    pub(crate) fn seq(self, nth: u64) -> u64 {
        nth.saturating_mul(self.of).saturating_add(self.index)
    }

    /// The place among this part's messages of the message `seq` of the whole run; `None` if it is another part's.
    pub(crate) fn nth(self, seq: u64) -> Option<u64> {
        (seq % self.of == self.index).then_some(seq / self.of)
    }

    /// Part `index` of `of` of this part: its messages `index`, `index + of`, ….
    pub(crate) fn cut(self, index: u64, of: u64) -> Part {
        debug_assert!(index < of);
        Part { index: self.seq(index), of: self.of * of }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

/// Why a text is no part; displays as what is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartError {
    Form,
    NoParts,
    TooMany(u64),
    Beyond { index: u64, of: u64 },
}

impl fmt::Display for PartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PartError::Form => f.write_str("expected a part and the number of parts, like 0/3, 1/3 and 2/3"),
            PartError::NoParts => f.write_str("a run has at least one part: 0/1"),
            PartError::TooMany(of) => write!(f, "{of} parts: a run has at most {PARTS_LIMIT}"),
            PartError::Beyond { index, of } => {
                write!(
                    f,
                    "there is no part {index} of {of}: parts count from 0, so the last is {}/{of}",
                    of - 1
                )
            }
        }
    }
}

impl std::error::Error for PartError {}

impl FromStr for Part {
    type Err = PartError;

    fn from_str(text: &str) -> Result<Part, PartError> {
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<u64>().map_err(|_| PartError::Form),
            false => Err(PartError::Form),
        };
        let (index, of) = text.trim().split_once('/').ok_or(PartError::Form)?;
        Part::new(number(index)?, number(of)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_count_from_zero_and_the_error_says_so() {
        assert_eq!("2/5".parse(), Part::new(2, 5));
        assert_eq!("0/1".parse(), Ok(Part::WHOLE));
        for (text, right) in [
            ("5/5", "the last is 4/5"),
            ("7/5", "the last is 4/5"),
            ("0/0", "0/1"),
            ("1/10001", "at most 10000"),
            ("2", "like 0/3"),
            ("2/5/7", "like 0/3"),
            ("-1/5", "like 0/3"),
            ("+1/5", "like 0/3"),
            ("/5", "like 0/3"),
            ("1/99999999999999999999", "like 0/3"),
        ] {
            let error = text.parse::<Part>().unwrap_err().to_string();
            assert!(error.contains(right), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn shares_add_up_to_the_whole_with_the_remainder_in_front(whole in 0u64..10_000, of in 1u64..50) {
            let shares: Vec<u64> = (0..of).map(|index| Part { index, of }.share(whole)).collect();
            prop_assert_eq!(shares.iter().sum::<u64>(), whole);
            prop_assert!(shares.is_sorted_by(|a, b| a >= b) && shares[0] - shares[shares.len() - 1] <= 1);
            for (index, share) in shares.iter().enumerate() {
                // The oracle counts them one by one.
                let owned = (0..whole).filter(|seq| seq % of == index as u64).count();
                prop_assert_eq!(*share, owned as u64);
            }
        }

        #[test]
        fn a_part_of_a_part_is_a_part(of in 1u64..20, index in 0u64..20, of_it in 1u64..20, nth in 0u64..1000) {
            let part = Part { index: index % of, of };
            let cuts: Vec<Part> = (0..of_it).map(|index| part.cut(index, of_it)).collect();
            let seq = part.seq(nth);
            prop_assert_eq!(part.nth(seq), Some(nth));
            let owners: Vec<Part> = cuts.iter().copied().filter(|cut| cut.nth(seq).is_some()).collect();
            prop_assert_eq!(owners, vec![cuts[(nth % of_it) as usize]]);
            prop_assert_eq!(cuts.iter().map(|cut| cut.share(nth)).sum::<u64>(), part.share(nth));
        }
    }
}
