//! Following what was put off with a 4yz reply, until it is tried again. One for all shards: a client may come back
//! anywhere.

use std::collections::{BTreeMap, HashMap};

use super::Stamp;
use crate::stats::RetryStats;

/// What is waited for at once. Beyond it the oldest is forgotten: so many take about 6 MiB.
const MOST: usize = 65_536;

/// What was put off and has not been tried again, by hashes that are the same for the same.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    waiting: HashMap<u64, Deferral>,
    /// The hashes in the order in which they were put off, by number.
    order: BTreeMap<u64, u64>,
    next_number: u64,
    stats: RetryStats,
}

#[derive(Debug)]
struct Deferral {
    /// When the reply was to leave.
    replied: Stamp,
    number: u64,
    /// It was put off before, and tried again.
    is_retried: bool,
}

impl Retries {
    /// These were tried; `put_off` is when the 4yz reply to them is to leave, if that is what they are told.
    pub(crate) fn note(&mut self, now: Stamp, tried: &[u64], put_off: Option<Stamp>) {
        for key in tried {
            let before = self.take(*key);
            if let Some(before) = &before {
                self.stats.after.add(now.since(before.replied));
                self.stats.retried += u64::from(!before.is_retried);
            }
            if let Some(replied) = put_off {
                self.stats.deferred += u64::from(before.is_none());
                self.put(*key, replied, before.is_some());
            }
        }
    }

    /// What was seen since the last time.
    pub(crate) fn take_stats(&mut self) -> RetryStats {
        std::mem::take(&mut self.stats)
    }

    fn take(&mut self, key: u64) -> Option<Deferral> {
        let deferral = self.waiting.remove(&key)?;
        self.order.remove(&deferral.number);
        Some(deferral)
    }

    fn put(&mut self, key: u64, replied: Stamp, is_retried: bool) {
        if self.waiting.len() >= MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.waiting.remove(&oldest);
            self.stats.forgotten += 1;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.waiting.insert(key, Deferral { replied, number, is_retried });
        self.order.insert(number, key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Stamp {
        Stamp::at(Duration::from_secs(seconds))
    }

    proptest! {
        /// Against the whole history, gone through again for each try.
        #[test]
        fn each_try_finds_the_deferral_before_it(tries in prop::collection::vec((0..5_u64, any::<bool>()), 0..60)) {
            let (mut retries, mut expected) = (Retries::default(), RetryStats::default());
            for (index, (key, is_put_off)) in tries.iter().enumerate() {
                let now = at(index as u64);
                retries.note(now, &[*key], is_put_off.then_some(now));
                let own = (0..index).rev().filter(|other| tries[*other].0 == *key);
                let put_off: Vec<usize> = own.take_while(|other| tries[*other].1).collect();
                if let Some(last) = put_off.first() {
                    expected.after.add(Duration::from_secs((index - last) as u64));
                }
                expected.retried += u64::from(put_off.len() == 1);
                expected.deferred += u64::from(*is_put_off && put_off.is_empty());
            }
            prop_assert_eq!(&retries.take_stats(), &expected);
            prop_assert_eq!(retries.waiting.len(), retries.order.len());
        }
    }

    #[test]
    fn the_oldest_is_forgotten_when_there_are_too_many() {
        let mut retries = Retries::default();
        let keys: Vec<u64> = (0..MOST as u64 + 10).collect();
        retries.note(at(0), &keys, Some(at(0)));
        assert_eq!((retries.waiting.len(), retries.order.len()), (MOST, MOST));
        retries.note(at(1), &keys, None);
        let RetryStats { deferred, retried, after, forgotten } = retries.take_stats();
        assert_eq!((deferred, retried, forgotten), (MOST as u64 + 10, MOST as u64, 10));
        assert_eq!(after.count(), MOST as u64);
        assert_eq!((retries.waiting.len(), retries.order.len()), (0, 0));
    }

    #[test]
    fn time_runs_from_the_reply() {
        let mut retries = Retries::default();
        retries.note(at(1), &[7], Some(at(5)));
        retries.note(at(8), &[7], None);
        assert_eq!(retries.take_stats().after.max().as_secs(), 3);
    }
}
