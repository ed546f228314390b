//! Signals, received on a thread of their own: the first ends the run and leads to its report, a second one ends the
//! program at once.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
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

/// The first signal. Dereferences to the flag that is set when the run must end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interrupt(Arc<(AtomicBool, AtomicI32)>);

impl Interrupt {
    /// The name of the signal that came, like SIGTERM.
    #[cfg(feature = "fleet")]
    pub(crate) fn signal(&self) -> Option<&'static str> {
        let (is_set, signal) = &*self.0;
        let name =
            || signal_hook::low_level::signal_name(signal.load(Ordering::Relaxed)).unwrap_or("a signal");
        // Set after the number.
        is_set.load(Ordering::Acquire).then(name)
    }
}

impl Deref for Interrupt {
    type Target = AtomicBool;

    fn deref(&self) -> &AtomicBool {
        &self.0.0
    }
}

/// Starts the thread.
///
/// # Errors
/// The thread can't be started, or a handler can't be installed.
pub(crate) fn listen() -> io::Result<Interrupt> {
    let hangup = signals::ends_on_hangup().then_some(SIGHUP);
    let mut signals = Signals::new(TERM_SIGNALS.iter().copied().chain(hangup))?;
    let interrupt = Interrupt::default();
    let interrupted = interrupt.clone();
    let listen = move || {
        let mut endings = EndRequests::new();
        for signal in signals.forever() {
            match endings.note(signal) {
                EndRequest::First => {
                    interrupted.0.1.store(signal, Ordering::Relaxed);
                    interrupted.store(true, Ordering::Release);
                }
                EndRequest::Repeated => {}
                // The code of shells for a signal.
                EndRequest::Second => process::exit(128 + signal),
            }
        }
    };
    thread::Builder::new().name("smtpload-signals".into()).spawn(listen)?;
    Ok(interrupt)
}
