//! Findings about clients with shorter timeouts than RFC 5321 section 4.5.3.2 requires.

use std::time::Duration;

use super::{Finding, words};
use crate::smtp::Stage;
use crate::stats::{Durations, Stats};
use crate::text::units::duration;

/// The timeout that a client should have for a reply.
struct Patience {
    stage: Stage,
    awaited: &'static str,
    asked: Duration,
    reference: &'static str,
    /// An addition to the text of the finding.
    remark: &'static str,
}

const fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

/// If RFC 5321 specifies no timeout, that of MAIL and RCPT is expected.
const OF_MOST: &str = " with MAIL and RCPT, and names no other time for this";

/// RFC 3030 specifies no timeout. The last chunk counts as the end of the message.
const OF_CHUNKS: &str = " for a block of data, and RFC 3030 names no other time for a chunk";

/// The message is first, because giving up there duplicates mail. QUIT is omitted, because its reply does not
/// matter. The timeout of 3 minutes for sending data
/// is only checked for the reply to a chunk: small messages are sent before it matters.
const PATIENCE: &[Patience] = &[
    Patience {
        stage: Stage::Message,
        awaited: "the reply to the message",
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
        stage: Stage::Bdat,
        awaited: "the reply to BDAT",
        asked: minutes(3),
        reference: "RFC 5321 section 4.5.3.2.5",
        remark: OF_CHUNKS,
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

/// A client that leaves before the greeting within this time is taken for a port check.
const PROBE: Duration = Duration::from_millis(500);

/// The share of the required time that is accepted: a client's timer starts slightly before its command arrives, and
/// clocks differ.
const ENOUGH: f64 = 0.99;

/// Timeouts count as equal if their 10th and 90th percentiles differ by at most this factor.
const STEADY: f64 = 1.1;

/// At most one finding for each stage.
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
