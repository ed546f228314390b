//! The seconds that agents report, added up for the view.

use std::time::Duration;

use super::member::{Member, Presence};
use super::{Coordinator, Event};
use crate::fleet::protocol::Second;
use crate::measure::interval::Interval;

/// The most seconds that wait for agents which have not reported them, for the view.
const BEHIND_LIMIT: usize = 64;

impl Coordinator {
    /// Adds seconds, which follow those that are there, with their intervals.
    pub(super) fn take_seconds(
        &mut self,
        now: Duration,
        index: usize,
        seconds: &[Second],
        intervals: Vec<Interval>,
    ) {
        if let Some(latest) = seconds.last() {
            // Of several threads, one may have its last second before the others.
            self.members[index].owes_report = latest.is_last.then_some(now);
        }
        for (second, interval) in seconds.iter().zip(intervals) {
            let reported = &mut self.members[index].reported;
            reported.note(second, &interval, self.settings.warmup);
            if second.index < self.unshown {
                continue;
            }
            match self.behind.get_mut(&second.index) {
                Some(whole) => whole.merge(&interval),
                None => drop(self.behind.insert(second.index, interval)),
            }
        }
    }

    /// Passes on the seconds that all agents which are there have reported.
    pub(super) fn show_seconds(&mut self) {
        let is_awaited = |member: &&Member| member.presence == Presence::There && !member.is_settled();
        let awaited = self.members.iter().filter(is_awaited);
        let complete = awaited.map(|member| member.reported.seconds).min().unwrap_or(u64::MAX);
        while let Some(entry) = self.behind.first_entry() {
            if *entry.key() >= complete && self.behind.len() <= BEHIND_LIMIT {
                break;
            }
            if let Some((second, interval)) = self.behind.pop_first() {
                self.unshown = second + 1;
                self.events.push_back(Event::Second(Box::new(interval)));
            }
        }
    }
}
