//! Signals, received on a thread of their own: the first ends the run and leads to its report, a second one ends the
//! program at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, process, thread};

use signal_hook::consts::{SIGUSR1, SIGUSR2, SIGXFSZ, TERM_SIGNALS};
use signal_hook::iterator::Signals;
use smtpmock::signals::{self, EndRequest, EndRequests, SIGHUP};

/// Ignores signals that would end the program without its report: SIGXFSZ, so that a write beyond a limit of file
/// sizes (`ulimit -f`) is an error; SIGUSR1 and SIGUSR2, which `smtpmock` handles and which may be sent to a group of
/// processes.
///
/// # Errors
/// A handler can't be installed.
pub(crate) fn ignore() -> io::Result<()> {
    for signal in [SIGXFSZ, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Starts the thread. The returned flag is set when the run must end.
///
/// # Errors
/// The thread can't be started, or a handler can't be installed.
pub(crate) fn listen() -> io::Result<Arc<AtomicBool>> {
    let hangup = signals::ends_on_hangup().then_some(SIGHUP);
    let mut signals = Signals::new(TERM_SIGNALS.iter().copied().chain(hangup))?;
    let interrupt = Arc::<AtomicBool>::default();
    let interrupted = Arc::clone(&interrupt);
    let listen = move || {
        let mut endings = EndRequests::new();
        for signal in signals.forever() {
            match endings.note(signal) {
                EndRequest::First => interrupted.store(true, Ordering::Relaxed),
                EndRequest::Repeated => {}
                // The code of shells for a signal.
                EndRequest::Second => process::exit(128 + signal),
            }
        }
    };
    thread::Builder::new().name("smtpload-signals".into()).spawn(listen)?;
    Ok(interrupt)
}
