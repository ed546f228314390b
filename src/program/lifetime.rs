//! One run of the server: open the outputs, start, announce readiness, wait for a signal or a limit, stop, report.
//!
//! Signals are handled on a separate thread (`interrupts`), which also ends the program at the second signal. The main
//! thread makes the decisions. The threads that write to outputs are started at the beginning, so that the end of a run
//! needs no new thread; every wait for them is bounded.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use smtpmock::output::{Opening, OutputError, PATIENCE, Refusal, Streams};
use smtpmock::{Config, ControlPlane, Display, HttpSettings, Server, StdLogger, raise_descriptor_limit};

use crate::program::cli::outputs::CAPTURE;
use crate::program::cli::{Failure, Limit, Settings};
use crate::program::interrupts::{Handle, Interrupts};
use crate::program::reporter::{Outputs, Reporter};
use crate::program::{ca_file, outcome, ready};

/// Why a run ends.
pub(crate) enum Event {
    Signal,
    /// A request to the control plane, with how long sessions may continue if it contains that.
    Requested(Option<Duration>),
    /// A limit of `--exit-after` was reached.
    LimitReached,
    /// A thread failed or an output can't be written; the reason.
    Failed(String),
}

/// Runs a server until a signal or a limit ends it. Prints why it did not start, or what failed.
pub(crate) fn run(settings: Settings) -> ExitCode {
    raise_descriptor_limit();
    let (sender, events) = mpsc::channel();
    let failed = sender.clone();
    let prints_ready = settings.ready_line;
    let streams = Streams::start(move |why| {
        // Without the ready line nobody would use the server. Other failures are reported at the end.
        if prints_ready {
            let _ = failed.send(Event::Failed(why.to_string()));
        }
    });
    let streams = match streams {
        Ok(streams) => streams,
        Err(error) => return outcome::show(&error.into()),
    };
    // Before the server starts, so that no signal is missed.
    let interrupts = match Interrupts::start(sender.clone(), streams.clone()) {
        Ok(interrupts) => interrupts,
        Err(failure) => return outcome::fail(&streams, &failure),
    };
    let code = match Run::start(settings, &streams, events, &sender, &interrupts) {
        Ok(run) => run.serve(&streams),
        Err(failure) => outcome::fail(&streams, &failure),
    };
    interrupts.end(code)
}

struct Run {
    server: Arc<Server>,
    events: Receiver<Event>,
    reporter: Reporter,
    /// Stopped after the server: it answers until then.
    plane: Option<ControlPlane>,
    announced: Announced,
}

impl Run {
    fn start(
        settings: Settings,
        streams: &Streams,
        events: Receiver<Event>,
        sender: &Sender<Event>,
        interrupts: &Interrupts,
    ) -> Result<Self, Failure> {
        let mut opening = open_outputs(&settings)?;
        let readiness = Readiness::of(&settings);
        let Settings { config, reporting, logs, shows, exit_after, effective, doubts, http, .. } = settings;
        if !reporting.is_quiet {
            doubts.iter().for_each(|doubt| streams.err.put(format!("smtpmock: warning: {doubt}\n")));
        }
        let restart_timer = start_timer(&exit_after, sender)?;
        wait_for_readers(&mut opening, &events)?;
        let text = if opening.has_standard_output() { &streams.err } else { &streams.out }.clone();
        let config = match logs {
            true => config.logger(StdLogger::writing_to(text.clone(), streams.err.clone())),
            false => config,
        };
        let config = match logs || reporting.is_quiet {
            true => config,
            false => warn_of_headers(config, streams),
        };
        let config = match shows {
            true => config.show(Display::on(streams.out.clone(), has_colours())),
            false => config,
        };
        let config = forward_milestones(config, &exit_after, sender);
        let server = Server::start_with(config, opening.take(CAPTURE));
        let server = Arc::new(server.map_err(|error| Failure::Server(error.to_string()))?);
        forward_failure(&server, sender.clone());
        let outputs = Outputs { opening: &mut opening, streams: streams.clone(), text };
        let failed = sender.clone();
        let on_failure = move |error: &OutputError| drop(failed.send(Event::Failed(error.to_string())));
        // The program ends with this failure; files that a stop removes must not remain.
        let stopped = |failure: Failure| {
            server.stop_within(Duration::ZERO);
            failure
        };
        // Before reports are emptied: its address may be in use.
        let plane = start_plane(&server, http, sender).map_err(stopped)?;
        let reporter = Reporter::start(Arc::clone(&server), &reporting, effective, outputs, on_failure)
            .map_err(stopped)?;
        interrupts.reach(Handle { server: Arc::clone(&server), orders: reporter.orders() });
        let announced = readiness.announce(&server, plane.as_ref(), streams).map_err(stopped)?;
        if let Some(timer) = restart_timer {
            // Fails only if the time has already passed.
            let _ = timer.send(());
        }
        Ok(Self { server, events, reporter, plane, announced })
    }

    /// Waits for an event that ends the run, then stops and reports.
    fn serve(self, streams: &Streams) -> ExitCode {
        // Never disconnected: the signal thread has a sender.
        let event = self.events.recv();
        if let Some((path, line)) = &self.announced.ready {
            ready::withdraw_own(path, line);
        }
        let failure = match event {
            Ok(Event::Failed(why)) => {
                self.server.stop_within(Duration::ZERO);
                Some(why)
            }
            ended => {
                match ended {
                    // Clients may still send their remaining mails.
                    Ok(Event::LimitReached) => self.server.drain(),
                    Ok(Event::Requested(Some(timeout))) => self.server.stop_within(timeout),
                    _ => self.server.stop(),
                };
                self.server.failure().map(|failure| failure.to_string())
            }
        };
        drop(self.plane);
        let finished = self.reporter.finish();
        // An output that ended the run is reported once.
        let lost = finished.lost.into_iter().filter(|lost| failure.as_ref() != Some(lost));
        let lost = failure.iter().cloned().chain(lost).collect();
        outcome::conclude(streams, lost, finished.passed, PATIENCE)
    }
}

/// Starts the control plane, if configured.
fn start_plane(
    server: &Arc<Server>,
    settings: Option<HttpSettings>,
    sender: &Sender<Event>,
) -> Result<Option<ControlPlane>, Failure> {
    let sender = sender.clone();
    // Fails only if the main thread, and so the process, has ended.
    let settings = settings
        .map(|settings| settings.on_stop(move |timeout| drop(sender.send(Event::Requested(timeout)))));
    let started = settings.map(|settings| ControlPlane::start(server, &settings)).transpose();
    started.map_err(|error| Failure::Server(format!("the control plane: {error}")))
}

/// Opens the outputs, and removes the ready file of an earlier run.
fn open_outputs(settings: &Settings) -> Result<Opening, Failure> {
    let opened = settings.claims.open();
    // The old ready file is removed even if something else fails, because readers would mistake it for that of this
    // run. After a collision it is not: it may be an output or a settings file.
    let withdrawn = match &settings.ready_file {
        Some(path) if !matches!(opened, Err(Refusal::Collision(_))) => {
            ready::withdraw(path).map_err(|error| file_failure("replace the ready file", path, &error))
        }
        _ => Ok(()),
    };
    let opening = opened.map_err(outcome::refused)?;
    withdrawn?;
    if let Some(path) = &settings.ready_file {
        ready::probe(path).map_err(|error| file_failure("write the ready file", path, &error))?;
    }
    Ok(opening)
}

/// The files that announce this server while it runs.
struct Announced {
    /// The ready file and its content.
    ready: Option<(PathBuf, String)>,
    /// Prevents other servers from replacing the certificate of the CA.
    _ca_lock: Option<File>,
}

/// How readiness is announced.
struct Readiness {
    /// Whether the ready line goes to standard output.
    prints_line: bool,
    /// The file that the ready line is written to.
    file: Option<PathBuf>,
    /// The file that the certificate of the CA is written to.
    ca: Option<PathBuf>,
    /// Whether a notice is printed: standard error is a terminal, and nothing else is printed there.
    is_noticed: bool,
    /// Whether the lines of Mailpit's log are printed.
    is_compatible: bool,
}

impl Readiness {
    fn of(settings: &Settings) -> Self {
        let Settings { ready_line, ready_file, ca_out, reporting, logs, claims, is_compatible, .. } =
            settings;
        let is_announced =
            *ready_line || ready_file.is_some() || *logs || reporting.progress || reporting.is_quiet;
        let is_noticed = !is_announced && !claims.has_standard_output() && io::stderr().is_terminal();
        Self {
            prints_line: *ready_line,
            file: ready_file.clone(),
            ca: ca_out.clone(),
            is_noticed,
            is_compatible: *is_compatible,
        }
    }

    fn announce(
        self,
        server: &Server,
        plane: Option<&ControlPlane>,
        streams: &Streams,
    ) -> Result<Announced, Failure> {
        let ca = self.ca.as_deref().zip(server.ca_pem());
        let ca_lock = match ca {
            Some((path, pem)) => ca_file::publish(path, pem).map_err(|error| {
                file_failure("write the CA's certificate of --tls-ca-out to", path, &error)
            })?,
            None => None,
        };
        let http = plane.map(ControlPlane::url);
        let line = ready::line(server.listeners(), http.as_deref(), ca.map(|(path, _)| path));
        if let Some(path) = &self.file {
            ready::publish(path, &line)
                .map_err(|error| file_failure("write the ready file", path, &error))?;
        }
        if self.prints_line {
            streams.out.put(line.as_str());
        }
        if self.is_compatible {
            streams.out.put(ready::mailpit_lines(server, plane.map(ControlPlane::endpoint)));
        }
        if self.is_noticed {
            streams.err.put(ready::notice(server.listeners()));
        }
        Ok(Announced { ready: self.file.map(|path| (path, line)), _ca_lock: ca_lock })
    }
}

/// Waits until each FIFO among the outputs has a reader.
fn wait_for_readers(opening: &mut Opening, events: &Receiver<Event>) -> Result<(), Failure> {
    let pause = |time| match events.recv_timeout(time) {
        Err(RecvTimeoutError::Timeout) => Ok(true),
        Ok(Event::Failed(why)) => Err(Failure::Server(why)),
        _ => Ok(false),
    };
    match opening.wait_for_readers(pause)? {
        true => Ok(()),
        false => Err(Failure::Server(format!("ended before it was ready: {}", opening.unread().join("; ")))),
    }
}

/// Whether standard output is a terminal with colours that `NO_COLOR` does not disable: <https://no-color.org>.
fn has_colours() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb
}

/// Also prints refused headers, as in the log: the proxy only sees a closed connection.
fn warn_of_headers(config: Config, streams: &Streams) -> Config {
    let err = streams.err.clone();
    config.on_refused_header(move |why| {
        // Dispensable: if it does not fit, nobody reads standard error.
        let _ = err.offer(format!("smtpmock: warning: {why}\n"));
    })
}

fn forward_milestones(config: Config, limits: &[Limit], sender: &Sender<Event>) -> Config {
    limits.iter().fold(config, |config, limit| match *limit {
        Limit::Time(_) => config,
        Limit::Milestone(milestone) => {
            let sender = sender.clone();
            config.on_reaching(milestone, move || drop(sender.send(Event::LimitReached)))
        }
    })
}

/// Starts the thread that ends the run after the shortest time limit. The time restarts when a message arrives on the
/// returned channel: when the server listens.
fn start_timer(limits: &[Limit], sender: &Sender<Event>) -> Result<Option<Sender<()>>, Failure> {
    let times = limits.iter().filter_map(|limit| match *limit {
        Limit::Time(time) => Some(time),
        Limit::Milestone(_) => None,
    });
    let Some(time) = times.min() else { return Ok(None) };
    let (restart, restarted) = mpsc::channel();
    let sender = sender.clone();
    let wait = move || {
        if restarted.recv_timeout(time) == Ok(()) {
            thread::sleep(time);
        }
        let _ = sender.send(Event::LimitReached);
    };
    let spawned = thread::Builder::new().name("smtpmock-timer".into()).spawn(wait);
    spawned.map_err(|error| Failure::Server(format!("can't start the thread for --exit-after: {error}")))?;
    Ok(Some(restart))
}

fn forward_failure(server: &Server, sender: Sender<Event>) {
    server.on_failure(move |failure| {
        let _ = sender.send(Event::Failed(failure.to_string()));
    });
}

fn file_failure(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Server(format!("can't {doing} {}: {error}", path.display()))
}
