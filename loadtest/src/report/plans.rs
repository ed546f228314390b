//! What all parts of a run have in common: a digest of each setting of its plan, by which a setting that differs is
//! named. Pure, and the same on all machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::report::{Report, Settings};

/// The digests of the settings of a plan, by their names for people: `seed`, `--message FILE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Digest(BTreeMap<String, String>);

impl Digest {
    /// The settings that reports without a digest have as well.
    pub(crate) fn of(settings: &Settings) -> Digest {
        let mut digest = Digest::default();
        digest.set("seed", settings.seed.to_string());
        digest.set("load", &settings.shape.load);
        let duration = settings.duration_s.map(|seconds| seconds.to_string());
        digest.set("duration", duration.unwrap_or_default());
        digest.set("warm-up", settings.warmup_s.to_string());
        digest
    }

    /// Adds a setting.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl AsRef<[u8]>) {
        self.0.insert(name.into(), format!("{:016x}", xxh3_64(value.as_ref())));
    }

    /// The names of the settings of both that differ; empty if none does.
    pub(crate) fn differences(&self, other: &Digest) -> String {
        let differs =
            |(name, value): &(&String, &String)| other.0.get(*name).is_some_and(|its| its != *value);
        let named = self.0.iter().filter(differs).map(|(name, _)| name.as_str());
        named.collect::<Vec<_>>().join(", ")
    }

    /// Adds the settings that only the other has.
    fn complete(&mut self, other: &Digest) {
        for (name, value) in &other.0 {
            self.0.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// The plan of a run that is cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlanRow {
    /// The id of the run.
    pub(crate) run: String,
    pub(crate) digest: Digest,
}

/// The plans of the runs in a report, each once. A report of one run without a digest is that of an older version.
pub(crate) fn of(report: &Report) -> Vec<PlanRow> {
    match report.settings.runs.as_slice() {
        [run] if report.plans.is_empty() && report.parts.iter().any(|part| part.of > 1) => {
            vec![PlanRow { run: run.clone(), digest: Digest::of(&report.settings) }]
        }
        _ => report.plans.clone(),
    }
}

/// The settings in which the plans of a run differ; empty if they do not.
pub(crate) fn differences(run: &str, mine: &[PlanRow], theirs: &[PlanRow]) -> String {
    let find = |row: &&PlanRow| row.run == run;
    let both = mine.iter().find(find).zip(theirs.iter().find(find));
    both.map_or_else(String::new, |(one, other)| one.digest.differences(&other.digest))
}

/// Adds plans to others that do not differ from them.
pub(crate) fn merge(mine: &mut Vec<PlanRow>, theirs: Vec<PlanRow>) {
    for other in theirs {
        match mine.iter_mut().find(|row| row.run == other.run) {
            Some(row) => row.digest.complete(&other.digest),
            None => mine.push(other),
        }
    }
    mine.sort_by(|a, b| a.run.cmp(&b.run));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(settings: &[(&str, &str)]) -> Digest {
        let mut digest = Digest::default();
        settings.iter().for_each(|(name, value)| digest.set(*name, value));
        digest
    }

    #[test]
    fn a_setting_that_differs_is_named_and_one_that_only_one_side_has_is_not() {
        let one = digest(&[("seed", "1"), ("--message a", "x")]);
        assert_eq!(one.differences(&one), "");
        assert_eq!(one.differences(&digest(&[("seed", "1"), ("--message a", "y")])), "--message a");
        assert_eq!(one.differences(&digest(&[("seed", "2"), ("--message a", "y")])), "--message a, seed");
        assert_eq!(one.differences(&digest(&[("seed", "1"), ("count", "2")])), "");
        assert_eq!(one.differences(&Digest::default()), "");
    }

    #[test]
    fn plans_are_compared_with_those_of_the_same_run_and_are_there_once() {
        let row =
            |run: &str, settings: &[(&str, &str)]| PlanRow { run: run.to_owned(), digest: digest(settings) };
        let mut plans = vec![row("b", &[("seed", "2")])];
        merge(&mut plans, vec![row("a", &[("seed", "1")])]);
        merge(&mut plans, vec![row("b", &[("seed", "2"), ("count", "3")])]);
        assert_eq!(plans, [row("a", &[("seed", "1")]), row("b", &[("seed", "2"), ("count", "3")])]);
        assert_eq!(differences("a", &plans, &[row("a", &[("seed", "2")])]), "seed");
        assert_eq!(differences("b", &plans, &[row("a", &[("seed", "2")])]), "");
        assert_eq!(differences("b", &plans, &[row("b", &[("count", "4")])]), "count");
    }
}
