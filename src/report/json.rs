//! The report as JSON. `SCHEMA.md` documents its fields.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::encoding::encode;
use super::{Report, Run};
use crate::stats::{
    Check, Figure, Interval, Metric, Numbers, RuleStats, StageStats, Stats, Tally, Timeline, Verdict,
};
use crate::text::timestamp;

/// The version of the schema; an incompatible change raises it.
pub(super) const SCHEMA: u64 = 2;

pub(super) fn render(report: &Report<'_>) -> String {
    let stats = report.stats();
    let document = Document {
        schema: SCHEMA,
        program: "smtpmock",
        version: env!("CARGO_PKG_VERSION"),
        runs: report.runs().iter().map(RunView::new).collect(),
        metrics: Metrics(stats.figures()),
        refused: by_code(stats, |stage| &stage.refused),
        messages_refused: by_code(stats, |stage| &stage.transactions_refused),
        tls_cipher_suites: ByName(&stats.tls.cipher_suites),
        tls_server_names: ByName(&stats.tls.server_names),
        tls_accepted_certificates: ByName(&stats.tls.accepted_certificates),
        tls_alerts: ByName(&stats.tls.alerts),
        pipelining_offered: stats.pipelining.offered,
        sessions_by_shard: &stats.sessions_by_shard,
        rules: stats.rules.iter().map(RuleView::new).collect(),
        timeline: TimelineView::new(&stats.timeline),
        degraded: stats.degraded(),
        findings: findings(stats),
        verdicts: verdicts(report),
    };
    let mut text = serde_json::to_string_pretty(&document).expect("all its maps have texts for keys");
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Document<'r> {
    schema: u64,
    program: &'static str,
    version: &'static str,
    runs: Vec<RunView<'r>>,
    metrics: Metrics<'r>,
    refused: ByCode<'r>,
    messages_refused: ByCode<'r>,
    tls_cipher_suites: ByName<'r>,
    tls_server_names: ByName<'r>,
    tls_accepted_certificates: ByName<'r>,
    tls_alerts: ByName<'r>,
    pipelining_offered: bool,
    sessions_by_shard: &'r [u64],
    rules: Vec<RuleView<'r>>,
    timeline: TimelineView<'r>,
    degraded: Vec<String>,
    findings: Vec<FindingView>,
    verdicts: Vec<VerdictView<'r>>,
}

#[derive(Serialize)]
struct RunView<'r> {
    version: &'r str,
    started_at: Option<String>,
    begins_s: f64,
    ends_s: f64,
    begins_at: Option<String>,
    ends_at: Option<String>,
    open_before: u64,
    transactions_before: u64,
    seed: u64,
    #[serde(serialize_with = "pairs")]
    settings: &'r [(String, String)],
}

impl<'r> RunView<'r> {
    fn new(run: &'r Run) -> Self {
        let Run { version, started_at, begins, ends, open_before, transactions_before, seed, settings } = run;
        let at = |after: Duration| started_at.and_then(|at| at.checked_add(after)).map(timestamp);
        Self {
            version,
            started_at: at(Duration::ZERO),
            begins_s: begins.as_secs_f64(),
            ends_s: ends.as_secs_f64(),
            begins_at: at(*begins),
            ends_at: at(*ends),
            open_before: *open_before,
            transactions_before: *transactions_before,
            seed: *seed,
            settings,
        }
    }
}

fn pairs<S: Serializer>(pairs: &&[(String, String)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

struct Metrics<'s>(Vec<Figure<'s>>);

impl Serialize for Metrics<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|figure| (&figure.name, View::new(figure))))
    }
}

/// A figure: a number, null if the system does not report it, or a distribution.
#[derive(Serialize)]
#[serde(untagged)]
enum View {
    Count(Option<u64>),
    Distribution(Distribution),
}

impl View {
    fn new(figure: &Figure<'_>) -> Self {
        match (figure.value, figure.value.and_then(Metric::as_numbers)) {
            (_, Some(numbers)) => Self::Distribution(Distribution::new(numbers, figure.unit.name())),
            (Some(Metric::Count(count)), None) => Self::Count(Some(count)),
            (_, None) => Self::Count(None),
        }
    }
}

/// Without samples, all but the unit and the count are null.
#[derive(Serialize)]
struct Distribution {
    unit: &'static str,
    count: u64,
    min: Option<u64>,
    mean: Option<f64>,
    p50: Option<u64>,
    p90: Option<u64>,
    p99: Option<u64>,
    #[serde(rename = "p99.9")]
    p99_9: Option<u64>,
    max: Option<u64>,
    histogram: Option<String>,
}

impl Distribution {
    fn new(numbers: &Numbers, unit: &'static str) -> Self {
        let histogram = numbers.histogram();
        let at = |share| histogram.map(|_| numbers.quantile(share));
        Self {
            unit,
            count: numbers.count(),
            min: histogram.map(|_| numbers.min()),
            mean: histogram.map(|_| numbers.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: histogram.map(|_| numbers.max()),
            histogram: histogram.map(encode),
        }
    }
}

type ByCode<'s> = BTreeMap<&'static str, &'s BTreeMap<u16, u64>>;

fn by_code(stats: &Stats, of: impl Fn(&StageStats) -> &BTreeMap<u16, u64>) -> ByCode<'_> {
    let stages = stats.stages.iter().map(|(stage, own)| (stage.name(), of(own)));
    stages.filter(|(_, codes)| !codes.is_empty()).collect()
}

/// The name of all names that are not counted separately; no host or cipher suite has it.
pub(super) const OTHERS: &str = "(other)";

struct ByName<'s>(&'s Tally);

impl Serialize for ByName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let others = Some((OTHERS, self.0.others())).filter(|(_, count)| *count > 0);
        serializer.collect_map(self.0.iter().chain(others))
    }
}

#[derive(Serialize)]
struct RuleView<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'r str>,
    rule: &'r str,
    reached: u64,
    fired: u64,
}

impl<'r> RuleView<'r> {
    fn new(rule: &'r RuleStats) -> Self {
        let RuleStats { id, rule, reached, fired } = rule;
        Self { id: id.as_deref(), rule, reached: *reached, fired: *fired }
    }
}

#[derive(Serialize)]
struct TimelineView<'r> {
    interval_s: u64,
    intervals: Vec<IntervalView<'r>>,
}

/// The start of an interval and its counts.
struct IntervalView<'r>(Duration, &'r Interval);

impl Serialize for IntervalView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(start, interval) = self;
        serializer.collect_map(std::iter::once(("at_s", start.as_secs())).chain(interval.counts()))
    }
}

impl<'r> TimelineView<'r> {
    fn new(timeline: &'r Timeline) -> Self {
        Self {
            interval_s: timeline.interval().as_secs(),
            intervals: timeline.intervals().map(|(start, of)| IntervalView(start, of)).collect(),
        }
    }
}

#[derive(Serialize)]
struct FindingView {
    name: &'static str,
    text: String,
    reference: &'static str,
}

fn findings(stats: &Stats) -> Vec<FindingView> {
    let view =
        |of: crate::stats::Finding| FindingView { name: of.name, text: of.text, reference: of.reference };
    stats.findings().into_iter().map(view).collect()
}

#[derive(Serialize)]
struct VerdictView<'r> {
    /// Omitted for an expectation.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<Check>,
    expectation: &'r str,
    found: &'r str,
    kept: bool,
}

fn verdicts<'r>(report: &'r Report<'_>) -> Vec<VerdictView<'r>> {
    let verdicts = report.verdicts.iter();
    let view = |of: &'r Verdict| VerdictView {
        check: Some(of.check).filter(|check| *check != Check::Expect),
        expectation: &of.expectation,
        found: &of.found,
        kept: of.kept,
    };
    verdicts.map(view).collect()
}
