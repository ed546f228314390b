//! Counts of rules by id since the start, which never decrease: the counts of a single rule restart when it is removed
//! and added again.

use std::collections::BTreeMap;

use super::Server;
use crate::process::lock;
use crate::smtp::rules::{RuleTally, Tally};

/// Ids with separate counts; further ones are counted with the rules without an id.
const MOST_IDS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct RemovedRules {
    /// Rules without an id have the empty one. Ids are never removed.
    by_id: BTreeMap<String, Tally>,
}

impl RemovedRules {
    /// Adds the counts of rules that no longer exist.
    pub(super) fn note(&mut self, before: Vec<RuleTally>, after: Vec<RuleTally>) {
        for (before, after) in before.into_iter().zip(after) {
            let lost = Tally {
                reached: before.tally.reached.saturating_sub(after.tally.reached),
                fired: before.tally.fired.saturating_sub(after.tally.fired),
            };
            if lost != Tally::default() {
                let id = self.series(before.id);
                add(self.by_id.entry(id).or_default(), lost);
            }
        }
    }

    /// The counts of removed and present rules.
    fn with(&mut self, present: Vec<RuleTally>) -> BTreeMap<String, Tally> {
        let present: Vec<_> = present.into_iter().map(|of| (self.series(of.id), of.tally)).collect();
        let mut totals = self.by_id.clone();
        for (id, tally) in present {
            add(totals.entry(id).or_default(), tally);
        }
        totals
    }

    /// The id under which a rule is counted; always the same.
    fn series(&mut self, id: Option<String>) -> String {
        let id = id.unwrap_or_default();
        if !id.is_empty() && !self.by_id.contains_key(&id) && self.own_series() >= MOST_IDS {
            return String::new();
        }
        self.by_id.entry(id.clone()).or_default();
        id
    }

    fn own_series(&self) -> usize {
        self.by_id.len() - usize::from(self.by_id.contains_key(""))
    }
}

fn add(total: &mut Tally, more: Tally) {
    total.reached = total.reached.saturating_add(more.reached);
    total.fired = total.fired.saturating_add(more.fired);
}

impl Server {
    /// How often rules of each id were reached and fired since the start, including removed rules. The empty id counts
    /// rules without one, and those beyond the limit.
    pub(crate) fn rule_totals(&self) -> BTreeMap<String, Tally> {
        // Settings are replaced and counts dropped under this lock.
        let mut removed = lock(&self.serving.removed_rules);
        let (service, counts) = (self.serving.service(), lock(&self.serving.state).totals());
        removed.with(service.policy().tallies(&counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, reached: u64, fired: u64) -> RuleTally {
        let id = Some(id.to_owned()).filter(|id| !id.is_empty());
        RuleTally { id, rule: "rcpt accept".to_owned(), tally: Tally { reached, fired } }
    }

    #[test]
    fn what_is_removed_is_counted_once_and_present_rules_beside_it() {
        let mut removed = RemovedRules::default();
        removed.note(vec![rule("a", 5, 2), rule("", 1, 1)], vec![rule("a", 0, 0), rule("", 1, 1)]);
        let totals = removed.with(vec![rule("a", 3, 3), rule("", 1, 1), rule("", 4, 0)]);
        assert_eq!(totals["a"], Tally { reached: 8, fired: 5 });
        assert_eq!(totals[""], Tally { reached: 5, fired: 1 });
        assert_eq!(removed.with(Vec::new())["a"], Tally { reached: 5, fired: 2 });
    }

    #[test]
    fn so_many_ids_have_series_and_the_others_one() {
        let mut removed = RemovedRules::default();
        let last = format!("id{}", MOST_IDS - 1);
        for number in 0..1000 {
            let id = format!("id{number}");
            removed.with(vec![rule(&id, 1, 1)]);
            removed.note(vec![rule(&id, 1, 1)], vec![rule(&id, 0, 0)]);
        }
        let totals = removed.with(vec![rule("id999", 1, 1), rule(&last, 1, 1)]);
        assert_eq!(totals.len(), MOST_IDS + 1);
        assert_eq!((totals[&last].fired, totals.values().map(|of| of.fired).sum()), (2, 1002));
    }
}
