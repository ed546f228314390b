//! The coordinator's side of the protocol. Pure: requests and the time go in, replies and events come out.
//!
//! All times are since 1970 by the coordinator's clock, which never goes back.

mod conclusion;
mod losses;
mod member;
mod requests;
mod seconds;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

pub(super) use member::{Member, Presence, Reported};

use self::conclusion::Seat;
pub(crate) use self::conclusion::Written;
use crate::fleet::limits::LATE_AFTER;
use crate::fleet::protocol::{Halt, State};
use crate::measure::interval::Interval;
use crate::report::plans::Digest;
use crate::report::stopped::Stopped;

/// The time for all agents to learn of the start, each of which asks ten times a second, and again when it had no reply for a
/// second.
const LEAD: Duration = Duration::from_secs(3);

/// When the coordinator has not looked for this long, it stood still itself: what came meanwhile waits to be read.
const STOOD_STILL: Duration = Duration::from_secs(1);

/// A run is started, and its start confirmed, only if something came from each agent within this time; all ask ten times
/// a second then.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// Where the loss of an agent stops the others, agents learn of the start only when it is confirmed: so long after the
/// decision, or later, until `UNCONFIRMED` before the start, when all agents are there. A run that is not confirmed does not
/// start, and no agent can have sent anything.
const CONFIRMED_AFTER: Duration = Duration::from_secs(2);
const UNCONFIRMED: Duration = Duration::from_secs(1);

/// The exchanges with an agent before its clock is known well enough.
const EXCHANGES: u64 = 8;

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
    /// Of the plan, that of each agent.
    pub(crate) digest: Digest,
    pub(crate) warmup: Duration,
}

/// What has happened, for the view.
#[derive(Debug)]
pub(crate) enum Event {
    /// So many agents are there.
    Joined(String, u64),
    /// An agent was dropped before the start.
    Dropped(String),
    /// An agent has signed off before the start: why.
    Left(String, String),
    /// The start is decided, or decided anew while no agent knew it.
    Starts(Duration),
    /// The coordinator received this signal during the run.
    Signalled(String),
    Late(String),
    Lost(String),
    Back(String),
    /// An agent has ended its part early by itself.
    Stopped(String, Stopped),
    /// A second of the run, of all agents that are there.
    Second(Box<Interval>),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every agent has reported, or is lost. The start of the run.
    Complete {
        start: Duration,
    },
    Unstarted(Unstarted),
}

/// Why the run did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unstarted {
    /// Agents were missing or not ready when the time was over: those that were there.
    Missing(Vec<Present>),
    /// An agent can't run: its name and reason.
    Unable(String, String),
    /// An agent was lost before the start, and no other may go on without it: its name and reason.
    Lost(String, String),
    /// This signal came before the start.
    Interrupted(String),
}

/// An agent that was there when the time for all was over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Present {
    pub(crate) name: String,
    /// Why it was not ready; `None` if it was.
    pub(crate) lacks: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Gathering,
    /// It is decided when the run starts, but no agent knows it yet.
    Decided {
        at: Duration,
    },
    /// Agents learn of the start, or have started.
    Started {
        at: Duration,
    },
    Over(Ending),
}

/// The state of the coordination.
#[derive(Debug)]
pub(crate) struct Coordinator {
    settings: Settings,
    began: Duration,
    /// When time passed last, and when it passed again after the coordinator itself had stood still.
    ticked: Duration,
    resumed: Duration,
    stage: Stage,
    members: Vec<Member>,
    /// The agents, once what they have reported was taken, and what has become of it.
    seats: Vec<Seat>,
    concluded: Option<Written>,
    /// All must stop.
    stop: Option<Halt>,
    /// The first signal that came.
    signal: Option<String>,
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
            ticked: now,
            resumed: now,
            stage: Stage::Gathering,
            members: Vec::new(),
            seats: Vec::new(),
            concluded: None,
            stop: None,
            signal: None,
            behind: BTreeMap::new(),
            unshown: 0,
            events: VecDeque::new(),
        }
    }

    /// The next event that was not taken.
    pub(crate) fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The start of the run, once agents may learn of it.
    pub(crate) fn start(&self) -> Option<Duration> {
        match self.stage {
            Stage::Started { at } => Some(at),
            Stage::Gathering | Stage::Decided { .. } | Stage::Over(_) => None,
        }
    }

    pub(crate) fn ending(&self) -> Option<&Ending> {
        match &self.stage {
            Stage::Over(ending) => Some(ending),
            Stage::Gathering | Stage::Decided { .. } | Stage::Started { .. } => None,
        }
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
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
                    self.end(
                        &format!("{name} can't run: {why}"),
                        Unstarted::Unable(name.clone(), why.clone()),
                    );
                    return;
                }
                let is_full = self.members.len() as u64 == self.settings.agents;
                let is_ready =
                    |member: &Member| member.is_ready() && self.silence(member, now) <= HEARD_WITHIN;
                if is_full && self.members.iter().all(is_ready) {
                    self.decide(now);
                }
            }
            Stage::Started { at } if self.members.iter().all(Member::is_settled) => {
                self.stage = Stage::Over(Ending::Complete { start: at });
            }
            Stage::Decided { .. } | Stage::Started { .. } | Stage::Over(_) => {}
        }
    }

    /// Decides the start. One that no agent knows may be decided anew.
    fn decide(&mut self, now: Duration) {
        let at = now.saturating_add(LEAD);
        let (at, stage): (Duration, fn(Duration) -> Stage) = match self.settings.stops_on_loss {
            true => (at.saturating_add(CONFIRMED_AFTER), |at| Stage::Decided { at }),
            false => (at, |at| Stage::Started { at }),
        };
        self.stage = stage(at);
        self.events.push_back(Event::Starts(at));
    }

    /// The run does not start.
    fn end(&mut self, why: &str, unstarted: Unstarted) {
        self.stop = Some(Halt::Unstarted(why.to_owned()));
        self.stage = Stage::Over(Ending::Unstarted(unstarted));
    }

    /// How long nothing came from an agent while the coordinator could have received it.
    fn silence(&self, member: &Member, now: Duration) -> Duration {
        now.saturating_sub(member.heard.max(self.resumed))
    }

    fn present(&self, now: Duration) -> Vec<Present> {
        let present = self.members.iter().map(|member| {
            let silence = self.silence(member, now);
            let lacks = match member.state {
                _ if silence > HEARD_WITHIN => {
                    Some(format!("nothing has come from it for {:.1} s", silence.as_secs_f64()))
                }
                State::Waiting => Some("it builds its plan".to_owned()),
                _ => (!member.is_ready()).then(|| "its clock is not measured".to_owned()),
            };
            Present { name: member.name.clone(), lacks }
        });
        present.collect()
    }

    /// Time has passed. The caller calls it at least ten times a second.
    pub(crate) fn tick(&mut self, now: Duration) {
        if now.saturating_sub(self.ticked) > STOOD_STILL {
            self.resumed = now;
            // Whether all agents are there must be seen anew.
            if let Stage::Decided { .. } = self.stage {
                self.decide(now);
            }
        }
        self.ticked = now;
        match self.stage {
            Stage::Gathering => {
                let (gone, there) = std::mem::take(&mut self.members)
                    .into_iter()
                    .partition(|member| self.silence(member, now) > LATE_AFTER);
                self.members = there;
                let gone: Vec<Member> = gone;
                self.events.extend(gone.into_iter().map(|member| Event::Dropped(member.name)));
                if now.saturating_sub(self.began) > self.settings.patience {
                    let missing = Unstarted::Missing(self.present(now));
                    self.end("not all agents were ready in time", missing);
                }
            }
            Stage::Decided { at } => self.confirm(at, now),
            Stage::Started { .. } => {
                self.look_for_lost(now);
                self.proceed(now);
                self.show_seconds();
            }
            Stage::Over(_) => {}
        }
    }

    /// The signal that has ended the run.
    pub(crate) fn signal(&self) -> Option<&str> {
        self.signal.as_deref()
    }

    /// A signal ends the run. May be called again for the same signal.
    pub(crate) fn interrupt(&mut self, signal: &str) {
        if self.signal.is_some() {
            return;
        }
        self.signal = Some(signal.to_owned());
        let why = format!("the coordinator received {signal}");
        let stopped = Stopped::CoordinatorSignal { signal: signal.to_owned() };
        if self.halt(&why, stopped, Unstarted::Interrupted(signal.to_owned())) {
            self.events.push_back(Event::Signalled(signal.to_owned()));
        }
    }

    /// Stops all agents, but for an earlier reason. Agents that don't know the start get none any more: they have sent
    /// nothing, and no more is expected of them. As long as no agent knows it, the run does not start. Returns whether there
    /// is a run to be stopped.
    fn halt(&mut self, why: &str, stopped: Stopped, unstarted: Unstarted) -> bool {
        match self.stage {
            Stage::Started { .. } if self.members.iter().any(|member| member.has_start) => {
                for member in &mut self.members {
                    if !member.has_start && !member.has_ended() {
                        member.state = State::Left(stopped.to_string());
                    }
                }
                let _ = self.stop.get_or_insert(Halt::Early(stopped));
                true
            }
            Stage::Gathering | Stage::Decided { .. } | Stage::Started { .. } => {
                self.end(why, unstarted);
                false
            }
            Stage::Over(_) => false,
        }
    }
}
