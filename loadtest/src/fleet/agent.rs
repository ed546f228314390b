//! The agent's side of the protocol. Pure: replies and the time go in, what to do next comes out.
//!
//! All times are since 1970 by the agent's clock, which never goes back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::account::accounting::Accounting;
use crate::fleet::limits::ORPHANED_AFTER;
use crate::fleet::offset::{Meter, Stamps};
use crate::fleet::protocol::{
    Answer, Cause, Fate, HISTOGRAMS_AT_ONCE, Halt, Hello, Order, PROTOCOL, Refusal, SECONDS_AT_ONCE, Second,
    State, Update, VERSION, Welcome, reason,
};
use crate::fleet::summary::{AgentFacts, of_agent};
use crate::measure::interval::Interval;
use crate::report::plans::Digest;
use crate::report::stopped::Stopped;
use crate::report::{Report, agents};
use crate::time::clock::millis;

/// How long an agent without a coordinator tries to deliver its report, after its run.
pub(crate) const DELIVERED_WITHIN: Duration = Duration::from_secs(60);

/// How long an agent that received a signal during its run waits for its coordinator after that: to deliver its report, and
/// then for that of the others' run. What ends a machine does not wait for long.
pub(crate) const WAITS_AFTER_SIGNAL: Duration = Duration::from_secs(10);

/// How long an agent that leaves waits until its coordinator has heard of it.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

/// The time after which an agent asks again for a place in the run.
const ASKS_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The time until a request that was not answered is repeated.
const REPEATED_AFTER: Duration = Duration::from_millis(250);

/// The most seconds that wait to be reported: an hour. The report has later ones.
const PENDING_LIMIT: usize = 3600;

/// What the caller must do now.
#[derive(Debug)]
pub(crate) enum Todo {
    /// Send this; then call `welcomed`, `refused` or `unanswered`.
    Register(Hello),
    /// Send this; then call `answered`, `refused` or `unanswered`.
    Update(Box<Update>),
    /// Build the plan, while further requests are sent; then call `armed`.
    Arm(Order),
    /// Start the run at this instant; call `second` for each of its seconds, and `ended`, or `failed` if it can't be started.
    Run(Duration),
    /// Nothing until this instant, unless something happens.
    Wait(Duration),
    End(Outcome),
}

/// How an agent ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The coordinator has written a report with that of this part.
    Delivered,
    /// It has not, or this agent does not know.
    Failed(Failure),
}

/// How an agent ends without a delivered report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The coordinator has no report with that of this part: why.
    Dropped(String),
    /// The coordinator has stopped it before the start: why.
    Stopped(String),
    /// It can't run: why.
    Unable(String),
    /// Its run failed, and has no report: why.
    Broken(String),
    /// This signal came before its run.
    Interrupted(String),
    /// The coordinator has refused it.
    Refused(Refusal),
    /// There was no coordinator.
    Unreached,
    /// The coordinator went away before the start.
    Orphaned,
    /// The coordinator went away before it had written its report, or refused that of this part.
    Undelivered(Option<Refusal>),
    /// This signal came, and the coordinator had not written its report.
    Left(String),
}

/// How far an agent is.
#[derive(Debug)]
enum Stage {
    /// It has no plan.
    Waiting,
    /// It has a plan with this digest, and waits for the start.
    Armed(Digest),
    Started,
    /// Its run has ended with a report.
    Ended {
        at: Duration,
        report: Box<Report>,
        /// Since when it is known that the coordinator has the report.
        handed_in: Option<Duration>,
    },
    /// It has signed off before its run: why, as its coordinator is informed, and how it ends then.
    Left {
        at: Duration,
        why: String,
        end: Failure,
    },
    /// It can't run, and has sent nothing: why.
    Failed(String),
    /// Its run has failed, and has no report: why.
    Broken {
        at: Duration,
        why: String,
    },
}

impl Stage {
    /// As it is reported.
    fn state(&self) -> State {
        match self {
            Stage::Waiting => State::Waiting,
            Stage::Armed(digest) => State::Armed(digest.clone()),
            Stage::Started => State::Started,
            Stage::Ended { report, handed_in: None, .. } => State::Ended(Some(report.clone())),
            Stage::Ended { handed_in: Some(_), .. } => State::Ended(None),
            Stage::Left { why, .. } => State::Left(why.clone()),
            Stage::Failed(why) => State::Failed(why.clone()),
            Stage::Broken { why, .. } => State::Broken(why.clone()),
        }
    }
}

/// The state of an agent.
#[derive(Debug)]
pub(crate) struct Agent {
    hello: Hello,
    began: Duration,
    /// The time in which there must be a coordinator with a place for it, counted from `began`; and, before its run, one that
    /// replies again.
    patience: Duration,
    id: Option<String>,
    /// Its name in the run.
    name: String,
    meter: Meter,
    stage: Stage,
    order: Option<Order>,
    /// That whose plan is being built.
    building: Option<Order>,
    /// By the coordinator's clock.
    start: Option<Duration>,
    pending: VecDeque<Second>,
    /// What the run has counted: of measured messages, and of the warm-up.
    counted: [Accounting; 2],
    /// The last request was refused.
    refusal: Option<Refusal>,
    /// When the next request is sent.
    next: Duration,
    /// When the last request that was answered was sent.
    heard: Duration,
    /// Set when its run must start no more messages.
    stopped: Option<Stopped>,
    /// The signal that came during its run, which it has ended if nothing else had; it does not end the delivery as well.
    spent: Option<String>,
    /// The run had no place for it.
    full: Option<Refusal>,
    outcome: Option<Outcome>,
}

impl Agent {
    pub(crate) fn new(name: String, nonce: u64, patience: Duration, now: Duration) -> Agent {
        Agent {
            hello: Hello { protocol: PROTOCOL, version: VERSION.to_owned(), name: name.clone(), nonce },
            began: now,
            patience,
            id: None,
            name,
            meter: Meter::default(),
            stage: Stage::Waiting,
            order: None,
            building: None,
            start: None,
            pending: VecDeque::new(),
            counted: Default::default(),
            refusal: None,
            next: now,
            heard: now,
            stopped: None,
            spent: None,
            full: None,
            outcome: None,
        }
    }

    /// The id that the coordinator has given it.
    pub(crate) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The part that it was given.
    pub(crate) fn order(&self) -> Option<&Order> {
        self.order.as_ref()
    }

    /// Whether the coordinator has the report of its run, and will write one.
    pub(crate) fn is_handed_in(&self) -> bool {
        match &self.stage {
            Stage::Ended { report, handed_in: Some(_), .. } => agents::has_begun(report),
            _ => false,
        }
    }

    /// The report of its part, once its run has ended, as the coordinator adds it to those of the others.
    pub(crate) fn report_of_part(&self) -> Option<Report> {
        let Stage::Ended { report, .. } = &self.stage else { return None };
        let part = self.order.as_ref()?.part;
        let (clock, stopped) = (self.meter.offset(), self.stopped.clone());
        let known = AgentFacts { name: self.name.clone(), part, clock, stopped, coordinator_signal: None };
        Some(of_agent((**report).clone(), known, self.start?))
    }

    /// Why its run must start no more messages, or has ended early.
    pub(crate) fn stopped(&self) -> Option<&Stopped> {
        self.stopped.as_ref()
    }

    /// The signal that came during its run.
    pub(crate) fn spent(&self) -> Option<&str> {
        self.spent.as_deref()
    }

    /// How long it tries to deliver its report without a reply.
    fn delivery_time(&self) -> Duration {
        if self.spent.is_some() { WAITS_AFTER_SIGNAL } else { DELIVERED_WITHIN }
    }

    /// Until when its run may start messages: it ends by itself then, whatever else happens here.
    pub(crate) fn lease(&self) -> Duration {
        self.heard.saturating_add(ORPHANED_AFTER)
    }

    /// Ends the run early, but for an earlier reason. The coordinator learns of it at once.
    fn stop(&mut self, why: Stopped, now: Duration) {
        if matches!(self.stage, Stage::Started) && self.stopped.is_none() {
            self.stopped = Some(why);
            self.next = now;
        }
    }

    /// A signal has come: it ends the run; without one it ends the agent. May be called again for the same signal, but not
    /// while a request is on its way.
    pub(crate) fn signalled(&mut self, signal: &str, now: Duration) {
        match self.stage {
            Stage::Started => {
                self.stop(Stopped::Signal { signal: signal.to_owned() }, now);
                // Without a coordinator it ends the delivery, too.
                let is_alone =
                    matches!(self.stopped, Some(Stopped::NoCoordinator { .. } | Stopped::Refused { .. }));
                if !is_alone {
                    let _ = self.spent.get_or_insert_with(|| signal.to_owned());
                }
            }
            Stage::Waiting | Stage::Armed(_) if self.id.is_none() => {
                self.fail(Failure::Interrupted(signal.to_owned()));
            }
            Stage::Waiting | Stage::Armed(_) => {
                self.leave(signal, Failure::Interrupted(signal.to_owned()), now);
            }
            Stage::Ended { .. } if self.spent.is_none() => {
                let _ = self.outcome.get_or_insert(Outcome::Failed(Failure::Left(signal.to_owned())));
            }
            Stage::Ended { .. } | Stage::Left { .. } | Stage::Failed(_) | Stage::Broken { .. } => {}
        }
    }

    /// Signs off before its run.
    fn leave(&mut self, why: &str, end: Failure, now: Duration) {
        self.stage = Stage::Left { at: now, why: reason(why), end };
        self.next = now;
    }

    fn fail(&mut self, why: Failure) {
        self.outcome = Some(Outcome::Failed(why));
    }

    /// What to do now.
    pub(crate) fn next(&mut self, now: Duration) -> Todo {
        self.look_for_end(now);
        if let Some(outcome) = &self.outcome {
            return Todo::End(outcome.clone());
        }
        if matches!(self.stage, Stage::Waiting)
            && let Some(order) = self.order.as_ref().filter(|order| self.building.as_ref() != Some(order))
        {
            self.building = Some(order.clone());
            return Todo::Arm(order.clone());
        }
        if let (Stage::Armed(_), Some(start), Some(clock)) = (&self.stage, self.start, self.meter.offset()) {
            let start = clock.to_agent(start);
            if start > now {
                self.stage = Stage::Started;
                return Todo::Run(start);
            }
            let late = now.saturating_sub(start).as_millis();
            self.stage = Stage::Failed(format!("the start was {late} ms ago when this agent learned of it"));
        }
        if now < self.next {
            return Todo::Wait(self.next);
        }
        match self.id {
            None => Todo::Register(self.hello.clone()),
            Some(_) => Todo::Update(Box::new(Update {
                state: self.stage.state(),
                stopped: self.stopped.clone(),
                clock: self.meter.offset(),
                seconds: self.first_seconds(),
            })),
        }
    }

    /// The seconds of one update.
    fn first_seconds(&self) -> Vec<Second> {
        let mut room = HISTOGRAMS_AT_ONCE;
        let has_room = |second: &&Second| {
            let had_room = room > 0;
            room = room.saturating_sub(second.latency.len());
            had_room
        };
        self.pending.iter().take(SECONDS_AT_ONCE).take_while(has_room).cloned().collect()
    }

    fn look_for_end(&mut self, now: Duration) {
        let silent = now.saturating_sub(self.heard);
        if self.outcome.is_some() {
            return;
        }
        match &self.stage {
            _ if self.id.is_none() => {
                if now.saturating_sub(self.began) > self.patience {
                    self.fail(self.full.clone().map_or(Failure::Unreached, Failure::Refused));
                }
            }
            Stage::Left { at, end, .. } => {
                if now.saturating_sub(*at) > LEAVES_WITHIN {
                    self.fail(end.clone());
                }
            }
            Stage::Started => self.look_at_lease(now),
            Stage::Ended { at, .. } | Stage::Broken { at, .. }
                if now.saturating_sub(self.heard.max(*at)) > self.delivery_time() =>
            {
                let undelivered = || Failure::Undelivered(self.refusal.clone());
                self.fail(self.spent.clone().map_or_else(undelivered, Failure::Left));
            }
            Stage::Ended { handed_in, .. } => {
                if let (Some(signal), Some(since)) = (&self.spent, handed_in)
                    && now.saturating_sub(*since) > WAITS_AFTER_SIGNAL
                {
                    self.fail(Failure::Left(signal.clone()));
                }
            }
            Stage::Broken { .. } => {}
            // It has sent nothing: when its coordinator is there again, it is in the run, or registers anew.
            Stage::Waiting | Stage::Armed(_) => {
                if silent > self.patience.max(ORPHANED_AFTER) {
                    self.fail(Failure::Orphaned);
                }
            }
            Stage::Failed(why) => {
                if silent > ORPHANED_AFTER {
                    self.fail(Failure::Unable(why.clone()));
                }
            }
        }
    }

    /// Stops when its run has ended by itself.
    fn look_at_lease(&mut self, now: Duration) {
        if now > self.lease() {
            let silent_ms = millis(now.saturating_sub(self.heard));
            let refused = |refusal: &Refusal| Stopped::Refused { why: reason(&refusal.hint) };
            let why = self.refusal.as_ref().map(refused);
            // When the next request is sent does not change: it is repeated already.
            self.stop(why.unwrap_or(Stopped::NoCoordinator { silent_ms }), self.next);
        }
    }

    /// The coordinator has accepted it; the request was sent at `sent`.
    pub(crate) fn welcomed(&mut self, welcome: Welcome, sent: Duration) {
        self.id = Some(welcome.agent);
        self.name = welcome.name;
        self.full = None;
        self.heard = sent;
        self.next = sent;
    }

    /// An update was answered.
    pub(crate) fn answered(&mut self, answer: Answer, sent: Duration, now: Duration) {
        self.look_at_lease(now);
        self.refusal = None;
        self.heard = sent;
        self.next = now.saturating_add(Duration::from_millis(answer.next_ms));
        // The clock is fixed when the start is known.
        if self.start.is_none() {
            self.meter.note(Stamps {
                sent,
                received: Duration::from_nanos(answer.received_ns),
                replied: Duration::from_nanos(answer.replied_ns),
                returned: now,
            });
        }
        while self.pending.front().is_some_and(|second| second.index < answer.seconds) {
            self.pending.pop_front();
        }
        if self.order.is_none() {
            self.order = answer.order;
        }
        self.start = self.start.or(answer.start_ns.map(Duration::from_nanos));
        let failed = |why| Some(Outcome::Failed(why));
        match &mut self.stage {
            Stage::Failed(why) => self.outcome = failed(Failure::Unable(why.clone())),
            Stage::Broken { why, .. } => self.outcome = failed(Failure::Broken(why.clone())),
            Stage::Left { end, .. } => self.outcome = failed(end.clone()),
            Stage::Ended { handed_in, .. } => {
                *handed_in = handed_in.or(answer.has_report.then_some(now));
                self.outcome = answer.fate.map(|fate| match fate {
                    Fate::Written => Outcome::Delivered,
                    Fate::Dropped(why) => Outcome::Failed(Failure::Dropped(why)),
                });
            }
            Stage::Started => match answer.stop {
                Some(Halt::Early(why)) => self.stop(why, now),
                Some(Halt::Unstarted(_)) | None => {}
            },
            Stage::Waiting | Stage::Armed(_) => match answer.stop {
                Some(Halt::Unstarted(why)) => self.outcome = failed(Failure::Stopped(why)),
                Some(Halt::Early(why)) => {
                    let why = why.to_string();
                    let end = Failure::Stopped(why.clone());
                    match self.start {
                        // An earlier answer with the start was lost: only this agent knows that it has sent nothing.
                        Some(_) => self.leave(&why, end, now),
                        None => self.outcome = failed(end),
                    }
                }
                None => {}
            },
        }
        let must_hand_in = matches!(self.stage, Stage::Ended { handed_in: None, .. });
        if must_hand_in || self.pending.len() >= SECONDS_AT_ONCE {
            self.next = now;
        }
    }

    /// A request was refused.
    pub(crate) fn refused(&mut self, refusal: Refusal, now: Duration) {
        match (refusal.cause, &self.stage) {
            // A coordinator that was started anew: the run has not begun.
            (Cause::Unknown, Stage::Waiting | Stage::Armed(_)) => {
                (self.id, self.order, self.stage) = (None, None, Stage::Waiting);
                (self.meter, self.next) = (Meter::default(), now.saturating_add(REPEATED_AFTER));
                self.began = now;
            }
            (Cause::Full, Stage::Waiting) => {
                self.next = now.saturating_add(ASKS_AGAIN_AFTER);
                self.full = Some(refusal);
            }
            (_, Stage::Left { end, .. }) => self.fail(end.clone()),
            // A request that did not arrive whole may do so later.
            (Cause::Request, Stage::Started | Stage::Ended { .. }) => {
                self.next = now.saturating_add(ASKS_AGAIN_AFTER);
                self.refusal = Some(refusal);
            }
            // Another coordinator: there is none for this run.
            (_, Stage::Started) => {
                self.stop(Stopped::Refused { why: reason(&refusal.hint) }, now);
                self.next = now.saturating_add(REPEATED_AFTER);
                self.refusal = Some(refusal);
            }
            (_, Stage::Ended { .. }) => self.fail(Failure::Undelivered(Some(refusal))),
            _ => self.fail(Failure::Refused(refusal)),
        }
    }

    /// A request had no reply.
    pub(crate) fn unanswered(&mut self, now: Duration) {
        self.next = now.saturating_add(REPEATED_AFTER);
    }

    /// The plan of its order is built, or can't be. Returns whether it is needed: the agent may have signed off meanwhile.
    pub(crate) fn armed(&mut self, plan: Result<Digest, String>, now: Duration) -> bool {
        let is_needed = self.building.take() == self.order && matches!(self.stage, Stage::Waiting);
        match plan {
            _ if !is_needed => {}
            Ok(digest) => {
                self.stage = Stage::Armed(digest);
                self.next = now;
            }
            Err(why) => self.failed(&why, now),
        }
        matches!(self.stage, Stage::Armed(_))
    }

    /// It can't run, and has sent nothing.
    pub(crate) fn failed(&mut self, why: &str, now: Duration) {
        self.stage = Stage::Failed(reason(why));
        self.next = now;
    }

    /// A second of the run is complete.
    pub(crate) fn second(&mut self, interval: &Interval) {
        let [measured, warmup] = &mut self.counted;
        measured.merge(&interval.measured);
        warmup.merge(&interval.warmup);
        let by_now = self.counted.each_ref().map(|account| {
            let in_flight = account.started.saturating_sub(account.ended());
            Accounting { in_flight, ..account.clone() }
        });
        let second = Second::new(interval, by_now);
        if self.pending.len() < PENDING_LIMIT {
            self.pending.push_back(second);
        }
    }

    /// The run has ended.
    pub(crate) fn ended(&mut self, report: Result<Report, String>, now: Duration) {
        self.next = now;
        self.stage = match report {
            Ok(report) => {
                // It may have been complete just before.
                self.stopped.take_if(|_| !report.interrupted);
                if report.interrupted {
                    // Its lease was over, which was not seen here before.
                    let silent_ms = millis(ORPHANED_AFTER);
                    let _ = self.stopped.get_or_insert(Stopped::NoCoordinator { silent_ms });
                }
                Stage::Ended { at: now, report: Box::new(report), handed_in: None }
            }
            Err(why) => Stage::Broken { at: now, why: reason(&why) },
        };
    }
}
