//! Findings about the ends of sessions.

use super::{Finding, words};
use crate::stats::{SessionStats, Stats};

/// Fewer sessions without QUIT may come from a program that was interrupted.
const WITHOUT_QUIT: u64 = 5;
/// With QUIT in this share of the sessions, the others are exceptions.
const QUIT_AS_A_RULE: f64 = 0.9;
/// Fewer timeouts may come from single clients that hang.
const TIMED_OUT: u64 = 10;

pub(super) fn broken_off(stats: &Stats) -> Option<Finding> {
    let broken_off = stats.messages.broken_off;
    let text = || {
        let messages = words::count(broken_off, "message");
        format!("closed the connection in the middle of the data of {messages}")
    };
    (broken_off > 0).then(|| Finding {
        name: "data-broken-off",
        text: text(),
        reference: "RFC 5321 section 4.1.1.10",
    })
}

pub(super) fn went_on_after_421(stats: &Stats) -> Option<Finding> {
    let sessions = stats.sessions.went_on_after_421;
    (sessions > 0).then(|| Finding {
        name: "went-on-after-421",
        text: format!("sent more commands after 421 in {}", words::count(sessions, "session")),
        reference: "RFC 5321 section 3.8",
    })
}

pub(super) fn went_on_after_refusal(stats: &Stats) -> Option<Finding> {
    let sessions = stats.sessions.went_on_after_refusal;
    let text = || {
        let sessions = words::count(sessions, "session");
        format!("sent more than QUIT after a greeting that refused the session in {sessions}")
    };
    (sessions > 0).then(|| Finding {
        name: "went-on-after-refusal",
        text: text(),
        reference: "RFC 5321 section 3.1",
    })
}

pub(super) fn left_without_quit(stats: &Stats) -> Option<Finding> {
    let &SessionStats { quit, left, .. } = &stats.sessions;
    let ended = quit.saturating_add(left);
    if left < WITHOUT_QUIT || quit as f64 >= ended as f64 * QUIT_AS_A_RULE {
        return None;
    }
    let share = words::percent(quit, ended);
    let text = format!("sent QUIT in {share} of sessions: {left} of {ended} were closed without it");
    Some(Finding { name: "left-without-quit", text, reference: "RFC 5321 section 4.1.1.10" })
}

/// A server may end an idle session after 5 minutes. A client that leaves most of its sessions to that timeout wastes
/// connections. The share is of the accepted sessions that the client could have ended.
pub(super) fn left_to_time_out(stats: &Stats) -> Option<Finding> {
    let &SessionStats { quit, left, timed_out, .. } = &stats.sessions;
    let free = quit.saturating_add(left).saturating_add(timed_out);
    if timed_out < TIMED_OUT || timed_out.saturating_mul(2) < free {
        return None;
    }
    let text = format!("left {timed_out} of {free} sessions to the server's timeout, without QUIT");
    Some(Finding { name: "left-to-time-out", text, reference: "RFC 5321 section 4.5.3.2.7" })
}
