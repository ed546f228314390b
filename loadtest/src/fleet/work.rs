//! The agent's sockets and its run: does what the coordinator wants, until the run is delivered. Runs on the calling
//! thread; building the plan, and then the run, have one of their own.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fleet::agent::{Agent, Outcome, Todo, WAITS_AFTER_SIGNAL};
use crate::fleet::limits::{DRAINS_WITHIN, REQUEST_TIMEOUT};
use crate::fleet::protocol::{AGENTS, Answer, BODY_LIMIT, Cause, Order, Refusal, State, Welcome};
use crate::fleet::wire::{Link, allowed};
use crate::load::plan::Plan;
use crate::load::start::StartAt;
use crate::measure::interval::Interval;
use crate::report::Report;
use crate::report::plans::Digest;
use crate::report::stopped::Stopped;
use crate::run::digest::digest;
use crate::run::engine::Permit;
use crate::run::{build, engine};
use crate::time::clock::{self, Timeline};
use crate::time::lease::Lease;

/// The time for a request with a report, and as much more as a slow link takes for it.
const REPORT_TIMEOUT: Duration = Duration::from_secs(15);

/// How often the plan that is being built, and the run, are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The coordinator, and how the agent introduces itself.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Host and port.
    pub(crate) coordinator: String,
    pub(crate) token: Option<HeaderValue>,
    pub(crate) name: String,
    pub(crate) nonce: u64,
    /// The time in which there must be a coordinator.
    pub(crate) patience: Duration,
}

/// What an agent has done.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// The report of its part, if that has ended.
    pub(crate) report: Option<Report>,
    pub(crate) order: Option<Order>,
}

/// What has happened, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Unreachable(String),
    /// The run has no place for it, by the coordinator: it asks again.
    Full(String),
    Joined(String),
    Armed(Order),
    Stops(Stopped),
    /// This signal came during its run.
    Signalled(String),
    /// The coordinator has the report of its part.
    HandedIn,
}

/// Builds the plan of an order.
type Arm = fn(&Order) -> Result<Plan, String>;

/// A plan that is being built in its thread, which an agent that ends does not wait for: a file may be a FIFO without a writer,
/// and the servers of a name may not answer.
struct Building {
    order: Order,
    plan: Receiver<Result<(Plan, Digest), String>>,
}

impl Building {
    fn start(order: Order, arm: Arm) -> io::Result<Building> {
        let (sender, plan) = channel();
        let of = order.clone();
        let build = move || {
            let built = arm(&of).map(|plan| {
                let digest = digest(&plan);
                (plan, digest)
            });
            // Without a receiver the agent has another order.
            let _ = sender.send(built);
        };
        drop(std::thread::Builder::new().name("smtpload-plan".into()).spawn(build)?);
        Ok(Building { order, plan })
    }
}

/// A run in its thread.
struct Running {
    seconds: Receiver<Interval>,
    interrupt: Arc<AtomicBool>,
    lease: Lease,
    thread: JoinHandle<Result<Report, String>>,
}

impl Running {
    fn start(mut plan: Plan, start: Duration, lease: Lease) -> io::Result<Running> {
        let (sender, seconds) = channel();
        plan.start_at = Some(StartAt::from(start));
        let interrupt = Arc::<AtomicBool>::default();
        let (stop, limit) = (Arc::clone(&interrupt), lease.clone());
        let run = move || {
            let plan = Arc::new(plan);
            // Without a receiver the agent has ended.
            let permit = Permit { interrupt: &stop, lease: Some(&limit) };
            let finished = engine::run(&plan, permit, || {}, |interval| drop(sender.send(interval.clone())));
            let report = |finished: Option<_>| match finished {
                Some(finished) => build::report(&plan, finished),
                None => build::unstarted(&plan),
            };
            finished.map(report).map_err(|error| error.to_string())
        };
        let thread = std::thread::Builder::new().name("smtpload-run".into()).spawn(run)?;
        Ok(Running { seconds, interrupt, lease, thread })
    }
}

/// Works for a coordinator until the end; `arm` builds the plan of an order, `signal` is the signal that has come.
///
/// # Errors
/// The executor can't be started.
pub(crate) fn work(
    settings: Settings,
    signal: impl Fn() -> Option<&'static str>,
    arm: Arm,
    note: impl FnMut(Note),
) -> io::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let clock = Timeline::start();
    let mut worker = Worker {
        agent: Agent::new(settings.name, settings.nonce, settings.patience, clock.now()),
        clock,
        link: Link::new(settings.coordinator, settings.token),
        signal,
        arm,
        note,
        building: None,
        plan: None,
        running: None,
    };
    let outcome = runtime.block_on(async {
        loop {
            worker.look_at_plan();
            worker.look_at_run();
            if let Some(outcome) = worker.step().await {
                return outcome;
            }
        }
    });
    let agent = worker.agent;
    Ok(Done { outcome, report: agent.report_of_part(), order: agent.order().cloned() })
}

/// An agent at work.
struct Worker<S, N> {
    agent: Agent,
    clock: Timeline,
    link: Link,
    signal: S,
    arm: Arm,
    note: N,
    building: Option<Building>,
    /// That of the order, until it runs.
    plan: Option<Plan>,
    running: Option<Running>,
}

impl<S, N> Worker<S, N>
where
    S: Fn() -> Option<&'static str>,
    N: FnMut(Note),
{
    /// Passes on the plan once it is built.
    fn look_at_plan(&mut self) {
        let built = match self.building.as_ref().map(|building| building.plan.try_recv()) {
            None | Some(Err(TryRecvError::Empty)) => return,
            Some(Ok(built)) => built,
            Some(Err(TryRecvError::Disconnected)) => Err("building the plan panicked".to_owned()),
        };
        let Some(Building { order, .. }) = self.building.take() else { return };
        let digest = built.map(|(plan, digest)| {
            self.plan = Some(plan);
            digest
        });
        if self.agent.armed(digest, self.clock.now()) {
            (self.note)(Note::Armed(order));
        }
    }

    /// Ends the run when it must, and passes on what it has reported.
    fn look_at_run(&mut self) {
        if let Some(signal) = (self.signal)() {
            let is_known = self.agent.spent().is_some();
            self.agent.signalled(signal, self.clock.now());
            if let (Some(signal), false) = (self.agent.spent(), is_known) {
                (self.note)(Note::Signalled(signal.to_owned()));
            }
        }
        let Some(run) = &self.running else { return };
        run.lease.extend(self.clock.moment(self.agent.lease()));
        if let Some(why) = self.agent.stopped()
            && !run.interrupt.swap(true, Ordering::Relaxed)
        {
            (self.note)(Note::Stops(why.clone()));
        }
        loop {
            match run.seconds.try_recv() {
                Ok(interval) => self.agent.second(&interval),
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => break,
            }
        }
        if let Some(run) = self.running.take() {
            let report = run.thread.join().unwrap_or_else(|_| Err("the run panicked".to_owned()));
            self.agent.ended(report, self.clock.now());
            if let Some(why) = self.agent.stopped()
                && !run.interrupt.load(Ordering::Relaxed)
            {
                (self.note)(Note::Stops(why.clone()));
            }
        }
    }

    /// Does what is next. Returns the outcome at the end.
    async fn step(&mut self) -> Option<Outcome> {
        let now = self.clock.now();
        match self.agent.next(now) {
            Todo::Register(hello) => {
                let welcome = ask::<Welcome>(&mut self.link, AGENTS, &hello, |_| REQUEST_TIMEOUT).await;
                if let Some(welcome) = self.reply(welcome) {
                    (self.note)(Note::Joined(welcome.name.clone()));
                    self.agent.welcomed(welcome, now);
                }
            }
            Todo::Update(update) => {
                let path = format!("{AGENTS}/{}", self.agent.id().unwrap_or_default());
                let timeout = match update.state {
                    State::Ended(Some(_)) if self.agent.spent().is_some() => {
                        |octets| WAITS_AFTER_SIGNAL + allowed(octets)
                    }
                    State::Ended(Some(_)) => |octets| REPORT_TIMEOUT + allowed(octets),
                    _ => |_| REQUEST_TIMEOUT,
                };
                // After its run a signal ends it at once.
                let ends = matches!(update.state, State::Ended(_)) && self.agent.spent().is_none();
                let is_over = || ends && (self.signal)().is_some();
                // Before the body is made: what that takes is part of the bound of the clock's error.
                let sent = self.clock.now();
                let answer = ask::<Answer>(&mut self.link, &path, &update, timeout);
                let Some(answer) = unless(is_over, answer).await else {
                    self.agent.unanswered(self.clock.now());
                    return None;
                };
                if let Some(answer) = self.reply(answer) {
                    self.agent.answered(answer, sent, self.clock.now());
                    if self.agent.is_handed_in() {
                        (self.note)(Note::HandedIn);
                    }
                }
            }
            Todo::Arm(order) => {
                // One of an order before it ends by itself.
                match Building::start(order, self.arm) {
                    Ok(building) => self.building = Some(building),
                    Err(error) => {
                        let why = format!("the thread that builds its plan can't be started: {error}");
                        self.agent.failed(&why, self.clock.now());
                    }
                }
            }
            Todo::Run(start) => {
                let Some(plan) = self.plan.take() else { unreachable!("it was armed") };
                // By the time of day, which the run goes by.
                let start = clock::since_1970() + start.saturating_sub(self.clock.now());
                let until = self.clock.moment(self.agent.lease());
                let lease = Lease::new(self.clock.clock(), until, DRAINS_WITHIN);
                match Running::start(plan, start, lease) {
                    Ok(running) => self.running = Some(running),
                    Err(error) => {
                        let why = format!("the thread of its run can't be started: {error}");
                        self.agent.failed(&why, self.clock.now());
                    }
                }
            }
            Todo::Wait(until) => {
                tokio::time::sleep(until.saturating_sub(now).min(LOOK_EVERY)).await;
            }
            Todo::End(outcome) => return Some(outcome),
        }
        None
    }

    /// The reply to a request; `None` if it was refused, or there was none.
    fn reply<T>(&mut self, asked: io::Result<Result<T, Refusal>>) -> Option<T> {
        match asked {
            Ok(Ok(reply)) => return Some(reply),
            Ok(Err(refusal)) => {
                if refusal.cause == Cause::Full {
                    (self.note)(Note::Full(refusal.to_string()));
                }
                self.agent.refused(refusal, self.clock.now());
            }
            Err(error) => {
                (self.note)(Note::Unreachable(error.to_string()));
                self.agent.unanswered(self.clock.now());
            }
        }
        None
    }
}

/// The result of a request; `None` if it is over before.
async fn unless<T>(is_over: impl Fn() -> bool, asked: impl Future<Output = T>) -> Option<T> {
    let mut asked = pin!(asked);
    loop {
        match tokio::time::timeout(LOOK_EVERY, asked.as_mut()).await {
            Ok(reply) => return Some(reply),
            Err(_) if is_over() => return None,
            Err(_) => {}
        }
    }
}

/// Sends a request. The inner error is a refusal by the coordinator. A reply of another server, like a proxy's 502, is an
/// error, and the request is repeated; but a non-5xx reply to the first request means that this is another program's
/// address: that is a refusal.
async fn ask<T: DeserializeOwned>(
    link: &mut Link,
    path: &str,
    request: &impl Serialize,
    timeout: impl Fn(usize) -> Duration,
) -> io::Result<Result<T, Refusal>> {
    let body = serde_json::to_vec(request).map_err(io::Error::other)?;
    let timeout = timeout(body.len());
    let (status, octets) = link.ask((Method::POST, path), body, BODY_LIMIT, timeout).await?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&octets).map(Ok).map_err(io::Error::other);
    }
    if let Ok(refusal) = serde_json::from_slice(&octets) {
        return Ok(Err(refusal));
    }
    let why = format!("no coordinator of smtpload answers there, but with status {status}");
    if path == AGENTS && !status.is_server_error() {
        return Ok(Err(Refusal::new(Cause::Request, why)));
    }
    Err(io::Error::other(why))
}
