//! Coordinator and agents under a virtual clock, over a network that delays, loses and repeats, with kills. Every case
//! follows from its seed, which is printed when it fails.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Parser as _;
use oorandom::Rand64;

use super::agent::{Agent, Outcome, STOPS_WITHIN, Todo};
use super::coordinator::{Coordinator, Ending, Event, Member, Settings};
use super::offset::shifted;
use super::protocol::{Answer, Order, Refusal, Update, Welcome};
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

mod files;

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
    Hello(super::protocol::Hello, Duration),
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
    /// When the coordinator is killed.
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
                Event::Joined(..) | Event::Second(_) => {}
            }
        }
        if self.coordinator.ending() == Some(&Ending::Complete) && self.concludes.is_none() {
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
        if let Some(load) = &mut machine.load {
            let must_stop = machine.agent.stopped().is_some();
            let is_batch = now.saturating_sub(load.start).as_millis() % BATCH.as_millis() < STEP.as_millis();
            if !load.is_over && now >= load.start && (is_batch || must_stop) {
                for second in load.advance(now, must_stop) {
                    machine.agent.second(&second);
                }
                if load.is_over {
                    machine.agent.ended(Ok(load.report(must_stop)), local);
                }
            }
        }
        if machine.travelling.is_some() || local < machine.timeout && machine.timeout != Duration::MAX {
            // Looks for the end of its own, as the real one does between its requests.
            return;
        }
        if machine.timeout != Duration::MAX {
            machine.timeout = Duration::MAX;
            machine.agent.unanswered(local);
        }
        match machine.agent.next(local) {
            Todo::Register(hello) => self.send(index, Travelling::Hello(hello, local), local),
            Todo::Update(update) => self.send(index, Travelling::Update(update, local), local),
            Todo::Arm(_) => machine.agent.armed(Ok(digest(&plan(0, 1))), local),
            Todo::Run(start) => {
                let order = machine.agent.order().unwrap().clone();
                machine.load = Some(Load::new(&order, shifted(start, -machine.offset), start));
            }
            Todo::Wait(_) => {}
            Todo::End(outcome) => machine.outcome = Some(outcome),
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

    fn sent(&self) -> u64 {
        self.machines.iter().filter_map(|machine| machine.load.as_ref()).map(|load| load.sent).sum()
    }

    fn report(self) -> Report {
        let start = self.start.unwrap();
        let parts = self.machines.iter().find_map(|machine| machine.agent.order()).unwrap().parts;
        report_of(self.gathered, start, plan(0, parts)).unwrap()
    }
}

/// What one process reports of the same samples.
fn alone() -> Report {
    let order = Order { flags: Vec::new(), part: 0, parts: 1, run: 7 };
    let mut load = Load::new(&order, DAWN, DAWN);
    (1..=LENGTH.as_secs()).for_each(|second| drop(load.advance(DAWN + Duration::from_secs(second), false)));
    load.report(false)
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

#[test]
fn without_kills_both_sides_agree_and_percentiles_are_those_of_one_process() {
    let alone = alone();
    for_seeds(|seed| {
        let mut world = World::new(seed, 1 + seed % 4, seed, false);
        world.run();
        assert_eq!(world.coordinator.ending(), Some(&Ending::Complete), "{:?}", world.events);
        let start = world.start.unwrap();
        for machine in &world.machines {
            assert_eq!(machine.outcome, Some(Outcome::Delivered));
            // Each starts when the coordinator wants, but for the error that is reported.
            let began = machine.load.as_ref().unwrap().start;
            let name = format!("m{}", machine.agent.order().unwrap().part);
            let member = world.gathered.iter().find(|member| member.part.to_string() == name[1..]);
            let clock = member.unwrap().clock.unwrap();
            assert!(clock.offset_ns.abs_diff(machine.offset) <= clock.uncertainty_ns);
            let skew = began.abs_diff(start);
            assert!(skew <= Duration::from_nanos(clock.uncertainty_ns), "{skew:?} of {clock:?}");
        }
        let sent = world.sent();
        let report = world.report();
        let (accepted, delivered) = (report.accounting.measured.accepted, report.delivered.unwrap());
        assert_eq!((accepted, delivered.at_least, delivered.at_most), (sent, sent, Some(sent)));
        assert_eq!(sent, alone.accounting.measured.accepted);
        assert_eq!(report.latency.message, alone.latency.message, "sample for sample");
        assert_eq!(report.intervals.len(), alone.intervals.len());
        assert!(report.agents.iter().all(|agent| agent.lost.is_none()));
    });
}

#[test]
fn what_a_killed_agent_has_sent_is_in_the_range_and_it_is_named() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, seed % 2 == 1);
        // From before the start to after the end.
        let at = DAWN + Duration::from_millis(world.random.rand_range(500..34_000));
        world.machines[1].killed = Some(at);
        world.run();
        if world.events.iter().any(|event| event == "m1 dropped") {
            return; // before the start: another could take its place
        }
        assert_eq!(world.coordinator.ending(), Some(&Ending::Complete), "{:?}", world.events);
        let sent = world.sent();
        // With losses, another may have learned of the start too late: it is named as well.
        let lost = world.events.iter().filter_map(|event| event.strip_suffix(" lost"));
        let mut lost: Vec<String> = lost.map(ToOwned::to_owned).collect();
        lost.sort();
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
        let named = report.agents.iter().filter(|agent| agent.lost.is_some()).map(|agent| agent.name.clone());
        let mut named: Vec<String> = named.collect();
        named.sort();
        assert_eq!(named, lost);
        assert!(report.accounting.measured.balances());
        assert_eq!(report.latency.message.ok.count(), report.accounting.measured.accepted);
    });
}

#[test]
fn an_agent_that_receives_a_signal_is_named_with_it_and_nothing_is_in_doubt() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, seed % 2 == 1);
        world.machines[1].signalled =
            Some(DAWN + Duration::from_millis(world.random.rand_range(5_000..25_000)));
        world.run();
        assert_eq!(world.coordinator.ending(), Some(&Ending::Complete), "{:?}", world.events);
        let name =
            world.gathered.iter().find(|member| member.part == world.machines[1].agent.order().unwrap().part);
        let name = name.unwrap().name.clone();
        assert!(world.events.contains(&format!("{name} stopped: SIGTERM")), "{:?}", world.events);
        let (sent, alone) = (world.sent(), alone().accounting.measured.accepted);
        assert!(sent < alone, "{sent}");
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert_eq!((delivered.at_least, delivered.at_most), (sent, Some(sent)));
        for row in &report.agents {
            let expected = match (row.name == name, seed % 2 == 1) {
                (true, _) => Some(Stopped::Signal { signal: "SIGTERM".to_owned() }),
                (false, true) => Some(Stopped::LostAgent { agent: name.clone() }),
                (false, false) => None,
            };
            assert_eq!(row.stopped, expected, "{}", row.name);
        }
        assert_eq!(stopped_early(&report), [format!("{name} (SIGTERM)")]);
    });
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

#[test]
fn an_agent_that_signs_off_while_others_are_awaited_leaves_its_place_to_another() {
    for_seeds(|seed| {
        let mut world = World::with_spares(seed, 3, 2, seed, seed % 2 == 1);
        // All places are taken; one agent leaves, and one is gone before it was ready. The spare ones wait for their places.
        world.machines[3..].iter_mut().for_each(|machine| machine.begins = DAWN + Duration::from_secs(1));
        while world.machines[0].agent.id().is_none() {
            world.step();
        }
        world.machines[0].killed = Some(world.now);
        let left = DAWN + Duration::from_millis(world.random.rand_range(1_500..4_500));
        world.machines[1].signalled = Some(left);
        world.run();
        assert_eq!(world.coordinator.ending(), Some(&Ending::Complete), "{:?}", world.events);
        assert_eq!(world.machines[1].outcome, Some(Outcome::Interrupted("SIGTERM".to_owned())));
        assert!(world.machines[1].load.is_none());
        let delivered = [2, 3, 4].map(|index| world.machines[index].outcome.clone());
        assert!(delivered.iter().all(|outcome| *outcome == Some(Outcome::Delivered)), "{delivered:?}");
        let sent = world.sent();
        assert_eq!(sent, alone().accounting.measured.accepted);
        assert_eq!(world.report().delivered.unwrap().at_most, Some(sent));
    });
}

#[test]
fn no_agent_sends_where_one_is_lost_between_the_decision_and_the_start() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, true);
        let decided = until_decided(&mut world).checked_sub(Duration::from_secs(5)).unwrap();
        let at = |millis| Some(decided + Duration::from_millis(millis));
        let millis = world.random.rand_range(50..400);
        match seed % 3 {
            0 => world.machines[1].killed = at(millis),
            1 => world.machines[1].signalled = at(millis),
            _ => world.machines[1].cut = at(millis).map(|from| (from, Duration::MAX)),
        }
        world.run();
        let ending = world.coordinator.ending().unwrap();
        assert!(matches!(ending, Ending::Lost(..)), "{ending:?}: {:?}", world.events);
        assert_eq!(world.sent(), 0);
        for index in [0, 2] {
            let outcome = world.machines[index].outcome.clone().unwrap();
            assert!(matches!(&outcome, Outcome::Stopped(why) if why.contains("was lost")), "{outcome:?}");
        }
    });
}

#[test]
fn a_signal_at_any_time_is_named_and_the_range_is_right() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, seed % 2 == 1);
        let start = until_decided(&mut world);
        let at = world.random.rand_range(0..4_000);
        world.machines[2].signalled = Some(start + Duration::from_millis(at) - Duration::from_secs(3));
        world.run();
        let sent = world.sent();
        if let Some(Ending::Lost(..)) = world.coordinator.ending() {
            assert_eq!(sent, 0);
            return;
        }
        assert_eq!(world.coordinator.ending(), Some(&Ending::Complete), "{:?}", world.events);
        let events = world.events.clone();
        let outcome = world.machines[2].outcome.clone();
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert!((delivered.at_least..=delivered.at_most.unwrap()).contains(&sent), "{sent} of {delivered:?}");
        let named = [stopped_early(&report), lost(&report)].concat();
        assert!(named.iter().any(|one| one.contains("SIGTERM")), "{named:?}: {events:?} {outcome:?}");
    });
}

#[test]
fn a_coordinator_that_stood_still_loses_no_agent_and_names_those_that_stopped() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 2, 0, false);
        while world.start.is_none_or(|start| world.now < start + Duration::from_secs(4)) {
            world.step();
        }
        let pause = Duration::from_secs(if seed % 2 == 0 { 8 } else { 17 });
        let until = world.now + pause;
        while world.now < until {
            world.now += STEP;
            (0..world.machines.len()).for_each(|index| world.work_unanswered(index));
        }
        world.run();
        assert_eq!(world.coordinator.ending(), Some(&Ending::Complete), "{:?}", world.events);
        assert!(!world.events.iter().any(|event| event.ends_with("lost")), "{:?}", world.events);
        let (sent, events) = (world.sent(), world.events.clone());
        let report = world.report();
        let delivered = report.delivered.unwrap();
        assert_eq!((delivered.at_least, delivered.at_most), (sent, Some(sent)));
        let expected = if seed % 2 == 0 { 0 } else { 2 };
        assert_eq!(stopped_early(&report).len(), expected, "{events:?}");
    });
}

#[test]
fn a_link_that_heals_leaves_nothing_in_doubt_and_one_that_does_not_stops_its_agent() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 5, false);
        let from = DAWN + Duration::from_millis(world.random.rand_range(8_000..15_000));
        let length = if seed % 2 == 0 { Duration::from_millis(7_000) } else { Duration::MAX };
        world.machines[2].cut = Some((from, from.saturating_add(length)));
        world.run();
        let (sent, start) = (world.sent(), world.start.unwrap());
        let load = world.machines[2].load.as_ref().unwrap();
        if seed % 2 == 0 {
            assert!(world.events.contains(&"m2 back".to_owned()), "{:?}", world.events);
            assert_eq!(world.machines[2].outcome, Some(Outcome::Delivered));
        } else {
            assert_eq!(world.machines[2].outcome, Some(Outcome::Undelivered(None)));
            let most = due(&load.plan, (from + STOPS_WITHIN).saturating_sub(start)).unwrap();
            assert!(load.sent <= most, "{} of {most}", load.sent);
        }
        let delivered = world.report().delivered.unwrap();
        let range = delivered.at_least..=delivered.at_most.unwrap();
        assert!(range.contains(&sent), "{sent} of {delivered:?}");
        assert_eq!(range.start() == range.end(), seed % 2 == 0, "{delivered:?}");
    });
}

#[test]
fn agents_of_a_coordinator_that_is_gone_stop_within_the_bound_and_have_their_reports() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, 0, false);
        let gone = DAWN + Duration::from_secs(10);
        world.machines.iter_mut().for_each(|machine| machine.cut = Some((gone, Duration::MAX)));
        while world.machines.iter().any(|machine| machine.outcome.is_none()) {
            world.step();
            assert!(world.now < DAWN + Duration::from_secs(300));
        }
        let start = world.start.unwrap();
        for machine in &world.machines {
            assert_eq!(machine.outcome, Some(Outcome::Undelivered(None)));
            let load = machine.load.as_ref().unwrap();
            let most = due(&load.plan, (gone + STOPS_WITHIN).saturating_sub(start)).unwrap();
            assert!(load.sent <= most, "{} of {most}", load.sent);
            assert_eq!(machine.agent.report_of_part().unwrap().accounting.measured.accepted, load.sent);
        }
    });
}

#[test]
fn a_part_that_was_handed_in_is_not_lost_with_its_coordinator() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        let start = until_decided(&mut world);
        // From the first reports on until after the coordinator's own is written.
        let dies = start + LENGTH + Duration::from_millis(world.random.rand_range(0..3_000));
        world.dies = Some(dies);
        world.run();
        let is_written = world.concludes.is_some_and(|at| at <= dies);
        for machine in &world.machines {
            let outcome = machine.outcome.clone().unwrap();
            assert!(is_written || outcome == Outcome::Undelivered(None), "{outcome:?} without a report");
            let report = machine.agent.report_of_part().unwrap();
            assert_eq!(report.accounting.measured.accepted, machine.load.as_ref().unwrap().sent);
        }
    });
}

#[test]
fn a_report_that_can_not_be_written_leaves_its_parts_to_the_agents() {
    for_seeds(|seed| {
        let mut world = World::new(seed, 3, seed, false);
        world.can_write = false;
        world.run();
        let dropped = Outcome::Dropped("no space left".to_owned());
        assert!(world.machines.iter().all(|machine| machine.outcome.as_ref() == Some(&dropped)));
    });
}
