//! What a report states in sentences, the same in the table and on the page.

use crate::report::{HandshakeCounts, Report, SessionCounts, agents, show_ns};

/// The most parts that have a line of their own.
const PARTS_SHOWN: usize = 20;

/// A statement under the name of what it is about. It may have text of the server: show it escaped.
pub(crate) type Line = (&'static str, String);

/// The run: addresses, load, rate, sessions, and how they differ from what was requested.
pub(crate) fn run(report: &Report) -> Vec<Line> {
    let shape = &report.settings.shape;
    let mut lines: Vec<Line> = report.dialed().into_iter().map(|dialed| ("address", dialed)).collect();
    lines.push((
        "load",
        format!(
            "{}, {} connections, message {}, {} recipient(s){}",
            shape.load,
            shape.connections,
            shape.message,
            shape.rcpts,
            shape.extras()
        ),
    ));
    lines.extend(report.parts.iter().take(PARTS_SHOWN).map(|part| ("part", part.text())));
    if let [part] = report.parts.as_slice()
        && part.of > 1
    {
        lines.push(("part", "the load and its rates are those of all parts".to_owned()));
    }
    let more = report.parts.len().saturating_sub(PARTS_SHOWN);
    if more > 0 {
        lines.push(("part", format!("and {more} more")));
    }
    lines.extend(report.missing.iter().map(|missing| ("MISSING", format!("parts {missing}"))));
    lines.push((
        "rate",
        format!(
            "{:.1}/s accepted over {:.2} s  (seed {}, run {})",
            report.rate,
            report.measured_s,
            report.settings.seed,
            report.settings.runs.join(" ")
        ),
    ));
    sessions(&report.sessions, &mut lines);
    lines.extend(report.agents.iter().map(|agent| ("agent", agent.text())));
    if let Some((skew, error)) = agents::skew(report) {
        lines.push(("start", format!("the agents started within {skew:.3} ms (± {error:.3} ms)")));
    }
    if let Some(delivered) = &report.delivered {
        lines.push(("delivered", format!("{} messages to the servers", delivered.text())));
    }
    lines.extend(report.sinks.iter().map(|sinks| ("servers", sinks.text())));
    lines
}

fn sessions(sessions: &SessionCounts, lines: &mut Vec<Line>) {
    lines.push((
        "sessions",
        format!(
            "{} dialed, {} established, {} open at most, {} ended by the server while idle",
            sessions.dialed, sessions.established, sessions.most_open, sessions.ended_idle
        ),
    ));
    let handshakes = &sessions.handshakes;
    if !handshakes.is_none() {
        let versions = [("1.2", handshakes.tls_1_2), ("1.3", handshakes.tls_1_3)];
        let versions: Vec<String> = versions
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(version, count)| format!("TLS {version} x{count}"))
            .collect();
        let versions = if versions.is_empty() { String::new() } else { format!("; {}", versions.join(", ")) };
        let HandshakeCounts { full, resumed, failed, .. } = handshakes;
        lines.push(("tls", format!("{full} full handshakes, {resumed} resumed, {failed} failed{versions}")));
    }
    let accepted = sessions.authenticated.iter().map(|(name, count)| format!("{name} x{count}"));
    let refused = sessions.auth_refused.iter().map(|(name, count)| format!("{name} refused x{count}"));
    let by_mechanism: Vec<String> = accepted.chain(refused).collect();
    if !by_mechanism.is_empty() {
        lines.push(("auth", by_mechanism.join(", ")));
    }
    let notes = [
        (sessions.protocol_errors, "closed: the server sent an unexpected or invalid reply between messages"),
        (sessions.without_starttls, "went on in the clear: the server did not offer STARTTLS"),
        (sessions.starttls_refused, "went on in the clear: the server refused STARTTLS"),
        (sessions.without_ehlo, "went on with HELO: the server refused EHLO"),
        (sessions.without_pipelining, "went without --pipelining: the server did not offer it"),
        (
            sessions.without_chunking,
            "went without --chunking: the server did not offer it, and messages followed DATA",
        ),
        (sessions.without_dsn, "went without --dsn: the server did not offer it"),
    ];
    for (count, what) in notes.iter().filter(|(count, _)| *count > 0) {
        lines.push(("note", format!("{count} sessions {what}")));
    }
}

/// The generator's own share in the figures.
pub(crate) fn generator(report: &Report) -> Vec<String> {
    let generator = &report.generator;
    let mut lines = Vec::new();
    let started = report.accounting.measured.started.saturating_add(report.accounting.warmup.started);
    let without = agents::without_lost(report).map_or_else(String::new, |without| format!(", {without}"));
    if let Some(cpu) = generator.cpu_s {
        let lost = report.agents.iter().filter_map(|agent| agent.lost.as_ref());
        let all = lost.fold(started, |all, lost| all.saturating_sub(lost.started));
        let each = if all > 0 { cpu * 1e6 / all as f64 } else { 0.0 };
        lines.push(format!("{cpu:.2} s of processor time, {each:.1} µs per message{without}"));
    } else if report.machines.is_empty() {
        lines.push(format!("no figures of processor time{without}"));
    } else if started > 0 {
        lines.push(
            "this system has no figures of processor time: starved threads are not detected".to_owned(),
        );
    }
    if let (Some(p99), Some(max)) = (generator.lag.at(0.99), generator.lag.max()) {
        lines.push(format!("delayed the start of messages by p99 {}, max {}", show_ns(p99), show_ns(max)));
    }
    if generator.late > 0 {
        lines.push(format!("{} messages were late because of the generator", generator.late));
    }
    if generator.stalled_s > 0.0 {
        lines.push(format!("its event loops stalled for {:.2} s in total", generator.stalled_s));
    }
    lines
}
