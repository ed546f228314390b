//! The merged reports of parts are the report of one process with the same samples.

#![cfg(test)]

mod edits;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use clap::Parser as _;
use proptest::prelude::*;

use crate::account::accounting::{Abort, Outcome};
use crate::client::enhanced::Reply;
use crate::client::phase::Phase;
use crate::load::feed::{Arrival, Feed, Offer};
use crate::load::lane;
use crate::load::plan::Plan;
use crate::measure::interval::INTERVAL;
use crate::measure::metrics::End;
use crate::measure::tally::{Flight, Tally};
use crate::report::agents::{AgentRow, Delivered, Lost};
use crate::report::json::ReportError;
use crate::report::merge::{self, Sum};
use crate::report::pieces::Pieces;
use crate::report::series::Series;
use crate::report::sinks::{SinkRow, Sinks};
use crate::report::{Report, json};
use crate::run::build;
use crate::run::engine::Finished;
use crate::time::clock::Moment;

/// The fate of a message: how long after its intended start it starts and ends, in microseconds, and how.
type Fate = (u64, u64, u8);

/// One message of a run.
#[derive(Clone, Copy)]
struct Sample {
    arrival: Arrival,
    started: Moment,
    ended: Moment,
    how: u8,
}

fn plan(part: &str) -> Plan {
    let load = "--steps 30/s:1200ms,90/s:1s --arrivals poisson --warmup 200ms -c 20 --seed 9 --part";
    let typed = ["smtpload", "t:1"].into_iter().chain(load.split(' ')).chain([part]);
    let cli = crate::program::cli::Cli::try_parse_from(typed).unwrap();
    cli.run.plan_with(|| 1, |_| Ok(vec!["127.0.0.1:1".parse().unwrap()])).unwrap()
}

/// The messages of the whole run.
fn samples(fates: &[Fate]) -> Vec<Sample> {
    let plan = plan("0/1");
    let mut feed = Feed::new(&plan, &lane::lanes(&plan, 0)[0], &Arc::default());
    let mut all = Vec::new();
    while let Offer::Due(arrival) = feed.take(Moment::ZERO.after(Duration::from_secs(60))) {
        let (wait, took, how) = fates[all.len() % fates.len()];
        let started = arrival.intended.after(Duration::from_micros(wait));
        let ended = started.after(Duration::from_micros(took));
        all.push(Sample { arrival, started, ended, how });
    }
    all
}

/// A run of these messages.
fn run(plan: &Plan, samples: &[Sample]) -> Report {
    let mut tally = Tally::new(plan);
    let mut series = Series::new();
    let starts = samples.iter().enumerate().map(|(index, sample)| (sample.started, false, index));
    let ends = samples.iter().enumerate().map(|(index, sample)| (sample.ended, true, index));
    let mut events: Vec<_> = starts.chain(ends).collect();
    events.sort_unstable();
    let mut flights: Vec<Option<Flight>> = vec![None; samples.len()];
    let second = |tally: &Tally| Moment::ZERO.after(INTERVAL * (tally.interval.index as u32 + 1));
    let mut in_flight = 0;
    for (at, has_ended, index) in events {
        while at >= second(&tally) {
            series.push(tally.end_interval(INTERVAL, in_flight, None).into());
        }
        let sample = samples[index];
        match (has_ended, flights[index]) {
            (true, Some(flight)) => {
                in_flight -= 1;
                settle(&mut tally, flight, sample);
            }
            _ => {
                in_flight += 1;
                flights[index] = Some(tally.start(sample.arrival, at, at));
            }
        }
    }
    while second(&tally) <= Moment::ZERO.after(Duration::from_secs(9)) {
        series.push(tally.end_interval(INTERVAL, in_flight, None).into());
    }
    tally.end_offer(Moment::ZERO.after(plan.limit.duration.unwrap()));
    let finished = Finished {
        tally,
        intervals: series,
        began: UNIX_EPOCH + Duration::from_secs(1000),
        ended: UNIX_EPOCH + Duration::from_secs(1009),
        interrupted: false,
        given_up: None,
    };
    as_read(&build::report(plan, finished))
}

/// As another program reads it.
fn as_read(report: &Report) -> Report {
    json::parse(&json::render(report).unwrap()).unwrap()
}

fn settle(tally: &mut Tally, flight: Flight, sample: Sample) {
    let (outcome, end) = match sample.how {
        0 => (Outcome::TimedOut { phase: Phase::Dot }, End::CutOff),
        1 => (Outcome::Refused { phase: Phase::Rcpt, reply: Reply::of(550, b"5.1.1 x") }, End::Failed),
        2 => (Outcome::Aborted { phase: Phase::Data, reason: Abort::Reset }, End::Failed),
        _ => (Outcome::Accepted, End::Ok),
    };
    if flight.measured {
        tally.metrics.phase(Phase::Dot, end, sample.ended.since(sample.started));
    }
    tally.settle(flight, outcome, true, sample.ended);
}

proptest! {
    // Hundreds of messages each.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_merged_parts_are_the_report_of_one_process(
        fates in prop::collection::vec((0u64..9_000, 0u64..5_000_000, 0u8..20), 1..200), parts in 1u64..6,
        first in 0u64..6,
    ) {
        let samples = samples(&fates);
        let one = run(&plan("0/1"), &samples);
        let of_part = |index: u64| {
            let mine: Vec<Sample> =
                samples.iter().copied().filter(|sample| sample.arrival.seq % parts == index).collect();
            run(&plan(&format!("{index}/{parts}")), &mine)
        };
        let reports = (0..parts).map(|index| of_part((index + first) % parts)).collect();
        let whole = merge::merge(reports).unwrap();
        prop_assert!(one.accounting.measured.balances() && one.accounting.measured.started > 50);
        prop_assert_eq!(&whole.latency, &one.latency);
        prop_assert_eq!(&whole.accounting, &one.accounting);
        prop_assert_eq!(&whole.generator.lag, &one.generator.lag);
        prop_assert_eq!(&whole.intervals, &one.intervals);
        prop_assert_eq!(&whole.steps, &one.steps);
        prop_assert_eq!((whole.measured_s, whole.rate), (one.measured_s, one.rate));
        prop_assert_eq!(&whole.missing, &[]);
        let (mut mine, theirs) = (whole.settings, one.settings);
        mine.threads = theirs.threads;
        prop_assert_eq!(mine, theirs);
    }
}

/// The report of a part with its agent, which is lost or not.
fn of_agent(mut report: Report, lost: Option<Lost>) -> Report {
    let part = report.parts[0].index;
    report.agents = vec![AgentRow {
        name: format!("m{part}"),
        part,
        clock_offset_ms: None,
        clock_uncertainty_ms: None,
        started_late_ms: None,
        saturated: false,
        stopped: None,
        coordinator_signal: None,
        lost,
    }];
    report.delivered = Some(Delivered::of(&report));
    report
}

fn as_json(report: &Report) -> serde_json::Value {
    serde_json::from_slice(&json::render(report).unwrap()).unwrap()
}

/// The sum of these reports of parts, those of lost agents last.
fn sum(whole: &[Report], partial: &[Report]) -> Report {
    let mut sum = Sum::default();
    whole.iter().cloned().for_each(|report| sum.add(report).unwrap());
    partial.iter().cloned().for_each(|report| sum.add_partial(report).unwrap());
    as_read(&sum.end().unwrap())
}

proptest! {
    // Hundreds of messages each.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_reports_of_lost_agents_replace_what_they_have_reported_in_any_order(
        fates in prop::collection::vec((0u64..9_000, 0u64..5_000_000, 0u8..20), 1..200), parts in 1u64..6,
        lost in 1u8..64, reported in 0u64..100, first in 0usize..6, at_once: bool, sum_first: bool,
    ) {
        let samples = samples(&fates);
        let of = |index: u64, share: u64| {
            let mine = samples.iter().copied().filter(|sample| sample.arrival.seq % parts == index);
            let mine: Vec<Sample> = mine.filter(|sample| sample.arrival.seq % 100 < share).collect();
            run(&plan(&format!("{index}/{parts}")), &mine)
        };
        let all: Vec<Report> = (0..parts).map(|index| of_agent(of(index, 100), None)).collect();
        let is_lost = |report: &&Report| lost >> report.parts[0].index & 1 == 1;
        let (mut missing, present): (Vec<Report>, Vec<Report>) = all.iter().cloned().partition(|report| is_lost(&report));
        let partial = |index: u64| {
            let mut report = of(index, reported);
            report.machines.clear();
            let started = report.accounting.measured.started + report.accounting.warmup.started;
            let most = Some(started + 1000);
            let lost = Lost { why: "x".to_owned(), reported_s: 1.0, started, started_at_most: most };
            of_agent(report, Some(lost))
        };
        let partials: Vec<Report> = missing.iter().map(|report| partial(report.parts[0].index)).collect();
        let mut whole = sum(&present, &partials);
        prop_assert_eq!(whole.pieces.is_some(), !partials.is_empty());
        let run = whole.settings.runs[0].clone();
        let rows = vec![SinkRow { run, url: "u".to_owned(), received: 7, asked_at_ms: None }];
        let sinks = Sinks { reports: rows, ..Sinks::default() };
        whole.sinks = Some(sinks.clone().compared(&whole));
        // Nobody was lost.
        let mut expected = sum(&all, &[]);
        expected.sinks = Some(sinks.compared(&expected));
        let expected = as_json(&expected);

        // Alone, it is the same again.
        prop_assert_eq!(as_json(&merge::merge(vec![whole.clone()]).unwrap()), as_json(&whole));
        let turns = first.checked_rem(missing.len()).unwrap_or(0);
        missing.rotate_left(turns);
        let join = |mut reports: Vec<Report>| {
            let turns = usize::from(!sum_first) % reports.len();
            reports.rotate_left(turns);
            as_read(&merge::merge(reports).unwrap())
        };
        let replaced = if at_once {
            join([vec![whole], missing].concat())
        } else {
            missing.into_iter().fold(whole, |whole, report| join(vec![whole, report]))
        };
        prop_assert_eq!(as_json(&replaced), expected);
    }
}

proptest! {
    // Hundreds of messages each.
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn the_series_of_parts_that_began_at_any_time_is_the_same_in_any_order(
        fates in prop::collection::vec((0u64..9_000, 0u64..5_000_000, 0u8..20), 1..200),
        late_ms in prop::collection::vec(0u64..4_000, 4), order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let samples = samples(&fates);
        let of = |index: u64| {
            let mine: Vec<Sample> = samples.iter().copied().filter(|sample| sample.arrival.seq % 4 == index).collect();
            let mut report = run(&plan(&format!("{index}/4")), &mine);
            report.started_at_ms += late_ms[index as usize];
            report.ended_at_ms += late_ms[index as usize];
            report
        };
        let expected = merge::merge((0..4).map(of).collect()).unwrap();
        let one_by_one = merge::merge(order.map(of).to_vec()).unwrap();
        prop_assert_eq!(&one_by_one.intervals, &expected.intervals);
        let [first, last] = [&order[..2], &order[2..]]
            .map(|two| as_read(&merge::merge(two.iter().copied().map(of).collect()).unwrap()));
        prop_assert_eq!(&merge::merge(vec![first, last]).unwrap().intervals, &expected.intervals);
    }
}

/// A report with these pieces.
fn with_pieces(whole: Option<Report>, partial: Vec<Report>) -> Report {
    Report { pieces: Some(Box::new(Pieces { whole, partial })), ..run(&plan("0/2"), &[]) }
}

#[test]
fn pieces_that_make_a_report_too_large_to_be_read_are_omitted_and_others_than_those_of_lost_agents_refused() {
    let part = || run(&plan("0/2"), &[]);
    let lost = Lost { why: "x".to_owned(), reported_s: 0.0, started: 0, started_at_most: None };
    let partial = || of_agent(part(), Some(lost.clone()));
    let report = with_pieces(None, vec![partial()]);
    let text = json::render(&report).unwrap();
    assert!(json::parse(&text).unwrap().pieces.is_some());
    let without = json::render_within(&report, text.len() as u64 - 1).unwrap();
    assert!(json::parse(&without).unwrap().pieces.is_none());

    for partial in [part(), Report { parts: Vec::new(), ..partial() }] {
        let refused = json::parse(&json::render(&with_pieces(None, vec![partial])).unwrap());
        assert!(matches!(refused, Err(ReportError::Pieces)), "{refused:?}");
    }
}

/// A report in JSON whose pieces have pieces, and so on, to this depth.
fn nested(depth: usize, place: impl Fn(&str) -> String) -> String {
    let lost = Lost { why: "x".to_owned(), reported_s: 0.0, started: 0, started_at_most: None };
    let report = of_agent(run(&plan("0/2"), &[]), Some(lost));
    let report = serde_json::to_string(&report).unwrap();
    let open = report.strip_suffix('}').unwrap();
    (0..depth).fold(report.clone(), |inner, _| format!("{open},\"pieces\":{}}}", place(&inner)))
}

#[test]
fn pieces_of_pieces_are_refused_at_any_depth_on_the_stack_of_a_thread() {
    let whole = |inner: &str| format!(r#"{{"whole":{inner},"partial":[]}}"#);
    let partial = |inner: &str| format!(r#"{{"partial":[{inner}]}}"#);
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let texts = [2, 50, 61, 500].into_iter().flat_map(|depth| [nested(depth, whole), nested(depth, partial)]);
    let arrays = [
        nested(1, |inner| partial(&inner.replacen('{', &format!(r#"{{"pieces":{},"#, deep(100_000)), 1))),
        nested(1, |inner| partial(&inner.replacen('{', r#"{"pieces":0,"#, 1))),
    ];
    for text in texts.chain(arrays) {
        // That of a thread of the coordinator, which tests have too unless a variable says otherwise.
        let parsing = std::thread::Builder::new().stack_size(2 << 20);
        let refused = parsing.spawn(move || json::parse(text.as_bytes())).unwrap().join().unwrap();
        assert!(matches!(refused, Err(ReportError::Pieces)), "{refused:?}");
    }
    assert!(json::parse(nested(1, partial).as_bytes()).is_ok());
}
