//! Agents that the coordinator does not hear of any more.

use std::time::Duration;

use super::member::{Member, Presence};
use super::{Coordinator, Event, HEARD_WITHIN, LEAD, Stage, UNCONFIRMED, Unstarted};
use crate::fleet::limits::{LATE_AFTER, LOST_AFTER, REPORTED_WITHIN};
use crate::fleet::protocol::State;
use crate::report::stopped::Stopped;

/// An agent that is heard again is back when something comes from it after this time, unless it reports meanwhile that it has
/// stopped: the first requests may be old ones that were delayed by the link.
const BACK_AFTER: Duration = Duration::from_secs(2);

impl Coordinator {
    pub(super) fn look_for_lost(&mut self, now: Duration) {
        let mut lost = Vec::new();
        let resumed = self.resumed;
        for member in self.members.iter_mut().filter(|member| !member.is_settled()) {
            let silent = now.saturating_sub(member.heard.max(resumed));
            let presence = match silent {
                silent if silent > LOST_AFTER => Presence::Lost,
                silent if silent > LATE_AFTER => Presence::Late,
                _ => Presence::There,
            };
            let name = member.name.clone();
            if member
                .owes_report
                .is_some_and(|since| now.saturating_sub(since.max(resumed)) > REPORTED_WITHIN)
            {
                member.is_overdue = true;
                lost.push(name);
                continue;
            }
            member.heard_again.take_if(|_| silent > LATE_AFTER);
            let heard = member.heard;
            let is_back = |since: &mut Duration| heard.saturating_sub(*since) > BACK_AFTER;
            if member.heard_again.take_if(is_back).is_some() {
                self.events.push_back(Event::Back(name));
            } else if presence > member.presence {
                member.presence = presence;
                match presence {
                    Presence::Lost => lost.push(name),
                    Presence::Late | Presence::There => self.events.push_back(Event::Late(name)),
                }
            }
        }
        lost.into_iter().for_each(|name| self.lose(name, "nothing came from it any more"));
    }

    /// Confirms the start, or ends the run before it, as an agent is missing.
    pub(super) fn confirm(&mut self, at: Duration, now: Duration) {
        let ahead = at.saturating_sub(now);
        let missing = self.members.iter().find_map(|member| {
            let silence = self.silence(member, now);
            let why = match &member.state {
                State::Left(why) => format!("it has signed off: {why}"),
                State::Failed(why) => why.clone(),
                // It may come back until then.
                _ if silence > HEARD_WITHIN && ahead <= UNCONFIRMED => {
                    format!("nothing has come from it for {:.1} s", silence.as_secs_f64())
                }
                _ => return None,
            };
            Some((member.name.clone(), why))
        });
        let is_heard = |member: &Member| self.silence(member, now) <= HEARD_WITHIN;
        if let Some((name, why)) = missing {
            self.end(&lost_before(&name, &why), Unstarted::Lost(name, why));
        } else if ahead <= LEAD && self.members.iter().all(is_heard) {
            match ahead > UNCONFIRMED {
                true => self.stage = Stage::Started { at },
                // The coordinator was late itself: agents would be as well.
                false => self.decide(now),
            }
        }
    }

    pub(super) fn lose(&mut self, name: String, why: &str) {
        self.miss(&name, why);
        self.events.push_back(Event::Lost(name));
    }

    /// The part of this agent is not complete: the others stop, if that was requested.
    pub(super) fn miss(&mut self, name: &str, why: &str) {
        if self.settings.stops_on_loss {
            let stopped = Stopped::LostAgent { agent: name.to_owned() };
            let unstarted = Unstarted::Lost(name.to_owned(), why.to_owned());
            self.halt(&lost_before(name, why), stopped, unstarted);
        }
    }
}

fn lost_before(name: &str, why: &str) -> String {
    format!("agent {name} was lost before the start: {why}")
}
