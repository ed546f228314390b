//! The agents of a run in its report, and how many messages its servers must have received.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use smtpmock::units::duration;

use crate::report::stopped::Stopped;
use crate::report::{Report, show_ns};

/// An agent of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AgentRow {
    pub(crate) name: String,
    /// The index of its part.
    pub(crate) part: u64,
    /// Its clock minus the coordinator's, and the bound of the error.
    pub(crate) clock_offset_ms: Option<f64>,
    pub(crate) clock_uncertainty_ms: Option<f64>,
    /// How much later than the start of the run its last event loop began, by the coordinator's clock; wrong by at most
    /// the uncertainty.
    pub(crate) started_late_ms: Option<f64>,
    /// Whether it missed its own schedule.
    pub(crate) saturated: bool,
    /// Why it started no more messages before its part was complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stopped: Option<Stopped>,
    /// The signal that its coordinator received as well: then it may stop early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) coordinator_signal: Option<String>,
    /// If its report is missing: what is known instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lost: Option<Lost>,
}

/// What is known of an agent that did not report the end of its run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lost {
    pub(crate) why: String,
    /// The seconds of its run that it reported. The figures have these.
    pub(crate) reported_s: f64,
    /// The messages that it reported as started, and the most that it can have started before it stopped by itself; null
    /// if its load has no schedule.
    pub(crate) started: u64,
    pub(crate) started_at_most: Option<u64>,
}

/// The range in which the number of messages is that the servers have received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Delivered {
    /// Those that were accepted.
    pub(crate) at_least: u64,
    /// And those in doubt, and those that lost agents may have sent. Null if there is no bound.
    pub(crate) at_most: Option<u64>,
}

impl Delivered {
    /// This number, without doubt.
    pub(crate) fn exactly(messages: u64) -> Delivered {
        Delivered { at_least: messages, at_most: Some(messages) }
    }

    /// That of a report with its agents.
    pub(crate) fn of(report: &Report) -> Delivered {
        let accounts = [&report.accounting.measured, &report.accounting.warmup];
        let at_least = accounts.iter().fold(0, |sum: u64, account| sum.saturating_add(account.accepted));
        let in_doubt = accounts.iter().fold(0, |sum: u64, account| sum.saturating_add(account.in_doubt));
        let unreported = report.agents.iter().filter_map(|agent| agent.lost.as_ref());
        let unreported = unreported.map(|lost| Some(lost.started_at_most?.saturating_sub(lost.started)));
        let unreported = unreported.sum::<Option<u64>>();
        let at_most =
            unreported.map(|unreported| at_least.saturating_add(in_doubt).saturating_add(unreported));
        Delivered { at_least, at_most }
    }

    /// Adds that of another run.
    pub(crate) fn merge(&mut self, other: Delivered) {
        self.at_least = self.at_least.saturating_add(other.at_least);
        self.at_most = self.at_most.zip(other.at_most).map(|(mine, theirs)| mine.saturating_add(theirs));
    }

    /// For people: `1000`, or `990 to 1010`.
    pub(crate) fn text(&self) -> String {
        match self.at_most {
            Some(most) if most == self.at_least => most.to_string(),
            Some(most) => format!("{} to {most}", self.at_least),
            None => format!("at least {}", self.at_least),
        }
    }
}

impl Lost {
    /// For people: `it reported 3 s with 300 messages started, and may have started up to 1600`.
    fn text(&self) -> String {
        let reported = duration(Duration::try_from_secs_f64(self.reported_s).unwrap_or_default());
        let reported = format!("it reported {reported} with {} messages started", self.started);
        match self.started_at_most {
            Some(0) => "it has sent nothing".to_owned(),
            Some(most) if most == self.started => reported,
            Some(most) => format!("{reported}, and may have started up to {most}"),
            None => format!("{reported}, and nothing limits how many it may have started"),
        }
    }
}

impl AgentRow {
    /// Whether its part has begun, as far as is known.
    #[cfg(feature = "fleet")]
    pub(crate) fn has_begun(&self) -> bool {
        self.started_late_ms.is_some() || self.lost.as_ref().is_some_and(|lost| lost.reported_s > 0.0)
    }

    /// For people: `a: part 0, clock +3.20 ms (± 100 us), started 200 us late`.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("{}: part {}", self.name, self.part);
        if let (Some(offset), Some(uncertainty)) = (self.clock_offset_ms, self.clock_uncertainty_ms) {
            text.push_str(&format!(", clock {offset:+.3} ms (± {uncertainty:.3} ms)"));
        }
        if let Some(late) = self.started_late_ms {
            text.push_str(&format!(", started {} late", show_ns((late * 1e6).max(0.0) as u64)));
        }
        if self.saturated {
            text.push_str(", SATURATED");
        }
        if let Some(why) = &self.stopped {
            text.push_str(&format!(", STOPPED EARLY: {why}"));
            if let Some(signal) = &self.coordinator_signal {
                text.push_str(&format!(" (the coordinator received {signal} as well)"));
            }
        }
        if let Some(lost) = &self.lost {
            text.push_str(&format!(", LOST: {}; {}", lost.why, lost.text()));
        }
        text
    }
}

/// Whether the part of a report has begun.
#[cfg(feature = "fleet")]
pub(crate) fn has_begun(report: &Report) -> bool {
    report.parts.iter().any(|part| part.started_late_ms.is_some())
}

/// The agents without a report, each with its reason.
pub(crate) fn lost(report: &Report) -> Vec<String> {
    let rows = report.agents.iter().filter_map(|row| Some((&row.name, &row.lost.as_ref()?.why)));
    rows.map(|(name, why)| format!("{name} ({why})")).collect()
}

/// For people: whose figures are missing where only reports have them; `None` if no agent is lost.
pub(crate) fn without_lost(report: &Report) -> Option<String> {
    let lost = lost(report).join(", ");
    (!lost.is_empty()).then(|| format!("without {lost}"))
}

/// The agents that ended their parts early although their coordinator received no signal, each with its reason. Those
/// that it stopped as another was missing are named only if that one is not.
pub(crate) fn stopped_early(report: &Report) -> Vec<String> {
    let early = |is_ordered: bool| -> Vec<String> {
        let rows = report.agents.iter().filter(|row| row.coordinator_signal.is_none());
        let rows = rows.filter_map(|row| Some((&row.name, row.stopped.as_ref()?)));
        let rows = rows.filter(|(_, why)| {
            !matches!(why, Stopped::CoordinatorSignal { .. }) && why.is_ordered() == is_ordered
        });
        rows.map(|(name, why)| format!("{name} ({why})")).collect()
    };
    let own = early(false);
    if own.is_empty() && lost(report).is_empty() { early(true) } else { own }
}

/// The difference between the latest and the earliest start of the agents, where more than one has started, and the
/// bound of its error, both in milliseconds.
pub(crate) fn skew(report: &Report) -> Option<(f64, f64)> {
    let starts: Vec<f64> = report.agents.iter().filter_map(|agent| agent.started_late_ms).collect();
    let first = starts.iter().copied().fold(f64::INFINITY, f64::min);
    let last = starts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let errors = report.agents.iter().filter_map(|agent| agent.clock_uncertainty_ms);
    let mut errors: Vec<f64> = errors.collect();
    errors.sort_by(f64::total_cmp);
    let error = errors.iter().rev().take(2).sum();
    (starts.len() > 1).then_some((last - first, error))
}
