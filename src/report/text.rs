//! The report as text for a terminal.

use std::fmt::Write as _;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};

use super::lines::{WIDTH, fitted, paragraph};
use super::tables::{Column, Table, rate, tables};
use super::{Report, Run};
use crate::stats::{Finding, Stats};
use crate::text::escape::escape;
use crate::text::units::{decimal, duration, octets};

/// The maximum padded width of columns, in characters: otherwise one long name would widen the whole table.
const WIDEST_CELL: usize = 40;
/// Blanks before a column.
const GAP: usize = 2;
/// Indentation of continuation lines.
const INDENT: usize = 6;

/// Appends a line; writing to a String can't fail.
macro_rules! line {
    ($out:expr) => { $out.push('\n') };
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

pub(super) fn render(report: &Report<'_>) -> String {
    let mut out = String::new();
    head(report, &mut out);
    degraded(report, &mut out);
    findings(&report.stats().findings(), &mut out);
    for one in tables(report) {
        table(&one, &mut out);
    }
    fitted(&out, INDENT)
}

fn head(report: &Report<'_>, out: &mut String) {
    let stats = report.stats();
    for run in report.runs() {
        line!(out, "{}", of_run(run));
    }
    let (messages, sessions) = (&stats.messages, &stats.sessions);
    let open = match stats.transactions_open() {
        0 => String::new(),
        open => format!(", {open} open"),
    };
    line!(
        out,
        "{} messages accepted ({}/s, {}), {} refused, {} aborted{open}",
        messages.accepted,
        rate(stats),
        octets(messages.bytes),
        messages.refused,
        messages.aborted
    );
    if messages.refused > 0 {
        paragraph("refused: ", &refused(stats), out);
    }
    line!(
        out,
        "{} sessions, {} open, at most {} at a time",
        sessions.opened,
        stats.sessions_open(),
        sessions.peak.get()
    );
    if let Some(pipelined) = pipelined(stats) {
        line!(out, "{pipelined}");
    }
    if sessions.left_before_greeting > 0 {
        line!(
            out,
            "{} of them were closed by the client before they were accepted",
            sessions.left_before_greeting
        );
    }
}

/// `2 of them pipelined, 3.4 commands for each round trip in all`, of sessions; `None` if none did.
pub(super) fn pipelined(stats: &Stats) -> Option<String> {
    let (sessions, pipelining) = (stats.extensions.pipelining, &stats.pipelining);
    (sessions > 0 && pipelining.round_trips > 0).then(|| {
        let mean = decimal(pipelining.commands as f64 / pipelining.round_trips as f64);
        format!("{sessions} of them pipelined, {mean} commands for each round trip in all")
    })
}

/// `230 at rcpt with 451, 7 at mail with 421`, in descending order.
fn refused(stats: &Stats) -> String {
    let codes = stats.stages.iter().flat_map(|(stage, own)| {
        own.transactions_refused.iter().map(move |(code, count)| (*count, stage.name(), *code))
    });
    let mut codes: Vec<_> = codes.collect();
    codes.sort_by_key(|(count, ..)| std::cmp::Reverse(*count));
    let words = codes.iter().map(|(count, stage, code)| format!("{count} at {stage} with {code:03}"));
    words.collect::<Vec<_>>().join(", ")
}

/// `smtpmock 4.0.0, started 2026-11-22T22:45:24Z, 12.3 s, seed 42`.
pub(super) fn of_run(run: &Run) -> String {
    let started = run.started_at.map_or_else(String::new, |at| format!(", started {}", to_the_second(at)));
    let span = match run.begins {
        begins if begins.is_zero() => duration(run.ends),
        begins => format!("from {} to {}", duration(begins), duration(run.ends)),
    };
    format!("smtpmock {}{started}, {span}, seed {}", escape(&run.version), run.seed)
}

fn to_the_second(at: SystemTime) -> String {
    DateTime::<Utc>::from(at).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn degraded(report: &Report<'_>, out: &mut String) {
    let reasons = report.stats().degraded();
    if !reasons.is_empty() {
        line!(out, "\nDEGRADED: problems of the server itself affected its measurements");
    }
    for reason in reasons {
        paragraph("  * ", &escape(&reason), out);
    }
}

fn findings(findings: &[Finding], out: &mut String) {
    if !findings.is_empty() {
        line!(out, "\nfindings");
    }
    for finding in findings {
        paragraph("  * ", &format!("{} ({})", escape(&finding.text), source(finding)), out);
    }
}

/// A finding's name, and its reference if the text does not contain it.
pub(super) fn source(finding: &Finding) -> String {
    let Finding { name, text, reference } = finding;
    if text.contains(reference) { (*name).to_owned() } else { format!("{name}, {reference}") }
}

fn table(table: &Table, out: &mut String) {
    line!(out, "\n{}", table.title);
    let widths = widths(table);
    let gap = if widths.iter().map(|width| GAP + width).sum::<usize>() > WIDTH { 1 } else { GAP };
    if table.columns.iter().any(|column| !column.head.is_empty()) {
        row(table, (&widths, gap), table.columns.iter().map(|column| column.head), out);
    }
    for cells in &table.rows {
        row(table, (&widths, gap), cells.iter().map(String::as_str), out);
    }
}

/// Columns of numbers have the same width in all tables, so that they are aligned; if a table becomes too wide, its
/// columns are as narrow as possible.
fn widths(table: &Table) -> Vec<usize> {
    let all = |is_roomy: bool| (0..table.columns.len()).map(move |column| width(table, column, is_roomy));
    let roomy: Vec<usize> = all(true).collect();
    let whole: usize = roomy.iter().map(|width| GAP + width).sum();
    if whole <= WIDTH { roomy } else { all(false).collect() }
}

fn width(table: &Table, column: usize, is_roomy: bool) -> usize {
    let Column { head, is_number } = table.columns[column];
    let cells = table.rows.iter().map(|row| row[column].chars().count());
    let least = match (is_roomy, is_number, column) {
        (true, true, _) => 7,
        (true, false, 0) => 20,
        _ => 0,
    };
    let fitting = cells.filter(|width| *width <= WIDEST_CELL).max().unwrap_or(0);
    fitting.max(head.chars().count()).max(least)
}

fn row<'t>(
    table: &Table,
    (widths, gap): (&[usize], usize),
    cells: impl Iterator<Item = &'t str>,
    out: &mut String,
) {
    let mut text = String::new();
    for ((cell, width), column) in cells.zip(widths).zip(&table.columns) {
        text.extend(std::iter::repeat_n(' ', if text.is_empty() { GAP } else { gap }));
        let _ = match column.is_number {
            true => write!(text, "{cell:>width$}"),
            false => write!(text, "{cell:<width$}"),
        };
    }
    line!(out, "{}", text.trim_end());
}
