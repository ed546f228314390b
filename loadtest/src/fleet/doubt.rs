//! One report from what all agents have reported. What a lost agent did not report is a range. Pure.

use std::time::{Duration, UNIX_EPOCH};

use crate::fleet::agent::STOPS_WITHIN;
use crate::fleet::coordinator::{Member, Presence};
use crate::fleet::offset::{Offset, shifted};
use crate::fleet::protocol::State;
use crate::load::feed::due;
use crate::load::plan::Plan;
use crate::load::start::StartAt;
use crate::measure::tally::Tally;
use crate::report::Report;
use crate::report::agents::{AgentRow, Delivered, Lost};
use crate::report::merge::{MergeError, merge};
use crate::run::build;
use crate::run::engine::Finished;
use crate::time::clock::Moment;

/// Merges the reports of all parts; `plans` builds the plan of a part.
///
/// # Errors
/// The reports are not of one run, or no agent has reported anything.
pub(crate) fn gather<E: From<MergeError>>(
    members: Vec<Member>,
    start: Duration,
    plans: impl Fn(u64) -> Result<Plan, E>,
) -> Result<Report, E> {
    let mut reports = Vec::new();
    let mut rows = Vec::new();
    for mut member in members {
        let row = match member.report.take() {
            Some(mut report) => {
                on_one_clock(&mut report, member.clock, start);
                let row = row(&member, Some(&report), None);
                reports.push(*report);
                row
            }
            None => {
                let plan = plans(member.part)?;
                let lost = lost(&member, &plan, start);
                let row = row(&member, None, Some(lost));
                reports.push(partial(member, &plan, start));
                row
            }
        };
        rows.push(row);
    }
    let mut whole = merge(reports)?;
    whole.agents = rows;
    whole.delivered = Some(Delivered::of(&whole));
    Ok(whole)
}

/// Sets the times of a report to the coordinator's clock.
fn on_one_clock(report: &mut Report, clock: Option<Offset>, start: Duration) {
    report.parts.iter_mut().for_each(|part| part.start_at = Some(StartAt::from(start).to_string()));
    let by = clock.map_or(0, |clock| -clock.offset_ns);
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    report.started_at_ms = millis(start);
    report.ended_at_ms = millis(shifted(Duration::from_millis(report.ended_at_ms), by));
}

fn row(member: &Member, report: Option<&Report>, lost: Option<Lost>) -> AgentRow {
    let part = report.and_then(|report| report.parts.first());
    AgentRow {
        name: member.name.clone(),
        part: member.part,
        clock_offset_ms: member.clock.map(|clock| clock.offset_ns as f64 / 1e6),
        clock_uncertainty_ms: member.clock.map(|clock| clock.uncertainty_ns as f64 / 1e6),
        started_late_ms: part.and_then(|part| part.started_late_ms),
        saturated: report.is_some_and(|report| report.generator.saturated),
        stopped: member.stopped.clone(),
        lost,
    }
}

/// What is known of an agent without a report.
fn lost(member: &Member, plan: &Plan, start: Duration) -> Lost {
    let why = match &member.state {
        State::Failed(why) => why.clone(),
        State::Left(why) => format!("it has signed off before the start: {why}"),
        _ if !member.has_start => "it was gone before the start, and has sent nothing".to_owned(),
        _ if member.presence == Presence::Lost => "nothing came from it any more".to_owned(),
        _ => "it has not reported its end".to_owned(),
    };
    let started = member.reported.measured.started.saturating_add(member.reported.warmup.started);
    // An agent that knew the start goes on until it notices that there is no coordinator.
    let may_run = match member.state {
        State::Left(_) => false,
        State::Failed(_) => member.has_start && started > 0,
        _ => member.has_start,
    };
    let until = member.heard.saturating_add(STOPS_WITHIN).saturating_sub(start);
    let most = if may_run { due(plan, until) } else { Some(started) };
    Lost {
        why,
        reported_s: member.reported.until.as_secs_f64(),
        started,
        started_at_most: most.map(|most| most.max(started)),
    }
}

/// The report of the seconds that an agent has reported. Messages without an end are in flight.
fn partial(member: Member, plan: &Plan, start: Duration) -> Report {
    let reported = member.reported;
    let mut tally = Tally::new(plan);
    tally.measured = reported.measured;
    tally.warmup = reported.warmup;
    tally.metrics.message.ok = reported.latency;
    tally.offered_until = Moment::ZERO.after(reported.until);
    let began = UNIX_EPOCH + start;
    let finished = Finished {
        tally,
        intervals: reported.rows,
        began,
        ended: began + reported.until,
        interrupted: false,
        given_up: None,
    };
    let mut report = build::report(plan, finished);
    report.machines.clear();
    report.parts.iter_mut().for_each(|part| part.started_late_ms = None);
    report
}
