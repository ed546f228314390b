//! The steps of a changing rate, and the highest rate that passed the gates.

use serde::{Deserialize, Serialize};

use crate::account::accounting::{Accounting, add as add_count};
use crate::measure::steps::StepCounts;
use crate::report::span::per_second;
use crate::report::{Report, Split, parts};
use crate::time::clock::Moment;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepRow {
    /// Its start, in seconds from the start of the run, and its length; without the warm-up.
    pub(crate) at_s: f64,
    pub(crate) length_s: f64,
    /// Messages due per second at its beginning and end, of all parts of the run.
    pub(crate) rate_from: f64,
    pub(crate) rate_to: f64,
    /// Messages accepted during the step, and the rate of that.
    pub(crate) accepted_meanwhile: u64,
    pub(crate) rate_achieved: f64,
    /// The outcome of the messages that were due in it, without recipients.
    pub(crate) accounting: Accounting,
    /// Their latency, from the intended start.
    pub(crate) message: Split,
    /// Whether it passed every gate that applies to steps; without such a gate, whether the target kept up without
    /// errors.
    #[serde(rename = "kept")]
    pub(crate) passed: bool,
    /// Why it was not judged, if it was not: less than its rate was offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_judged: Option<String>,
}

/// The rows of a run that was measured from `from` to `until`. Steps outside of it are omitted.
pub(crate) fn rows<'c>(
    counts: impl Iterator<Item = &'c StepCounts>,
    from: Moment,
    until: Moment,
    split: impl Fn(&StepCounts) -> Split,
) -> Vec<StepRow> {
    let row = |counts: &StepCounts| {
        let from = counts.step.from.max(from.elapsed());
        let until = counts.step.until.min(until.elapsed());
        let length_s = until.checked_sub(from)?.as_secs_f64();
        let row = StepRow {
            at_s: from.as_secs_f64(),
            length_s,
            rate_from: counts.step.rate_from,
            rate_to: counts.step.rate_to,
            accepted_meanwhile: counts.achieved,
            rate_achieved: 0.0,
            accounting: counts.account.clone(),
            message: split(counts),
            passed: false,
            not_judged: None,
        };
        (length_s > 0.0).then(|| row.derived())
    };
    counts.filter_map(row).collect()
}

/// Of a run that ended early at `until`: the beginning of the first step that was not offered in full, in seconds from the
/// start. `None` if all were.
pub(crate) fn whole_until_s<'c>(
    mut counts: impl Iterator<Item = &'c StepCounts>,
    from: Moment,
    until: Moment,
) -> Option<f64> {
    let cut = counts.find(|counts| counts.step.until > until.elapsed())?;
    Some(cut.step.from.max(from.elapsed()).as_secs_f64())
}

/// Marks the steps that can't be judged, as not all parts of the run offered their share of the rate to the end of the step.
pub(crate) fn mark(report: &mut Report) {
    let lost = report.agents.iter().any(|agent| agent.lost.is_some());
    let early = if report.parts.len() > 1 { "parts ended early" } else { "the run ended early" };
    let (from_s, why) = match (lost, parts::missing(&report.parts).is_empty(), report.steps_whole_until_s) {
        (true, ..) => (0.0, "agents were lost"),
        (false, false, _) => (0.0, "parts are missing"),
        (false, true, Some(until_s)) => (until_s, early),
        (false, true, None) => (f64::INFINITY, ""),
    };
    for step in &mut report.steps {
        step.not_judged = (step.at_s >= from_s).then(|| why.to_owned());
    }
}

impl StepRow {
    /// The rate in the middle of the step, in messages per second.
    pub(crate) fn rate(&self) -> f64 {
        f64::midpoint(self.rate_from, self.rate_to)
    }

    /// The offered rate, for people.
    pub(crate) fn offered(&self) -> String {
        if self.rate_from == self.rate_to {
            format!("{}/s", short(self.rate_from))
        } else {
            format!("{}..{}/s", short(self.rate_from), short(self.rate_to))
        }
    }

    /// The start, for people.
    pub(crate) fn at(&self) -> String {
        format!("{} s", short(self.at_s))
    }

    fn add(&mut self, other: &StepRow) {
        add_count(&mut self.accepted_meanwhile, other.accepted_meanwhile);
        self.accounting.merge(&other.accounting);
        self.message.merge(&other.message);
    }

    pub(crate) fn derived(mut self) -> StepRow {
        self.rate_achieved = per_second(self.accepted_meanwhile, self.length_s);
        self
    }

    /// Whether its times and rates are valid.
    pub(crate) fn is_sound(&self) -> bool {
        let numbers = [self.at_s, self.length_s, self.rate_from, self.rate_to];
        numbers.iter().all(|number| number.is_finite() && *number >= 0.0) && self.length_s > 0.0
    }

    fn has_place_of(&self, other: &StepRow) -> bool {
        (self.at_s, self.length_s) == (other.at_s, other.length_s)
    }
}

/// A number with one decimal, if that is not zero.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The highest rate that passed the gates, as did every lower rate before it. A lower rate after it need not: an
/// overloaded target still has work left. Steps that were not judged are omitted.
pub(crate) fn knee(steps: &[StepRow]) -> Option<&StepRow> {
    let mut lowest_failed = f64::INFINITY;
    let mut highest: Option<&StepRow> = None;
    for step in steps.iter().filter(|step| step.not_judged.is_none()) {
        if !step.passed {
            lowest_failed = lowest_failed.min(step.rate());
        } else if step.rate() < lowest_failed && highest.is_none_or(|other| step.rate() > other.rate()) {
            highest = Some(step);
        }
    }
    highest
}

/// The knee, in a sentence.
pub(crate) fn knee_text(steps: &[StepRow]) -> String {
    let highest = |steps: &mut dyn Iterator<Item = &StepRow>| steps.map(StepRow::rate).fold(0.0, f64::max);
    let highest_offered = highest(&mut steps.iter());
    let highest_judged = highest(&mut steps.iter().filter(|step| step.not_judged.is_none()));
    match knee(steps) {
        None if steps.iter().all(|step| step.not_judged.is_some()) => {
            "unknown: no step was judged".to_owned()
        }
        None => "none: no rate passed the gates".to_owned(),
        Some(step) if step.rate() >= highest_offered => {
            format!("above {}, the highest rate offered", step.offered())
        }
        Some(step) if step.rate() >= highest_judged => {
            format!("above {}, the highest rate that was judged", step.offered())
        }
        Some(step) => format!("{}, the highest rate that passed the gates", step.offered()),
    }
}

/// Why steps were not judged, in a sentence; `None` if all were.
pub(crate) fn not_judged_text(steps: &[StepRow]) -> Option<String> {
    Some(format!("not judged: {}", steps.iter().find_map(|step| step.not_judged.as_ref())?))
}

/// Adds the steps of two parts of a run. The rates are those of the whole run in both. The last steps may be of
/// different lengths, as with a count each part ends with the end of its last message.
pub(crate) fn merge_parts(mut mine: Vec<StepRow>, theirs: &[StepRow]) -> Vec<StepRow> {
    for other in theirs {
        let place = mine.partition_point(|step| step.at_s < other.at_s);
        match mine.get_mut(place).filter(|step| step.at_s == other.at_s) {
            None => mine.insert(place, other.clone()),
            Some(step) => {
                step.length_s = step.length_s.max(other.length_s);
                step.add(other);
            }
        }
    }
    mine.into_iter().map(StepRow::derived).collect()
}

/// Adds the steps of simultaneous runs; others have no sum.
pub(crate) fn merge(mine: Vec<StepRow>, theirs: &[StepRow], are_parallel: bool) -> Vec<StepRow> {
    let same = mine.len() == theirs.len() && mine.iter().zip(theirs).all(|(a, b)| a.has_place_of(b));
    if !same || !are_parallel {
        return Vec::new();
    }
    let add = |(mut step, other): (StepRow, &StepRow)| {
        step.rate_from += other.rate_from;
        step.rate_to += other.rate_to;
        step.add(other);
        step.derived()
    };
    mine.into_iter().zip(theirs).map(add).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::distribution::Distribution;

    /// A second at this rate, with messages accepted in it and errors.
    pub(crate) fn step(at: u8, rate: u32, accepted: u64, aborted: u64) -> StepRow {
        let mut accounting = Accounting {
            started: u64::from(rate),
            accepted: u64::from(rate) - aborted,
            ..Accounting::default()
        };
        if aborted > 0 {
            accounting.timed_out.insert(crate::client::phase::Phase::Dot, aborted);
        }
        assert!(accounting.balances());
        let row = StepRow {
            at_s: f64::from(at),
            length_s: 1.0,
            rate_from: f64::from(rate),
            rate_to: f64::from(rate),
            accepted_meanwhile: accepted,
            rate_achieved: 0.0,
            accounting,
            message: Split { ok: Distribution::empty(), failed: Distribution::empty(), censored: 0 },
            passed: false,
            not_judged: None,
        };
        row.derived()
    }

    #[test]
    fn steps_side_by_side_add_up_and_others_have_no_sum() {
        let (mine, theirs) = ([step(0, 100, 90, 1)], [step(0, 50, 50, 2)]);
        let [sum] = merge(mine.to_vec(), &theirs, true).try_into().unwrap();
        assert_eq!((sum.rate(), sum.rate_achieved, sum.accounting.errors()), (150.0, 140.0, 3));
        assert!(merge(mine.to_vec(), &theirs, false).is_empty());
        assert!(merge(mine.to_vec(), &[step(1, 50, 50, 0)], true).is_empty());
    }

    #[test]
    fn the_knee_is_not_above_what_was_judged() {
        let passed = |at, rate| StepRow { passed: true, ..step(at, rate, u64::from(rate), 0) };
        let cut = |at, rate| StepRow { not_judged: Some("parts ended early".to_owned()), ..passed(at, rate) };
        let steps = [passed(0, 30), cut(1, 60), cut(2, 90)];
        assert_eq!(knee(&steps).map(StepRow::rate), Some(30.0));
        assert_eq!(knee_text(&steps), "above 30/s, the highest rate that was judged");
        assert_eq!(not_judged_text(&steps).as_deref(), Some("not judged: parts ended early"));
        assert_eq!(
            (knee(&steps[1..]), knee_text(&steps[1..]).as_str()),
            (None, "unknown: no step was judged")
        );
        // A lower rate after it changes nothing.
        let down = [passed(0, 90), cut(1, 60)];
        assert_eq!(knee_text(&down), "above 90/s, the highest rate offered");
        assert_eq!(knee_text(&[step(0, 30, 0, 0), cut(1, 60)]), "none: no rate passed the gates");
        assert_eq!(not_judged_text(&[passed(0, 30)]), None);
    }

    #[test]
    fn rates_are_shown_as_they_were_given() {
        let ramp = |rate_from, rate_to| StepRow { rate_from, rate_to, ..step(0, 1, 1, 0) };
        assert_eq!(ramp(1000.0, 1000.0).offered(), "1000/s");
        assert_eq!(ramp(0.5, 0.5).offered(), "0.5/s");
        assert_eq!(ramp(100.0, 590.25).offered(), "100..590.2/s");
    }

    #[test]
    fn numbers_of_no_step_are_not_sound() {
        assert!(step(0, 1, 1, 0).is_sound());
        for (length_s, rate_to) in
            [(-1.0, 1.0), (0.0, 1.0), (f64::NAN, 1.0), (1.0, -1.0), (1.0, f64::INFINITY)]
        {
            assert!(!StepRow { length_s, rate_to, ..step(0, 1, 1, 0) }.is_sound(), "{length_s} {rate_to}");
        }
    }
}
