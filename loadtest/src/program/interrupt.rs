//! Signals, on a thread of their own: the first ends the run with its report, a second one the program, whatever it
//! waits for.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGUSR1, SIGUSR2, SIGXFSZ, TERM_SIGNALS};
use signal_hook::iterator::Signals;
use smtpmock::signals::{self, Ending, Endings, SIGHUP};

/// Ignores the signals that would end the program without its report: SIGXFSZ, so that the write which meets a limit of
/// file sizes (`ulimit -f`) is an error; SIGUSR1 and SIGUSR2, which have a meaning for `smtpmock` and may be sent to a
/// group of processes.
///
/// # Errors
/// The system gives no handler.
pub(crate) fn ignore() -> io::Result<()> {
    for signal in [SIGXFSZ, SIGUSR1, SIGUSR2] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Starts the thread. What it gives is set once the run is to end.
///
/// # Errors
/// The system gives no thread, or no handler.
pub(crate) fn listen() -> io::Result<Arc<AtomicBool>> {
    let hangup = signals::ends_on_hangup().then_some(SIGHUP);
    let mut signals = Signals::new(TERM_SIGNALS.iter().copied().chain(hangup))?;
    let interrupt = Arc::<AtomicBool>::default();
    let interrupted = Arc::clone(&interrupt);
    let listen = move || {
        let mut endings = Endings::new();
        for signal in signals.forever() {
            match endings.note(signal) {
                Ending::First => interrupted.store(true, Ordering::Relaxed),
                Ending::Repeated => {}
                // As shells say it.
                Ending::Second => process::exit(128 + signal),
            }
        }
    };
    thread::Builder::new().name("smtpload-signals".into()).spawn(listen)?;
    Ok(interrupt)
}
