//! Parses a report from JSON. Derived fields (quantiles, findings, …) are not read but recomputed.

mod node;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::encoding::decode;
use super::json::{OTHERS, SCHEMA};
use super::{Report, Run, Verdict, merge};
use crate::smtp::Stage;
use crate::stats::{
    Additive, Check, Durations, Interval, Numbers, RuleStats, Slot, Stats, Tally, Timeline, Unit,
};
use crate::text::escape::escape;

use node::Node;

/// Why a text is not a valid report, or why reports can't be merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// The number of the report, from 1, if there are several.
    report: Option<usize>,
    /// The path of the field; empty for the whole document.
    field: String,
    problem: String,
}

impl ReadError {
    pub(super) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { report: None, field: field.into(), problem: problem.into() }
    }

    /// The same error with the number of its report.
    pub(super) fn of_report(self, index: usize) -> Self {
        Self { report: Some(index + 1), ..self }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(report) = self.report {
            write!(f, "report {report}: ")?;
        }
        let colon = if self.field.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}", escape(&self.field), escape(&self.problem))
    }
}

impl std::error::Error for ReadError {}

pub(super) fn read(text: &str) -> Result<Report<'static>, ReadError> {
    let document: Value =
        serde_json::from_str(text).map_err(|error| ReadError::new("", format!("not JSON: {error}")))?;
    let document = Node::of(&document);
    check_form(&document)?;
    let runs = document.field("runs")?.each(run)?;
    let mut stats = Stats::default();
    metrics(&document.field("metrics")?, &mut stats)?;
    by_code(&document.field("refused")?, 400..600, "a refusal, 400 to 599", |stage, code, count| {
        stats.stages[stage].refused.insert(code, count);
    })?;
    by_code(&document.field("messages_refused")?, 0..1000, "a reply, 0 to 999", |stage, code, count| {
        stats.stages[stage].transactions_refused.insert(code, count);
    })?;
    stats.tls.cipher_suites = by_name(&document, "tls_cipher_suites")?;
    stats.tls.server_names = by_name(&document, "tls_server_names")?;
    stats.tls.accepted_certificates = by_name(&document, "tls_accepted_certificates")?;
    stats.tls.alerts = by_name(&document, "tls_alerts")?;
    stats.pipelining.offered = document.field("pipelining_offered")?.bool()?;
    stats.sessions_by_shard = document.field("sessions_by_shard")?.each(Node::count)?;
    stats.rules = document.field("rules")?.each(rule)?;
    stats.timeline = timeline(&document.field("timeline")?)?;
    let first = runs.first().ok_or_else(|| ReadError::new("runs", "is empty: expected at least one run"))?;
    stats.seed = first.seed;
    merge::time(&mut stats, &runs);
    merge::check_counts(&stats)?;
    let verdicts = document.field("verdicts")?.each(verdict)?;
    Ok(Report { stats: Cow::Owned(stats), runs, verdicts })
}

fn check_form(document: &Node<'_>) -> Result<(), ReadError> {
    let names_load = |schema: &str| schema.starts_with("smtpload-report/");
    if document.get("schema").and_then(|node| node.text().ok()).is_some_and(names_load) {
        return Err(ReadError::new(
            "schema",
            "a report of smtpload, which `smtpload merge` merges: expected a report of smtpmock",
        ));
    }
    if document.get("program").and_then(|node| node.text().ok()) != Some("smtpmock") {
        return Err(ReadError::new(
            "program",
            "not a report of smtpmock: expected `\"program\": \"smtpmock\"`",
        ));
    }
    let schema = document.field("schema")?;
    match schema.count()? {
        SCHEMA => Ok(()),
        other => Err(schema.error(format!("is {other}; this program reads {SCHEMA}"))),
    }
}

fn run(node: &Node<'_>) -> Result<Run, ReadError> {
    let run = Run {
        version: node.field("version")?.text()?.to_owned(),
        started_at: node.field("started_at")?.or_null(Node::timestamp)?,
        begins: node.field("begins_s")?.seconds()?,
        ends: node.field("ends_s")?.seconds()?,
        open_before: node.get("open_before").map_or(Ok(0), |node| node.count())?,
        transactions_before: node.get("transactions_before").map_or(Ok(0), |node| node.count())?,
        seed: node.field("seed")?.number()?,
        settings: node
            .field("settings")?
            .entries(|name, value| Ok((name.to_owned(), value.text()?.to_owned())))?,
    };
    if run.begins > run.ends {
        return Err(node.error("ends before it begins"));
    }
    Ok(run)
}

fn metrics(node: &Node<'_>, stats: &mut Stats) -> Result<(), ReadError> {
    let units: std::collections::BTreeMap<String, Unit> =
        Stats::default().figures().into_iter().map(|figure| (figure.name, figure.unit)).collect();
    node.entries(|name, value| {
        let (Some(slot), Some(unit)) = (stats.slot(name), units.get(name)) else {
            let version = env!("CARGO_PKG_VERSION");
            return Err(value.error(format!(
                "smtpmock {version} has no such figure; use the version that wrote the report"
            )));
        };
        metric(value, slot, *unit)
    })?;
    Ok(())
}

fn metric(node: &Node<'_>, slot: Slot<'_>, unit: Unit) -> Result<(), ReadError> {
    match slot {
        Slot::Derived => {}
        Slot::Count(count) => *count = node.count()?,
        Slot::Peak(peak) => peak.see(node.count()?),
        Slot::Optional(count) => *count = node.or_null(Node::count)?,
        Slot::Numbers(numbers) => *numbers = distribution(node, unit)?,
        Slot::Durations(durations) => *durations = Durations::from_numbers(distribution(node, unit)?),
    }
    Ok(())
}

fn distribution(node: &Node<'_>, unit: Unit) -> Result<Numbers, ReadError> {
    let named = node.field("unit")?;
    if named.text()? != unit.name() {
        return Err(named.error(format!("is not {}", unit.name())));
    }
    let text = node.field("histogram")?;
    let numbers = match text.or_null(Node::text)? {
        None => Numbers::default(),
        Some(encoded) => {
            let histogram = decode(encoded).map_err(|error| text.error(error.to_string()))?;
            let [min, max] = [node.field("min")?.count()?, node.field("max")?.count()?];
            Numbers::from_histogram(&histogram, min, max)
                .ok_or_else(|| node.error("has a min or a max that is not that of the histogram"))?
        }
    };
    let count = node.field("count")?;
    if count.count()? != numbers.count() {
        return Err(count.error(format!("is not that of the histogram, which has {}", numbers.count())));
    }
    Ok(numbers)
}

fn by_code(
    node: &Node<'_>,
    codes: std::ops::Range<u16>,
    kind: &str,
    mut take: impl FnMut(Stage, u16, u64),
) -> Result<(), ReadError> {
    node.entries(|name, counts| {
        let stage = Stage::ALL.iter().copied().find(|stage| stage.name() == name);
        let stage = stage.ok_or_else(|| {
            let names: Vec<&str> = Stage::ALL.iter().map(|stage| stage.name()).collect();
            counts.error(format!("is not a stage: expected one of {}", names.join(", ")))
        })?;
        counts.entries(|code, count| {
            let code = code.parse().ok().filter(|code| codes.contains(code));
            let code = code.ok_or_else(|| count.error(format!("is not the code of {kind}")))?;
            take(stage, code, count.count()?);
            Ok(())
        })
    })?;
    Ok(())
}

/// Reads counts by name. Reports of earlier versions have none.
fn by_name(document: &Node<'_>, field: &str) -> Result<Tally, ReadError> {
    let mut tally = Tally::default();
    if let Some(node) = document.get(field) {
        node.entries(|name, count| {
            match name {
                OTHERS => tally.add_others(count.count()?),
                name => tally.add(name, count.count()?),
            }
            Ok(())
        })?;
    }
    Ok(tally)
}

fn rule(node: &Node<'_>) -> Result<RuleStats, ReadError> {
    Ok(RuleStats {
        id: node.get("id").map(|id| id.text().map(str::to_owned)).transpose()?,
        rule: node.field("rule")?.text()?.to_owned(),
        reached: node.field("reached")?.count()?,
        fired: node.field("fired")?.count()?,
    })
}

fn check(node: &Node<'_>) -> Result<Check, ReadError> {
    Check::of_name(node.text()?).ok_or_else(|| node.error("is not a check: expected expect or fail-if"))
}

fn verdict(node: &Node<'_>) -> Result<Verdict, ReadError> {
    Ok(Verdict {
        check: node.get("check").map_or(Ok(Check::Expect), |node| check(&node))?,
        expectation: node.field("expectation")?.text()?.to_owned(),
        found: node.field("found")?.text()?.to_owned(),
        kept: node.field("kept")?.bool()?,
    })
}

fn timeline(node: &Node<'_>) -> Result<Timeline, ReadError> {
    let length = node.field("interval_s")?;
    let mut timeline = Timeline::with_interval(Duration::from_secs(length.count()?))
        .ok_or_else(|| length.error("is not the length of an interval: expected 1, 2, 4, 8, …"))?;
    let intervals = node.field("intervals")?.each(|row| {
        let interval = Interval::from_counts(|name| row.field(name)?.count())?;
        Ok((row.field("at_s")?.seconds()?, interval))
    })?;
    for (start, interval) in intervals {
        timeline.at(start).merge(&interval);
    }
    Ok(timeline)
}
