//! What the servers of runs report themselves, compared with what was delivered to them: run by run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::report::Report;
use crate::report::agents::Delivered;

/// What the servers report, beside what the agents have delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sinks {
    pub(crate) reports: Vec<SinkRow>,
    /// The servers without a report.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) failed: Vec<SinkFailure>,
    /// The merged runs whose servers were not asked, by their ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) not_compared: Vec<String>,
    /// Of all servers.
    pub(crate) received: u64,
    /// How many messages are missing from the servers' reports, or are too many; each is the sum over the runs.
    pub(crate) too_few: u64,
    pub(crate) too_many: u64,
}

/// One server's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkRow {
    /// The id of the run; absent in older reports, which are of one run.
    #[serde(default)]
    pub(crate) run: String,
    pub(crate) url: String,
    /// The messages that it has accepted since the start of the run.
    pub(crate) received: u64,
    /// Until when, by the coordinator's clock, in milliseconds since 1970-01-01 UTC; absent in older reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) asked_at_ms: Option<u64>,
}

/// A server whose report was not available after the run, or is from before its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SinkFailure {
    /// The id of the run.
    pub(crate) run: String,
    pub(crate) url: String,
    pub(crate) reason: String,
}

impl SinkRow {
    /// Whether an agent's own report among these ends later.
    fn is_before_the_end(&self, reports: &[Report]) -> bool {
        let is_of_it =
            |report: &&Report| report.sinks.is_none() && report.settings.runs == [self.run.as_str()];
        let ends = reports.iter().filter(is_of_it).map(|report| report.ended_at_ms).max();
        ends.zip(self.asked_at_ms).is_some_and(|(ended, asked)| ended > asked)
    }
}

impl Sinks {
    /// The servers' reports of all these, not yet compared; `None` if there is none.
    pub(crate) fn gathered(reports: &[Report]) -> Option<Sinks> {
        let mut all: Option<Sinks> = None;
        for report in reports {
            let Some(sinks) = report.sinks.clone() else { continue };
            let mut rows = sinks.reports;
            if let Some(run) = report.settings.runs.first() {
                rows.iter_mut().filter(|row| row.run.is_empty()).for_each(|row| row.run = run.clone());
            }
            let all = all.get_or_insert_default();
            all.failed.extend(sinks.failed);
            all.failed.extend(rows.iter().filter(|row| row.is_before_the_end(reports)).map(|row| {
                SinkFailure {
                    run: row.run.clone(),
                    url: row.url.clone(),
                    reason: "it was asked before an agent ended whose report was added since".to_owned(),
                }
            }));
            all.reports.extend(rows);
        }
        all
    }

    /// Compares each run's servers with what was delivered in that run. Where a server has no report, messages are not
    /// missing, but they can be too many.
    pub(crate) fn compared(self, report: &Report) -> Sinks {
        let Sinks { reports, mut failed, .. } = self;
        let delivered = delivered_by_run(report);
        let total = |rows: &mut dyn Iterator<Item = &SinkRow>| {
            rows.fold(0, |sum: u64, row| sum.saturating_add(row.received))
        };
        let mut sinks = Sinks { received: total(&mut reports.iter()), ..Sinks::default() };
        for run in &report.settings.runs {
            let received = total(&mut reports.iter().filter(|row| row.run == *run));
            let is_exact = |delivered: &Delivered| *delivered == Delivered::exactly(received);
            let has_row = |one: &SinkFailure| reports.iter().any(|row| row.run == *run && row.url == one.url);
            // Servers that were asked too early, and had all nevertheless.
            if delivered.get(run).is_some_and(is_exact)
                && failed.iter().filter(|row| row.run == *run).all(has_row)
            {
                failed.retain(|row| row.run != *run);
            }
            let is_whole = failed.iter().all(|row| row.run != *run);
            let is_there = !is_whole || reports.iter().any(|row| row.run == *run);
            let Some(delivered) = delivered.get(run).filter(|_| is_there) else {
                sinks.not_compared.push(run.clone());
                continue;
            };
            let too_few = if is_whole { delivered.at_least.saturating_sub(received) } else { 0 };
            let too_many = delivered.at_most.map_or(0, |most| received.saturating_sub(most));
            sinks.too_few = sinks.too_few.saturating_add(too_few);
            sinks.too_many = sinks.too_many.saturating_add(too_many);
        }
        Sinks { reports, failed, ..sinks }
    }

    /// Whether no message is missing or too many.
    pub(crate) fn agree(&self) -> bool {
        self.too_few == 0 && self.too_many == 0
    }

    /// For people: the servers without a report of all of the run, with the reasons. `None` if all have one.
    pub(crate) fn without_report(&self) -> Option<String> {
        let each = self.failed.iter().map(|row| format!("{} ({})", row.url, row.reason));
        let each: Vec<String> = each.collect();
        (!each.is_empty()).then(|| format!("NOT COMPARED with {}", each.join(", ")))
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let is_one_run =
            self.not_compared.is_empty() && self.reports.windows(2).all(|rows| rows[0].run == rows[1].run);
        let each = self.reports.iter().map(|row| match is_one_run {
            true => format!("{} by {}", row.received, row.url),
            false => format!("{} by {} in run {}", row.received, row.url, row.run),
        });
        let each: Vec<String> = each.collect();
        let received = match each.is_empty() {
            true => String::new(),
            false => format!("{} messages received ({}): ", self.received, each.join(", ")),
        };
        let few =
            (self.too_few > 0).then(|| format!("{} FEWER than the agents have delivered", self.too_few));
        let many =
            (self.too_many > 0).then(|| format!("{} MORE than the agents can have delivered", self.too_many));
        let missing = self.without_report();
        let agree = (self.agree() && missing.is_none()).then(|| "both sides agree".to_owned());
        let not_compared = (!self.not_compared.is_empty())
            .then(|| format!("NOT COMPARED: run {}", self.not_compared.join(", run ")));
        let verdicts = [agree, few, many, missing, not_compared];
        format!("{received}{}", verdicts.into_iter().flatten().collect::<Vec<_>>().join("; "))
    }
}

/// What was delivered in each run of a report, by its id.
pub(crate) fn delivered_by_run(report: &Report) -> BTreeMap<String, Delivered> {
    match (report.settings.runs.as_slice(), report.delivered) {
        ([run], Some(delivered)) => BTreeMap::from([(run.clone(), delivered)]),
        ([_], None) => BTreeMap::new(),
        _ => report.delivered_by_run.clone(),
    }
}

/// The same of a sum of two reports.
pub(crate) fn merge_delivered(whole: &Report, other: &Report) -> BTreeMap<String, Delivered> {
    let (mut sum, theirs) = (delivered_by_run(whole), delivered_by_run(other));
    // Of a run in both, both must have it.
    sum.retain(|run, _| !other.settings.runs.contains(run) || theirs.contains_key(run));
    for (run, delivered) in theirs {
        match sum.get_mut(&run) {
            Some(mine) => mine.merge(delivered),
            None if whole.settings.runs.contains(&run) => {}
            None => drop(sum.insert(run, delivered)),
        }
    }
    sum
}
