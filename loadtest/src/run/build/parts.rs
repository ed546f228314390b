//! The merged reports of parts are the report of one process with the same samples.

#![cfg(test)]

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
use crate::report::series::Series;
use crate::report::{Report, json, merge};
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
    // As another program reads it.
    json::parse(&json::render(&build::report(plan, finished)).unwrap()).unwrap()
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
