//! One self-contained page with plots. It fetches nothing and runs no script.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use smtpmock::report::page::{Tile, banner, date, document, escape, grouped, tiles, with_groups};
use smtpmock::report::plot::{Axis, Curve, Series, lines, spectrum, tick};

use crate::client::phase::Phase;
use crate::report::steps::{knee_text, not_judged_text};
use crate::report::verdicts::{Assessment, show_percent};
use crate::report::{IntervalRow, Report, show_ns};
use crate::report::{agents, summary};

/// The colours of the phases, of `message` and of `uncorrected`.
const CLASSES: [&str; Phase::COUNT + 2] =
    ["s0", "s11", "s1", "s2", "s9", "s3", "s4", "s5", "s10", "s6", "s7", "s8"];

/// Appends text; a String takes every write.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

/// The page.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    head(report, &mut out);
    out.push_str(&tiles(&figures(report)));
    out.push_str(&latencies(report));
    over_time(report, &mut out);
    latency_table(report, &mut out);
    target_table(report, &mut out);
    step_table(report, &mut out);
    account_table(report, &mut out);
    verdicts(report, &mut out);
    document(&format!("smtpload: {}", report.settings.target), &out)
}

fn head(report: &Report, out: &mut String) {
    put!(out, "<h1>{}</h1>\n", escape(&report.settings.target));
    for (name, text) in summary::run(report) {
        put!(out, "<p class=\"sub\">{name}: {}</p>\n", escape(&with_groups(&text)));
    }
    for text in summary::generator(report) {
        put!(out, "<p class=\"sub\">generator: {}</p>\n", escape(&text));
    }
    let started = UNIX_EPOCH + Duration::from_millis(report.started_at_ms);
    put!(out, "<p class=\"sub\">started {}, smtpload {}</p>\n", date(started), escape(&report.version));
    let banners = [
        (
            report.generator.saturated,
            "Generator saturated: it missed its own schedule, or stalled. The figures are not only the target’s.",
        ),
        (
            report.generator.cpu_bound,
            "The generator used all of its processor time: the rate may be its own limit, not the target’s.",
        ),
        (report.interrupted, "Interrupted: the figures are of the time before."),
    ];
    if let Some(why) = &report.gave_up {
        out.push_str(&banner(&format!("Given up: {why}.")));
    }
    for missing in &report.missing {
        out.push_str(&banner(&format!(
            "Missing: parts {missing}. The figures are not those of the whole run."
        )));
    }
    for (_, text) in banners.iter().filter(|(holds, _)| *holds) {
        out.push_str(&banner(text));
    }
}

fn figures(report: &Report) -> [Tile; 6] {
    let account = &report.accounting.measured;
    let message = &report.latency.message.ok;
    let at = |value: Option<u64>| value.map_or_else(|| "–".to_owned(), show_ns);
    let tile = |name, value, is_bad| Tile { name, value, is_bad };
    [
        tile("accepted per second", rounded(report.rate), false),
        tile("accepted", grouped(account.accepted), false),
        tile("errors", grouped(account.errors()), account.errors() > 0),
        tile("p50 of the message", at(message.at(0.5)), false),
        tile("p99 of the message", at(message.at(0.99)), false),
        tile("longest message", at(message.max()), false),
    ]
}

fn rounded(value: f64) -> String {
    grouped(value.round().max(0.0) as u64)
}

/// The beginning of a table that scrolls where it is too wide.
fn opened(title: &str) -> String {
    format!("<div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">")
}

fn show_nanos(nanos: f64) -> String {
    show_ns(nanos.round().max(0.0) as u64).replace(".00 ", " ").replace(".0 ", " ")
}

fn latencies(report: &Report) -> String {
    let named = report.latency.named();
    let curves: Vec<Curve<'_>> = named
        .iter()
        .zip(CLASSES)
        .filter(|((_, split), _)| split.ok.count() > 0)
        .map(|((name, split), class)| Curve { name: title(name), class, histogram: &split.ok.0 })
        .collect();
    spectrum("Percentile spectrum by phase, accepted only", "latency", &curves, show_nanos)
}

fn title(name: &str) -> &str {
    if name == "uncorrected" { "message, uncorrected" } else { name }
}

fn over_time(report: &Report, out: &mut String) {
    let rows = whole_rows(report);
    let end = rows.last().map_or(1.0, |row| row.at_s + row.length_s.max(1.0));
    let x = || Axis::from_zero(end, "seconds into the run", |at| format!("{at}")).ended_at(end);
    let counted = |name: &str, class, of: &dyn Fn(&IntervalRow) -> f64| Series {
        name: name.to_owned(),
        class,
        points: rows.iter().map(|row| (middle(row), of(row))).collect(),
        hints: rows.iter().map(|row| format!("{name} {}, {}", rounded(of(row)), when(row))).collect(),
    };
    let rate = [
        counted("accepted", "s1", &|row| per_second(row.accepted, row)),
        counted("errors", "s5", &|row| per_second(row.errors, row)),
        counted("in flight", "s8", &|row| row.in_flight as f64),
    ];
    let highest = rate.iter().flat_map(|one| one.points.iter().map(|(_, y)| *y)).fold(1.0, f64::max);
    let y = Axis::from_zero(highest, "messages", tick);
    out.push_str(&lines("Messages per second", &x(), &y, &rate));
    let quantiles = [("p50", 0.5, "s0"), ("p99", 0.99, "s5"), ("max", 1.0, "s8")];
    let latency: Vec<Series> =
        quantiles.map(|(name, quantile, class)| latency_over_time(report, name, quantile, class)).into();
    let values = latency.iter().flat_map(|one| one.points.iter().map(|(_, y)| *y));
    let y = Axis::log(values, "latency", show_nanos);
    out.push_str(&lines("Latency of accepted messages over time", &x(), &y, &latency));
}

/// The intervals that are drawn: a last one of a few milliseconds would look like a collapse.
fn whole_rows(report: &Report) -> Vec<&IntervalRow> {
    let longest = report.intervals.iter().map(|row| row.length_s).fold(1.0, f64::max);
    let rows: Vec<_> = report.intervals.iter().filter(|row| row.length_s > longest / 2.0).collect();
    if rows.is_empty() { report.intervals.iter().collect() } else { rows }
}

fn per_second(count: u64, row: &IntervalRow) -> f64 {
    count as f64 / if row.length_s > 0.0 { row.length_s } else { 1.0 }
}

fn middle(row: &IntervalRow) -> f64 {
    row.at_s + row.length_s / 2.0
}

/// The seconds of the run that a row covers.
fn when(row: &IntervalRow) -> String {
    let last = row.at_s + row.length_s.ceil() - 1.0;
    if last > row.at_s { format!("seconds {} to {last}", row.at_s) } else { format!("second {}", row.at_s) }
}

fn latency_over_time(report: &Report, name: &str, quantile: f64, class: &'static str) -> Series {
    let found: Vec<(&IntervalRow, u64)> = whole_rows(report)
        .into_iter()
        .filter_map(|row| Some((row, row.latency.unpack().at(quantile)?)))
        .collect();
    Series {
        name: name.to_owned(),
        class,
        points: found.iter().map(|(row, value)| (middle(row), *value as f64)).collect(),
        hints: found
            .iter()
            .map(|(row, value)| format!("{name} {}, {}", show_ns(*value), when(row)))
            .collect(),
    }
}

fn latency_table(report: &Report, out: &mut String) {
    out.push_str(
        "<h2>Latency</h2><div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"Latency\"><table><thead><tr><th></th><th>samples</th><th>p50</th><th>p90</th>\
         <th>p99</th><th>p99.9</th><th>p99.99</th><th>max</th></tr></thead><tbody>",
    );
    for (name, split) in report.latency.named() {
        let failed = if split.censored == 0 {
            ", failed".to_owned()
        } else {
            format!(
                ", failed ({} right-censored: cut off by a timeout or the end of the run: lower bounds)",
                split.censored
            )
        };
        for (label, distribution) in [("", &split.ok), (&*failed, &split.failed)] {
            if distribution.count() == 0 {
                continue;
            }
            put!(out, "<tr><td>{name}{label}</td><td>{}</td>", grouped(distribution.count()));
            for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
                put!(out, "<td>{}</td>", distribution.at(quantile).map_or_else(String::new, show_ns));
            }
            out.push_str("</tr>");
        }
    }
    out.push_str("</tbody></table></div>\n");
}

fn target_table(report: &Report, out: &mut String) {
    if report.targets.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Targets</h2><div class=\"table\"><table><thead><tr><th></th><th>sessions</th><th>due</th><th>accepted</th>\
         <th>errors</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>failures</th></tr></thead><tbody>",
    );
    for row in &report.targets {
        let (account, message) = (&row.accounting, &row.message.ok);
        put!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>",
            escape(&row.target),
            row.established,
            account.owed(),
            account.accepted,
            account.errors()
        );
        for value in [message.at(0.5), message.at(0.9), message.at(0.99), message.at(0.999), message.max()] {
            put!(out, "<td>{}</td>", value.map_or_else(String::new, show_ns));
        }
        put!(out, "<td>{}</td></tr>", escape(&row.failures()));
    }
    out.push_str("</tbody></table></div>\n");
    without_lost(report, out);
}

/// States of a table that it has nothing of lost agents.
fn without_lost(report: &Report, out: &mut String) {
    if let Some(without) = agents::without_lost(report) {
        put!(out, "<p>Table {}.</p>\n", escape(&without));
    }
}

fn step_table(report: &Report, out: &mut String) {
    if report.steps.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Steps</h2><div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"Steps\"><table><thead><tr><th>at</th><th>offered</th><th>achieved</th><th>due</th>\
         <th>errors</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th><th>max</th><th>gates</th></tr></thead><tbody>",
    );
    for step in &report.steps {
        let (account, message) = (&step.accounting, &step.message.ok);
        put!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{:.1}/s</td><td>{}</td><td>{}</td>",
            step.at(),
            step.offered(),
            step.rate_achieved,
            grouped(account.owed()),
            grouped(account.errors())
        );
        for value in [message.at(0.5), message.at(0.9), message.at(0.99), message.at(0.999), message.max()] {
            put!(out, "<td>{}</td>", value.map_or_else(String::new, show_ns));
        }
        put!(
            out,
            "{}</tr>",
            match (step.passed, &step.not_judged) {
                (_, Some(_)) => "<td>not judged</td>",
                (true, None) => "<td class=\"ok\">passed</td>",
                (false, None) => "<td class=\"bad\">failed</td>",
            }
        );
    }
    let why = not_judged_text(&report.steps).map_or_else(String::new, |why| format!("; {}", escape(&why)));
    put!(out, "</tbody></table></div>\n<p>Knee: {}{why}.</p>\n", knee_text(&report.steps));
    without_lost(report, out);
}

fn account_table(report: &Report, out: &mut String) {
    let (measured, warmup) = (&report.accounting.measured, &report.accounting.warmup);
    let rows = [
        ("started", measured.started, warmup.started),
        ("accepted", measured.accepted, warmup.accepted),
        ("refused, 4xx", measured.refused_class(4), warmup.refused_class(4)),
        ("refused, 5xx", measured.refused_class(5), warmup.refused_class(5)),
        ("aborted", measured.aborted_total(), warmup.aborted_total()),
        ("timed out", measured.timed_out_total(), warmup.timed_out_total()),
        ("in flight at the end (errors)", measured.in_flight, warmup.in_flight),
        ("in doubt (sent to the end, without a reply)", measured.in_doubt, warmup.in_doubt),
        ("due, never started", measured.unsent, warmup.unsent),
        ("recipients accepted", measured.recipients_accepted, warmup.recipients_accepted),
        ("recipients refused", measured.recipients_refused_total(), warmup.recipients_refused_total()),
    ];
    // Without a warm-up its column would be of zeros.
    let has_warmup = warmup.owed() > 0;
    let second = |text: &str| if has_warmup { text.to_owned() } else { String::new() };
    put!(
        out,
        "<h2>Outcome of the messages</h2>{}<table><thead><tr><th></th><th>measured</th>",
        opened("Outcome of the messages")
    );
    put!(out, "{}</tr></thead><tbody>", second("<th>warm-up</th>"));
    for (name, measured, warmup) in rows {
        let warmup = second(&format!("<td>{}</td>", grouped(warmup)));
        put!(out, "<tr><td>{name}</td><td>{}</td>{warmup}</tr>", grouped(measured));
    }
    let mut detail = |name: String, count: u64| {
        put!(out, "<tr><td>{name}</td><td>{}</td>{}</tr>", grouped(count), second("<td></td>"));
    };
    for (phase, reply, count) in measured.refused_by_reply() {
        detail(format!("{phase}: reply {reply}"), count);
    }
    for (reply, count) in measured.recipients_refused_by_reply() {
        detail(format!("recipient: reply {reply}"), count);
    }
    for ((phase, reason), count) in &measured.aborted {
        detail(format!("{phase}: {reason}"), *count);
    }
    for (phase, count) in &measured.timed_out {
        detail(format!("{phase}: no reply in time"), *count);
    }
    out.push_str("</tbody></table></div>\n");
}

fn verdicts(report: &Report, out: &mut String) {
    if report.gates.is_empty() && report.baseline.is_empty() && report.verification.is_none() {
        return;
    }
    put!(out, "<h2>Verdicts</h2>{}<table><tbody>", opened("Verdicts"));
    for gate in &report.gates {
        let (class, word) = if gate.failed { ("bad", "failed") } else { ("ok", "passed") };
        put!(
            out,
            "<tr><td>{} {}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
            gate.words(),
            escape(&gate.gate),
            escape(&gate.found)
        );
    }
    for one in &report.baseline {
        let (class, word) = match one.verdict {
            Assessment::Fine => ("ok", "fine"),
            Assessment::Regressed => ("bad", "regressed"),
            Assessment::NotCompared => ("", "not compared"),
        };
        let by = one.worse_by_percent.map_or_else(String::new, |by| format!(" ({})", show_percent(by)));
        put!(
            out,
            "<tr><td>{}</td><td>{}{by}</td><td class=\"{class}\">{word}</td></tr>",
            escape(&one.metric),
            escape(&one.detail)
        );
    }
    if let Some(found) = &report.verification {
        let (class, word) = if found.is_clean() { ("ok", "agrees") } else { ("bad", "differs") };
        put!(
            out,
            "<tr><td>capture</td><td>{} captured, {} lost, {} duplicated, {} altered, {} unexpected, {} never sent</td><td class=\"{class}\">{word}</td></tr>",
            found.captured,
            found.lost.count,
            found.duplicated.count,
            found.altered.count,
            found.unexpected.count,
            found.never_sent.count
        );
    }
    out.push_str("</tbody></table></div>\n");
}
