//! Errors that end the program before its report is written.

use std::time::Duration;
use std::{fmt, io};

use smtpmock::output::{OutputError, Refusal};
use smtpmock::units::duration;

use crate::load::start::StartAt;
use crate::program::exit::Exit;
#[cfg(feature = "fleet")]
use crate::program::fleet::FleetError;
use crate::program::input::InputError;
use crate::program::plan_error::PlanError;
use crate::report::merge::MergeError;
use crate::verify::VerifyError;

/// Why the program ends early; displays as the reason.
#[derive(Debug)]
pub(crate) enum Stop {
    Plan(PlanError),
    /// The limit of open files is too low for the connections.
    Descriptors {
        connections: usize,
        most: u64,
    },
    /// An input of a merge.
    Report(InputError),
    Merge(MergeError),
    Baseline(InputError),
    Verify(VerifyError),
    Signals(io::Error),
    /// The start was this long ago.
    Past(StartAt, Duration),
    /// Two outputs are one file, or one can't be opened.
    Outputs(Refusal),
    /// An output or its thread failed before the run.
    Output(OutputError),
    /// A signal came before the start of the run.
    Unstarted,
    /// A signal came before these FIFOs had a reader: a line for each.
    Unread(Vec<String>),
    #[cfg(feature = "fleet")]
    Fleet(FleetError),
    /// The system failed during the run.
    Run(io::Error),
}

impl Stop {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            #[cfg(feature = "fleet")]
            Stop::Fleet(error) => error.exit(),
            Stop::Plan(_)
            | Stop::Descriptors { .. }
            | Stop::Report(_)
            | Stop::Merge(_)
            | Stop::Baseline(_)
            | Stop::Past(..)
            | Stop::Outputs(Refusal::Collision(_)) => Exit::Usage,
            Stop::Verify(_)
            | Stop::Signals(_)
            | Stop::Outputs(Refusal::Failed(_))
            | Stop::Output(_)
            | Stop::Unstarted
            | Stop::Unread(_)
            | Stop::Run(_) => Exit::Failed,
        }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Plan(error) => error.fmt(f),
            Stop::Descriptors { connections, most } => write!(
                f,
                "--connections {connections}: the limit of open files allows {most}; raise it (`ulimit -Hn`) or ask \
                 for fewer"
            ),
            Stop::Report(error) => error.fmt(f),
            Stop::Merge(error) => error.fmt(f),
            Stop::Baseline(error) => write!(f, "--baseline {error}"),
            Stop::Verify(error) => error.fmt(f),
            Stop::Past(start, ago) => write!(
                f,
                "--start-at {start}: that was {} ago by the clock of this machine; give an instant ahead, like \
                 $(($(date +%s) + 10)), and set the clocks of all machines",
                duration(*ago)
            ),
            Stop::Signals(error) => write!(f, "signals: {error}"),
            Stop::Outputs(refusal) => refusal.fmt(f),
            Stop::Output(error) => error.fmt(f),
            Stop::Unstarted => {
                f.write_str("the run did not start: it was ended by a signal; nothing was sent")
            }
            Stop::Unread(lines) => write!(f, "ended before the run began: {}", lines.join("; ")),
            #[cfg(feature = "fleet")]
            Stop::Fleet(error) => error.fmt(f),
            Stop::Run(error) => write!(f, "the run was aborted: {error}"),
        }
    }
}

impl std::error::Error for Stop {}

macro_rules! from {
    ($($error:ty => $variant:ident),*) => {$(
        impl From<$error> for Stop {
            fn from(error: $error) -> Stop {
                Stop::$variant(error)
            }
        }
    )*};
}

from!(PlanError => Plan, MergeError => Merge, VerifyError => Verify, Refusal => Outputs, OutputError => Output);

#[cfg(feature = "fleet")]
from!(FleetError => Fleet);
