//! The coordinator's side of the protocol. Pure: requests and the time go in, replies and events come out.
//!
//! All times are since 1970 by the coordinator's clock, which never goes back.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::account::accounting::Accounting;
use crate::fleet::offset::Offset;
use crate::fleet::protocol::{
    Answer, Cause, Hello, NAME_LIMIT, Order, PROTOCOL, REASON_LIMIT, Refusal, Second, State, Update, VERSION,
    Welcome,
};
use crate::measure::interval::Interval;
use crate::measure::metrics::{add, histogram};
use crate::report::Report;
use crate::report::series::Series;

/// After this time without a request, an agent is late: the view does not wait for it. Before the start it is dropped, so
/// that another may take its place.
pub(crate) const LATE_AFTER: Duration = Duration::from_secs(5);

/// After this time without a request, an agent is lost. Longer than an agent without a coordinator goes on.
pub(crate) const LOST_AFTER: Duration = Duration::from_secs(15);

/// From the decision to start to the start: time for all agents to learn of it, each of which asks ten times a second, and
/// again when it had no reply for a second.
const LEAD: Duration = Duration::from_secs(3);

/// The exchanges with an agent before its clock is known well enough.
const EXCHANGES: u64 = 8;

/// The time between the updates of an agent: until its clock is measured, while it waits for others, around the start,
/// and during the run.
const WHILE_MEASURING: Duration = Duration::from_millis(20);
const WHILE_WAITING: Duration = Duration::from_millis(500);
const WHILE_STARTING: Duration = Duration::from_millis(100);
const WHILE_RUNNING: Duration = Duration::from_secs(1);

/// The most seconds that wait for agents which have not reported them, for the view.
const BEHIND_LIMIT: usize = 64;

/// The run that is coordinated.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The number of agents, and of parts.
    pub(crate) agents: u64,
    /// The time in which all agents must be there.
    pub(crate) patience: Duration,
    /// Whether the loss of an agent stops the others.
    pub(crate) stops_on_loss: bool,
    /// The flags of the whole run.
    pub(crate) flags: Vec<String>,
    /// The id of the run.
    pub(crate) run: u32,
    pub(crate) warmup: Duration,
}

/// What has happened, for the view.
#[derive(Debug)]
pub(crate) enum Event {
    /// So many agents are there.
    Joined(String, u64),
    /// An agent was dropped before the start.
    Dropped(String),
    Starts(Duration),
    Late(String),
    Lost(String),
    Back(String),
    /// A second of the run, of all agents that are there.
    Second(Box<Interval>),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every agent has reported, or is lost.
    Complete,
    /// Agents were missing when the time was over; the names of those that were there.
    Missing(Vec<String>),
    /// An agent can't run: its name and reason.
    Unable(String, String),
    /// A signal came before the start.
    Interrupted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Gathering,
    Started(Duration),
    Over(Ending),
}

/// Whether an agent is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    There,
    Late,
    Lost,
}

/// What an agent has reported second by second.
#[derive(Debug)]
pub(crate) struct Reported {
    /// How many seconds.
    pub(crate) seconds: u64,
    pub(crate) until: Duration,
    pub(crate) measured: Accounting,
    pub(crate) warmup: Accounting,
    /// Of accepted messages, without the seconds that are part of the warm-up.
    pub(crate) latency: Histogram<u64>,
    pub(crate) rows: Series,
}

impl Reported {
    fn new() -> Reported {
        Reported {
            seconds: 0,
            until: Duration::ZERO,
            measured: Accounting::default(),
            warmup: Accounting::default(),
            latency: histogram(),
            rows: Series::new(),
        }
    }

    fn note(&mut self, second: &Second, interval: &Interval, warmup: Duration) {
        if self.until >= warmup {
            add(&mut self.latency, &interval.latency);
        }
        self.seconds += 1;
        self.until = self.until.saturating_add(interval.length);
        self.measured.clone_from(&second.measured);
        self.warmup.clone_from(&second.warmup);
        self.rows.push(interval.clone().into());
    }
}

/// An agent.
#[derive(Debug)]
pub(crate) struct Member {
    id: String,
    nonce: u64,
    pub(crate) name: String,
    /// The part of the run.
    pub(crate) part: u64,
    /// When its last request came.
    pub(crate) heard: Duration,
    pub(crate) state: State,
    pub(crate) clock: Option<Offset>,
    pub(crate) presence: Presence,
    /// Whether a reply to it had the start: only then it may have sent anything.
    pub(crate) has_start: bool,
    pub(crate) reported: Reported,
    pub(crate) report: Option<Box<Report>>,
}

impl Member {
    fn is_ready(&self) -> bool {
        self.state == State::Armed && self.clock.is_some_and(|clock| clock.exchanges >= EXCHANGES)
    }

    /// Whether nothing more is expected of it.
    fn is_settled(&self) -> bool {
        self.report.is_some() || self.presence == Presence::Lost || matches!(self.state, State::Failed(_))
    }
}

/// The state of the coordination.
#[derive(Debug)]
pub(crate) struct Coordinator {
    settings: Settings,
    began: Duration,
    stage: Stage,
    members: Vec<Member>,
    /// Why all must stop.
    stop: Option<String>,
    /// Seconds that not all agents have reported, for the view.
    behind: BTreeMap<u64, Interval>,
    /// The first second that was not shown.
    unshown: u64,
    events: VecDeque<Event>,
}

impl Coordinator {
    pub(crate) fn new(settings: Settings, now: Duration) -> Coordinator {
        Coordinator {
            settings,
            began: now,
            stage: Stage::Gathering,
            members: Vec::new(),
            stop: None,
            behind: BTreeMap::new(),
            unshown: 0,
            events: VecDeque::new(),
        }
    }

    /// The next event that was not taken.
    pub(crate) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The start of the run, once it is set.
    pub(crate) fn start(&self) -> Option<Duration> {
        match self.stage {
            Stage::Started(at) => Some(at),
            Stage::Gathering | Stage::Over(_) => None,
        }
    }

    pub(crate) fn ending(&self) -> Option<&Ending> {
        match &self.stage {
            Stage::Over(ending) => Some(ending),
            Stage::Gathering | Stage::Started(_) => None,
        }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(crate) fn into_members(self) -> Vec<Member> {
        self.members
    }

    /// An agent introduces itself.
    ///
    /// # Errors
    /// It is not accepted.
    pub(crate) fn register(&mut self, now: Duration, hello: &Hello) -> Result<Welcome, Refusal> {
        if hello.protocol != PROTOCOL || hello.version != VERSION {
            let hint = format!(
                "the coordinator is smtpload {VERSION} (protocol {PROTOCOL}), this agent {} (protocol {}): run the same \
                 version on all machines",
                hello.version, hello.protocol
            );
            return Err(Refusal::new(Cause::Version, hint));
        }
        if hello.name.is_empty() || hello.name.len() > NAME_LIMIT || hello.name.chars().any(char::is_control)
        {
            let hint =
                format!("the name of an agent has 1 to {NAME_LIMIT} octets, without control characters");
            return Err(Refusal::new(Cause::Request, hint));
        }
        if let Some(known) = self.members.iter_mut().find(|member| member.nonce == hello.nonce) {
            known.heard = now;
            return Ok(Welcome { agent: known.id.clone(), name: known.name.clone() });
        }
        if self.stage != Stage::Gathering {
            return Err(Refusal::new(
                Cause::Begun,
                "the run of this coordinator has begun without this agent",
            ));
        }
        let taken = |part: u64| self.members.iter().any(|member| member.part == part);
        let Some(part) = (0..self.settings.agents).find(|part| !taken(*part)) else {
            let hint = format!(
                "all {} agents of this run are there: {}; --agents of the coordinator sets their number",
                self.settings.agents,
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
            has_start: false,
            reported: Reported::new(),
            report: None,
        });
        self.members.sort_by_key(|member| member.part);
        self.events.push_back(Event::Joined(name, self.members.len() as u64));
        Ok(welcome)
    }

    fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    /// The name, or the name with the first free number from 2 on.
    fn unique(&self, name: &str) -> String {
        let is_taken = |name: &str| self.members.iter().any(|member| member.name == name);
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        let mut names = std::iter::once(name.to_owned()).chain(numbered);
        names.find(|name| !is_taken(name)).unwrap_or_else(|| name.to_owned())
    }

    /// An agent reports. The answer's `replied_ns` is that of `received_ns`; the caller sets it when it replies.
    ///
    /// # Errors
    /// There is no such agent, or the update is not valid.
    pub(crate) fn update(&mut self, now: Duration, id: &str, update: Update) -> Result<Answer, Refusal> {
        let Some(index) = self.members.iter().position(|member| member.id == id) else {
            let hint = "this coordinator has no such agent: it is of another run, or was dropped because it did not report";
            return Err(Refusal::new(Cause::Unknown, hint));
        };
        let invalid = |why: &str| Err(Refusal::new(Cause::Request, why));
        if matches!(&update.state, State::Failed(why) if why.len() > REASON_LIMIT) {
            return invalid("the reason of a failure is too long");
        }
        if self.take_seconds(index, &update.seconds).is_err() {
            return invalid("the latencies of a second are no histogram");
        }
        let member = &mut self.members[index];
        if member.presence != Presence::There {
            member.presence = Presence::There;
            self.events.push_back(Event::Back(member.name.clone()));
        }
        member.heard = now;
        member.clock = update.clock.or(member.clock);
        if member.report.is_none() && !matches!(member.state, State::Failed(_)) {
            member.state = update.state;
            member.report = update.report.filter(|_| member.state == State::Ended);
            if matches!(member.state, State::Failed(_)) && matches!(self.stage, Stage::Started(_)) {
                let name = member.name.clone();
                self.lose(name);
            }
        }
        self.proceed(now);
        self.show_seconds();
        Ok(self.answer(now, index))
    }

    /// Adds the seconds that follow those that are there.
    fn take_seconds(&mut self, index: usize, seconds: &[Second]) -> Result<(), ()> {
        for second in seconds {
            let reported = &mut self.members[index].reported;
            if second.index != reported.seconds {
                continue;
            }
            let interval = second.interval().map_err(|_| ())?;
            reported.note(second, &interval, self.settings.warmup);
            if second.index < self.unshown {
                continue;
            }
            match self.behind.get_mut(&second.index) {
                Some(whole) => whole.merge(&interval),
                None => drop(self.behind.insert(second.index, interval)),
            }
        }
        Ok(())
    }

    /// Passes on the seconds that all agents which are there have reported.
    fn show_seconds(&mut self) {
        let awaited = self.members.iter().filter(|member| {
            member.presence == Presence::There && !matches!(member.state, State::Ended | State::Failed(_))
        });
        let complete = awaited.map(|member| member.reported.seconds).min().unwrap_or(u64::MAX);
        while let Some(entry) = self.behind.first_entry() {
            if *entry.key() >= complete && self.behind.len() <= BEHIND_LIMIT {
                break;
            }
            if let Some((second, interval)) = self.behind.pop_first() {
                self.unshown = second + 1;
                self.events.push_back(Event::Second(Box::new(interval)));
            }
        }
    }

    fn answer(&mut self, now: Duration, index: usize) -> Answer {
        let start = self.start();
        let is_over = matches!(self.stage, Stage::Over(_));
        let member = &mut self.members[index];
        member.has_start |= start.is_some() && member.state == State::Armed;
        let next = match (&member.state, start) {
            (State::Waiting | State::Armed, None)
                if member.clock.is_none_or(|clock| clock.exchanges < EXCHANGES) =>
            {
                WHILE_MEASURING
            }
            (_, Some(start)) if now > start => WHILE_RUNNING,
            (State::Armed, _) | (_, Some(_)) => WHILE_STARTING,
            (_, None) => WHILE_WAITING,
        };
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        Answer {
            received_ns: now_ns,
            replied_ns: now_ns,
            next_ms: u64::try_from(next.as_millis()).unwrap_or(u64::MAX),
            order: Some(Order {
                flags: self.settings.flags.clone(),
                part: member.part,
                parts: self.settings.agents,
                run: self.settings.run,
            }),
            start_ns: start.and_then(|start| u64::try_from(start.as_nanos()).ok()),
            seconds: member.reported.seconds,
            stop: self.stop.clone(),
            done: member.report.is_some() || (is_over && matches!(member.state, State::Ended)),
        }
    }

    /// Starts the run when all are ready, and ends it when all are settled.
    fn proceed(&mut self, now: Duration) {
        match self.stage {
            Stage::Gathering => {
                let unable = self.members.iter().find_map(|member| match &member.state {
                    State::Failed(why) => Some((member.name.clone(), why.clone())),
                    _ => None,
                });
                if let Some((name, why)) = unable {
                    self.end(&format!("{name} can't run: {why}"), Ending::Unable(name.clone(), why.clone()));
                    return;
                }
                let is_full = self.members.len() as u64 == self.settings.agents;
                if is_full && self.members.iter().all(Member::is_ready) {
                    let start = now.saturating_add(LEAD);
                    self.stage = Stage::Started(start);
                    self.events.push_back(Event::Starts(start));
                }
            }
            Stage::Started(_) if self.members.iter().all(Member::is_settled) => {
                self.stage = Stage::Over(Ending::Complete);
            }
            Stage::Started(_) | Stage::Over(_) => {}
        }
    }

    fn end(&mut self, why: &str, ending: Ending) {
        self.stop = Some(why.to_owned());
        self.stage = Stage::Over(ending);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Duration) {
        match self.stage {
            Stage::Gathering => {
                let is_gone = |member: &Member| now.saturating_sub(member.heard) > LATE_AFTER;
                for gone in self.members.iter().filter(|member| is_gone(member)) {
                    self.events.push_back(Event::Dropped(gone.name.clone()));
                }
                self.members.retain(|member| !is_gone(member));
                if now.saturating_sub(self.began) > self.settings.patience {
                    let ending = Ending::Missing(self.names());
                    self.end("not all agents came in time", ending);
                }
            }
            Stage::Started(_) => {
                self.look_for_lost(now);
                self.proceed(now);
                self.show_seconds();
            }
            Stage::Over(_) => {}
        }
    }

    fn look_for_lost(&mut self, now: Duration) {
        let mut lost = Vec::new();
        for member in self.members.iter_mut().filter(|member| !member.is_settled()) {
            let silent = now.saturating_sub(member.heard);
            let presence = match silent {
                silent if silent > LOST_AFTER => Presence::Lost,
                silent if silent > LATE_AFTER => Presence::Late,
                _ => Presence::There,
            };
            if presence == member.presence {
                continue;
            }
            member.presence = presence;
            let name = member.name.clone();
            match presence {
                Presence::Lost => lost.push(name),
                Presence::Late => self.events.push_back(Event::Late(name)),
                Presence::There => self.events.push_back(Event::Back(name)),
            }
        }
        lost.into_iter().for_each(|name| self.lose(name));
    }

    fn lose(&mut self, name: String) {
        if self.settings.stops_on_loss {
            let _ = self.stop.get_or_insert(format!("{name} is lost"));
        }
        self.events.push_back(Event::Lost(name));
    }

    /// A signal ends the run.
    pub(crate) fn interrupt(&mut self) {
        match self.stage {
            Stage::Gathering => self.end("the coordinator was ended by a signal", Ending::Interrupted),
            Stage::Started(_) => {
                let _ = self.stop.get_or_insert("the coordinator was ended by a signal".to_owned());
            }
            Stage::Over(_) => {}
        }
    }
}
