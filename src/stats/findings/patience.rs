//! Clients that wait less for a reply than RFC 5321 section 4.5.3.2 asks for.

use std::time::Duration;

use super::{Finding, words};
use crate::smtp::Stage;
use crate::stats::{Durations, Stats};
use crate::text::units::duration;

/// How long a client should wait for something.
struct Patience {
    stage: Stage,
    awaited: &'static str,
    asked: Duration,
    reference: &'static str,
    /// What else is to be said of the time that is asked for.
    remark: &'static str,
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// Where RFC 5321 names no time, that for most commands is expected.
const OF_MOST: &str = " with MAIL and RCPT, and names no other time for this";

/// The final dot first: giving up there doubles mail. QUIT is not among them: its client has all it wanted. A client
/// whose data are not read (`data stall`) may give up on them, too, after 3 minutes, but small messages never notice.
const PATIENCE: &[Patience] = &[
    Patience {
        stage: Stage::Message,
        awaited: "the reply to the final dot",
        asked: minutes(10),
        reference: "RFC 5321 section 4.5.3.2.6",
        remark: ": a message that was accepted meanwhile is sent twice (RFC 1047)",
    },
    Patience {
        stage: Stage::Data,
        awaited: "the reply to DATA",
        asked: minutes(2),
        reference: "RFC 5321 section 4.5.3.2.4",
        remark: "",
    },
    Patience {
        stage: Stage::Rcpt,
        awaited: "the reply to RCPT",
        asked: minutes(5),
        reference: "RFC 5321 section 4.5.3.2.3",
        remark: "",
    },
    Patience {
        stage: Stage::Mail,
        awaited: "the reply to MAIL",
        asked: minutes(5),
        reference: "RFC 5321 section 4.5.3.2.2",
        remark: "",
    },
    Patience {
        stage: Stage::Greeting,
        awaited: "the greeting",
        asked: minutes(5),
        reference: "RFC 5321 section 4.5.3.2.1",
        remark: "",
    },
    Patience {
        stage: Stage::Helo,
        awaited: "the reply to EHLO or HELO",
        asked: minutes(5),
        reference: "RFC 5321 section 4.5.3.2",
        remark: OF_MOST,
    },
    Patience {
        stage: Stage::Rset,
        awaited: "the reply to RSET",
        asked: minutes(5),
        reference: "RFC 5321 section 4.5.3.2",
        remark: OF_MOST,
    },
    Patience {
        stage: Stage::Noop,
        awaited: "the reply to NOOP",
        asked: minutes(5),
        reference: "RFC 5321 section 4.5.3.2",
        remark: OF_MOST,
    },
];

/// Whoever leaves before the greeting and sooner only looked whether the port is open.
const PROBE: Duration = Duration::from_millis(500);

/// The share of the time asked for that is long enough: a client's own timer starts a little before the command
/// arrives, and its clock may be another.
const ENOUGH: f64 = 0.99;

/// A timeout is the same each time if of ten the second shortest and the second longest differ by no more.
const STEADY: f64 = 1.1;

/// One finding for each stage.
pub(super) fn gave_up_early(stats: &Stats) -> impl Iterator<Item = Finding> {
    PATIENCE.iter().filter_map(|patience| patience.check(&stats.stages[patience.stage].gave_up))
}

impl Patience {
    fn check(&self, waits: &Durations) -> Option<Finding> {
        let Self { stage, awaited, asked, reference, remark } = self;
        let probes = if *stage == Stage::Greeting { waits.count_within(PROBE) } else { 0 };
        let early = waits.count_within(asked.mul_f64(ENOUGH)).saturating_sub(probes);
        if early == 0 {
            return None;
        }
        let quantile =
            |share: f64| waits.quantile((probes as f64 + share * early as f64) / waits.count() as f64);
        let (after, sessions) = (span(quantile(0.1), quantile(0.9)), words::count(early, "session"));
        let minutes = asked.as_secs() / 60;
        let text = format!(
            "gave up on {awaited} after {after} in {sessions}; {reference} asks for {minutes} minutes{remark}"
        );
        Some(Finding { name: "gave-up-early", text, reference })
    }
}

fn span(short: Duration, long: Duration) -> String {
    if long <= short.mul_f64(STEADY) {
        return duration(long);
    }
    format!("{} to {}", duration(short), duration(long))
}
