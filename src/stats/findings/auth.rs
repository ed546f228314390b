//! Findings about authentication.

use super::{Finding, words};
use crate::stats::Stats;

pub(super) fn again(stats: &Stats) -> Option<Finding> {
    let count = stats.auth.again;
    (count > 0).then(|| Finding {
        name: "authenticated-again",
        text: format!(
            "sent AUTH again {} after it had succeeded in the session",
            words::count(count, "time")
        ),
        reference: "RFC 4954 section 4",
    })
}

pub(super) fn repeated(stats: &Stats) -> Option<Finding> {
    let count = stats.auth.repeated;
    let text = || {
        let times = words::count(count, "time");
        format!(
            "tried a user and password again {times}, unchanged after 535: servers lock accounts for that"
        )
    };
    (count > 0).then(|| Finding { name: "password-repeated", text: text(), reference: "RFC 4954 section 6" })
}
