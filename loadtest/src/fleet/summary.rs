//! One report from what all agents have reported. What a lost agent did not report is a range. Pure.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use smtpmock::units::{EXACT_IN_JSON, duration};

use crate::fleet::coordinator::{Member, Presence, Reported};
use crate::fleet::limits::{REPORTED_WITHIN, STOPS_WITHIN};
use crate::fleet::offset::{Offset, shifted};
use crate::fleet::protocol::State;
use crate::load::feed::due;
use crate::load::part::Part;
use crate::load::plan::Plan;
use crate::load::start::StartAt;
use crate::measure::tally::Tally;
use crate::report::agents::{AgentRow, Delivered, Lost};
use crate::report::merge::{MergeError, Sum, check_kind};
use crate::report::sound::LATEST_MS;
use crate::report::stopped::Stopped;
use crate::report::{Report, counts, json, plans};
use crate::run::build;
use crate::run::engine::Finished;
use crate::time::clock::{Moment, millis};

/// Merges the reports of all parts. An agent is lost if it has no report, or one that can't be added: then what it has
/// reported second by second is added instead. `plan` is that of any part.
///
/// # Errors
/// There is no agent.
pub(crate) fn report_of(members: Vec<Member>, start: Duration, mut plan: Plan) -> Result<Report, MergeError> {
    let parts = plan.part.of();
    let expected = empty(&plan, start);
    let (mut sum, mut partial) = (Sum::default(), Vec::new());
    for mut member in members {
        plan.become_part(Part::new(member.part, parts).unwrap_or(plan.part));
        let added = match member.take_report() {
            None => Err(silence(&member)),
            Some(report) => check_fits(&report, plan.part, &expected).and_then(|()| {
                sum.add(of_agent(*report, AgentFacts::of(&member), start)).map_err(|error| unfit(&error))
            }),
        };
        let Err(why) = added else { continue };
        partial.push(of_lost(member, why, &plan, start));
    }
    partial.into_iter().try_for_each(|report| sum.add_partial(report))?;
    sum.end()
}

fn unfit(why: &impl fmt::Display) -> String {
    format!("its report can't be added: {why}")
}

/// Whether the report of a part can be added to those of the others: `expected` is that of any part of the run. That it is
/// the report of this part was checked when it came (`checks`).
fn check_fits(report: &Report, part: Part, expected: &Report) -> Result<(), String> {
    check_counts(report, part).map_err(|error| unfit(&error))?;
    let differ = expected.settings.runs.iter();
    let differ = differ.map(|run| plans::differences(run, &expected.plans, &plans::of(report)));
    match differ.collect::<Vec<_>>().join(", ").as_str() {
        "" => {}
        names => return Err(unfit(&format!("its {names} differs"))),
    }
    check_kind(&expected.settings.shape, &report.settings.shape).map_err(|error| unfit(&error))
}

/// A report of seconds with numbers that one part may have.
fn sound(report: Report, part: Part) -> Result<Report, json::ReportError> {
    let report = json::settle(report)?;
    check_counts(&report, part)?;
    Ok(report)
}

/// Checks that one part may have these numbers: the sum of all parts must not be too large.
fn check_counts(report: &Report, part: Part) -> Result<(), counts::TooLarge> {
    counts::check_within(report, EXACT_IN_JSON / part.of())
}

/// What is known of an agent besides its report.
#[derive(Clone, Debug)]
pub(crate) struct AgentFacts {
    pub(crate) name: String,
    pub(crate) part: u64,
    pub(crate) clock: Option<Offset>,
    pub(crate) stopped: Option<Stopped>,
    /// The signal that the coordinator received as well.
    pub(crate) coordinator_signal: Option<String>,
}

impl AgentFacts {
    fn of(member: &Member) -> AgentFacts {
        AgentFacts {
            name: member.name.clone(),
            part: member.part,
            clock: member.clock,
            stopped: member.stopped.clone(),
            coordinator_signal: member.coordinator_signal.clone(),
        }
    }

    fn row(self, report: &Report, lost: Option<Lost>) -> AgentRow {
        AgentRow {
            name: self.name,
            part: self.part,
            clock_offset_ms: self.clock.map(|clock| clock.offset_ns as f64 / 1e6),
            clock_uncertainty_ms: self.clock.map(|clock| clock.uncertainty_ns as f64 / 1e6),
            started_late_ms: report.parts.first().and_then(|part| part.started_late_ms),
            saturated: report.generator.saturated,
            stopped: self.stopped,
            coordinator_signal: self.coordinator_signal,
            lost,
        }
    }
}

/// The report of a part with its agent, and by the coordinator's clock.
pub(crate) fn of_agent(mut report: Report, agent: AgentFacts, start: Duration) -> Report {
    let by = agent.clock.map_or(0, |clock| clock.offset_ns.saturating_neg());
    report.parts.iter_mut().for_each(|part| part.start_at = Some(StartAt::from(start).to_string()));
    report.started_at_ms = millis(start);
    report.ended_at_ms = millis(shifted(Duration::from_millis(report.ended_at_ms), by)).min(LATEST_MS);
    with_agent(report, |report| agent.row(report, None))
}

fn with_agent(mut report: Report, row: impl FnOnce(&Report) -> AgentRow) -> Report {
    report.agents = vec![row(&report)];
    report.delivered = Some(Delivered::of(&report));
    report.sinks = None;
    report
}

/// Why there is no report of an agent.
fn silence(member: &Member) -> String {
    match &member.state {
        // Whatever the coordinator has noted when it stopped all.
        _ if member.presence == Presence::Lost && !member.has_start => {
            "it was gone before the start".to_owned()
        }
        State::Failed(why) => why.clone(),
        State::Broken(why) => format!("its run failed: {why}"),
        State::Left(why) => format!("it has signed off before the start: {why}"),
        _ if !member.has_start => "it was gone before the start".to_owned(),
        _ if member.is_overdue => {
            let within = duration(REPORTED_WITHIN);
            format!("its report did not come within {within} of its last second")
        }
        _ if member.presence == Presence::Lost => "nothing came from it any more".to_owned(),
        _ => "it has not reported its end".to_owned(),
    }
}

/// The report of the seconds that a lost agent has reported, if they can be added.
fn of_lost(mut member: Member, why: String, plan: &Plan, start: Duration) -> Report {
    let reported = std::mem::replace(&mut member.reported, Reported::new());
    let until = reported.until;
    let (mut report, until, why) = match sound(partial(reported, plan, start), plan.part) {
        Ok(report) => (report, until, why),
        Err(error) => {
            let why = format!("{why}; the seconds that it reported can't be added: {error}");
            (empty(plan, start), Duration::ZERO, why)
        }
    };
    report.interrupted = member.stopped.is_some();
    let accounts = &report.accounting;
    let started = accounts.measured.started.saturating_add(accounts.warmup.started);
    // An agent that knew the start goes on until it notices that there is no coordinator.
    let may_run = match member.state {
        State::Left(_) | State::Failed(_) => false,
        _ => member.has_start,
    };
    let may_run_until = member.heard.saturating_add(STOPS_WITHIN).saturating_sub(start);
    let most = if may_run { due(plan, may_run_until) } else { Some(started) };
    let lost = Lost {
        why,
        reported_s: until.as_secs_f64(),
        started,
        started_at_most: most.map(|most| most.max(started)),
    };
    with_agent(report, |report| AgentFacts::of(&member).row(report, Some(lost)))
}

/// The report of a part of which nothing is known.
fn empty(plan: &Plan, start: Duration) -> Report {
    partial(Reported::new(), plan, start)
}

/// The report of these seconds. Messages without an end are in flight.
fn partial(reported: Reported, plan: &Plan, start: Duration) -> Report {
    let mut tally = Tally::new(plan);
    tally.measured = reported.measured.cut_off();
    tally.warmup = reported.warmup.cut_off();
    tally.metrics.message.ok = reported.latency;
    tally.offered_until = Moment::ZERO.after(reported.until);
    let began = UNIX_EPOCH + start;
    let finished = Finished {
        tally,
        intervals: reported.rows,
        began,
        ended: began.checked_add(reported.until).unwrap_or(began),
        interrupted: false,
        given_up: None,
    };
    let mut report = build::report(plan, finished);
    report.machines.clear();
    let start_at = StartAt::from(start).to_string();
    report.parts.iter_mut().for_each(|part| {
        part.start_at = Some(start_at.clone());
        part.started_late_ms = None;
    });
    report
}
