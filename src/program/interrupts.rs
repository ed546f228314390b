//! Signal handling on a separate thread that never blocks for long: a second signal ends the program even if other
//! threads block.

use std::process::{self, ExitCode};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;
use smtpmock::Server;
use smtpmock::output::{self, Streams};
use smtpmock::signals::{self, EndRequest, EndRequests, SIGHUP};

use crate::program::cli::Failure;
use crate::program::lifetime::Event;
use crate::program::reporter::Orders;

/// How long an immediate end waits for the records of interrupted sessions to be captured and for the reports.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How long it then waits for standard error.
const VERY_LAST_WORDS: Duration = Duration::from_millis(100);

/// A handle to the thread.
pub(crate) struct Interrupts {
    handle: Arc<OnceLock<Handle>>,
    /// The signal that requested an immediate end; 0 if there was none.
    second: Arc<AtomicI32>,
    ended: Sender<()>,
}

/// The targets of signals.
pub(crate) struct Handle {
    pub(crate) server: Arc<Server>,
    pub(crate) orders: Orders,
}

/// The state of the thread.
struct Listener {
    events: Sender<Event>,
    streams: Streams,
    handle: Arc<OnceLock<Handle>>,
    second: Arc<AtomicI32>,
    ended: Receiver<()>,
}

impl Interrupts {
    /// Starts the thread.
    ///
    /// # Errors
    /// The thread or the signal handler can't be created.
    pub(crate) fn start(events: Sender<Event>, streams: Streams) -> Result<Self, Failure> {
        let hangup = signals::ends_on_hangup().then_some(SIGHUP);
        let signals = Signals::new([SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2].into_iter().chain(hangup))
            .map_err(|error| Failure::Server(format!("can't handle signals: {error}")))?;
        let (ended, has_ended) = mpsc::channel();
        let (handle, second) = (Arc::default(), Arc::default());
        let listener = Listener {
            events,
            streams,
            handle: Arc::clone(&handle),
            second: Arc::clone(&second),
            ended: has_ended,
        };
        thread::Builder::new()
            .name("smtpmock-signals".into())
            .spawn(move || listener.listen(signals))
            .map_err(|error| Failure::Server(format!("can't start the thread for signals: {error}")))?;
        Ok(Self { handle, second, ended })
    }

    /// Signals act on these from now on.
    pub(crate) fn reach(&self, handle: Handle) {
        let _ = self.handle.set(handle);
    }

    /// Ends the run. If a second signal has arrived, it determines the exit code.
    pub(crate) fn end(&self, code: ExitCode) -> ExitCode {
        let _ = self.ended.send(());
        match self.second.load(Ordering::Acquire) {
            0 => code,
            signal => exit_code(signal),
        }
    }
}

impl Listener {
    fn listen(self, mut signals: Signals) {
        let mut endings = EndRequests::new();
        for signal in signals.forever() {
            let handle = self.handle.get();
            match signal {
                SIGUSR1 => handle.into_iter().for_each(|handle| handle.orders.report()),
                SIGUSR2 => handle.into_iter().for_each(Handle::reopen),
                _ => match endings.note(signal) {
                    EndRequest::First => {
                        // The main thread may be waiting for a drain and receives no event until it ends.
                        handle.into_iter().for_each(|handle| handle.server.stop_draining());
                        // Fails only if the main thread, and so the process, has ended.
                        drop(self.events.send(Event::Signal));
                    }
                    EndRequest::Repeated => {}
                    EndRequest::Second => self.end_at_once(signal),
                },
            }
        }
    }

    /// Interrupts the remaining sessions of a stop and waits, for a bounded time, for captures and reports.
    fn end_at_once(&self, signal: i32) -> ! {
        self.second.store(signal, Ordering::Release);
        self.handle.get().into_iter().for_each(|handle| handle.server.hasten_stop());
        if self.ended.recv_timeout(LAST_WORDS).is_err() {
            let lost = "smtpmock: ended before the stop was complete: the last records may be missing from the \
                        capture, and reports may be missing\n";
            self.streams.err.put(lost);
            output::finish([&self.streams.err], VERY_LAST_WORDS);
        }
        process::exit(128 + signal)
    }
}

impl Handle {
    fn reopen(&self) {
        self.server.reopen_capture();
        self.orders.reopen();
    }
}

fn exit_code(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX))
}
