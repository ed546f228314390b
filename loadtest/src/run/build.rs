//! Builds the report of a run from its counts.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smtpmock::units::duration;

use crate::client::phase::Phase;
use crate::client::sasl::Mechanism;
use crate::load::plan::{Load, Plan};
use crate::measure::metrics::Pair;
use crate::measure::tally::{Handshakes, Tally};
use crate::report::distribution::Distribution;
use crate::report::parts::PartRow;
use crate::report::plans::PlanRow;
use crate::report::span::{Span, measured_s, rate};
use crate::report::steps;
use crate::report::targets::TargetRow;
use crate::report::{
    Accounts, AddressCounts, Generator, HandshakeCounts, Latency, Machine, RefusalText, Report, SCHEMA,
    SessionCounts, Split,
};
use crate::run::digest::digest;
use crate::run::engine::Finished;
use crate::run::settings::settings;
use crate::time::clock::{Moment, millis};

/// Percentage of the due messages that the generator itself may delay. Beyond it, the 99th percentile would show the
/// generator instead of the target.
const LATE_PERCENT: u64 = 1;

/// Percentage of its time for which a closed loop may stall. No messages are due during a stall, so the rate is too
/// low by this share.
const STALL_PERCENT: f64 = 10.0;

/// Percentage of intervals without processor time left from which on the rate of a closed loop is considered the
/// generator's own limit.
const BOUND_PERCENT: u64 = 50;

/// The report of a part that was interrupted before its start.
#[cfg(feature = "fleet")]
pub(crate) fn unstarted(plan: &Plan) -> Report {
    let mut report = report(plan, Finished::before_the_start(plan));
    report.parts.iter_mut().for_each(|part| part.started_late_ms = None);
    report
}

/// Builds the report of a run.
pub(crate) fn report(plan: &Plan, run: Finished) -> Report {
    let measured = run.tally.offered_until.elapsed().saturating_sub(plan.warmup).as_secs_f64();
    let spans = vec![Span::new(plan.warmup.as_secs_f64(), measured, run.tally.sessions.most_open)];
    let accepted = run.tally.measured.accepted;
    let tally = run.tally;
    let measured_from = Moment::ZERO.after(plan.warmup);
    let is_early = run.interrupted || run.given_up.is_some();
    Report {
        schema: SCHEMA.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: unix_ms(run.began),
        ended_at_ms: unix_ms(run.ended),
        interrupted: run.interrupted,
        gave_up: run.given_up.map(|time| gave_up(time, &tally)),
        settings: settings(plan),
        parts: part(plan, &tally),
        plans: plans(plan),
        missing: Vec::new(),
        agents: Vec::new(),
        delivered: None,
        delivered_by_run: BTreeMap::new(),
        sinks: None,
        machines: vec![machine()],
        generator: generator(plan, &tally, measured),
        sessions: SessionCounts {
            dialed: tally.sessions.dialed,
            established: tally.sessions.established,
            ended_idle: tally.sessions.ended_idle,
            protocol_errors: tally.sessions.protocol_errors,
            handshakes: handshakes(&tally),
            without_starttls: tally.sessions.without_starttls,
            starttls_refused: tally.sessions.starttls_refused,
            authenticated: by_mechanism(tally.sessions.authenticated),
            auth_refused: by_mechanism(tally.sessions.auth_refused),
            without_ehlo: tally.sessions.without_ehlo,
            without_pipelining: tally.sessions.without_pipelining,
            without_chunking: tally.sessions.without_chunking,
            without_dsn: tally.sessions.without_dsn,
            most_open: tally.sessions.most_open,
        },
        addresses: addresses(plan, &tally),
        targets: targets(plan, &tally),
        refusal_texts: tally
            .texts
            .clone()
            .into_rows()
            .map(|(phase, code, text)| RefusalText { phase, code, text })
            .collect(),
        measured_s: measured_s(&spans),
        rate: rate(accepted, &spans),
        spans,
        latency: latency(plan, &tally),
        accounting: Accounts { measured: tally.measured, warmup: tally.warmup },
        intervals: run.intervals.into_rows(),
        steps: steps::rows(tally.steps.iter(), measured_from, tally.offered_until, |counts| {
            split(&counts.message)
        }),
        steps_whole_until_s: is_early
            .then(|| steps::whole_until_s(tally.steps.iter(), measured_from, tally.offered_until))
            .flatten(),
        knee: None,
        verification: None,
        gates: Vec::new(),
        baseline: Vec::new(),
        pieces: None,
    }
}

/// The part, and the start, if one of them is set.
fn part(plan: &Plan, tally: &Tally) -> Vec<PartRow> {
    let row = PartRow {
        run: format!("{:08x}", plan.run),
        index: plan.part.index(),
        of: plan.part.of(),
        start_at: plan.start_at.map(|start| start.to_string()),
        started_late_ms: plan.start_at.map(|_| tally.began.elapsed().as_secs_f64() * 1e3),
    };
    if plan.is_cut || plan.start_at.is_some() { vec![row] } else { Vec::new() }
}

/// The plan, with its part.
fn plans(plan: &Plan) -> Vec<PlanRow> {
    let row = || PlanRow { run: format!("{:08x}", plan.run), digest: digest(plan) };
    plan.is_cut.then(row).into_iter().collect()
}

fn handshakes(tally: &Tally) -> HandshakeCounts {
    let Handshakes { full, resumed, failed, tls_1_2, tls_1_3 } = tally.sessions.handshakes;
    HandshakeCounts { full, resumed, failed, tls_1_2, tls_1_3 }
}

/// The mechanisms with a count, by name.
fn by_mechanism(counts: [u64; Mechanism::COUNT]) -> BTreeMap<String, u64> {
    let counted = Mechanism::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    counted.map(|(mechanism, count)| (mechanism.name().to_owned(), count)).collect()
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    millis(since)
}

fn generator(plan: &Plan, tally: &Tally, measured_s: f64) -> Generator {
    let punctuality = &tally.punctuality;
    let open_loop = matches!(plan.load, Load::Open { .. });
    let stalled_s = punctuality.stalled_for.as_secs_f64();
    let loops_s = measured_s * plan.threads as f64;
    Generator {
        saturated: if open_loop {
            punctuality.late * 100 > tally.measured.owed() * LATE_PERCENT
        } else {
            stalled_s * 100.0 > loops_s * STALL_PERCENT
        },
        cpu_bound: !open_loop
            && punctuality.judged > 0
            && punctuality.starved * 100 >= punctuality.judged * BOUND_PERCENT,
        late: punctuality.late,
        late_unsent: punctuality.late_unsent,
        stalled_s,
        starved_intervals: punctuality.starved,
        judged_intervals: punctuality.judged,
        cpu_s: tally.work.map(|work| work.ran.as_secs_f64()),
        cpu_wait_s: tally.work.map(|work| work.waited.as_secs_f64()),
        lag: Distribution(tally.metrics.lag.clone()),
    }
}

/// How long no message was accepted, what messages waited for then, and the last failure.
fn gave_up(time: Duration, tally: &Tally) -> String {
    let mut text = format!("no message was accepted for {}", duration(time));
    let waited: Vec<String> =
        tally.waiting.iter().map(|(phase, count)| format!("{count} for {}", phase.awaited())).collect();
    if !waited.is_empty() {
        text.push_str(&format!("; messages that waited: {}", waited.join(", ")));
    }
    if let Some((_, outcome)) = &tally.last_failure {
        text.push_str(&format!("; the last failure: {outcome}"));
    }
    text
}

fn addresses(plan: &Plan, tally: &Tally) -> Vec<AddressCounts> {
    let counts = plan.addresses.iter().zip(&tally.addresses);
    counts
        .map(|(address, counts)| AddressCounts {
            address: address.to_string(),
            dialed: counts.dialed,
            connected: counts.connected,
            ungreeted: counts.ungreeted,
            last_failure: counts.last_failure.map(|miss| miss.to_string()),
        })
        .collect()
}

/// The accounts of several targets.
fn targets(plan: &Plan, tally: &Tally) -> Vec<TargetRow> {
    let counts = plan.targets.iter().zip(&tally.targets);
    counts
        .map(|(target, counts)| TargetRow {
            target: target.name.clone(),
            established: counts.established,
            accounting: counts.account.clone(),
            message: split(&counts.message),
        })
        .collect()
}

fn split(pair: &Pair) -> Split {
    Split {
        ok: Distribution(pair.ok.clone()),
        failed: Distribution(pair.failed.clone()),
        censored: pair.censored,
    }
}

fn latency(plan: &Plan, tally: &Tally) -> Latency {
    let phase = |phase: Phase| split(&tally.metrics.phases[phase.index()]);
    Latency {
        connect: phase(Phase::Connect),
        tls: phase(Phase::Tls),
        banner: phase(Phase::Banner),
        ehlo: phase(Phase::Ehlo),
        auth: phase(Phase::Auth),
        mail: phase(Phase::Mail),
        rcpt: phase(Phase::Rcpt),
        data: phase(Phase::Data),
        bdat: phase(Phase::Bdat),
        dot: phase(Phase::Dot),
        message: split(&tally.metrics.message),
        uncorrected: matches!(plan.load, Load::Open { .. }).then(|| split(&tally.metrics.uncorrected)),
    }
}

fn machine() -> Machine {
    let line = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    let cpu_model = line("/proc/cpuinfo").and_then(|text| {
        let model = text.lines().find(|line| line.starts_with("model name"))?;
        Some(model.split_once(':')?.1.trim().to_owned())
    });
    Machine {
        os: std::env::consts::OS.to_owned(),
        arch: std::env::consts::ARCH.to_owned(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: Some(rustix::system::uname().release().to_string_lossy().into_owned()),
        cpu_model,
    }
}

mod parts;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::load::feed::Arrival;
    use crate::time::clock::Moment;

    /// The generator of 200 messages that were started when they were due, so many of which then waited this long for other
    /// handshakes.
    fn after_waits(waiting: u64, wait: Duration) -> Generator {
        let typed =
            ["smtpload", "smtps://127.0.0.1:1", "--insecure", "--rate", "100/s", "--late-after", "10ms"];
        let plan = crate::program::cli::Cli::try_parse_from(typed).unwrap().run.plan(|| 1).unwrap();
        let mut tally = Tally::new(&plan);
        for seq in 0..200 {
            let intended = Moment::ZERO.after(Duration::from_millis(10 * seq));
            let mut flight = tally.start(Arrival { seq, intended }, intended, intended);
            let wait = if seq < waiting { wait } else { Duration::ZERO };
            // Two turns, as a handshake takes.
            tally.punctuality.judge_queued(&mut flight, intended, intended.after(wait));
            tally.punctuality.judge_queued(&mut flight, intended, intended.after(wait));
        }
        generator(&plan, &tally, 2.0)
    }

    #[test]
    fn handshakes_that_wait_for_each_other_saturate_the_generator_beyond_one_percent_of_the_messages() {
        let just = Duration::from_millis(10);
        let long = just + Duration::from_nanos(1);
        for (waiting, wait, late, is_saturated) in
            [(200, just, 0, false), (2, long, 2, false), (3, long, 3, true), (200, long, 200, true)]
        {
            let generator = after_waits(waiting, wait);
            assert_eq!((generator.late, generator.saturated), (late, is_saturated), "{waiting}");
            assert_eq!(generator.saturation().is_some(), is_saturated);
        }
    }
}
