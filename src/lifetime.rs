//! One run of the server: start, tell that it is ready, wait for a signal, stop.
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

use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use smtpmock::Server;

use crate::cli::{Failure, Settings};
use crate::ready;

/// How long a second signal leaves for the records of cut sessions to reach the capture.
const LAST_WORDS: Duration = Duration::from_millis(500);

enum Event {
    Signal(i32),
    /// A reactor thread died, and why.
    Failed(String),
    Stopped,
}

/// Runs a server until a signal has ended it.
///
/// # Errors
/// Why it did not start, or what failed while it ran.
pub(crate) fn run(settings: Settings) -> Result<ExitCode, Failure> {
    let Settings { config, ready_line, ready_file } = settings;
    // Before the start: a signal that comes meanwhile stops what has just started.
    let (sender, events) = mpsc::channel();
    forward_signals(sender.clone())?;
    if let Some(path) = &ready_file {
        ready::withdraw(path).map_err(|error| file_failure("replace the ready file", path, &error))?;
    }
    let server = Server::start(config).map_err(|error| Failure::Server(error.to_string()))?;
    let server = Arc::new(server);
    forward_failure(&server, sender.clone());

    let line = ready::line(server.local_addrs());
    if let Some(path) = &ready_file {
        ready::publish(path, &line).map_err(|error| file_failure("write the ready file", path, &error))?;
    }
    if ready_line {
        print(&line).map_err(|error| Failure::Server(format!("can't print the ready line: {error}")))?;
    }
    match next(&events) {
        Event::Failed(why) => Err(fail(&server, why)),
        Event::Signal(_) | Event::Stopped => stop(&server, sender, &events),
    }
}

/// Lets sessions finish, unless a second signal comes.
fn stop(server: &Arc<Server>, sender: Sender<Event>, events: &Receiver<Event>) -> Result<ExitCode, Failure> {
    let stopping = Arc::clone(server);
    thread::spawn(move || {
        stopping.stop();
        // Only fails when the main thread no longer waits for it.
        let _ = sender.send(Event::Stopped);
    });
    match next(events) {
        Event::Stopped => Ok(ExitCode::SUCCESS),
        Event::Failed(why) => Err(fail(server, why)),
        Event::Signal(signal) => {
            end_at_once(server);
            process::exit(128 + signal)
        }
    }
}

/// A reactor thread is gone: saves what can be saved and says why.
fn fail(server: &Arc<Server>, why: String) -> Failure {
    end_at_once(server);
    Failure::Server(why)
}

/// Cuts the sessions that are left and waits for their records, but not for long.
fn end_at_once(server: &Arc<Server>) {
    let (sender, done) = mpsc::channel();
    let cut = Arc::clone(server);
    thread::spawn(move || {
        cut.stop_within(Duration::ZERO);
        let _ = sender.send(());
    });
    if done.recv_timeout(LAST_WORDS).is_err() {
        let _ = writeln!(
            io::stderr(),
            "smtpmock: ended before the stop was complete: the last records may be missing from the capture"
        );
    }
}

fn next(events: &Receiver<Event>) -> Event {
    // The signal thread keeps its sender for as long as the process lives.
    events.recv().unwrap_or(Event::Stopped)
}

fn forward_signals(sender: Sender<Event>) -> Result<(), Failure> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGQUIT])
        .map_err(|error| Failure::Server(format!("can't handle signals: {error}")))?;
    thread::spawn(move || {
        for signal in signals.forever() {
            // Only fails when the main thread has ended, and the process with it.
            let _ = sender.send(Event::Signal(signal));
        }
    });
    Ok(())
}

fn forward_failure(server: &Server, sender: Sender<Event>) {
    server.on_failure(move |failure| {
        let _ = sender.send(Event::Failed(failure.to_string()));
    });
}

fn print(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(line.as_bytes())?;
    output.flush()
}

fn file_failure(doing: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::Server(format!("can't {doing} {}: {error}", path.display()))
}
