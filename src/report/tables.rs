//! The tables of a report, as data for text and page.

use std::time::Duration;

use super::json::OTHERS;
use super::{Report, Run};
use crate::stats::{Check, Figure, Metric, RuleStats, Stats, Tally, Unit, Verdict};
use crate::text::escape::escape;
use crate::text::units::{decimal, duration, octets};

/// The quantiles in tables.
pub(super) const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    /// The description of its rows.
    pub(super) title: &'static str,
    pub(super) columns: Vec<Column>,
    /// Each row has a cell for each column. A cell is one line.
    pub(super) rows: Vec<Vec<String>>,
    /// Whether it is collapsed on the page.
    pub(super) is_folded: bool,
}

/// The heading and alignment of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) head: &'static str,
    pub(super) is_number: bool,
}

const fn words(head: &'static str) -> Column {
    Column { head, is_number: false }
}

const fn number(head: &'static str) -> Column {
    Column { head, is_number: true }
}

/// Sections of distributions: name prefix and title.
const SECTIONS: &[(&str, &str)] = &[
    ("think.", "think time: from our previous reply to this command"),
    ("service.", "service time: from this command to our reply, without injected delay"),
    ("gave_up.", "gave up: waited for the reply to this, then closed the connection"),
    ("left.", "left: from the reply to this until the client closed without QUIT"),
    ("session.", "sessions"),
    ("data.", "message data"),
    ("message.", "messages"),
    ("pipelining.", "commands sent together"),
    ("auth.", "authentication"),
    ("tls.", "TLS: from the first octet of the hello to the end of the handshake, without delays of rules"),
    ("retries.", "retries after a 4yz reply"),
    ("delay.", "delays of replies: requested, actual, difference"),
    ("loop.", "turns of the server's event loops"),
];

/// All tables with rows, in order.
pub(super) fn tables(report: &Report<'_>) -> Vec<Table> {
    let stats = report.stats();
    let figures = stats.figures();
    let mut tables = vec![verdicts(report), counts(&figures), stages(stats), rules(stats)];
    tables.extend(SECTIONS.iter().map(|(prefix, title)| distributions(prefix, title, &figures)));
    tables.push(by_name("TLS: handshakes by cipher suite", &stats.tls.cipher_suites));
    tables.push(by_name("TLS: handshakes by the name that the client asked for", &stats.tls.server_names));
    let accepted = &stats.tls.accepted_certificates;
    tables.push(by_name(
        "TLS: sessions that went on with a wrong certificate, by certificate and rule",
        accepted,
    ));
    tables.push(by_name("TLS: handshakes that the client ended by an alert", &stats.tls.alerts));
    tables.push(settings(report.runs()));
    tables.retain(|table| !table.rows.is_empty());
    // Texts may come from a file.
    for cell in tables.iter_mut().flat_map(|table| &mut table.rows).flatten() {
        *cell = escape(cell).into_owned();
    }
    tables
}

fn distributions(prefix: &str, title: &'static str, figures: &[Figure<'_>]) -> Table {
    let mut columns = vec![words(""), number("count")];
    columns.extend(QUANTILES.map(|(name, _)| number(name)));
    columns.push(number("max"));
    let rows = figures.iter().filter(|figure| figure.name.starts_with(prefix));
    Table { title, columns, rows: rows.filter_map(distribution).collect(), ..Table::default() }
}

fn distribution(figure: &Figure<'_>) -> Option<Vec<String>> {
    let numbers = figure.value?.as_numbers().filter(|numbers| numbers.count() > 0)?;
    let mut row = vec![figure.name.clone(), numbers.count().to_string()];
    row.extend(QUANTILES.map(|(_, share)| show(numbers.quantile(share), figure.unit)));
    row.push(show(numbers.max(), figure.unit));
    Some(row)
}

/// Formats a value in its unit.
pub(super) fn show(value: u64, unit: Unit) -> String {
    match unit {
        Unit::Number => value.to_string(),
        Unit::Octets => octets(value),
        Unit::OctetsPerSecond => format!("{}/s", octets(value)),
        Unit::Microseconds => duration(Duration::from_micros(value)),
    }
}

fn counts(figures: &[Figure<'_>]) -> Table {
    // Counts of stages have a separate table.
    let is_plain =
        |figure: &&Figure<'_>| !figure.name.starts_with("count.") && !figure.name.starts_with("refused.");
    let row = |figure: &Figure<'_>| match figure.value? {
        Metric::Count(count) if count > 0 => {
            Some(vec![figure.name.clone(), show(count, figure.unit), figure.meaning.to_owned()])
        }
        _ => None,
    };
    Table {
        title: "counts",
        columns: vec![words(""), number(""), words("")],
        rows: figures.iter().filter(is_plain).filter_map(row).collect(),
        ..Table::default()
    }
}

fn stages(stats: &Stats) -> Table {
    let rows = stats.stages.iter().filter(|(_, own)| own.count > 0).map(|(stage, own)| {
        let codes: Vec<String> = own.refused.iter().map(|(code, count)| format!("{code} x{count}")).collect();
        let refused = own.refused.values().sum::<u64>();
        vec![stage.name().to_owned(), own.count.to_string(), refused.to_string(), codes.join(", ")]
    });
    Table {
        title: "stages: commands, greetings and messages, and refusals by code",
        columns: vec![words(""), number("count"), number("refused"), words("")],
        rows: rows.collect(),
        ..Table::default()
    }
}

/// The most frequent names first.
fn by_name(title: &'static str, tally: &Tally) -> Table {
    let mut counts: Vec<_> = tally.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let others = Some((OTHERS, tally.others())).filter(|(_, count)| *count > 0);
    let row = |(name, count): (&str, u64)| vec![name.to_owned(), count.to_string()];
    Table {
        title,
        columns: vec![words(""), number("count")],
        rows: counts.into_iter().chain(others).map(row).collect(),
        ..Table::default()
    }
}

fn rules(stats: &Stats) -> Table {
    let row = |rule: &RuleStats| vec![rule.reached.to_string(), rule.fired.to_string(), rule.rule.clone()];
    Table {
        title: "rules",
        columns: vec![number("reached"), number("fired"), words("rule")],
        rows: stats.rules.iter().map(row).collect(),
        ..Table::default()
    }
}

fn verdicts(report: &Report<'_>) -> Table {
    let row = |verdict: &Verdict| {
        let word = if verdict.kept { "passed" } else { "FAILED" };
        let words = match verdict.check {
            Check::Expect => "expected",
            Check::FailIf => "fail if",
        };
        vec![word.to_owned(), format!("{words} {}", verdict.expectation), verdict.found.clone()]
    };
    Table {
        title: "expectations",
        columns: vec![words(""), words(""), words("found")],
        rows: report.verdicts.iter().map(row).collect(),
        ..Table::default()
    }
}

fn settings(runs: &[Run]) -> Table {
    let settings = runs.iter().flat_map(|run| &run.settings);
    // A value of several lines takes several rows.
    let rows = settings.flat_map(|(name, value)| {
        let names = std::iter::once(name.as_str()).chain(std::iter::repeat(""));
        names.zip(value.lines()).map(|(name, line)| vec![name.to_owned(), line.to_owned()])
    });
    Table { title: "settings", columns: vec![words(""), words("")], rows: rows.collect(), is_folded: true }
}

/// Messages per second of measured time.
pub(super) fn rate(stats: &Stats) -> String {
    let seconds = stats.length().as_secs_f64();
    decimal(if seconds > 0.0 { stats.messages.accepted as f64 / seconds } else { 0.0 })
}
