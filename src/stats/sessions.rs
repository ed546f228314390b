//! Connections, from accept to close, and how they end.

use super::catalogue::figures;
use super::{Durations, Numbers, Peak};

figures! {
    /// Connections, from accept to close.
    ///
    /// Each session ends in exactly one way, and is counted when it does: `left_before_greeting`, `refused`, `silent`,
    /// `quit`, `left`, `gave_up`, `timed_out`, `dismissed` and `stopped` add up to `closed`. The other counts
    /// (`resets`, `early_talkers`, …) are independent of how a session ended.
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    pub struct SessionStats {
        /// Connections accepted.
        pub opened: u64 = ["sessions", Number, "connections accepted"],
        /// The client closed the connection without sending anything before it was accepted and greeted, while a
        /// listener paused for lack of descriptors ([`Health::accept_rests`](super::Health::accept_rests)) or because
        /// [`Config::max_sessions`](crate::Config::max_sessions) was reached.
        pub left_before_greeting: u64 =
            ["sessions.left_before_greeting", Number, "closed by the client while it waited to be accepted"],
        /// Greeted with a 4yz or 5yz reply, or closed by a rule without a greeting, regardless of the client's later
        /// actions.
        pub refused: u64 = ["sessions.refused", Number, "greeted with 4yz or 5yz, or closed without a greeting"],
        /// Sessions that have ended.
        pub closed: u64 = ["sessions.closed", Number, "sessions that have ended"],
        /// Maximum number of concurrent sessions over all shards, without refused ones.
        pub peak: Peak = ["sessions.peak", Number, "most concurrent sessions, without refused ones"],
        /// The client sent nothing after a positive greeting until it closed or the session timed out, like readiness
        /// probes and port scans. Includes sessions with TLS from the first octet whose handshake the client ended, or
        /// that timed out.
        pub silent: u64 =
            ["sessions.silent", Number, "nothing sent after a positive greeting, or a handshake of smtps that failed"],
        /// Ended by QUIT.
        pub quit: u64 = ["sessions.quit", Number, "ended by QUIT"],
        /// Ended by the client without QUIT, with no reply pending and no 421 sent; see
        /// [`StageStats::left`](super::StageStats::left).
        pub left: u64 = ["sessions.left", Number, "closed by the client without QUIT, no reply pending"],
        /// Ended by the client while a reply was pending: delayed, or not sent whole. Includes clients that sent
        /// something and closed before they were accepted. See [`StageStats::gave_up`](super::StageStats::gave_up).
        pub gave_up: u64 = ["sessions.gave_up", Number, "closed by the client while a reply was pending"],
        /// Ended by the session timeout: the client was silent too long.
        pub timed_out: u64 = ["sessions.timed_out", Number, "ended by the session timeout"],
        /// Ended by the server because of a rule, a limit or `fail_fast`, or by the client after a 421, which means
        /// that the server closes the channel (RFC 5321 section 3.8).
        pub dismissed: u64 = ["sessions.dismissed", Number, "ended by a rule, a limit, fail_fast, or a 421"],
        /// Ended by a stop of the server: while idle, or when the stop's timeout passed.
        pub stopped: u64 = ["sessions.stopped", Number, "ended by a stop of the server, or on request"],
        /// Connections reset by the client, however the session ended.
        pub resets: u64 = ["sessions.resets", Number, "connections reset by the client"],
        /// Sessions in which the client started a second mail transaction, whether or not MAIL was accepted.
        pub reused: u64 = ["sessions.reused", Number, "the client sent MAIL more than once"],
        /// Ended by the client (`quit`, `left`) after a single MAIL, whose message was accepted.
        pub not_reused: u64 = ["sessions.not_reused", Number, "ended by the client after one MAIL and its message"],
        /// Sessions in which the client sent something other than QUIT after a 421 (RFC 5321 section 3.8). Not those
        /// that the server closed with the 421.
        pub went_on_after_421: u64 = ["sessions.went_on_after_421", Number, "the client sent more after a 421"],
        /// Sessions refused by a greeting other than 421 in which the client then sent something other than QUIT (RFC
        /// 5321 section 3.1).
        pub went_on_after_refusal: u64 =
            ["sessions.went_on_after_refusal", Number, "the client sent more after a greeting that refused it"],
        /// Sessions in which the client sent before the greeting (RFC 5321 section 4.3.1).
        pub early_talkers: u64 = ["sessions.early_talkers", Number, "the client sent before the greeting"],
        /// From accept to close.
        pub duration: Durations = ["session.duration", Microseconds, "from accept to close"],
        /// Messages accepted in a session.
        pub messages: Numbers = ["session.messages", Number, "messages accepted in a session"],
        /// Commands in a session.
        pub commands: Numbers = ["session.commands", Number, "commands in a session"],
        /// From accept to the first MAIL.
        pub first_mail: Durations = ["session.first_mail", Microseconds, "from accept to the first MAIL"],
        /// Between one connection and the next, over all shards.
        pub inter_arrival: Durations = ["session.inter_arrival", Microseconds, "between two connections"],
    }
}

/// How a session ended: see the fields of [`SessionStats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    LeftBeforeGreeting,
    Refused,
    Silent,
    Quit,
    Left,
    GaveUp,
    TimedOut,
    Dismissed,
    Stopped,
}

impl Ending {
    /// Its name, as in the figure's.
    #[cfg(feature = "http")]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::LeftBeforeGreeting => "left_before_greeting",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Quit => "quit",
            Self::Left => "left",
            Self::GaveUp => "gave_up",
            Self::TimedOut => "timed_out",
            Self::Dismissed => "dismissed",
            Self::Stopped => "stopped",
        }
    }
}

impl SessionStats {
    /// Counts the end of a session.
    pub(crate) fn note_ending(&mut self, ending: Ending) {
        self.closed += 1;
        *match ending {
            Ending::LeftBeforeGreeting => &mut self.left_before_greeting,
            Ending::Refused => &mut self.refused,
            Ending::Silent => &mut self.silent,
            Ending::Quit => &mut self.quit,
            Ending::Left => &mut self.left,
            Ending::GaveUp => &mut self.gave_up,
            Ending::TimedOut => &mut self.timed_out,
            Ending::Dismissed => &mut self.dismissed,
            Ending::Stopped => &mut self.stopped,
        } += 1;
    }
}
