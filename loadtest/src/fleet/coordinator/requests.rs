//! The requests of agents, and their replies.

use std::time::Duration;

use super::member::{Member, Presence, Reported};
use super::{Coordinator, EXCHANGES, Ending, Event, Settings, Stage};
use crate::fleet::agents;
use crate::fleet::checks::{Known, check, check_hello};
use crate::fleet::protocol::{
    Answer, BODY_LIMIT, Cause, Hello, Order, PROTOCOL, Refusal, State, UPDATE_LIMIT, Update, VERSION, Welcome,
};
use crate::time::clock::{millis, nanos};

/// The time between the updates of an agent: until its clock is measured, while it waits for others, around the start,
/// during the run, and after its end.
const WHILE_MEASURING: Duration = Duration::from_millis(20);
const WHILE_WAITING: Duration = Duration::from_millis(500);
const WHILE_STARTING: Duration = Duration::from_millis(100);
const WHILE_RUNNING: Duration = Duration::from_secs(1);
pub(super) const WHILE_ENDING: Duration = Duration::from_millis(200);

impl Coordinator {
    /// An agent introduces itself.
    ///
    /// # Errors
    /// It is not accepted.
    pub(crate) fn register(&mut self, now: Duration, hello: &Hello) -> Result<Welcome, Refusal> {
        check_hello(hello).map_err(|why| Refusal::new(Cause::Request, why.to_string()))?;
        if hello.protocol != PROTOCOL || hello.version != VERSION {
            let hint = format!(
                "the coordinator is smtpload {VERSION} (protocol {PROTOCOL}), this agent {} (protocol {}): run the same \
                 version on all machines",
                hello.version, hello.protocol
            );
            return Err(Refusal::new(Cause::Version, hint));
        }
        // It does not renew the time of its last request: its updates do, so one that only introduces itself is dropped.
        if let Some(known) = self.members.iter().find(|member| member.nonce == hello.nonce) {
            return Ok(Welcome { agent: known.id.clone(), name: known.name.clone() });
        }
        let hint = match &self.stage {
            Stage::Gathering => None,
            Stage::Decided { .. } | Stage::Started { .. } => {
                Some("the run of this coordinator has begun without this agent")
            }
            Stage::Over(Ending::Unstarted(_)) => {
                Some("the run of this coordinator did not start, and is over")
            }
            Stage::Over(Ending::Complete { .. }) => Some("the run of this coordinator is over"),
        };
        if let Some(hint) = hint {
            return Err(Refusal::new(Cause::Begun, hint));
        }
        let taken = |part: u64| self.members.iter().any(|member| member.part == part);
        let Some(part) = (0..self.settings.agents).find(|part| !taken(*part)) else {
            let hint = format!(
                "this run has its {}: {}; --agents of the coordinator sets their number",
                agents(self.settings.agents),
                self.names().join(", ")
            );
            return Err(Refusal::new(Cause::Full, hint));
        };
        let name = self.unique(&hello.name);
        let id = format!("{:08x}-{part}-{:016x}", self.settings.run, hello.nonce);
        let welcome = Welcome { agent: id.clone(), name: name.clone() };
        self.members.push(Member {
            id,
            nonce: hello.nonce,
            name: name.clone(),
            part,
            heard: now,
            state: State::Waiting,
            clock: None,
            presence: Presence::There,
            heard_again: None,
            stopped: None,
            coordinator_signal: None,
            has_start: false,
            owes_report: None,
            is_overdue: false,
            reported: Reported::new(),
        });
        self.members.sort_by_key(|member| member.part);
        self.events.push_back(Event::Joined(name, self.members.len() as u64));
        Ok(welcome)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// The name, or the name with the first free number from 2 on.
    fn unique(&self, name: &str) -> String {
        let is_taken = |name: &str| self.members.iter().any(|member| member.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !is_taken(name)).unwrap_or_else(|| name.to_owned())
    }

    /// The index of an agent.
    ///
    /// # Errors
    /// There is no such agent.
    fn find(&self, id: &str) -> Result<usize, Refusal> {
        let index = self.members.iter().position(|member| member.id == id);
        index.ok_or_else(|| {
            let hint = "this coordinator has no such agent: it is of another run, or was dropped because it did not report";
            Refusal::new(Cause::Unknown, hint)
        })
    }

    /// The most octets of a request of an agent, which is one, or was until the run was over: only one that has started can
    /// have a report.
    ///
    /// # Errors
    /// There is no such agent.
    pub(crate) fn body_limit(&self, id: &str) -> Result<usize, Refusal> {
        let is_seated = self.seats.iter().any(|seat| seat.id == id);
        let has_start = match self.find(id) {
            Ok(index) => self.members[index].has_start,
            Err(_) if is_seated => true,
            Err(unknown) => return Err(unknown),
        };
        Ok(if has_start { BODY_LIMIT } else { UPDATE_LIMIT })
    }

    /// A long request of an agent is arriving: it is not lost meanwhile.
    pub(crate) fn receives(&mut self, id: &str, now: Duration) {
        if let Ok(index) = self.find(id) {
            let member = &mut self.members[index];
            member.heard = now;
            member.owes_report = member.owes_report.map(|_| now);
        }
    }

    /// An agent reports. The answer's `replied_ns` is that of `received_ns`; the caller sets it when it replies.
    ///
    /// # Errors
    /// There is no such agent, or the update is not valid.
    pub(crate) fn update(&mut self, now: Duration, id: &str, mut update: Update) -> Result<Answer, Refusal> {
        let index = match self.find(id) {
            Ok(index) => index,
            Err(unknown) => return self.fate(now, id).ok_or(unknown),
        };
        let order = self.order(index);
        let (start, member) = (self.start(), &self.members[index]);
        let has_report = member.has_report();
        if has_report {
            // All of it is known; the reply was lost.
            update.seconds.clear();
            update.state = State::Ended(None);
        }
        let known = Known {
            order: &order,
            elapsed: start.map(|start| now.saturating_sub(start)),
            seconds: member.reported.seconds,
            counted: [&member.reported.measured, &member.reported.warmup],
            has_report,
        };
        let intervals = check(&mut update, &known);
        let intervals = intervals.map_err(|why| Refusal::new(Cause::Request, why.to_string()))?;
        self.take_seconds(now, index, &update.seconds, intervals);
        update.state = self.checked(update.state);
        self.take_state(now, index, update);
        if let (Stage::Gathering, State::Left(_)) = (&self.stage, &self.members[index].state) {
            let answer = self.answer(now, index);
            // Its place is free.
            drop(self.members.remove(index));
            return Ok(answer);
        }
        self.proceed(now);
        self.show_seconds();
        Ok(self.answer(now, index))
    }

    fn take_state(&mut self, now: Duration, index: usize, update: Update) {
        let member = &mut self.members[index];
        if member.presence != Presence::There {
            member.presence = Presence::There;
            member.heard_again = Some(now);
        }
        member.heard = member.heard.max(now);
        member.clock = update.clock.or(member.clock);
        if member.has_ended() {
            return;
        }
        let has_stopped = member.stopped.is_none() && update.stopped.is_some();
        member.stopped = update.stopped;
        member.state = update.state;
        // One that has stopped meanwhile is not back as if nothing had happened.
        member.heard_again.take_if(|_| member.stopped.is_some());
        let name = member.name.clone();
        let is_back = |member: &mut Member| {
            std::mem::take(&mut member.is_overdue) | member.heard_again.take().is_some()
        };
        if member.has_report() && is_back(member) {
            self.events.push_back(Event::Back(name.clone()));
        }
        let stopped = member.stopped.clone().filter(|why| has_stopped && !why.is_ordered());
        match &member.state {
            State::Left(why) => {
                let missed = format!("it has signed off: {why}");
                self.events.push_back(Event::Left(name.clone(), why.clone()));
                if let Stage::Started { .. } = self.stage {
                    self.miss(&name, &missed);
                }
            }
            State::Failed(why) | State::Broken(why)
                if matches!(self.stage, Stage::Decided { .. } | Stage::Started { .. }) =>
            {
                let why = why.clone();
                self.lose(name, &why);
            }
            _ => {
                if let Some(why) = stopped {
                    self.miss(&name, &why.to_string());
                    self.events.push_back(Event::Stopped(name, why));
                }
            }
        }
    }

    /// An agent with another plan can't run.
    fn checked(&self, state: State) -> State {
        match state {
            State::Armed(digest) if digest != self.settings.digest => {
                let differ = self.settings.digest.differences(&digest);
                let differ = if differ.is_empty() { "plan" } else { &differ };
                State::Failed(format!(
                    "its {differ} differs from the coordinator's: files must be the same on all machines"
                ))
            }
            state => state,
        }
    }

    /// The part of an agent.
    fn order(&self, index: usize) -> Order {
        let Settings { flags, agents, run, .. } = &self.settings;
        Order { flags: flags.clone(), part: self.members[index].part, parts: *agents, run: *run }
    }

    fn answer(&mut self, now: Duration, index: usize) -> Answer {
        let (start, order) = (self.start(), self.order(index));
        let member = &mut self.members[index];
        // None of those that `halt` has stopped before is armed.
        member.has_start |= start.is_some() && matches!(member.state, State::Armed(_));
        let next = match (&member.state, start) {
            (State::Waiting | State::Armed(_), None)
                if member.clock.is_none_or(|clock| clock.exchanges < EXCHANGES) =>
            {
                WHILE_MEASURING
            }
            (State::Ended(_), _) => WHILE_ENDING,
            (_, Some(start)) if now > start => WHILE_RUNNING,
            (State::Armed(_), _) | (_, Some(_)) => WHILE_STARTING,
            (_, None) => WHILE_WAITING,
        };
        let now_ns = nanos(now);
        Answer {
            received_ns: now_ns,
            replied_ns: now_ns,
            next_ms: millis(next),
            order: Some(order),
            start_ns: start.filter(|_| member.has_start).map(nanos),
            seconds: member.reported.seconds,
            stop: self.stop.clone(),
            has_report: member.has_report(),
            fate: None,
        }
    }
}
