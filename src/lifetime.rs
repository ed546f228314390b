//! One run of the server: start, tell that it is ready, wait for a signal or a limit, stop, tell how it went.
//!
//! Signals arrive on a thread of their own; the stop runs on another, so that a second signal can
//! overtake it. The main thread decides, one [`Event`] at a time.

use std::io::{self, Write};
use std::path::Path;
use std::process::{self, ExitCode};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use smtpmock::{Config, Server};

use crate::cli::{Failure, Limit, Settings};
use crate::outcome::{self, Told};
use crate::ready;
use crate::teller::Teller;

/// How long an end at once leaves for the records of cut sessions to reach the capture, and for the reports.
const LAST_WORDS: Duration = Duration::from_millis(500);

enum Event {
    Signal(i32),
    /// It is where it was to end by itself.
    LimitReached,
    /// A thread died or an output can't be written, and why.
    Failed(String),
    /// The server has stopped, and all is told.
    Stopped(Told),
}

/// Runs a server until a signal or a limit has ended it.
///
/// # Errors
/// Why it did not start, or what failed while it ran.
pub(crate) fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let Settings { config, ready_line, ready_file, reporting, exit_after, effective } = settings;
    // Before the start: a signal that comes meanwhile stops what has just started.
    let (sender, events) = mpsc::channel();
    forward_signals(sender.clone())?;
    if let Some(path) = &ready_file {
        ready::withdraw(path).map_err(|error| file_failure("replace the ready file", path, &error))?;
    }
    let config = forward_milestones(config, &exit_after, &sender);
    let server = Server::start(config).map_err(|error| Failure::Server(error.to_string()))?;
    let server = Arc::new(server);
    forward_failure(&server, sender.clone());
    let teller = Teller::start(Arc::clone(&server), &reporting, effective, forward_untold(sender.clone()))
        .map_err(Failure::Server)?;

    let line = ready::line(server.local_addrs());
    if let Some(path) = &ready_file {
        ready::publish(path, &line).map_err(|error| file_failure("write the ready file", path, &error))?;
    }
    if ready_line {
        print(&line).map_err(|error| Failure::Server(format!("can't print the ready line: {error}")))?;
    }
    forward_time(&exit_after, &sender);
    Run { server, events, sender, ask_for_report: Box::new(teller.asker()) }.serve(teller)
}

/// A server that is running, and what the main thread hears of it.
struct Run {
    server: Arc<Server>,
    events: Receiver<Event>,
    sender: Sender<Event>,
    ask_for_report: Box<dyn Fn()>,
}

impl Run {
    fn serve(self, teller: Teller) -> Result<ExitCode, Failure> {
        match self.next() {
            Event::Failed(why) => {
                self.stop(teller, |server| server.stop_within(Duration::ZERO));
                self.wait_for_last_words();
                Err(Failure::Server(why))
            }
            Event::Signal(_) | Event::LimitReached | Event::Stopped(_) => {
                self.stop(teller, Server::stop);
                self.wait_for_sessions()
            }
        }
    }

    /// What is to be decided next. That a report is asked for is nothing to decide.
    fn next(&self) -> Event {
        loop {
            // There is always a sender: this one's own.
            match self.events.recv() {
                Ok(Event::Signal(SIGUSR1)) => (self.ask_for_report)(),
                Ok(event) => return event,
                Err(_) => return Event::LimitReached,
            }
        }
    }

    /// Stops the server on another thread, which then has the rest told.
    fn stop<T>(&self, teller: Teller, stop: impl FnOnce(&Server) -> T + Send + 'static) {
        let (server, sender) = (Arc::clone(&self.server), self.sender.clone());
        thread::spawn(move || {
            stop(&server);
            // Only fails when the main thread no longer waits for it.
            let _ = sender.send(Event::Stopped(teller.finish()));
        });
    }

    /// Lets sessions finish, unless a second signal comes.
    fn wait_for_sessions(&self) -> Result<ExitCode, Failure> {
        loop {
            match self.next() {
                Event::Stopped(Ok(is_kept)) => {
                    return Ok(outcome::exit_code(is_kept));
                }
                Event::Stopped(Err(why)) => return Err(Failure::Server(why)),
                Event::Failed(why) => {
                    self.end_at_once();
                    return Err(Failure::Server(why));
                }
                Event::Signal(signal) => {
                    self.end_at_once();
                    process::exit(128 + signal)
                }
                Event::LimitReached => {}
            }
        }
    }

    /// Cuts the sessions that are left in a stop that is under way.
    fn end_at_once(&self) {
        let server = Arc::clone(&self.server);
        thread::spawn(move || server.stop_within(Duration::ZERO));
        self.wait_for_last_words();
    }

    /// Waits for the end of a stop, but not for long.
    fn wait_for_last_words(&self) {
        loop {
            match self.events.recv_timeout(LAST_WORDS) {
                Ok(Event::Stopped(_)) => return,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let _ = writeln!(
            io::stderr(),
            "smtpmock: ended before the stop was complete: the last records may be missing from the capture, \
             and reports may be missing"
        );
    }
}

fn forward_signals(sender: Sender<Event>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGQUIT, SIGUSR1])
        .map_err(|error| Failure::Server(format!("can't handle signals: {error}")))?;
    thread::spawn(move || {
        for signal in signals.forever() {
            // Only fails when the main thread has ended, and the process with it.
            let _ = sender.send(Event::Signal(signal));
        }
    });
    Ok(())
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

fn forward_time(limits: &[Limit], sender: &Sender<Event>) {
    let times = limits.iter().filter_map(|limit| match *limit {
        Limit::Time(time) => Some(time),
        Limit::Milestone(_) => None,
    });
    if let Some(time) = times.min() {
        let sender = sender.clone();
        thread::spawn(move || {
            thread::sleep(time);
            let _ = sender.send(Event::LimitReached);
        });
    }
}

fn forward_failure(server: &Server, sender: Sender<Event>) {
    server.on_failure(move |failure| {
        let _ = sender.send(Event::Failed(failure.to_string()));
    });
}

/// What can't be told fails the run.
fn forward_untold(sender: Sender<Event>) -> impl Fn(String) + Send {
    move |why| drop(sender.send(Event::Failed(why)))
}

fn print(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

fn file_failure(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Server(format!("can't {doing} {}: {error}", path.display()))
}
