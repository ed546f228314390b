//! Coordinator and agents under a virtual clock, over a network that delays, loses and repeats, with kills. Every case
//! follows from its seed, which is printed when it fails.

#![cfg(test)]

mod cases;
mod deliveries;
mod files;
mod starts;

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Parser as _;
use oorandom::Rand64;

use super::agent::{Agent, Failure, Outcome, Todo};
use super::coordinator::{Coordinator, Ending, Event, Member, Settings, Unstarted};
use super::limits::STOPS_WITHIN;
use super::offset::shifted;
use super::protocol::{Answer, Hello, Order, PROTOCOL, Refusal, Update, VERSION, Welcome};
use super::report_of;
use crate::load::feed::due;
use crate::load::part::Part;
use crate::load::plan::Plan;
use crate::measure::interval::Interval;
use crate::measure::metrics::{End, record};
use crate::measure::tally::Tally;
use crate::report::Report;
use crate::report::agents::{lost, stopped_early};
use crate::report::series::Series;
use crate::report::stopped::Stopped;
use crate::run::build;
use crate::run::digest::digest;
use crate::run::engine::Finished;
use crate::time::clock::Moment;

/// When the simulated world begins, since 1970.
pub(super) const DAWN: Duration = Duration::from_secs(1_800_000_000);

/// One step of the virtual clock.
const STEP: Duration = Duration::from_millis(5);

/// The load: about 1,200 messages, and how long it lasts.
const FLAGS: &[&str] = &["--rate=40/s", "--duration=30s", "--seed=3", "--arrivals=poisson", "127.0.0.1:25"];
const LENGTH: Duration = Duration::from_secs(30);

/// Messages are sent at these intervals, those that are due by then.
const BATCH: Duration = Duration::from_millis(100);

// The attribute marks what is for tests only: the room itself does not know the command line.
#[cfg(test)]
pub(super) fn plan(part: u64, parts: u64) -> Plan {
    let mut cli = crate::program::cli::Cli::try_parse_from(["smtpload"].iter().chain(FLAGS)).unwrap();
    cli.run.part = Some(Part::new(part, parts).unwrap());
    cli.run.run_id = Some(7);
    cli.run.plan(|| 1).unwrap()
}

/// What is on its way to the coordinator, or back, and when it arrives.
enum Travelling {
    Hello(Hello, Duration),
    Update(Box<Update>, Duration),
    Welcome(Result<Welcome, Refusal>, Duration),
    Answer(Box<Result<Answer, Refusal>>, Duration),
}

/// A run on a simulated machine: every message is accepted at once.
pub(super) struct Load {
    plan: Plan,
    /// By the clock of the world, and by that of the machine.
    start: Duration,
    local_start: Duration,
    tally: Tally,
    rows: Series,
    second: Interval,
    sent: u64,
    /// When it was looked at last.
    looked: Duration,
    /// Since when it must stop.
    stops: Option<Duration>,
    is_over: bool,
}

impl Load {
    pub(super) fn new(order: &Order, start: Duration, local_start: Duration) -> Load {
        let plan = plan(order.part, order.parts);
        let tally = Tally::new(&plan);
        Load {
            plan,
            start,
            local_start,
            tally,
            rows: Series::new(),
            second: Interval::new(0),
            sent: 0,
            looked: start,
            stops: None,
            is_over: false,
        }
    }

    /// Sends what is due by `now`. Returns the seconds that are complete.
    pub(super) fn advance(&mut self, now: Duration, must_stop: bool) -> Vec<Interval> {
        let elapsed = now.saturating_sub(self.start);
        let due = due(&self.plan, elapsed).unwrap();
        for _ in self.sent..due {
            let latency = Duration::from_micros(100 + (self.plan.part.seq(self.sent) * 7919) % 900);
            self.tally.measured.started += 1;
            self.tally.measured.accepted += 1;
            self.tally.metrics.message.record(End::Ok, latency);
            self.second.started += 1;
            self.second.accepted += 1;
            self.second.measured.started += 1;
            self.second.measured.accepted += 1;
            record(&mut self.second.latency, latency);
            self.sent += 1;
        }
        let mut complete = Vec::new();
        let is_last = must_stop || elapsed >= LENGTH;
        let end = Duration::from_secs(self.second.index + 1);
        if elapsed >= end || is_last {
            let mut second = std::mem::replace(&mut self.second, Interval::new(end.as_secs()));
            second.length = Duration::from_secs(1).min(elapsed + Duration::from_secs(1) - end);
            second.is_last = is_last;
            self.rows.push(second.clone().into());
            complete.push(second);
        }
        self.is_over = is_last;
        complete
    }

    pub(super) fn report(&mut self, interrupted: bool) -> Report {
        let mut tally = std::mem::replace(&mut self.tally, Tally::new(&self.plan));
        tally.offered_until = Moment::ZERO.after(LENGTH);
        let began = std::time::UNIX_EPOCH + self.local_start;
        let rows = std::mem::replace(&mut self.rows, Series::new());
        let ended = began + LENGTH;
        build::report(
            &self.plan,
            Finished { tally, intervals: rows, began, ended, interrupted, given_up: None },
        )
    }
}

/// A machine with an agent.
struct Machine {
    agent: Agent,
    /// Its clock minus the world's, in nanoseconds.
    offset: i64,
    /// When it is started. When it is killed, when it receives a signal, and when its link is cut, and heals.
    begins: Duration,
    killed: Option<Duration>,
    signalled: Option<Duration>,
    /// When it stands still, and goes on.
    paused: Option<(Duration, Duration)>,
    /// Whether its run can't be started, and when it fails.
    fails: bool,
    breaks: Option<Duration>,
    /// How long after its run it has the report, if not at once; and when that is.
    withholds: Option<Duration>,
    reports: Option<Duration>,
    /// How long it builds its plan, and when that is built.
    builds: Duration,
    built: Option<Duration>,
    /// How long its run takes to end once it must stop, in which it sends nothing.
    grace: Duration,
    cut: Option<(Duration, Duration)>,
    travelling: Option<(Duration, Travelling)>,
    /// When the request that is on its way is given up.
    timeout: Duration,
    load: Option<Load>,
    outcome: Option<Outcome>,
}

struct World {
    random: Rand64,
    now: Duration,
    coordinator: Coordinator,
    machines: Vec<Machine>,
    /// Losses out of a hundred.
    loss: u64,
    events: Vec<String>,
    /// When the coordinator has written its report after the end of the run, whether it can, and what it has gathered.
    writes_after: Duration,
    can_write: bool,
    concludes: Option<Duration>,
    gathered: Vec<Member>,
    /// Requests that arrive when a link heals, by the ids of their agents.
    held: Vec<(Duration, String, Box<Update>)>,
    /// When the coordinator receives a signal, and when it is killed.
    signalled: Option<Duration>,
    dies: Option<Duration>,
    /// The start by the coordinator.
    start: Option<Duration>,
}

impl World {
    fn new(seed: u64, agents: u64, loss: u64, stops_on_loss: bool) -> World {
        World::with_spares(seed, agents, 0, loss, stops_on_loss)
    }

    /// With so many machines more than the run has agents.
    fn with_spares(seed: u64, agents: u64, spares: u64, loss: u64, stops_on_loss: bool) -> World {
        let mut random = Rand64::new(seed.into());
        let settings = Settings {
            agents,
            patience: Duration::from_secs(60),
            stops_on_loss,
            flags: FLAGS.iter().map(|flag| (*flag).to_owned()).collect(),
            run: 7,
            digest: digest(&plan(0, agents)),
            warmup: Duration::ZERO,
        };
        let machines = (0..agents + spares).map(|index| {
            let offset = i64::try_from(random.rand_range(0..7_200_000_000_000)).unwrap() - 3_600_000_000_000;
            Machine {
                agent: Agent::new(
                    format!("m{index}"),
                    index + 1,
                    Duration::from_secs(60),
                    shifted(DAWN, offset),
                ),
                offset,
                begins: DAWN,
                killed: None,
                signalled: None,
                fails: false,
                paused: None,
                breaks: None,
                withholds: None,
                reports: None,
                builds: Duration::ZERO,
                built: None,
                grace: Duration::ZERO,
                cut: None,
                travelling: None,
                timeout: Duration::MAX,
                load: None,
                outcome: None,
            }
        });
        let machines = machines.collect();
        let coordinator = Coordinator::new(settings, DAWN);
        World {
            writes_after: Duration::from_millis(random.rand_range(0..2_000)),
            random,
            now: DAWN,
            coordinator,
            machines,
            loss,
            events: Vec::new(),
            can_write: true,
            concludes: None,
            gathered: Vec::new(),
            held: Vec::new(),
            signalled: None,
            dies: None,
            start: None,
        }
    }

    /// When something sent now arrives; `None` if it is lost.
    fn arrival(&mut self, machine: usize) -> Option<Duration> {
        let is_cut =
            self.machines[machine].cut.is_some_and(|(from, until)| (from..until).contains(&self.now));
        let is_lost = self.random.rand_range(0..100) < self.loss;
        let delay = Duration::from_micros(self.random.rand_range(50..40_000));
        (!is_cut && !is_lost).then(|| self.now + delay)
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        if !self.is_dead() {
            self.coordinate(now);
        }
        for index in 0..self.machines.len() {
            let machine = &self.machines[index];
            if machine.outcome.is_none()
                && now >= machine.begins
                && machine.killed.is_none_or(|killed| now < killed)
                && machine.paused.is_none_or(|(from, until)| !(from..until).contains(&now))
            {
                self.work(index);
            }
        }
    }

    fn is_dead(&self) -> bool {
        self.dies.is_some_and(|dies| self.now >= dies)
    }

    /// What the coordinator does by itself.
    fn coordinate(&mut self, now: Duration) {
        for (_, id, update) in self.held.extract_if(.., |(at, ..)| *at <= now) {
            let _ = self.coordinator.update(now, &id, *update);
        }
        if self.signalled.is_some_and(|at| now >= at) {
            self.coordinator.interrupt("SIGINT");
        }
        self.coordinator.tick(now);
        while let Some(event) = self.coordinator.event() {
            match event {
                Event::Lost(name) => self.events.push(format!("{name} lost")),
                Event::Late(name) => self.events.push(format!("{name} late")),
                Event::Back(name) => self.events.push(format!("{name} back")),
                Event::Stopped(name, why) => self.events.push(format!("{name} stopped: {why}")),
                Event::Left(name, why) => self.events.push(format!("{name} left: {why}")),
                Event::Dropped(name) => self.events.push(format!("{name} dropped")),
                Event::Starts(at) => self.start = Some(at),
                Event::Joined(..) | Event::Signalled(_) | Event::Second(_) => {}
            }
        }
        if self.is_complete() && self.concludes.is_none() {
            self.gathered = self.coordinator.take_members();
            self.concludes = Some(now + self.writes_after);
        }
        if self.concludes.is_some_and(|at| now >= at) {
            let written = if self.can_write { Ok(BTreeMap::new()) } else { Err("no space left".to_owned()) };
            self.coordinator.conclude(written);
        }
    }

    fn work(&mut self, index: usize) {
        let now = self.now;
        let local = shifted(now, self.machines[index].offset);
        self.deliver(index, local);
        let machine = &mut self.machines[index];
        if machine.signalled.is_some_and(|at| now >= at) && machine.timeout == Duration::MAX {
            machine.agent.signalled("SIGTERM", local);
        }
        if machine.built.take_if(|at| now >= *at).is_some() {
            machine.agent.armed(Ok(digest(&plan(0, 1))), local);
        }
        if let Some(load) = &mut machine.load {
            // After a pause the run looks at its lease itself, before it sends anything.
            let is_lapsed = local > machine.agent.lease();
            let must_stop = is_lapsed || machine.agent.stopped().is_some();
            let since = if is_lapsed { load.looked } else { now };
            let is_batch = now.saturating_sub(load.start).as_millis() % BATCH.as_millis() < STEP.as_millis();
            if !load.is_over && machine.breaks.is_some_and(|at| now >= at) {
                load.is_over = true;
                machine.agent.ended(Err("no descriptors".to_owned()), local);
            }
            let stops = must_stop.then(|| *load.stops.get_or_insert(since));
            let is_due = stops.map_or(is_batch, |since| now >= since + machine.grace);
            if !load.is_over && (now >= load.start || must_stop) && is_due {
                load.looked = now;
                for second in load.advance(stops.unwrap_or(now), must_stop) {
                    machine.agent.second(&second);
                }
                match machine.withholds.filter(|_| load.is_over) {
                    Some(late) => machine.reports = Some(now + late),
                    None if load.is_over => machine.agent.ended(Ok(load.report(must_stop)), local),
                    None => {}
                }
            }
            if machine.reports.take_if(|at| now >= *at).is_some() {
                machine.agent.ended(Ok(load.report(false)), local);
            }
        }
        if machine.travelling.is_some() || local < machine.timeout && machine.timeout != Duration::MAX {
            // Looks for the end of its own, as the real one does between its requests.
            return;
        }
        if machine.timeout != Duration::MAX {
            machine.timeout = Duration::MAX;
            machine.agent.unanswered(local);
            self.disconnect(index);
        }
        let machine = &mut self.machines[index];
        match machine.agent.next(local) {
            Todo::Register(hello) => self.send(index, Travelling::Hello(hello, local), local),
            Todo::Update(update) => self.send(index, Travelling::Update(update, local), local),
            Todo::Arm(_) => machine.built = Some(now + machine.builds),
            Todo::Run(_) if machine.fails => machine.agent.failed("no thread", local),
            Todo::Run(start) => {
                let order = machine.agent.order().unwrap().clone();
                machine.load = Some(Load::new(&order, shifted(start, -machine.offset), start));
            }
            Todo::Wait(_) => {}
            Todo::End(outcome) => {
                machine.outcome = Some(outcome);
                self.disconnect(index);
            }
        }
    }

    /// The connection of an agent ends, which its coordinator notices unless the link is cut.
    fn disconnect(&mut self, index: usize) {
        let machine = &self.machines[index];
        let is_cut = machine.cut.is_some_and(|(from, until)| (from..until).contains(&self.now));
        if let Some(id) = machine.agent.id().filter(|_| !is_cut) {
            self.coordinator.closed(id, self.now);
        }
    }

    /// As `work`, while the coordinator stands still and answers nothing.
    fn work_unanswered(&mut self, index: usize) {
        self.machines[index].travelling = None;
        self.work(index);
    }

    fn send(&mut self, index: usize, what: Travelling, local: Duration) {
        let arrival = self.arrival(index);
        let machine = &mut self.machines[index];
        // The agent gives it up, but what is underway arrives when the link heals.
        if let (None, Travelling::Update(update, _), Some((_, healed))) = (arrival, &what, machine.cut)
            && self.now < healed
        {
            self.held.push((healed, machine.agent.id().unwrap().to_owned(), update.clone()));
        }
        machine.timeout = local + Duration::from_secs(1);
        machine.travelling = arrival.map(|at| (at, what));
    }

    /// What has arrived at either end.
    fn deliver(&mut self, index: usize, local: Duration) {
        let is_dead = self.is_dead();
        let machine = &mut self.machines[index];
        let Some((at, what)) = machine.travelling.take_if(|(at, _)| *at <= self.now) else { return };
        if is_dead && matches!(what, Travelling::Hello(..) | Travelling::Update(..)) {
            return;
        }
        let reply = match what {
            Travelling::Hello(hello, sent) => {
                Travelling::Welcome(self.coordinator.register(at, &hello), sent)
            }
            Travelling::Update(update, sent) => {
                let id = machine.agent.id().unwrap().to_owned();
                // Now and then it comes twice.
                if self.random.rand_range(0..10) == 0 {
                    let _ = self.coordinator.update(at, &id, (*update).clone());
                }
                // Through JSON, as on the wire.
                let text = serde_json::to_string(&update).unwrap();
                let update = serde_json::from_str(&text).unwrap();
                Travelling::Answer(Box::new(self.coordinator.update(at, &id, update)), sent)
            }
            Travelling::Welcome(welcome, sent) => {
                machine.timeout = Duration::MAX;
                match welcome {
                    Ok(welcome) => machine.agent.welcomed(welcome, sent),
                    Err(refusal) => machine.agent.refused(refusal, local),
                }
                return;
            }
            Travelling::Answer(answer, sent) => {
                machine.timeout = Duration::MAX;
                match *answer {
                    Ok(answer) => machine.agent.answered(answer, sent, shifted(at, machine.offset)),
                    Err(refusal) => machine.agent.refused(refusal, local),
                }
                return;
            }
        };
        let arrival = self.arrival(index).map(|back| (back, reply));
        self.machines[index].travelling = arrival;
    }

    /// Until the coordinator ends, and all agents have ended, for some minutes at most.
    fn run(&mut self) {
        for _ in 0..60_000 {
            self.step();
            let is_over = self.coordinator.ending().is_some() || self.is_dead();
            if is_over
                && self.machines.iter().all(|machine| machine.outcome.is_some() || machine.killed.is_some())
            {
                break;
            }
        }
    }

    fn is_complete(&self) -> bool {
        matches!(self.coordinator.ending(), Some(Ending::Complete { .. }))
    }

    fn sent(&self) -> u64 {
        self.machines.iter().filter_map(|machine| machine.load.as_ref()).map(|load| load.sent).sum()
    }

    fn report(self) -> Report {
        let start = self.start.unwrap();
        let parts = self.machines.iter().find_map(|machine| machine.agent.order()).unwrap().parts;
        report_of(self.gathered, start, plan(0, parts)).unwrap()
    }
}

/// Runs a case for several seeds, and names the one that fails.
fn for_seeds(case: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in 0..6 {
        if let Err(why) = std::panic::catch_unwind(|| case(seed)) {
            eprintln!("the case failed with seed {seed}");
            std::panic::resume_unwind(why);
        }
    }
}

/// What one process reports of the same samples.
fn alone() -> Report {
    let order = Order { flags: Vec::new(), part: 0, parts: 1, run: 7 };
    let mut load = Load::new(&order, DAWN, DAWN);
    (1..=LENGTH.as_secs()).for_each(|second| drop(load.advance(DAWN + Duration::from_secs(second), false)));
    load.report(false)
}

/// Steps until the start is decided.
fn until_decided(world: &mut World) -> Duration {
    loop {
        world.step();
        if let Some(start) = world.start {
            return start;
        }
    }
}
