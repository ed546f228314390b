//! The agent's sockets and its run: does what the coordinator wants, until the run is delivered. Runs on the calling
//! thread; the run has one of its own.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::fleet::agent::{Agent, Outcome, Todo};
use crate::fleet::protocol::{AGENTS, Answer, BODY_LIMIT, Cause, Order, Refusal, Welcome};
use crate::fleet::wire::Link;
use crate::load::plan::Plan;
use crate::load::start::StartAt;
use crate::measure::interval::Interval;
use crate::report::Report;
use crate::run::{build, engine};
use crate::time::clock::{self, Timeline};

/// The time for a request and its reply. An agent notices within this time, and that of `agent::ORPHANED_AFTER`, that
/// there is no coordinator.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// The time for a request with a report.
const REPORT_TIMEOUT: Duration = Duration::from_secs(15);

/// How often the run is looked at.
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
    /// The report of its run, if that has ended.
    pub(crate) report: Option<Report>,
    pub(crate) order: Option<Order>,
}

/// What has happened, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    Unreachable(String),
    Joined(String),
    Armed(Order),
    Stops,
}

/// A run in its thread.
struct Running {
    seconds: Receiver<Interval>,
    interrupt: Arc<AtomicBool>,
    thread: JoinHandle<Result<Report, String>>,
}

impl Running {
    fn start(mut plan: Plan, start: Duration) -> io::Result<Running> {
        let (sender, seconds) = channel();
        plan.start_at = Some(StartAt::from(start));
        let interrupt = Arc::<AtomicBool>::default();
        let stop = Arc::clone(&interrupt);
        let run = move || {
            let plan = Arc::new(plan);
            // Without a receiver the agent has ended.
            let finished = engine::run(&plan, &stop, |interval| drop(sender.send(interval.clone())));
            finished.map(|finished| build::report(&plan, finished)).map_err(|error| error.to_string())
        };
        let thread = std::thread::Builder::new().name("smtpload-run".into()).spawn(run)?;
        Ok(Running { seconds, interrupt, thread })
    }
}

/// Works for a coordinator until the end; `arm` builds the plan of an order.
///
/// # Errors
/// The executor or the run's thread can't be started.
pub(crate) fn work(
    settings: Settings,
    interrupt: &AtomicBool,
    arm: impl Fn(&Order) -> Result<Plan, String>,
    mut note: impl FnMut(Note),
) -> io::Result<Done> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let clock = Timeline::start();
    let mut agent = Agent::new(settings.name, settings.nonce, settings.patience, clock.now());
    let authorization = settings.token;
    let mut link = Link::new(settings.coordinator, authorization);
    let (mut plan, mut running) = (None, None::<Running>);
    // Whether the run must end, and whether a signal is why.
    let (mut is_stopping, mut is_interrupted) = (false, false);
    let outcome = runtime.block_on(async {
        loop {
            if let Some(run) = &running {
                if (agent.must_stop() || interrupt.load(Ordering::Relaxed)) && !is_stopping {
                    is_stopping = true;
                    is_interrupted = !agent.must_stop();
                    run.interrupt.store(true, Ordering::Relaxed);
                    note(Note::Stops);
                }
                match run.seconds.try_recv() {
                    Ok(interval) => {
                        agent.second(&interval);
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => {
                        let run = running.take().map(|run| run.thread.join());
                        let report = run.unwrap_or_else(|| Ok(Err(String::new())));
                        let report = report.unwrap_or_else(|_| Err("the run panicked".to_owned()));
                        agent.ended(report, clock.now());
                    }
                    Err(TryRecvError::Empty) => {}
                }
            } else if interrupt.load(Ordering::Relaxed) && !is_interrupted {
                // After the run, a signal ends the attempts to deliver its report.
                return Ok(match agent.report() {
                    Some(_) => Outcome::Undelivered,
                    None => Outcome::Unable("it was ended by a signal".to_owned()),
                });
            }
            match agent.next(clock.now()) {
                Todo::Register(hello) => {
                    let sent = clock.now();
                    match ask::<Welcome>(&mut link, AGENTS, &hello, REQUEST_TIMEOUT).await {
                        Ok(Ok(welcome)) => {
                            note(Note::Joined(welcome.name.clone()));
                            agent.welcomed(welcome, sent);
                        }
                        Ok(Err(refusal)) => agent.refused(refusal, clock.now()),
                        Err(error) => {
                            note(Note::Unreachable(error.to_string()));
                            agent.unanswered(clock.now());
                        }
                    }
                }
                Todo::Update(update) => {
                    let path = format!("{AGENTS}/{}", agent.id().unwrap_or_default());
                    let timeout = if update.report.is_some() { REPORT_TIMEOUT } else { REQUEST_TIMEOUT };
                    let sent = clock.now();
                    match ask::<Answer>(&mut link, &path, &update, timeout).await {
                        Ok(Ok(answer)) => agent.answered(answer, sent, clock.now()),
                        Ok(Err(refusal)) => agent.refused(refusal, clock.now()),
                        Err(error) => {
                            note(Note::Unreachable(error.to_string()));
                            agent.unanswered(clock.now());
                        }
                    }
                }
                Todo::Arm(order) => {
                    let armed = arm(&order).map(|of_order| plan = Some(of_order));
                    if armed.is_ok() {
                        note(Note::Armed(order));
                    }
                    agent.armed(armed, clock.now());
                }
                Todo::Run(start) => {
                    let Some(plan) = plan.take() else { unreachable!("it was armed") };
                    // By the time of day, which the run goes by.
                    let start = clock::since_1970() + start.saturating_sub(clock.now());
                    running = Some(Running::start(plan, start)?);
                }
                Todo::Wait(until) => {
                    let time = until.saturating_sub(clock.now()).min(LOOK_EVERY);
                    tokio::time::sleep(time).await;
                }
                Todo::End(outcome) => return Ok::<_, io::Error>(outcome),
            }
        }
    })?;
    Ok(Done { outcome, report: agent.report().cloned(), order: agent.order().cloned() })
}

/// Sends a request; the inner error is a refusal of the coordinator.
async fn ask<T: DeserializeOwned>(
    link: &mut Link,
    path: &str,
    request: &impl Serialize,
    timeout: Duration,
) -> io::Result<Result<T, Refusal>> {
    let body = serde_json::to_vec(request).map_err(io::Error::other)?;
    let (status, octets) = link.ask((Method::POST, path), body, BODY_LIMIT, timeout).await?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&octets).map(Ok).map_err(io::Error::other);
    }
    // What is no refusal comes from another program.
    let stranger = || {
        Refusal::new(
            Cause::Request,
            format!("no coordinator of smtpload answers there, but with status {status}"),
        )
    };
    Ok(Err(serde_json::from_slice(&octets).unwrap_or_else(|_| stranger())))
}
