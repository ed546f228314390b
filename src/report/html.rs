//! The report as an HTML page.

use std::fmt::Write as _;
use std::time::Duration;

use super::page::{Tile, banner, document, escape, grouped, tiles, with_groups};
use super::plot::{Axis, Curve, Series, lines, spectrum, tick};
use super::tables::{Table, rate, show, tables};
use super::text::{of_run, pipelined, source};
use super::{Report, over_stages};
use crate::smtp::Stage;
use crate::stats::{Durations, Interval, StageStats, Stats, Unit};
use crate::text::units::{decimal, duration};

/// The part of the last interval that must have passed for it to be drawn: a short one would look like a drop.
const WHOLE: f64 = 0.5;

/// Appends text; writing to a String can't fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

pub(super) fn render(report: &Report<'_>) -> String {
    let stats = report.stats();
    let mut out = String::new();
    head(report, &mut out);
    out.push_str(&tiles(&figures(stats)));
    if let Some(pipelined) = pipelined(stats) {
        put!(out, "<p class=\"sub\">{} sessions, {pipelined}</p>\n", grouped(stats.sessions.opened));
    }
    findings(stats, &mut out);
    of_stages(stats, &mut out);
    over_time(stats, &mut out);
    for one in tables(report) {
        table(&one, &mut out);
    }
    document("smtpmock: what the clients did", &out)
}

fn head(report: &Report<'_>, out: &mut String) {
    out.push_str("<h1>What the clients did</h1>\n");
    for run in report.runs() {
        put!(out, "<p class=\"sub\">{}</p>\n", escape(&of_run(run)));
    }
    let degraded = report.stats().degraded();
    if !degraded.is_empty() {
        out.push_str(&banner(&with_groups(&format!("Degraded: {}.", degraded.join("; ")))));
    }
}

fn figures(stats: &Stats) -> Vec<Tile> {
    let tile = |name, value, is_bad| Tile { name, value, is_bad };
    let at = |durations: &Durations, share| match durations.count() {
        0 => "–".to_owned(),
        _ => duration(durations.quantile(share)),
    };
    let think = over_stages(stats, |stage| &stage.think);
    let service = over_stages(stats, |stage| &stage.service);
    vec![
        tile("messages accepted", grouped(stats.messages.accepted), false),
        tile("messages a second", per_second(stats), false),
        tile("refused", grouped(stats.messages.refused), stats.messages.refused > 0),
        tile("aborted", grouped(stats.messages.aborted), stats.messages.aborted > 0),
        tile("sessions", grouped(stats.sessions.opened), false),
        tile("clients gave up", grouped(stats.sessions.gave_up), stats.sessions.gave_up > 0),
        tile("think time, p99", at(&think, 0.99), false),
        tile("service time, p99", at(&service, 0.99), false),
    ]
}

fn findings(stats: &Stats, out: &mut String) {
    let findings = stats.findings();
    if findings.is_empty() {
        return;
    }
    out.push_str("<h2>Findings</h2><ul class=\"findings\">");
    for finding in findings {
        put!(
            out,
            "<li>{}<small>{}</small></li>",
            escape(&with_groups(&finding.text)),
            escape(&source(&finding))
        );
    }
    out.push_str("</ul>\n");
}

/// A cell in a column of numbers, with thousands separated.
fn number(cell: &str) -> String {
    cell.parse().map_or_else(|_| cell.to_owned(), grouped)
}

/// The rate of messages, with thousands separated.
fn per_second(stats: &Stats) -> String {
    number(&rate(stats))
}

/// The colour of a stage in all plots.
fn class(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "s8",
        Stage::Unknown => "s9",
        Stage::Auth => "s10",
        Stage::Helo => "s0",
        Stage::Mail => "s1",
        Stage::Rcpt => "s2",
        Stage::Data | Stage::Bdat => "s3",
        Stage::Message => "s7",
        Stage::Rset => "s6",
        Stage::Noop => "s5",
        // Rare stages share the colours of others.
        Stage::Quit | Stage::Vrfy | Stage::Help | Stage::Xclient | Stage::Starttls | Stage::Tls => "s4",
    }
}

fn of_stages(stats: &Stats, out: &mut String) {
    let mut plot = |title: &str, of: fn(&StageStats) -> &Durations| {
        let of_stage = |(stage, own): (Stage, _)| {
            let histogram = of(own).as_numbers().histogram()?;
            Some(Curve { name: stage.name(), class: class(stage), histogram })
        };
        let curves: Vec<Curve<'_>> = stats.stages.iter().filter_map(of_stage).collect();
        if !curves.is_empty() {
            let show = |microseconds: f64| show(microseconds as u64, Unit::Microseconds);
            out.push_str(&spectrum(title, "time", &curves, show));
        }
    };
    plot("Think time: from our previous reply to this command", |stage| &stage.think);
    plot("Gave up: how long clients waited for the reply to this, then closed", |stage| &stage.gave_up);
    plot("Left: from the reply to this until the client closed without QUIT", |stage| &stage.left);
    plot("Service time: from this command to our reply, without injected delay", |stage| &stage.service);
}

/// An interval of the timeline, as drawn.
struct Point<'s> {
    /// The middle of the interval, in the axis's unit.
    at: f64,
    seconds: f64,
    /// Formatted for people.
    when: String,
    counts: &'s Interval,
    open: u64,
}

fn over_time(stats: &Stats, out: &mut String) {
    let end = stats.ends.saturating_sub(stats.begins).as_secs_f64().max(1.0);
    let (size, unit) = match end {
        end if end > 7200.0 => (3600.0, "hours"),
        end if end > 300.0 => (60.0, "minutes"),
        _ => (1.0, "seconds"),
    };
    let points = points(stats, size);
    if points.is_empty() {
        return;
    }
    let plot = |title: &str, values: &str, series: &[Series]| {
        let highest = series.iter().flat_map(|one| one.points.iter().map(|(_, y)| *y)).fold(1.0, f64::max);
        let x = Axis::from_zero(end / size, &format!("{unit} into the run"), |at| format!("{at}"));
        let x = x.ended_at(end / size);
        lines(title, &x, &Axis::from_zero(highest, values, tick), series)
    };
    let counted = |name: &str, class, of: &dyn Fn(&Point<'_>) -> f64| Series {
        name: name.to_owned(),
        class,
        points: points.iter().map(|point| (point.at, of(point))).collect(),
        hints: points
            .iter()
            .map(|point| format!("{name} {}, {}", with_groups(&decimal(of(point))), point.when))
            .collect(),
    };
    let messages = [
        counted("messages", "s1", &|point| point.counts.messages as f64 / point.seconds),
        counted("refused", "s5", &|point| point.counts.refused as f64 / point.seconds),
    ];
    out.push_str(&plot("Messages accepted, and replies of refusal", "per second", &messages));
    let sessions = [
        counted("open", "s7", &|point| point.open as f64),
        counted("opened per second", "s0", &|point| point.counts.opened as f64 / point.seconds),
        counted("closed per second", "s8", &|point| point.counts.closed as f64 / point.seconds),
    ];
    out.push_str(&plot("Sessions", "sessions", &sessions));
}

/// The intervals that are long enough to be drawn, with the number of sessions open at their ends.
fn points(stats: &Stats, size: f64) -> Vec<Point<'_>> {
    let length = stats.timeline.interval();
    let mut open = stats.open_before;
    let mut points = Vec::new();
    for (start, counts) in stats.timeline.intervals() {
        open = open.saturating_add(counts.opened).saturating_sub(counts.closed);
        let (from, to) = (start.max(stats.begins), (start + length).min(stats.ends));
        let seconds = to.saturating_sub(from).as_secs_f64();
        let into = |moment: Duration| moment.saturating_sub(stats.begins).as_secs_f64();
        let at = f64::midpoint(into(from), into(to)) / size;
        let when = format!("{} to {}", duration(from), duration(to));
        points.push(Point { at, seconds, when, counts, open });
    }
    let enough = length.as_secs_f64() * WHOLE;
    let is_whole = |point: &Point<'_>| point.seconds >= enough;
    if points.iter().any(is_whole) {
        points.retain(is_whole);
    } else {
        points.retain(|point| point.seconds > 0.0);
    }
    points
}

fn table(table: &Table, out: &mut String) {
    let title = escape(table.title);
    let (open, close) = if table.is_folded {
        (format!("<details><summary><h2>{title}</h2></summary>"), "</details>")
    } else {
        (format!("<h2>{title}</h2>"), "")
    };
    put!(out, "{open}<div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table>");
    let class = |index: usize| match (table.columns[index].is_number, index + 1 == table.columns.len()) {
        (true, _) => "",
        (false, true) => " class=\"words long\"",
        (false, false) => " class=\"words\"",
    };
    if table.columns.iter().any(|column| !column.head.is_empty()) {
        out.push_str("<thead><tr>");
        for (index, column) in table.columns.iter().enumerate() {
            put!(out, "<th{}>{}</th>", class(index), escape(column.head));
        }
        out.push_str("</tr></thead>");
    }
    out.push_str("<tbody>");
    for row in &table.rows {
        out.push_str("<tr>");
        for (index, cell) in row.iter().enumerate() {
            let is_number = table.columns[index].is_number;
            let cell = if is_number { number(cell) } else { cell.clone() };
            put!(out, "<td{}>{}</td>", class(index), escape(&cell));
        }
        out.push_str("</tr>");
    }
    put!(out, "</tbody></table></div>{close}\n");
}
