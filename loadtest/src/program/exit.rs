//! Exit codes and their precedence.

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Fine,
    /// No connection, no accepted message, a lost output, or an error of the system.
    Failed,
    /// The arguments are invalid.
    Usage,
    /// The generator could not keep its schedule, which makes gates meaningless.
    Saturated,
    /// A gate failed, or the capture differs from what was sent.
    Gate,
    /// A regression against the baseline, or no comparison was possible.
    Regression,
}

impl Exit {
    /// The exit when an output was lost as well: only invalid arguments take precedence.
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
