//! The report for people: a table.

use std::fmt::Write as _;

use smtpmock::escape::escape;
use smtpmock::report::lines::{fitted, paragraph};

use crate::account::accounting::Accounting;
use crate::report::steps::{knee_text, not_judged_text};
use crate::report::verdicts::{Assessment, Move, show_percent};
use crate::report::verification::{Named, Verification};
use crate::report::{Report, Split, show_ns};
use crate::report::{agents, summary};

/// The column at which text begins, and at which long lines continue.
const INDENT: usize = 12;

/// Renders a report, at most 80 columns wide.
pub(crate) fn render(report: &Report) -> String {
    let mut out = String::new();
    head(report, &mut out);
    accounts(report, &mut out);
    latencies(report, &mut out);
    target_rows(report, &mut out);
    step_rows(report, &mut out);
    generator(report, &mut out);
    if let Some(verification) = &report.verification {
        verify(verification, &mut out);
    }
    gates(report, &mut out);
    baseline(report, &mut out);
    fitted(&out, INDENT)
}

/// Appends one line; a String takes every write.
macro_rules! line {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

fn head(report: &Report, out: &mut String) {
    let interrupted = if report.interrupted { "  (interrupted)" } else { "" };
    line!(out, "target      {}{interrupted}", escape(&report.settings.target));
    if let Some(why) = &report.gave_up {
        line!(out, "gave up     {}", escape(why));
    }
    for (name, text) in summary::run(report) {
        line!(out, "{name:<INDENT$}{}", escape(&text));
    }
}

fn accounts(report: &Report, out: &mut String) {
    let account = &report.accounting.measured;
    line!(out, "\nmessages");
    account_lines(account, report.generator.late_unsent, out);
    let warmup = &report.accounting.warmup;
    if warmup.owed() > 0 {
        line!(
            out,
            "  warm-up     {} started, {} accepted, {} errors (excluded from the figures)",
            warmup.started,
            warmup.accepted,
            warmup.errors()
        );
    }
}

fn account_lines(account: &Accounting, late_unsent: u64, out: &mut String) {
    line!(out, "  started     {}", account.started);
    line!(out, "  accepted    {}", account.accepted);
    line!(out, "  4xx         {}{}", account.refused_class(4), replies(account, 4));
    line!(out, "  5xx         {}{}", account.refused_class(5), replies(account, 5));
    let aborted: Vec<String> = account
        .aborted
        .iter()
        .map(|((phase, reason), count)| format!("{phase}: {reason} x{count}"))
        .collect();
    line!(out, "  aborted     {}{}", account.aborted_total(), listed(&aborted));
    let timed_out: Vec<String> =
        account.timed_out.iter().map(|(phase, count)| format!("{phase} x{count}")).collect();
    line!(out, "  timed out   {}{}", account.timed_out_total(), listed(&timed_out));
    let unanswered =
        if account.in_flight > 0 { "   (no final reply when the run ended: errors)" } else { "" };
    line!(out, "  in flight   {}{unanswered}", account.in_flight);
    if account.in_doubt > 0 {
        line!(out, "  in doubt    {}   (sent to the end, without a reply: maybe accepted)", account.in_doubt);
    }
    if account.unsent > 0 {
        let why = unsent_because(account.unsent, late_unsent);
        line!(out, "  unsent      {}   (due, and never started: {why})", account.unsent);
    }
    let refused = account.recipients_refused_total();
    if refused > 0 {
        let codes: Vec<String> =
            account.recipients_refused_by_reply().map(|(reply, count)| format!("{reply} x{count}")).collect();
        line!(
            out,
            "  recipients  {} accepted, {refused} refused{}",
            account.recipients_accepted,
            listed(&codes)
        );
    }
    if account.aborted.keys().any(|(_, reason)| *reason == crate::account::accounting::Abort::PortExhausted) {
        line!(
            out,
            "  no local ports were left: add source addresses with --bind, reuse sessions, or widen net.ipv4.ip_local_port_range"
        );
    }
}

fn unsent_because(unsent: u64, own: u64) -> String {
    let busy = "every connection was busy to the end";
    match own {
        0 => busy.to_owned(),
        own if own >= unsent => "the generator was late".to_owned(),
        own => format!("the generator was late for {own}, for the others {busy}"),
    }
}

fn replies(account: &Accounting, class: u16) -> String {
    let rows: Vec<String> = account
        .refused_by_reply()
        .filter(|(_, reply, _)| reply.code / 100 == class)
        .map(|(phase, reply, count)| format!("{phase}: {reply} x{count}"))
        .collect();
    listed(&rows)
}

fn listed(rows: &[String]) -> String {
    if rows.is_empty() { String::new() } else { format!("   ({})", rows.join(", ")) }
}

fn latencies(report: &Report, out: &mut String) {
    line!(
        out,
        "\n{:<19} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "latency",
        "samples",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "p99.99",
        "max"
    );
    for (name, split) in report.latency.named() {
        latency_rows(name, split, out);
    }
}

fn latency_rows(name: &str, split: &Split, out: &mut String) {
    for (label, distribution) in [(name.to_owned(), &split.ok), (format!("{name}, failed"), &split.failed)] {
        if distribution.count() == 0 {
            continue;
        }
        let at = |quantile| distribution.at(quantile).map_or_else(String::new, show_ns);
        line!(
            out,
            "{label:<19} {:>9} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}",
            distribution.count(),
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(0.9999),
            distribution.max().map_or_else(String::new, show_ns)
        );
    }
    if split.censored > 0 {
        line!(
            out,
            "  {} right-censored: cut off by a timeout or the end of the run: lower bounds",
            split.censored
        );
    }
}

/// At most 80 columns wide, but for a long name, which has a line of its own.
fn target_rows(report: &Report, out: &mut String) {
    if report.targets.is_empty() {
        return;
    }
    line!(
        out,
        "\n{:<26} {:>9} {:>9} {:>7} {:>7} {:>7} {:>7}",
        "target",
        "sessions",
        "accepted",
        "errors",
        "p50",
        "p99",
        "max"
    );
    for row in &report.targets {
        let name = escape(&row.target);
        let message = &row.message.ok;
        let at = |value: Option<u64>| value.map_or_else(String::new, show_ns);
        let figures = format!(
            "{:>9} {:>9} {:>7} {:>7} {:>7} {:>7}",
            row.established,
            row.accounting.accepted,
            row.accounting.errors(),
            at(message.at(0.5)),
            at(message.at(0.99)),
            at(message.max())
        );
        if name.len() > 26 {
            line!(out, "{name}\n{:<26} {figures}", "");
        } else {
            line!(out, "{name:<26} {figures}");
        }
        let failures = row.failures();
        if !failures.is_empty() {
            paragraph("  errors    ", &failures, out);
        }
    }
    without_lost(report, out);
}

/// States of a table that it has nothing of lost agents.
fn without_lost(report: &Report, out: &mut String) {
    if let Some(without) = agents::without_lost(report) {
        line!(out, "{:<INDENT$}{}", "", escape(&without));
    }
}

/// At most 80 columns wide.
fn step_rows(report: &Report, out: &mut String) {
    if report.steps.is_empty() {
        return;
    }
    line!(
        out,
        "\n{:>7} {:>16} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8}",
        "step at",
        "offered",
        "achieved",
        "errors",
        "p50",
        "p90",
        "p99",
        "max"
    );
    for step in &report.steps {
        let message = &step.message.ok;
        let at = |value: Option<u64>| value.map_or_else(String::new, show_ns);
        line!(
            out,
            "{:>7} {:>16} {:>7.1}/s {:>7} {:>8} {:>8} {:>8} {:>8}{}",
            step.at(),
            step.offered(),
            step.rate_achieved,
            step.accounting.errors(),
            at(message.at(0.5)),
            at(message.at(0.9)),
            at(message.at(0.99)),
            at(message.max()),
            match (step.passed, &step.not_judged) {
                (_, Some(_)) => " -",
                (true, None) => "",
                (false, None) => " x",
            }
        );
    }
    let why = not_judged_text(&report.steps).map_or_else(String::new, |why| format!("; -: {why}"));
    line!(out, "knee        {} (x: failed{why})", knee_text(&report.steps));
    without_lost(report, out);
}

fn generator(report: &Report, out: &mut String) {
    let generator = &report.generator;
    line!(out, "");
    for (index, text) in summary::generator(report).iter().enumerate() {
        line!(out, "{:<INDENT$}{text}", if index == 0 { "generator" } else { "" });
    }
    if let Some(how) = generator.saturation() {
        line!(out, "GENERATOR SATURATED: {how}; the figures are not only the target's.");
    }
    if generator.cpu_bound {
        line!(
            out,
            "            it used all of its processor time: the rate may be its limit, not the target's"
        );
    }
}

fn verify(verification: &Verification, out: &mut String) {
    let parts = match verification.of_other_parts {
        0 => String::new(),
        count => format!(" {count} of other parts;"),
    };
    line!(
        out,
        "\ncapture     {} messages of this {}, {} intact;{} {} of others; {} in doubt",
        verification.captured,
        if parts.is_empty() { "run" } else { "part" },
        verification.intact,
        parts,
        verification.foreign,
        verification.in_doubt
    );
    let lists = [
        ("lost", &verification.lost),
        ("duplicated", &verification.duplicated),
        ("altered", &verification.altered),
        ("unexpected", &verification.unexpected),
        ("never sent", &verification.never_sent),
    ];
    for (name, named) in lists {
        named_line(name, named, out);
        if name == "altered" {
            for of in &verification.alterations {
                named_line(&format!("  {}", of.part), &of.messages, out);
            }
        }
    }
    if verification.unreadable_lines > 0 {
        line!(out, "  {} lines are not records", verification.unreadable_lines);
    }
}

fn named_line(name: &str, named: &Named, out: &mut String) {
    if named.count == 0 {
        return;
    }
    let more = named.count.saturating_sub(named.tokens.len() as u64);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    line!(out, "  {name:<11} {}: {}{rest}", named.count, escape(&named.tokens.join(" ")));
}

fn gates(report: &Report, out: &mut String) {
    if !report.gates.is_empty() {
        line!(out, "");
    }
    for judgement in &report.gates {
        let word = if judgement.failed { "FAILED" } else { "passed" };
        let text = format!("{} {}  (found {})", judgement.words(), judgement.gate, judgement.found);
        paragraph(&format!("gate {word}  "), &text, out);
    }
}

fn baseline(report: &Report, out: &mut String) {
    if report.baseline.is_empty() {
        return;
    }
    line!(
        out,
        "\n{:<20} {:>11} {:>11} {:>9} {:>9}",
        "compared with baseline",
        "was",
        "is",
        "worse by",
        "at least"
    );
    for one in &report.baseline {
        moved(one, out);
    }
    let note = "at least: within the bounds of both figures, with 99.9 % confidence";
    paragraph("  ", note, out);
}

fn moved(one: &Move, out: &mut String) {
    let Move { metric, verdict, detail, .. } = one;
    let (Some(was), Some(is), Some(worse)) = (one.before, one.now, one.worse_by_percent) else {
        paragraph(&format!("  {metric:<20} "), &format!("not compared: {detail}"), out);
        return;
    };
    let at_least = one.worse_by_at_least_percent.map(show_percent).unwrap_or_default();
    let word = match verdict {
        Assessment::Regressed => "REGRESSED",
        Assessment::Fine | Assessment::NotCompared => "fine",
    };
    line!(
        out,
        "  {metric:<20} {:>11} {:>11} {:>9} {at_least:>9}  {word}",
        one.show(was),
        one.show(is),
        show_percent(worse)
    );
    if *verdict == Assessment::Regressed {
        paragraph("      ", detail, out);
    }
}
