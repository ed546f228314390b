//! Counts by name, with names chosen by clients.

use std::collections::BTreeMap;

use super::Additive;

/// Maximum number of names counted separately: clients choose them.
const MOST_NAMES: usize = 64;

/// Counts by name, of at most 64 names: the alphabetically first. The others are counted together. So the sum of
/// several tallies is the same in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<Box<str>, u64>,
    others: u64,
}

impl Tally {
    /// The count of this name; 0 if not counted separately.
    pub fn get(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// The names counted separately, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts.iter().map(|(name, count)| (&**name, *count))
    }

    /// The count of all other names together.
    pub fn others(&self) -> u64 {
        self.others
    }

    /// The count of all names.
    pub fn total(&self) -> u64 {
        self.counts.values().fold(self.others, |sum, count| sum.saturating_add(*count))
    }

    pub(crate) fn add(&mut self, name: &str, count: u64) {
        if let Some(own) = self.counts.get_mut(name) {
            return own.merge(&count);
        }
        if self.counts.len() >= MOST_NAMES {
            match self.counts.last_entry() {
                Some(last) if name < &**last.key() => self.others.merge(&last.remove()),
                _ => return self.others.merge(&count),
            }
        }
        self.counts.insert(name.into(), count);
    }

    pub(crate) fn add_others(&mut self, count: u64) {
        self.others.merge(&count);
    }
}

impl Additive for Tally {
    fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(name, count)| self.add(name, count));
        self.add_others(other.others);
    }

    /// A name counted separately in the earlier reading may be one of the others now.
    fn subtract(&mut self, earlier: &Self) {
        self.others.subtract(&earlier.others);
        for (name, count) in earlier.iter() {
            self.counts.get_mut(name).unwrap_or(&mut self.others).subtract(&count);
        }
        self.counts.retain(|_, count| *count > 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(names: &[u8]) -> Tally {
        let mut tally = Tally::default();
        names.iter().for_each(|name| tally.add(&format!("{name:03}.example"), 1));
        tally
    }

    fn sum(one: &Tally, other: &Tally) -> Tally {
        let mut sum = one.clone();
        sum.merge(other);
        sum
    }

    proptest! {
        #[test]
        fn parts_add_up_in_any_order_and_are_differences_of_their_sum(
            a in prop::collection::vec(any::<u8>(), 0..200),
            b in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (one, other) = (tally(&a), tally(&b));
            let all = tally(&[a.clone(), b.clone()].concat());
            prop_assert_eq!(&sum(&one, &other), &all);
            prop_assert_eq!(&sum(&other, &one), &all);
            prop_assert_eq!(all.total(), (a.len() + b.len()) as u64);
            prop_assert!(all.iter().count() <= MOST_NAMES);
            for (name, count) in all.iter() {
                let naive = a.iter().chain(&b).filter(|own| format!("{own:03}.example") == name).count();
                prop_assert_eq!(count, naive as u64);
            }
            let mut later = all.clone();
            later.subtract(&one);
            prop_assert_eq!(later.total(), b.len() as u64);
        }
    }
}
