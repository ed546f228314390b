//! From the end of the run until the report is written: agents wait for that, so that their own reports are not lost with
//! the coordinator.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Coordinator;
use super::member::Member;
use super::requests::WHILE_ENDING;
use crate::fleet::limits::{LOST_AFTER, REQUEST_TIMEOUT};
use crate::fleet::protocol::{Answer, Fate};
use crate::report::stopped::Stopped;
use crate::time::clock::{millis, nanos};

/// Whether the report of the run is written: then the parts whose reports it lacks, each with the reason; else why not.
pub(crate) type Written = Result<BTreeMap<u64, String>, String>;

/// No agent gives up a request before: a bit less than `REQUEST_TIMEOUT`, as the request took some time itself.
const GIVES_UP_AFTER: Duration = Duration::from_millis(750);

const _: () = assert!(GIVES_UP_AFTER.as_millis() < REQUEST_TIMEOUT.as_millis());

/// An agent whose part was taken.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) id: String,
    part: u64,
    has_report: bool,
    /// When its last request came.
    heard: Duration,
    /// Whether a reply had the fate of its report, and whether it came.
    was_sent: bool,
    is_informed: bool,
}

impl Coordinator {
    /// Takes what the agents have reported. From now on they are only informed of what becomes of it.
    pub(crate) fn take_members(&mut self) -> Vec<Member> {
        let mut members = std::mem::take(&mut self.members);
        for member in &mut members {
            if let Some(Stopped::Signal { .. } | Stopped::LostAgent { .. }) = member.stopped {
                member.coordinator_signal.clone_from(&self.signal);
            }
        }
        let seat = |member: &Member| Seat {
            id: member.id.clone(),
            part: member.part,
            has_report: member.has_report(),
            heard: member.heard,
            was_sent: false,
            is_informed: false,
        };
        self.seats = members.iter().map(seat).collect();
        members
    }

    /// The report is written, or will not be: why.
    pub(crate) fn conclude(&mut self, written: Written) {
        let _ = self.concluded.get_or_insert(written);
    }

    pub(crate) fn is_concluded(&self) -> bool {
        self.concluded.is_some()
    }

    /// Whether all whose reports were taken have been informed of their fate, but for those that are gone.
    pub(crate) fn has_informed_all(&self, now: Duration) -> bool {
        let is_gone = |seat: &Seat| now.saturating_sub(seat.heard) > LOST_AFTER;
        self.seats.iter().all(|seat| seat.is_informed || !seat.has_report || is_gone(seat))
    }

    /// The connection of an agent has ended: soon after the reply with the fate of its report if that came, as the agent has
    /// ended then. One without a reply gives up the request later.
    pub(crate) fn closed(&mut self, id: &str, now: Duration) {
        if let Some(seat) = self.seats.iter_mut().find(|seat| seat.id == id) {
            seat.is_informed |= seat.was_sent && now.saturating_sub(seat.heard) < GIVES_UP_AFTER;
        }
    }

    /// The reply to an agent whose part was taken.
    pub(super) fn fate(&mut self, now: Duration, id: &str) -> Option<Answer> {
        let seat = self.seats.iter_mut().find(|seat| seat.id == id)?;
        seat.heard = now;
        let fate = match (seat.has_report, &self.concluded) {
            (false, _) => Some(Fate::Dropped("the run was over when it came".to_owned())),
            (true, Some(Ok(without))) => Some(match without.get(&seat.part) {
                None => Fate::Written,
                Some(why) => Fate::Dropped(why.clone()),
            }),
            (true, Some(Err(why))) => Some(Fate::Dropped(why.clone())),
            (true, None) => None,
        };
        (seat.was_sent, seat.is_informed) = (fate.is_some(), false);
        let now_ns = nanos(now);
        Some(Answer {
            received_ns: now_ns,
            replied_ns: now_ns,
            next_ms: millis(WHILE_ENDING),
            order: None,
            start_ns: None,
            // None is needed any more.
            seconds: u64::MAX,
            stop: self.stop.clone(),
            has_report: seat.has_report,
            fate,
        })
    }
}
