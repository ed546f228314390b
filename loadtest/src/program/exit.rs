//! Exit codes, in the order in which they win over each other.

/// How a run of the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine,
    /// There was no connection, no accepted message, an output was lost, or the machine failed.
    Failed,
    /// What was typed makes no sense.
    Usage,
    /// The generator could not keep its schedule; what gates say then means nothing.
    Saturated,
    /// A gate failed, or the capture does not agree with what was sent.
    Gate,
    /// Something got worse than the baseline allows, or could not be compared with it.
    Regression,
}

impl Exit {
    /// The same where something was lost besides: only what was typed wrong comes before that.
    pub(crate) fn with_loss(self) -> Exit {
        if self == Exit::Usage { self } else { Exit::Failed }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Exit::Fine => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Gate => 10,
            Exit::Regression => 11,
            Exit::Saturated => 12,
        }
    }
}
