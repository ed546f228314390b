//! Agents that the coordinator does not hear of any more.

use std::time::Duration;

use super::member::Presence;
use super::{Coordinator, Event, LATE_AFTER, LOST_AFTER};
use crate::fleet::protocol::Halt;
use crate::report::stopped::Stopped;

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
            if presence == member.presence {
                continue;
            }
            member.presence = presence;
            let name = member.name.clone();
            match presence {
                Presence::Lost => lost.push(name),
                Presence::Late => self.events.push_back(Event::Late(name)),
                Presence::There => self.events.push_back(Event::Back(name)),
            }
        }
        lost.into_iter().for_each(|name| self.lose(name));
    }

    pub(super) fn lose(&mut self, name: String) {
        self.miss(&name);
        self.events.push_back(Event::Lost(name));
    }

    /// The part of this agent is not complete: the others stop, if that was requested.
    pub(super) fn miss(&mut self, name: &str) {
        if self.settings.stops_on_loss {
            let why = Stopped::LostAgent { agent: name.to_owned() };
            let _ = self.stop.get_or_insert(Halt::Early(why));
        }
    }
}
