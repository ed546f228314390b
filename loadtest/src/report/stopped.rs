//! Why an agent ended its part of a run early.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smtpmock::units::duration;

/// Why an agent started no more messages before its part was complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by")]
pub(crate) enum Stopped {
    /// The agent received this signal, like SIGTERM.
    Signal { signal: String },
    /// No request of the agent was answered by its coordinator for this long.
    NoCoordinator { silent_ms: u64 },
    /// The coordinator refused what it sent.
    Refused { why: String },
    /// Its coordinator, because this agent was lost or stopped.
    LostAgent { agent: String },
    /// Its coordinator, which received this signal.
    CoordinatorSignal { signal: String },
}

impl Stopped {
    /// Whether the coordinator ordered it.
    pub(crate) fn is_ordered(&self) -> bool {
        match self {
            Stopped::Signal { .. } | Stopped::NoCoordinator { .. } | Stopped::Refused { .. } => false,
            Stopped::LostAgent { .. } | Stopped::CoordinatorSignal { .. } => true,
        }
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Signal { signal } => f.write_str(signal),
            Stopped::NoCoordinator { silent_ms } => {
                // The first digits suffice.
                let silent = Duration::from_millis(silent_ms - silent_ms % 100);
                write!(f, "no exchange with the coordinator for {}", duration(silent))
            }
            Stopped::Refused { why } => write!(f, "the coordinator refused it: {why}"),
            Stopped::LostAgent { agent } => {
                write!(f, "the coordinator ordered it, as agent {agent} did not complete its part")
            }
            Stopped::CoordinatorSignal { signal } => write!(f, "the coordinator received {signal}"),
        }
    }
}
